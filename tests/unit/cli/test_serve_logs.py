"""The log of a service: lines for people, or objects for programs, and nothing of what was said in either."""

from __future__ import annotations

import json
import logging
from typing import Any

import pytest

from label_studio_otel import log
from label_studio_otel.cli._logs import logging_as


@pytest.fixture(autouse=True)
def nothing_said_yet(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(log, "_said", set())


def objects(text: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in text.splitlines()]


def fail(words: str) -> None:
    try:
        int(words)
    except ValueError:
        logging.getLogger("somebody.else").exception("it failed")


def test_an_object_has_the_names_of_the_log_data_model(capsys: pytest.CaptureFixture[str]) -> None:
    with logging_as("json"):
        log.info("3 calls", {"label_studio_otel.calls.taken": 3})
        log.warn_once("disk", "the disk is full")

    info, warning = objects(capsys.readouterr().err)
    assert info.pop("timestamp")[-1] == "Z"
    assert info == {
        "severity_text": "INFO",
        "severity_number": 9,
        "body": "3 calls",
        "logger": "label_studio_otel",
        "attributes": {"label_studio_otel.calls.taken": 3},
    }
    assert (warning["severity_text"], warning["severity_number"]) == ("WARN", 13)
    assert "attributes" not in warning


def test_records_wait_until_the_format_is_known(capsys: pytest.CaptureFixture[str]) -> None:
    with logging_as("text") as use:
        log.warn_once("key", "everybody may read the key")
        assert capsys.readouterr().err == ""
        use("json")
        assert [line["body"] for line in objects(capsys.readouterr().err)] == ["everybody may read the key"]
        log.info("ready")
        assert [line["body"] for line in objects(capsys.readouterr().err)] == ["ready"]


def test_the_text_format_is_one_sentence_a_line(capsys: pytest.CaptureFixture[str]) -> None:
    with logging_as("text"):
        log.warn_once("disk", "the disk is full")
        log.resolved("disk", "the disk has room again")

    assert (
        capsys.readouterr().err == "label-studio-otel: the disk is full\nlabel-studio-otel: the disk has room again\n"
    )


def test_a_record_of_another_library_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    with logging_as("text"):
        logging.getLogger("somebody.else").warning("met %s", "x\nlabel-studio-otel: all LLM calls were delivered")

    assert capsys.readouterr().err == "met x\\nlabel-studio-otel: all LLM calls were delivered\n"


def test_an_exception_is_named_and_not_quoted(capsys: pytest.CaptureFixture[str]) -> None:
    with logging_as("text") as use:
        use("json")
        fail("what somebody said")
        use("text")
        fail("what somebody said")

    first, *rest = capsys.readouterr().err.splitlines()
    assert json.loads(first)["body"] == "it failed"
    assert json.loads(first)["attributes"] == {"exception.type": "ValueError"}
    assert rest == ["it failed (ValueError)"]


def test_other_libraries_log_warnings_only(capsys: pytest.CaptureFixture[str]) -> None:
    with logging_as("json"):
        logging.getLogger("somebody.else").info("chatter")
        logging.getLogger("somebody.else").warning("trouble")

    assert [line["body"] for line in objects(capsys.readouterr().err)] == ["trouble"]


def test_logging_is_restored_afterwards(capsys: pytest.CaptureFixture[str]) -> None:
    before = list(logging.getLogger().handlers), logging.getLogger("label_studio_otel").level
    with logging_as("text"):
        pass

    assert (list(logging.getLogger().handlers), logging.getLogger("label_studio_otel").level) == before
    log.info("nobody reads this")
    assert capsys.readouterr().err == ""
