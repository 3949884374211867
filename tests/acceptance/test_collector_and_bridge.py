"""The Collector as a client of the bridge: what it sends again, what it asks for, and what a full queue does."""

from __future__ import annotations

import time
import urllib.error
import urllib.request
from typing import TYPE_CHECKING, Any

import pytest
import trustme
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.trace.export import SpanExportResult
from test_collector import README, blocks
from test_serve import arrived, spans

from label_studio_otel.testing import FakeLabelStudio
from support.bridge import Bridge
from support.collector import FAN_OUT, Collector
from support.delivering import all_tasks
from support.receiving import JSON, span, traces
from support.servers import wait_for
from support.telemetry_sink import TelemetrySink

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture
def server() -> Iterator[FakeLabelStudio]:
    with FakeLabelStudio() as fake:
        yield fake


@pytest.fixture
def settings(server: FakeLabelStudio, tmp_path: Path) -> dict[str, str]:
    return {
        "LABEL_STUDIO_URL": server.url,
        "LABEL_STUDIO_API_KEY": server.token,
        "LABEL_STUDIO_OTEL_STATE_DIR": str(tmp_path / "state"),
    }


def export(collector: Collector, sent: Any) -> SpanExportResult:
    exporter = OTLPSpanExporter(f"{collector.url}/v1/traces")
    try:
        return exporter.export(sent)
    finally:
        exporter.shutdown()


def test_what_the_collector_sends_again_is_one_task(
    server: FakeLabelStudio, settings: dict[str, str], tmp_path: Path
) -> None:
    """At first the bridge answers 503, as another process holds the state."""
    sent = spans(3)
    with (
        Bridge(tmp_path / "holder", settings) as holder,
        Bridge(tmp_path / "bridge", settings) as bridge,
        Collector(tmp_path / "collector", LABEL_STUDIO_OTEL_ENDPOINT=bridge.url) as collector,
    ):
        assert export(collector, sent) is SpanExportResult.SUCCESS
        wait_for(lambda: "503" in collector.said, what="refusal")
        assert export(collector, sent) is SpanExportResult.SUCCESS  # as after an answer that was lost
        holder.kill()
        assert len(arrived(server, 3)) == 3
        size = {"data_type": "traces", "exporter": "otlp_http/label_studio"}
        wait_for(lambda: collector.metric("otelcol_exporter_queue_size", **size) == 0, what="end of the queue")
        time.sleep(1)
        assert len(all_tasks(server)) == 3


def test_the_collector_and_the_bridge_know_each_other_by_certificates(
    server: FakeLabelStudio, settings: dict[str, str], tmp_path: Path
) -> None:
    authority = trustme.CA()
    authority.cert_pem.write_to_path(ca := str(tmp_path / "ca.pem"))
    certificate, key = str(tmp_path / "certificate.pem"), str(tmp_path / "key.pem")
    issued = authority.issue_cert("127.0.0.1")  # one for both, as it is for servers and for clients
    issued.cert_chain_pems[0].write_to_path(certificate)
    (tmp_path / "key.pem").touch(0o600)
    issued.private_key_pem.write_to_path(key)
    options = ("--tls-cert", certificate, "--tls-key", key, "--tls-client-ca", ca)
    own = {"LABEL_STUDIO_OTEL_CERT_FILE": certificate, "LABEL_STUDIO_OTEL_KEY_FILE": key}
    with Bridge(tmp_path / "bridge", settings, *options) as bridge:
        known = {"LABEL_STUDIO_OTEL_ENDPOINT": bridge.url, "LABEL_STUDIO_OTEL_CA_FILE": ca}
        with Collector(tmp_path / "stranger", **known) as collector:
            assert export(collector, spans()) is SpanExportResult.SUCCESS
            wait_for(lambda: "Exporting failed" in collector.said, what="refusal")
        with Collector(tmp_path / "known", **known, **own) as collector:
            assert export(collector, spans(2)) is SpanExportResult.SUCCESS
            assert len(arrived(server, 2)) == 2


def post(collector: Collector, number: int) -> int:
    """Send a call, and return the status of the answer."""
    request = urllib.request.Request(f"{collector.url}/v1/traces", traces(span(number)), {"Content-Type": JSON})
    try:
        with urllib.request.urlopen(request, timeout=10) as answer:
            return int(answer.status)
    except urllib.error.HTTPError as error:
        error.close()
        return error.code


@pytest.mark.parametrize("apart", [False, True])
def test_a_full_queue_is_told_to_who_sends_unless_it_stands_apart(apart: bool, tmp_path: Path) -> None:
    """What is refused comes again, and Jaeger and Honeycomb have it twice."""
    (tmp_path / "apart.yaml").write_text(blocks(README, "## When the queue is full")[0])
    configs = (FAN_OUT, tmp_path / "apart.yaml") if apart else (FAN_OUT,)
    with TelemetrySink() as honeycomb:
        variables = {"HONEYCOMB_ENDPOINT": honeycomb.url, "OTELCOL_QUEUE_BYTES": "1000"}
        with Collector(tmp_path / "collector", *configs, **variables) as collector:
            answers = [post(collector, number) for number in range(1, 9)]
            wait_for(lambda: len(honeycomb.spans) == 8, what="all spans")
            failed = "otelcol_exporter_enqueue_failed_spans"
            wait_for(lambda: collector.metric(failed, exporter="otlp_http/label_studio") == 4, what="overflow")
    assert answers == ([200] * 8 if apart else [200] * 4 + [503] * 4)
