"""Metrics about ourselves: their names, what they are read from, and what reading them never does."""

from __future__ import annotations

import builtins
import os
import sqlite3
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.semconv._incubating.metrics import otel_metrics

from label_studio_otel import log
from label_studio_otel.metrics import instruments, server_metrics
from label_studio_otel.metrics.counts import Backlog, Counts
from label_studio_otel.metrics.server_metrics import ServerMetrics
from label_studio_otel.metrics.table import METRICS
from label_studio_otel.spool.writer import SpoolWriter
from support.spooling import record

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


class Metrics:
    """The SDK's metrics of what lives in one test."""

    def __init__(self) -> None:
        self.reader = InMemoryMetricReader()
        self.provider = MeterProvider([self.reader])
        meter = self.provider.get_meter("label_studio_otel")
        server_metrics.histograms.update(instruments.instruments(meter, METRICS, server_metrics.living))

    def points(self) -> list[tuple[str, dict[str, Any], Any]]:
        """Collect, and return name, attributes and point of each."""
        data = self.reader.get_metrics_data()
        return [
            (metric.name, dict(point.attributes or {}), point)
            for resource in (data.resource_metrics if data else ())
            for scope in resource.scope_metrics
            for metric in scope.metrics
            for point in metric.data.data_points
        ]

    def values(self, name: str) -> dict[str, Any]:
        """Return the values of a metric by what tells its points apart."""
        return {
            " ".join(str(attributes[key]) for key in ("error.type", "label_studio_otel.state") if key in attributes): (
                point.value
            )
            for found, attributes, point in self.points()
            if found == name
        }


@pytest.fixture
def collected(monkeypatch: pytest.MonkeyPatch) -> Iterator[Metrics]:
    monkeypatch.setattr(server_metrics, "_servers", ())
    monkeypatch.setattr(server_metrics, "histograms", {})
    collected = Metrics()
    yield collected
    collected.provider.shutdown()


@pytest.fixture
def writer(tmp_path: Path) -> Iterator[SpoolWriter]:
    writer = SpoolWriter(tmp_path / "spool", max_backlog_bytes=len(b"".join(record())))
    yield writer
    writer.close()


def test_the_names_are_those_of_the_semantic_conventions_or_ours() -> None:
    assert [(one.name, one.kind, one.unit) for one in METRICS] == [
        ("otel.sdk.processor.span.processed", "counter", "{span}"),
        ("otel.sdk.processor.span.queue.size", "up-down counter", "{span}"),
        ("otel.sdk.exporter.span.exported", "counter", "{span}"),
        ("otel.sdk.exporter.span.inflight", "up-down counter", "{span}"),
        ("otel.sdk.exporter.operation.duration", "histogram", "s"),
        ("label_studio_otel.calls.filtered", "counter", "{call}"),
        ("label_studio_otel.events", "counter", "{event}"),
        ("label_studio_otel.calls.accepted", "counter", "{call}"),
        ("label_studio_otel.calls.duplicates", "counter", "{call}"),
        ("label_studio_otel.calls.doubles", "counter", "{call}"),
        ("label_studio_otel.calls.waiting", "up-down counter", "{call}"),
        ("label_studio_otel.calls.oldest.age", "gauge", "s"),
        ("label_studio_otel.delivery.latency", "histogram", "s"),
        ("label_studio_otel.destinations.blocked", "up-down counter", "{destination}"),
        ("label_studio_otel.predictions.repaired", "counter", "{prediction}"),
        ("label_studio_otel.batches.reconciled", "counter", "{batch}"),
        ("label_studio_otel.tasks.removed", "counter", "{task}"),
        ("label_studio_otel.outbox.size", "up-down counter", "By"),
        ("label_studio_otel.spool.size", "up-down counter", "By"),
        ("label_studio_otel.spool.damaged", "counter", "By"),
    ]


def test_the_semantic_conventions_know_those_that_are_theirs() -> None:
    known = {value for name, value in vars(otel_metrics).items() if name.startswith("OTEL_")}
    assert {one.name for one in METRICS if not one.name.startswith("label_studio_otel.")} <= known


def test_what_an_application_took_lost_and_left_out(collected: Metrics, writer: SpoolWriter, tmp_path: Path) -> None:
    counts = Counts(filtered=3, failed=1, events=2)
    source = ServerMetrics("http://labels.example.com:8080", counts, writer)
    writer.append(record())
    writer.append([b"an event"], calls=0)
    writer.close()
    writer._directory = tmp_path / "spool" / "in the way"
    writer._directory.write_text("")
    for _ in range(3):
        writer.append(record())
    assert collected.values("otel.sdk.processor.span.processed") == {"": 2, "queue_full": 2, "_OTHER": 1}
    assert collected.values("otel.sdk.processor.span.queue.size") == {"": 1}
    assert collected.values("label_studio_otel.calls.filtered") == {"": 3}
    assert collected.values("label_studio_otel.events") == {"": 2}
    assert source.backlog is None


def test_what_a_deliverer_did(collected: Metrics) -> None:
    source = ServerMetrics("http://labels.example.com")
    source.counts += (
        Counts(
            accepted=10,
            duplicates=1,
            delivered=6,
            parked=2,
            expired=1,
            repaired_predictions=3,
            reconciled_batches=4,
            removed_copies=5,
            damaged_bytes=7,
        ),
    )
    assert collected.values("otel.sdk.exporter.span.exported") == {"": 6, "rejected": 2, "expired": 1}
    assert collected.values("label_studio_otel.calls.accepted") == {"": 10}
    assert collected.values("label_studio_otel.calls.duplicates") == {"": 1}
    assert collected.values("label_studio_otel.predictions.repaired") == {"": 3}
    assert collected.values("label_studio_otel.batches.reconciled") == {"": 4}
    assert collected.values("label_studio_otel.tasks.removed") == {"": 5}
    assert collected.values("label_studio_otel.spool.damaged") == {"": 7}


def test_a_second_deliverer_of_the_process_goes_on_counting_where_the_first_ended(collected: Metrics) -> None:
    source = ServerMetrics("http://labels.example.com")
    source.counts += (Counts(delivered=6),)
    source.counts += (Counts(delivered=2),)
    assert collected.values("otel.sdk.exporter.span.exported")[""] == 8


def test_what_waits_and_since_when(collected: Metrics, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("label_studio_otel.metrics.table.time.time", lambda: 1000.0)
    source = ServerMetrics("http://labels.example.com")
    source.update_backlog(lambda: Backlog({"pending": 3, "leased": 2, "uncertain": 1, "parked": 9}, 940.0, 2, 4096))
    assert collected.values("otel.sdk.exporter.span.inflight") == {"": 6}
    waiting = {"pending": 3, "leased": 2, "uncertain": 1, "parked": 9}
    assert collected.values("label_studio_otel.calls.waiting") == waiting
    assert collected.values("label_studio_otel.calls.oldest.age") == {"": 60.0}
    assert collected.values("label_studio_otel.destinations.blocked") == {"": 2}
    assert collected.values("label_studio_otel.spool.size") == {"": 4096}


def test_nothing_is_old_where_nothing_waits(collected: Metrics) -> None:
    source = ServerMetrics("http://labels.example.com")
    source.update_backlog(Backlog)
    assert collected.values("label_studio_otel.calls.oldest.age") == {"": 0.0}


def test_what_waits_is_said_by_the_process_that_delivers_and_by_no_other(collected: Metrics) -> None:
    source = ServerMetrics("http://labels.example.com")
    source.update_backlog(lambda: None)
    assert collected.values("otel.sdk.exporter.span.inflight") == {}
    assert collected.values("label_studio_otel.calls.waiting") == {}
    assert collected.values("label_studio_otel.calls.oldest.age") == {}


def test_what_waits_is_looked_up_every_five_seconds_and_not_at_each_step(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    now, looks = [100.0], []
    monkeypatch.setattr(server_metrics.time, "monotonic", lambda: now[0])
    source = ServerMetrics("http://labels.example.com")
    for _ in range(100):
        source.update_backlog(lambda: looks.append(now[0]))
        now[0] += 0.2
    assert looks == pytest.approx([100.0, 105.0, 110.0, 115.0], abs=0.3)


def test_how_long_deliveries_and_imports_took(collected: Metrics) -> None:
    source = ServerMetrics("https://labels.example.com")
    for seconds in (0.7, 3.0):
        source.record_latency(seconds)
    source.record_import(0.2)
    source.record_import(60.0, "Uncertain")
    points = collected.points()
    (latency,) = [point for name, _, point in points if name == "label_studio_otel.delivery.latency"]
    imports = [point for name, _, point in points if name == "otel.sdk.exporter.operation.duration"]
    assert (latency.count, latency.sum) == (2, 3.7)
    assert latency.explicit_bounds == (0.5, 1, 2.5, 5, 10, 30, 60, 300, 900, 3600, 14400, 86400)
    assert {(point.attributes.get("error.type"), point.sum) for point in imports} == {(None, 0.2), ("Uncertain", 60.0)}


def test_no_attribute_holds_anything_but_who_reports_and_where_it_goes(collected: Metrics, writer: SpoolWriter) -> None:
    source = ServerMetrics("https://me:s3cret@labels.example.com/label-studio", Counts(), writer)
    source.update_backlog(lambda: Backlog({"pending": 1}))
    source.record_import(1.0, "Retryable")
    source.record_latency(1.0)
    seen = {key: value for _, attributes, _ in collected.points() for key, value in attributes.items()}
    assert sorted(seen) == [
        "error.type",
        "label_studio_otel.state",
        "otel.component.name",
        "otel.component.type",
        "server.address",
        "server.port",
    ]
    assert (seen["server.address"], seen["server.port"]) == ("labels.example.com", 443)
    assert "s3cret" not in str(seen)


def test_two_servers_are_told_apart(collected: Metrics) -> None:
    sources = [ServerMetrics(f"http://{name}:8080", Counts(delivered=1)) for name in ("one", "two")]
    points = [
        attributes
        for name, attributes, _ in collected.points()
        if name == "otel.sdk.exporter.span.exported" and "error.type" not in attributes
    ]
    assert [one["server.address"] for one in points] == ["one", "two"]
    assert len({one["otel.component.name"] for one in points}) == len(sources)
    assert {one["otel.component.type"] for one in points} == {"label_studio_otel.LabelStudioSpanExporter"}


def test_what_is_gone_is_not_reported_any_more(collected: Metrics) -> None:
    source = ServerMetrics("http://labels.example.com", Counts())
    assert collected.values("otel.sdk.exporter.span.exported") != {}
    del source
    assert collected.values("otel.sdk.exporter.span.exported") == {}


def test_collecting_touches_neither_disk_nor_database_nor_a_lock(
    collected: Metrics, writer: SpoolWriter, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = ServerMetrics("http://labels.example.com", Counts(), writer)
    source.update_backlog(lambda: Backlog({"pending": 1}, 0.0))

    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("touched")

    for owner, name in ((builtins, "open"), (os, "open"), (os, "stat"), (os, "scandir"), (sqlite3, "connect")):
        monkeypatch.setattr(owner, name, refuse)
    monkeypatch.setattr(writer, "_lock", None)
    points = collected.points()
    monkeypatch.undo()
    assert {name for name, _, _ in points} == {one.name for one in METRICS if one.read}


def test_a_meter_provider_that_fails_is_said_and_harms_nothing(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(*_: object) -> None:
        raise RuntimeError("secret")

    monkeypatch.setattr(log, "_said", set())
    monkeypatch.setattr(instruments, "_registered", False)
    monkeypatch.setattr("opentelemetry.metrics.get_meter", fail)
    instruments.register()
    instruments.register()
    (said,) = [entry.getMessage() for entry in caplog.records]
    assert said.startswith("label-studio-otel: there are no metrics about delivery: RuntimeError in fail")
    assert "secret" not in said


def test_the_metrics_api_is_not_imported_before_the_first_call() -> None:
    program = "import sys, label_studio_otel.sdk.recorder; print('opentelemetry.metrics' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout == (
        "False\n"
    )
