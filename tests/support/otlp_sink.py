"""The application's other destination: takes OTLP/HTTP in protobuf and remembers the spans."""

from __future__ import annotations

from collections import Counter
from typing import NamedTuple

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from support.http_server import Handler, HttpServer


class SunkSpan(NamedTuple):
    """What tells one kind of span from another."""

    scope: str
    name: str


class OtlpSink(HttpServer):
    """Runs while its context lasts, on a free loopback port. A GET of any path is answered with `ok`."""

    def __init__(self) -> None:
        super().__init__(_Handler)
        self.spans: Counter[SunkSpan] = Counter()

    @property
    def variables(self) -> dict[str, str]:
        """What makes an application's `otlp` exporter send here."""
        return {"OTEL_EXPORTER_OTLP_ENDPOINT": self.url, "OTEL_EXPORTER_OTLP_PROTOCOL": "http/protobuf"}


class _Handler(Handler):
    owner: OtlpSink

    def do_GET(self) -> None:
        self.answer(200, "text/plain", b"ok")

    def do_POST(self) -> None:
        for resource in ExportTraceServiceRequest.FromString(self.body()).resource_spans:
            for scope in resource.scope_spans:
                self.owner.spans.update(SunkSpan(scope.scope.name, span.name) for span in scope.spans)
        self.answer(200, "application/x-protobuf")
