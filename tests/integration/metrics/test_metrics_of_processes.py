"""Metrics of whole processes: an application with its delivering thread, its forks, and `deliver --watch`."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from label_studio_otel.testing import FakeLabelStudio, span
from support.delivering import State, copies

if TYPE_CHECKING:
    from collections.abc import Mapping

#: What both programs begin with: the SDK's own metrics, and a way to print ours.
BEGINNING = """
import json, logging, os, sys, threading, time
from opentelemetry import metrics, trace
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader

logging.basicConfig(level=logging.WARNING)
reader = InMemoryMetricReader()
metrics.set_meter_provider(MeterProvider([reader]))

def values():
    found = {}
    data = reader.get_metrics_data()
    for resource in data.resource_metrics if data else ():
        for scope in resource.scope_metrics:
            if scope.scope.name == "label_studio_otel":
                for metric in scope.metrics:
                    for point in metric.data.data_points:
                        attributes = point.attributes
                        kind = attributes.get("error.type") or attributes.get("label_studio_otel.state")
                        name = f"{metric.name} {kind}" if kind else metric.name
                        found.setdefault(name, []).append(getattr(point, "value", None) or getattr(point, "count", 0))
    return found

def wait_for(name, value):
    end = time.monotonic() + 20
    while values().get(name) != [value] and time.monotonic() < end:
        time.sleep(0.05)
"""
APPLICATION = f"""{BEGINNING}
from opentelemetry.sdk.trace import TracerProvider
from label_studio_otel import LabelStudioSpanProcessor

provider = TracerProvider()
provider.add_span_processor(LabelStudioSpanProcessor(flush="delivered", operations={{"chat"}}))
trace.set_tracer_provider(provider)

def call(operation="chat"):
    said = json.dumps([{{"role": "user", "parts": [{{"type": "text", "content": "Hi"}}]}}])
    attributes = {{"gen_ai.operation.name": operation, "gen_ai.input.messages": said, "gen_ai.output.messages": said}}
    with trace.get_tracer("app").start_as_current_span("call", attributes=attributes):
        pass

call("text_completion")
for _ in range(3):
    call()
assert provider.force_flush(20_000)
parent = values()
reading, writing = os.pipe()
if os.fork() == 0:
    call()
    assert provider.force_flush(20_000)
    os.write(writing, json.dumps(values()).encode())
    os._exit(0)
os.close(writing)
child = json.loads(os.read(reading, 1 << 20))
provider.shutdown()
print(json.dumps([parent, child]))
"""
LATE = (
    """
import json, sys
from label_studio_otel.metrics import instruments as ours
from label_studio_otel.metrics.counts import Counts
from label_studio_otel.metrics.server_metrics import ServerMetrics

ours.register()
source = ServerMetrics("http://labels.example.com", Counts(delivered=3))
source.record_latency(1.0)
"""
    + f"""{BEGINNING}
ours.register()
source.record_latency(1.0)
found = values()
print(json.dumps([found["otel.sdk.exporter.span.exported"], found["label_studio_otel.delivery.latency"]]))
"""
)
WATCH = f"""{BEGINNING}
from label_studio_otel.cli import main
threading.Thread(target=main, args=(["deliver", "--watch"],), daemon=True).start()
wait_for("otel.sdk.exporter.span.exported", 2)
print(json.dumps(values()))
sys.stdout.flush()
os._exit(0)
"""


def _ran(program: str, fake: FakeLabelStudio, directory: Path, **variables: str) -> Any:
    environ: Mapping[str, str] = {
        **os.environ,
        "LABEL_STUDIO_URL": fake.url,
        "LABEL_STUDIO_API_KEY": fake.token,
        "LABEL_STUDIO_OTEL_STATE_DIR": str(directory),
        **variables,
    }
    ran = subprocess.run(
        [sys.executable, "-c", program], env=environ, capture_output=True, text=True, timeout=90, check=False
    )
    assert (ran.returncode, ran.stderr) == (0, "")
    return json.loads(ran.stdout)


@pytest.fixture(scope="module")
def application(tmp_path_factory: pytest.TempPathFactory) -> tuple[dict[str, Any], dict[str, Any]]:
    """What an application reports, and what a child reports that it forked."""
    with FakeLabelStudio() as fake:
        parent, child = _ran(APPLICATION, fake, tmp_path_factory.mktemp("state"))
        assert len(copies(fake)) == 4
    return parent, child


def test_an_application_reports_what_it_took_and_delivered(application: tuple[dict[str, Any], Any]) -> None:
    parent, _ = application
    assert parent["otel.sdk.processor.span.processed"] == [3]
    assert parent["label_studio_otel.calls.filtered"] == [1]
    assert parent["label_studio_otel.calls.accepted"] == [3]
    assert parent["otel.sdk.exporter.span.exported"] == [3]
    assert parent["otel.sdk.exporter.span.exported rejected"] == [0]
    assert parent["label_studio_otel.delivery.latency"] == [3]
    assert parent["otel.sdk.exporter.operation.duration"] in ([1], [2], [3])
    assert parent["label_studio_otel.destinations.blocked"] == [0]
    assert parent["label_studio_otel.calls.waiting pending"] in ([0], [1], [2], [3])  # as it was seconds ago


def test_a_forked_child_has_its_parents_instruments_once_and_counts_from_nothing(
    application: tuple[Any, dict[str, Any]],
) -> None:
    _, child = application
    assert child["otel.sdk.processor.span.processed"] == [1]
    assert child["label_studio_otel.calls.filtered"] == [0]
    assert all(len(values) == 1 for values in child.values())


def test_a_command_that_watches_reports_what_it_delivers(state: State, fake: FakeLabelStudio, tmp_path: Path) -> None:
    state.put(span(number=1), span(number=2), span(number=2))
    values = _ran(WATCH, fake, tmp_path)
    assert copies(fake) == {"1": 1, "2": 1}
    assert values["otel.sdk.exporter.span.exported"] == [2]
    assert values["label_studio_otel.calls.accepted"] == [2]
    assert values["label_studio_otel.calls.duplicates"] == [1]
    assert values["label_studio_otel.delivery.latency"] == [2]
    assert values["otel.sdk.exporter.span.inflight"] in ([0], [2])  # as it was seconds ago
    assert "otel.sdk.processor.span.processed" not in values


def test_a_meter_provider_that_is_set_after_the_first_call_gets_them_too(fake: FakeLabelStudio, tmp_path: Path) -> None:
    assert _ran(LATE, fake, tmp_path) == [[3], [1]]
