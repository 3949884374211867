"""The link to a call's trace, by every way that a call can go."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest
from opentelemetry.sdk.trace import TracerProvider
from test_serve import arrived, exporter, served, spans

from label_studio_otel import LabelStudioSpanProcessor
from label_studio_otel.cli import main
from label_studio_otel.testing import FakeLabelStudio
from support.delivering import all_tasks
from support.receiving import span, traces
from support.sdk import CALL

if TYPE_CHECKING:
    from pathlib import Path

TEMPLATE = "http://localhost:16686/trace/{trace_id}?uiFind={span_id}"
#: Of the first span of tests/receiving.py.
LINK = "http://localhost:16686/trace/5b8efff798038103d269b633813fc60c?uiFind=0000000000000001"


@pytest.fixture(autouse=True)
def _environment(server: FakeLabelStudio, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LABEL_STUDIO_OTEL_TRACE_LINK", TEMPLATE)


@pytest.mark.parametrize("delivery", ["thread", "off"])
def test_the_task_of_an_application_has_it(server: FakeLabelStudio, delivery: str) -> None:
    provider = TracerProvider(shutdown_on_exit=False)
    provider.add_span_processor(LabelStudioSpanProcessor(delivery=delivery, shutdown_timeout=20))
    call = provider.get_tracer("acme").start_span("chat", attributes=CALL)
    call.end()
    provider.shutdown()
    if delivery == "off":
        assert main(["deliver"]) == 0

    ids = call.get_span_context()
    [task] = all_tasks(server)
    assert task["data"]["trace_link"] == (f"http://localhost:16686/trace/{ids.trace_id:032x}?uiFind={ids.span_id:016x}")


def test_the_task_of_the_bridge_has_it(tmp_path: Path, server: FakeLabelStudio) -> None:
    with served(tmp_path, server, LABEL_STUDIO_OTEL_TRACE_LINK=TEMPLATE) as bridge:
        call = next(one for one in spans() if one.name == "chat")
        exporter(bridge.url).export([call])

        [task] = arrived(server, 1)
    ids = call.context
    assert task["data"]["trace_link"] == (f"http://localhost:16686/trace/{ids.trace_id:032x}?uiFind={ids.span_id:016x}")


def test_the_task_of_a_backfill_has_it(tmp_path: Path, server: FakeLabelStudio) -> None:
    (tmp_path / "traces.json").write_bytes(traces(span()))

    assert main(["backfill", str(tmp_path / "traces.json")]) == 0

    [task] = all_tasks(server)
    assert task["data"]["trace_link"] == LINK


def test_what_convert_prints_has_it(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "traces.json").write_bytes(traces(span()))

    assert main(["convert", str(tmp_path / "traces.json")]) == 0

    out, err = capfd.readouterr()
    assert (json.loads(out)["trace_link"], err) == (LINK, "")


def test_a_template_that_cannot_be_used_is_said_and_harms_nothing(
    tmp_path: Path, server: FakeLabelStudio, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("LABEL_STUDIO_OTEL_TRACE_LINK", "https://jaeger/trace/{traceId}")
    (tmp_path / "traces.json").write_bytes(traces(span()))

    assert main(["backfill", str(tmp_path / "traces.json")]) == 0

    [task] = all_tasks(server)
    assert "trace_link" not in task["data"]
    assert capsys.readouterr().err.splitlines()[0] == (
        "label-studio-otel: LABEL_STUDIO_OTEL_TRACE_LINK='https://jaeger/trace/{traceId}' cannot be used: "
        "it must have {trace_id}, may have {span_id}, and anything else as it stands in a URL; using None"
    )
