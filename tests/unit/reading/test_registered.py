"""Dialects that other packages bring by an entry point."""

from __future__ import annotations

import logging
import subprocess
import sys
from pathlib import Path

import pytest

from label_studio_otel import reading
from label_studio_otel.errors import DialectError
from label_studio_otel.spans import Span

DIALECT = """
from label_studio_otel.generation import Choice, Generation, Message, TextPart

name = "acme"
keys = frozenset({"acme.question"})


def matches(attributes, scope_name):
    return "acme.question" in attributes and scope_name == "acme"


def read(span):
    said = Message("user", (TextPart(span.attributes["acme.question"]),))
    answered = Message("assistant", (TextPart(span.attributes["acme.answer"]),))
    return Generation("chat", (said,), (Choice(answered, "stop"),))
"""
BROKEN = "name = 'broken'\nkeys = frozenset({'acme.question'})\n"
RAISING = """
name = "raising"
keys = frozenset({"acme.question"})


def matches(attributes, scope_name):
    raise OSError("the user said: sesame")


def read(span):
    raise OSError("the user said: sesame")
"""


@pytest.fixture
def install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Install distributions that each bring one dialect."""

    def installed(**modules: str) -> None:
        for name, source in modules.items():
            (tmp_path / f"{name}.py").write_text(source, "utf-8")
            metadata = tmp_path / f"{name}-1.0.dist-info"
            metadata.mkdir()
            (metadata / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n", "utf-8")
            (metadata / "entry_points.txt").write_text(f"[label_studio_otel_dialect]\n{name} = {name}\n", "utf-8")
        monkeypatch.syspath_prepend(tmp_path)
        _forget()

    yield installed
    monkeypatch.undo()
    _forget()
    for name in ("acme_dialect", "broken_dialect", "absent_dialect", "raising_dialect"):
        sys.modules.pop(name, None)


def _forget() -> None:
    reading.registered.cache_clear()
    reading._known.cache_clear()


def span(**attributes: str) -> Span:
    named = {name.replace("_", "."): value for name, value in attributes.items()}
    return Span("a" * 32, "b" * 16, "ask", 1, 2, named, scope_name="acme")


def test_an_installed_dialect_reads_its_spans(install) -> None:
    install(acme_dialect=DIALECT)
    asked = span(acme_question="Where?", acme_answer="Here.")
    assert reading.is_llm_call(asked.attributes, "acme")
    assert not reading.is_llm_call(asked.attributes, "other")
    assert reading.dialect_of(asked).name == "acme"
    assert reading.read(asked).choices[0].message.parts[0].content == "Here."


def test_an_installed_dialect_is_asked_before_ours(install) -> None:
    install(acme_dialect=DIALECT)
    both = Span(
        "a" * 32, "b" * 16, "ask", 1, 2, {"acme.question": "?", "gen_ai.operation.name": "chat"}, scope_name="acme"
    )
    assert reading.dialect_of(both).name == "acme"


def test_what_an_installed_dialect_raises_parks_the_span_without_its_words(install) -> None:
    install(acme_dialect=DIALECT)
    with pytest.raises(DialectError, match=r"^span b{16}: acme failed with KeyError$"):
        reading.read(span(acme_question="Where?"))


def test_a_dialect_that_cannot_be_used_is_said_once_and_left_out(install, caplog) -> None:
    install(acme_dialect=DIALECT, broken_dialect=BROKEN, absent_dialect="import nowhere_to_be_found")
    with caplog.at_level(logging.WARNING):
        for _ in range(2):
            assert reading.is_llm_call(span(acme_question="Where?").attributes, "acme")
    said = sorted(record.getMessage() for record in caplog.records)
    assert len(said) == 2
    assert "the dialect absent_dialect (absent_dialect) cannot be used: ModuleNotFoundError" in said[0]
    assert "the dialect broken_dialect (broken_dialect) cannot be used: AttributeError" in said[1]


def test_a_dialect_that_raises_matches_nothing_and_tells_nobody_what_was_said(install, caplog) -> None:
    install(raising_dialect=RAISING)
    with caplog.at_level(logging.WARNING):
        for _ in range(2):
            assert not reading.is_llm_call(span(acme_question="Where?").attributes, "acme")
    assert [record.getMessage().partition(" in ")[0] for record in caplog.records] == [
        "label-studio-otel: the dialect raising failed to match with OSError"
    ]
    assert "sesame" not in caplog.text


def test_broken_metadata_of_other_packages_hinder_nothing(monkeypatch: pytest.MonkeyPatch, install, caplog) -> None:
    install()
    monkeypatch.setattr("importlib.metadata.entry_points", lambda **_group: int("broken"))
    with caplog.at_level(logging.WARNING):
        assert reading.is_llm_call({"gen_ai.operation.name": "chat"}, "")
    assert "dialects of other packages cannot be looked up: ValueError" in caplog.text


def test_a_call_is_recognized_where_the_interpreter_ends_and_imports_nothing(
    monkeypatch: pytest.MonkeyPatch, install
) -> None:
    install()
    monkeypatch.setitem(sys.modules, "importlib.metadata", None)
    assert reading.is_llm_call({"gen_ai.operation.name": "chat"}, "")


def test_importing_ours_looks_for_no_dialect_of_others() -> None:
    program = "import sys, label_studio_otel.reading; print('importlib.metadata' in sys.modules)"
    assert (
        subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout == "False\n"
    )


def test_the_operation_of_a_dialect_without_that_function_is_read(install) -> None:
    install(acme_dialect=DIALECT)
    attributes = {"acme.question": "Where?", "acme.answer": "Here."}
    assert reading.operation(attributes, "acme", "ask") == "chat"
    assert reading.operation({"acme.question": "Where?"}, "acme", "ask") is None


def test_the_operation_of_a_dialect_that_tells_it_is_not_read(install) -> None:
    tells = "\n\ndef operation(attributes, scope_name, span_name):\n    return f'{scope_name} {span_name}'\n"
    install(acme_dialect=DIALECT + tells)
    assert reading.operation({"acme.question": "Where?"}, "acme", "ask") == "acme ask"


def test_a_dialect_that_tells_no_operation_has_none(install) -> None:
    install(acme_dialect=DIALECT + "\n\ndef operation(attributes, scope_name, span_name):\n    return None\n")
    assert reading.operation({"acme.question": "Where?"}, "acme", "ask") is None


def test_a_dialect_that_reads_no_call_cannot_read_the_span(install) -> None:
    install(acme_dialect=DIALECT + "\n\ndef read(span):\n    return None\n")
    with pytest.raises(DialectError, match=r"^span b{16}: acme returned no Generation$"):
        reading.read(span(acme_question="Where?"))
