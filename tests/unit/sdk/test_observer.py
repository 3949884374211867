"""What is noted while `doctor` watches an application's run, and that the application does not notice."""

from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING, Any

import pytest
from opentelemetry import trace
from opentelemetry._logs import LogRecord
from opentelemetry.sdk._logs import LoggerProvider
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from label_studio_otel import LabelStudioLogRecordProcessor, LabelStudioSpanExporter, LabelStudioSpanProcessor, reading
from label_studio_otel.sdk import autoload, observer

if TYPE_CHECKING:
    from pathlib import Path

ATTRIBUTES = {
    "gen_ai.operation.name": "chat",
    "gen_ai.input.messages": '[{"role":"user","parts":[{"type":"text","content":"secret"}]}]',
}


@pytest.fixture(autouse=True)
def _as_before(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Let each test watch anew, and leave the SDK's class as it was."""
    monkeypatch.setattr(observer, "_observing", False)
    monkeypatch.setattr(observer, "_events", {})
    monkeypatch.setattr(TracerProvider, "__init__", TracerProvider.__init__)
    monkeypatch.setattr(LoggerProvider, "__init__", LoggerProvider.__init__)
    monkeypatch.setenv("LABEL_STUDIO_OTEL_STATE_DIR", str(tmp_path / "state"))
    monkeypatch.setenv("LABEL_STUDIO_OTEL_DELIVERY", "off")


@pytest.fixture
def notes(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    monkeypatch.setenv(observer.VARIABLE, str(tmp_path / "notes"))
    return tmp_path / "notes"


def read(notes: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in notes.read_text().splitlines()]


def call(provider: TracerProvider, **attributes: str) -> None:
    with provider.get_tracer("langchain").start_as_current_span("call", attributes=attributes or None):
        pass


def test_nothing_is_watched_unless_doctor_asks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(observer.VARIABLE, raising=False)
    before = TracerProvider.__init__
    observer.observe()
    assert TracerProvider.__init__ is before


def test_each_span_is_a_line_without_what_was_said(notes: Path) -> None:
    observer.observe()
    observer.observe()  # the hook of each provider's set-up may ask
    provider = TracerProvider()
    call(provider)
    call(provider, **ATTRIBUTES)
    provider.shutdown()

    began, other, llm = read(notes)
    assert began["began"] == os.getpid()
    assert other == {"scope": "langchain"}
    assert {name: llm[name] for name in ("scope", "operation", "incomplete", "taken", "error")} == {
        "scope": "langchain",
        "operation": "chat",
        "incomplete": ["The span holds no answer of the model."],
        "taken": False,
        "error": False,
    }
    assert "secret" not in notes.read_text()


def test_a_provider_that_was_there_before_is_watched_too(notes: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    provider = TracerProvider()
    monkeypatch.setattr(trace, "get_tracer_provider", lambda: provider)
    observer.observe()
    call(provider)
    provider.shutdown()
    assert [line.get("scope") for line in read(notes)] == [None, "langchain"]


@pytest.mark.parametrize(
    ("ours", "taken"),
    [
        (lambda: SimpleSpanProcessor(InMemorySpanExporter()), False),
        (LabelStudioSpanProcessor, True),
        (lambda: BatchSpanProcessor(LabelStudioSpanExporter()), True),
        (lambda: SimpleSpanProcessor(LabelStudioSpanExporter()), True),
        (lambda: Wrapping(LabelStudioSpanProcessor()), True),
    ],
)
def test_whether_a_processor_or_an_exporter_of_ours_saw_the_call(notes: Path, ours: Any, taken: bool) -> None:
    observer.observe()
    provider = TracerProvider()
    provider.add_span_processor(ours())
    call(provider, **ATTRIBUTES)
    provider.shutdown()
    assert [line["taken"] for line in read(notes) if "key" in line] == [taken]


class Wrapping(SimpleSpanProcessor):
    """Another product's processor around ours."""

    def __init__(self, processor: LabelStudioSpanProcessor) -> None:
        super().__init__(InMemorySpanExporter())
        self.processor = processor


@pytest.mark.parametrize("taken", [False, True])
def test_messages_in_log_events_that_are_taken_are_not_missed(notes: Path, taken: bool) -> None:
    observer.observe()
    provider, logs = TracerProvider(), LoggerProvider()
    if taken:
        logs.add_log_record_processor(LabelStudioLogRecordProcessor())
    with provider.get_tracer("openai").start_as_current_span("call", attributes={"gen_ai.operation.name": "chat"}):
        for name, body in (
            ("gen_ai.user.message", {"content": "secret"}),
            ("gen_ai.choice", {"index": 0, "finish_reason": "stop", "message": {"content": "secret"}}),
            ("other", "secret"),
        ):
            logs.get_logger("openai").emit(LogRecord(event_name=name, body=body))
    provider.shutdown()
    logs.shutdown()
    (line,) = (line for line in read(notes) if "key" in line)
    assert bool(line["incomplete"]) is not taken
    assert "secret" not in notes.read_text()


def test_an_error_of_ours_does_not_reach_the_application(notes: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object) -> bool:
        raise RuntimeError("secret")

    observer.observe()
    provider = TracerProvider()
    monkeypatch.setattr(reading, "is_llm_call", broken)
    call(provider, **ATTRIBUTES)
    provider.shutdown()
    assert read(notes)[1:] == [{"failed": "RuntimeError"}]


def test_a_file_that_cannot_be_written_does_not_reach_the_application(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv(observer.VARIABLE, str(tmp_path / "none" / "notes"))
    autoload.add_span_processors()
    provider = TracerProvider()
    call(provider)
    provider.shutdown()
    assert not (tmp_path / "none").exists()


def test_no_descriptor_of_the_notes_stays_open(notes: Path) -> None:
    observer._note({})
    with notes.open() as before:
        lowest_free = before.fileno()
    observer._note({})
    with notes.open() as after:
        assert after.fileno() == lowest_free
        assert after.read() == "{}\n{}\n"
