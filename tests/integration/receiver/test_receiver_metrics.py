"""What a bridge tells about itself: as Prometheus text over its own port, by OTLP where that is asked for."""

from __future__ import annotations

import threading
import time
from collections import deque
from typing import TYPE_CHECKING, Any

import grpc
import pytest
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.semconv._incubating.metrics import http_metrics, rpc_metrics
from prometheus_client.parser import text_string_to_metric_families

from label_studio_otel import log
from label_studio_otel.calls.selection import Selection
from label_studio_otel.metrics import instruments, server_metrics
from label_studio_otel.metrics.counts import Counts
from label_studio_otel.metrics.table import METRICS
from label_studio_otel.receiver import metric_readers
from label_studio_otel.receiver.group_commit import GroupCommit
from label_studio_otel.receiver.metric_readers import MetricReaders, exporters
from label_studio_otel.receiver.metrics import RECEIVER_METRICS, ReceiverMetrics
from label_studio_otel.receiver.otlp_grpc import OtlpGrpc
from label_studio_otel.receiver.otlp_http import OtlpHttp
from label_studio_otel.settings import load
from support.http_server import Handler, HttpServer
from support.receiving import TRACES, VALID, Receiver, span, traces, traces_in_protobuf

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from typing_extensions import Self


@pytest.fixture(autouse=True)
def apart(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server_metrics, "_servers", ())
    monkeypatch.setattr(server_metrics, "histograms", {})
    monkeypatch.setattr(instruments, "_registered", False)
    monkeypatch.setattr(log, "_said", set())


class Watched(Receiver):
    """Receivers of both protocols whose metrics are there; nothing is delivered."""

    def __init__(
        self,
        directory: Path,
        *,
        exposition: Callable[[], tuple[str, bytes]] | None = None,
        metrics_token: str | None = None,
        environ: dict[str, str] | None = None,
        **settings: Any,
    ) -> None:
        super().__init__(directory, **settings)
        self.metrics = ReceiverMetrics()
        self.readers = MetricReaders(self.metrics, environ or {})
        self._group_commit = GroupCommit(
            self.outbox,
            holds_lock=lambda: self.holding,
            due_at=lambda: 0.0,
            max_state_bytes=0,
            counts=Counts(),
            on_commit=self.metrics.add_commit,
        )
        selection = Selection(load({**settings, "state_dir": directory}, {}))
        self._otlp = OtlpHttp(
            selection,
            self._group_commit,
            token=metrics_token,
            exposition=exposition or self.readers.exposition,
            metrics_token=metrics_token,
            metrics=self.metrics,
        )
        self.server.handler = self._otlp
        self.grpc = OtlpGrpc(selection, self._group_commit, metrics=self.metrics)
        self.metrics.filtered = lambda: selection.filtered
        self.metrics.connections = lambda: {"http": self.server.connections}
        self.metrics.held = lambda: {"http": self.server.held, "grpc": self.grpc.held}

    def __enter__(self) -> Self:
        super().__enter__()
        self.grpc_port = self.grpc.listen("127.0.0.1", 0)
        return self

    def __exit__(self, *error: object) -> None:
        self.grpc.close(1)
        super().__exit__(*error)
        self.readers.close()

    def export(self, body: bytes) -> str:
        """Send a request over gRPC; return the code of the answer."""
        with grpc.insecure_channel(f"127.0.0.1:{self.grpc_port}") as channel:
            try:
                channel.unary_unary(TRACES)(body, timeout=20)
            except grpc.RpcError as error:
                return str(error.code().name)
            return "OK"

    def samples(self, name: str) -> dict[str, float]:
        """Scrape, and return the samples of this name by what is not the same for all of them."""
        text = self.send("GET", "/metrics").body.decode()
        return {
            " ".join(value for label, value in sample.labels.items() if value and not label.startswith("otel_scope")): (
                sample.value
            )
            for family in text_string_to_metric_families(text)
            for sample in family.samples
            if sample.name == name
        }


@pytest.fixture
def watched(tmp_path: Path) -> Iterator[Watched]:
    with Watched(tmp_path, operations="chat") as receiver:
        yield receiver


def test_names_are_those_of_the_semantic_conventions_or_begin_with_ours() -> None:
    assert [(one.name, one.kind, one.unit) for one in RECEIVER_METRICS] == [
        ("http.server.request.duration", "histogram", "s"),
        ("rpc.server.call.duration", "histogram", "s"),
        ("label_studio_otel.receiver.spans", "counter", "{span}"),
        ("label_studio_otel.receiver.calls", "counter", "{call}"),
        ("label_studio_otel.receiver.filtered", "counter", "{call}"),
        ("label_studio_otel.receiver.log_records", "counter", "{record}"),
        ("label_studio_otel.receiver.events", "counter", "{event}"),
        ("label_studio_otel.receiver.size", "counter", "By"),
        ("label_studio_otel.receiver.held", "up-down counter", "By"),
        ("label_studio_otel.receiver.connections", "up-down counter", "{connection}"),
        ("label_studio_otel.commit.duration", "histogram", "s"),
        ("label_studio_otel.commit.size", "histogram", "{record}"),
    ]
    known = {value for module in (http_metrics, rpc_metrics) for value in vars(module).values() if type(value) is str}
    assert {one.name for one in RECEIVER_METRICS if not one.name.startswith("label_studio_otel.")} <= known
    assert {one.name for one in RECEIVER_METRICS}.isdisjoint(one.name for one in METRICS)


def test_requests_over_http_are_counted_and_timed_by_method_route_and_status(watched: Watched) -> None:
    assert watched.post(traces(span(1), span(2))).status == 200
    assert watched.post(b"no OTLP").status == 400
    watched.holding = False
    assert watched.post(traces(span(3))).status == 503

    assert watched.samples("http_server_request_duration_seconds_count") == {
        "POST 200 /v1/traces": 1,
        "POST 400 /v1/traces": 1,
        "503 POST 503 /v1/traces": 1,
    }
    assert watched.samples("http_server_request_duration_seconds_sum")["POST 200 /v1/traces"] > 0


def test_requests_over_grpc_are_counted_by_method_and_code(watched: Watched) -> None:
    assert watched.export(traces_in_protobuf(VALID)) == "OK"
    assert watched.export(b"no OTLP") == "INVALID_ARGUMENT"
    watched.holding = False
    assert watched.export(traces_in_protobuf(VALID)) == "UNAVAILABLE"

    method = "opentelemetry.proto.collector.trace.v1.TraceService/Export"
    assert watched.samples("rpc_server_call_duration_seconds_count") == {
        f"{method} OK grpc": 1,
        f"{method} INVALID_ARGUMENT grpc": 1,
        f"UNAVAILABLE {method} UNAVAILABLE grpc": 1,
    }


def test_spans_calls_and_bytes_are_counted(watched: Watched) -> None:
    other = span(3)
    other["attributes"][0]["value"]["stringValue"] = "text_completion"
    body = traces(span(1), span(2), other, span(4, spanId="00"), span(5, attributes=[]))
    watched.post(body)
    watched.export(in_protobuf := traces_in_protobuf(VALID))

    assert watched.samples("label_studio_otel_receiver_calls_total") == {"http": 2, "grpc": 1}
    assert watched.samples("label_studio_otel_receiver_filtered_total") == {"": 1}
    assert watched.samples("label_studio_otel_receiver_spans_total") == {
        "http": 4,
        "rejected http": 1,
        "grpc": 1,
        "rejected grpc": 0,
    }
    assert watched.samples("label_studio_otel_receiver_size_bytes_total") == {
        "http": len(body),
        "grpc": len(in_protobuf),
    }
    assert watched.samples("label_studio_otel_receiver_connections") == {"http": 1}
    assert watched.samples("label_studio_otel_receiver_held_bytes") == {"http": 0, "grpc": 0}


def test_calls_of_a_refused_request_are_not_counted(watched: Watched) -> None:
    watched.holding = False
    assert watched.post(traces(span(1))).status == 503

    assert watched.samples("label_studio_otel_receiver_calls_total") == {}


def test_commits_are_timed_and_their_records_counted(watched: Watched) -> None:
    watched.post(traces(span(1), span(2), span(3)))
    watched.post(traces(span(4)))

    assert watched.samples("label_studio_otel_commit_size_sum") == {"": 4}
    assert watched.samples("label_studio_otel_commit_duration_seconds_count") == {"": 2}


def test_a_client_can_choose_no_attribute_of_a_metric(watched: Watched) -> None:
    for number in range(5):
        watched.send(f"BREW{number}", f"/said-{number}")
    watched.send("GET", "/v1/traces?said=hello")
    watched.post(traces(span(1, text="Good morning")), authorization="Bearer s3cret")
    text = watched.send("GET", "/metrics").body.decode()

    assert "said" not in text
    assert "BREW" not in text
    assert "morning" not in text
    assert "s3cret" not in text
    assert watched.samples("http_server_request_duration_seconds_count")["_OTHER 404"] == 5


def test_the_metrics_have_the_text_format_of_prometheus(watched: Watched) -> None:
    answer = watched.send("GET", "/metrics")

    assert answer.status == 200
    assert answer.headers["content-type"] == "text/plain; version=0.0.4; charset=utf-8"
    assert b'service_name="label-studio-otel"' in answer.body
    assert b"process_resident_memory_bytes " in answer.body
    assert watched.send("HEAD", "/metrics/").status == 200
    assert watched.send("POST", "/metrics").headers["allow"] == "GET, HEAD"


def test_the_metrics_need_the_token(tmp_path: Path) -> None:
    with Watched(tmp_path, metrics_token="s3cret") as watched:
        assert watched.send("GET", "/metrics").status == 401
        assert watched.send("GET", "/metrics", authorization="Bearer s3cret").status == 200
        assert watched.send("GET", "/healthz").status == 200


def test_without_metrics_their_path_is_404(tmp_path: Path) -> None:
    with Receiver(tmp_path) as receiver:
        assert receiver.send("GET", "/metrics").status == 404


def test_a_slow_scrape_does_not_delay_requests(tmp_path: Path) -> None:
    asked, go = threading.Event(), threading.Event()

    def slow() -> tuple[str, bytes]:
        asked.set()
        assert go.wait(10)
        return "text/plain", b"done"

    with Watched(tmp_path, exposition=slow) as watched, watched.connect() as client:
        client.sendall(b"GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n")
        assert asked.wait(10)
        assert watched.post(traces(span(1))).status == 200
        assert watched.export(traces_in_protobuf(VALID)) == "OK"
        go.set()
        assert client.recv(1000).endswith(b"done")


@pytest.mark.parametrize(
    ("environ", "expected"),
    [
        ({}, []),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://localhost:4318"}, []),
        ({"OTEL_METRICS_EXPORTER": "none"}, []),
        ({"OTEL_METRICS_EXPORTER": "none", "OTEL_EXPORTER_OTLP_METRICS_ENDPOINT": "http://x"}, []),
        ({"OTEL_METRICS_EXPORTER": "prometheus"}, []),
        ({"OTEL_METRICS_EXPORTER": "otlp"}, ["otlp_proto_grpc"]),
        ({"OTEL_EXPORTER_OTLP_METRICS_ENDPOINT": "http://localhost:4317"}, ["otlp_proto_grpc"]),
        ({"OTEL_METRICS_EXPORTER": "otlp", "OTEL_EXPORTER_OTLP_PROTOCOL": "http/protobuf"}, ["otlp_proto_http"]),
        (
            {
                "OTEL_METRICS_EXPORTER": "console, otlp",
                "OTEL_EXPORTER_OTLP_PROTOCOL": "grpc",
                "OTEL_EXPORTER_OTLP_METRICS_PROTOCOL": "http/protobuf",
            },
            ["console", "otlp_proto_http"],
        ),
    ],
)
def test_the_exporters_are_those_of_the_standard_variables(environ: dict[str, str], expected: list[str]) -> None:
    assert exporters(environ) == expected


class Sink(HttpServer):
    """Takes metrics by OTLP/HTTP while its context lasts, and remembers their names."""

    def __init__(self, *, silent: bool = False) -> None:
        super().__init__(_Takes)
        self.url += "/v1/metrics"
        self.silent = silent
        self.names: deque[str] = deque()
        self.released = threading.Event()

    def __exit__(self, *error: object) -> None:
        self.released.set()
        super().__exit__(*error)


class _Takes(Handler):
    owner: Sink

    def do_POST(self) -> None:
        body = self.body()
        if self.owner.silent:
            self.owner.released.wait(20)
            return
        for resource in ExportMetricsServiceRequest.FromString(body).resource_metrics:
            self.owner.names.extend(one.name for scope in resource.scope_metrics for one in scope.metrics)
        self.answer(200, "application/x-protobuf")


def sending_to(url: str, monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_METRICS_ENDPOINT", url)  # read by the exporter
    return {"OTEL_EXPORTER_OTLP_METRICS_ENDPOINT": url, "OTEL_EXPORTER_OTLP_METRICS_PROTOCOL": "http/protobuf"}


def test_the_last_metrics_are_exported_at_the_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with Sink() as sink:
        with Watched(tmp_path, environ=sending_to(sink.url, monkeypatch)) as watched:
            watched.post(traces(span(1)))
        assert {"http.server.request.duration", "label_studio_otel.receiver.calls"} <= set(sink.names)


def test_its_own_metrics_sent_to_itself_are_accepted_and_dropped(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    with Receiver(tmp_path / "first") as receiver:
        MetricReaders(ReceiverMetrics(), sending_to(f"{receiver.url}/v1/metrics", monkeypatch)).close()
        assert receiver.kept == 0
    assert [entry for entry in caplog.records if entry.name.startswith("label_studio_otel")] == []


def test_a_backend_that_never_answers_delays_neither_requests_nor_the_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OTEL_METRIC_EXPORT_INTERVAL", "100")
    with Sink(silent=True) as sink:
        with Watched(tmp_path, environ=sending_to(sink.url, monkeypatch)) as watched:
            for number in range(20):
                assert watched.post(traces(span(number + 1))).status == 200
            assert watched.samples("label_studio_otel_receiver_calls_total") == {"http": 20}
            began = time.monotonic()
        assert time.monotonic() - began < 5


class Broken:
    @staticmethod
    def load() -> None:
        raise ValueError("s3cret")


def test_a_missing_or_broken_exporter_is_logged_and_the_bridge_serves(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(metric_readers, "entry_points", lambda group, name: [Broken] if name == "broken" else [])
    line = Broken.load.__code__.co_firstlineno + 2
    made = MetricReaders(ReceiverMetrics(), {"OTEL_METRICS_EXPORTER": "nothing,broken"})

    assert made.exposition is not None
    assert [record.getMessage() for record in caplog.records if record.name == "label_studio_otel"] == [
        "label-studio-otel: OTEL_METRICS_EXPORTER asks for nothing, which is not installed, so metrics are not sent: "
        'pip install "label-studio-otel[auto]"',
        f"label-studio-otel: metrics are not sent by broken: ValueError in load, line {line}",
    ]
    made.close()
