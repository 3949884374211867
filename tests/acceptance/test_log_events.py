"""Instrumentations that write what was said as log events: the one switch takes those too, for real."""

from __future__ import annotations

import os
import subprocess
from typing import TYPE_CHECKING

import pytest

from label_studio_otel import pipeline
from label_studio_otel.calls import assembly, log_events
from label_studio_otel.generation import TextPart
from label_studio_otel.spans import LogRecord, Span
from label_studio_otel.spool import record as spool
from label_studio_otel.spool.reader import SpoolFile, spool_files
from support.applications import APPS, PATIENCE
from support.environments import environment
from support.openai_server import OpenAIServer

if TYPE_CHECKING:
    from pathlib import Path

    from label_studio_otel.calls.assembly import Call
    from label_studio_otel.generation import Message

#: Made for each other.
GEN_AI = (
    "openai==3.54.0",
    "opentelemetry-instrumentation-openai-v2==2.4b0",
    "opentelemetry-util-genai==0.4b0",
    "httpx",
)
CAPTURE = "OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT"
LATEST = {"OTEL_SEMCONV_STABILITY_OPT_IN": "gen_ai_latest_experimental", CAPTURE: "EVENT_ONLY"}
DECLARED = """
file_format: "1.0"
tracer_provider:
  processors:
    - batch:
        exporter:
          label_studio:
logger_provider:
  processors:
    - simple:
        exporter:
          console:
"""


def run(tmp_path: Path, **variables: str) -> list[Call]:
    """Run the application; nothing is delivered. Return what its spans and log events hold."""
    made = environment("log-events", *GEN_AI, "opentelemetry-configuration==0.66b2")
    foreign = ("OTEL_", "LABEL_STUDIO_", "OPENAI_", "PYTHON", "PYTEST", "VIRTUAL_ENV")
    environ = {name: value for name, value in os.environ.items() if not name.startswith(foreign)}
    with OpenAIServer() as server:
        environ |= {
            "OTEL_TRACES_EXPORTER": "label_studio",
            "OTEL_METRICS_EXPORTER": "none",
            "OTEL_LOGS_EXPORTER": "none",
            "OPENAI_BASE_URL": server.url,
            "OPENAI_API_KEY": "key",
            "LABEL_STUDIO_URL": "http://127.0.0.1:9",
            "LABEL_STUDIO_OTEL_STATE_DIR": str(tmp_path / "state"),
            "LABEL_STUDIO_OTEL_DELIVERY": "off",
            **variables,
        }
        command = [made.program("opentelemetry-instrument"), made.program("python"), APPS / "log_events.py"]
        ran = subprocess.run(command, env=environ, capture_output=True, text=True, timeout=PATIENCE, check=False)
    assert ran.returncode == 0, ran
    assert "label-studio-otel" not in ran.stderr
    return kept(tmp_path / "state")


def kept(state_dir: Path) -> list[Call]:
    records = []
    for directory in state_dir.glob("*"):
        for path in spool_files(pipeline.spool_directory(directory)):
            with SpoolFile(path) as file:
                records += [spool.decode(read.payload) for read in file.records(0)]
    spans = [Span.from_fields(record.span) for record in records if record.span is not None]
    logs = [LogRecord.from_fields(record.log) for record in records if record.log is not None]
    assert logs
    return assembly.calls(log_events.join(spans, logs))


def said(message: Message) -> tuple[str, str]:
    return message.role, "".join(part.content for part in message.parts if isinstance(part, TextPart))


def conversations(calls: list[Call]) -> list[list[tuple[str, str]]]:
    """Return who said what in each call, the answers last."""
    generations = [call.generation for call in calls]
    whole = [[*one.messages, *(choice.message for choice in one.choices)] for one in generations]
    return sorted([said(message) for message in messages] for messages in whole)


SAID = [
    [
        ("system", "Be brief."),
        ("user", "One"),
        ("assistant", "You said: One"),
        ("assistant", "Answer 2: You said: One"),
    ],
    [
        ("system", "Be brief."),
        ("user", "Two"),
        ("assistant", "You said: Two"),
        ("assistant", "Answer 2: You said: Two"),
    ],
    [("user", "Three"), ("assistant", "You said: Three")],
]


@pytest.mark.parametrize("logs", ["none", "console"])
def test_one_event_per_message(tmp_path: Path, logs: str) -> None:
    calls = run(tmp_path, OTEL_LOGS_EXPORTER=logs, **{CAPTURE: "true"})
    assert conversations(calls) == SAID
    assert [call.generation.incomplete for call in calls] == [(), (), ()]


def test_one_event_per_call(tmp_path: Path) -> None:
    calls = run(tmp_path, **LATEST)
    assert conversations(calls) == SAID


def test_a_declarative_configuration_with_a_logger_provider(tmp_path: Path) -> None:
    path = tmp_path / "otel.yaml"
    path.write_text(DECLARED)
    calls = run(tmp_path, OTEL_CONFIG_FILE=str(path), **{CAPTURE: "true"})
    assert conversations(calls) == SAID
