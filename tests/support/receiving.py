"""Receivers in a thread of this process, requests over a plain socket, and OTLP bodies for tests of receivers."""

from __future__ import annotations

import asyncio
import json
import socket
import threading
import zlib
from dataclasses import dataclass, field
from http.client import HTTPResponse
from typing import TYPE_CHECKING, Any

import grpc
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from label_studio_otel.calls.selection import Selection
from label_studio_otel.metrics.counts import Counts
from label_studio_otel.outbox.outbox import Outbox
from label_studio_otel.receiver.group_commit import GroupCommit
from label_studio_otel.receiver.http import HttpServer
from label_studio_otel.receiver.otlp_grpc import OtlpGrpc
from label_studio_otel.receiver.otlp_http import OtlpHttp
from label_studio_otel.receiver.settings import Limits
from label_studio_otel.settings import load

if TYPE_CHECKING:
    from pathlib import Path

    from typing_extensions import Self

    from label_studio_otel.receiver.settings import Tls

TRACE_ID = "5b8efff798038103d269b633813fc60c"
JSON = "application/json"
PROTOBUF = "application/x-protobuf"
#: Methods of gRPC.
TRACES = "/opentelemetry.proto.collector.trace.v1.TraceService/Export"
LOGS = "/opentelemetry.proto.collector.logs.v1.LogsService/Export"
METRICS = "/opentelemetry.proto.collector.metrics.v1.MetricsService/Export"
VALID = (b"\1" * 16, b"\2" * 8)


def span(number: int = 1, text: str = "Hello", **changed: Any) -> dict[str, Any]:
    """Return a chat span of the GenAI conventions in OTLP/JSON, with this text as its response."""
    output = [{"role": "assistant", "parts": [{"type": "text", "content": text}], "finish_reason": "stop"}]
    attributes = {"gen_ai.operation.name": "chat", "gen_ai.output.messages": json.dumps(output)}
    return {
        "traceId": TRACE_ID,
        "spanId": f"{number:016x}",
        "name": "chat",
        "startTimeUnixNano": str(1_700_000_000_000_000_000 + number),
        "endTimeUnixNano": str(1_700_000_000_001_000_000 + number),
        "attributes": [{"key": key, "value": {"stringValue": value}} for key, value in attributes.items()],
        **changed,
    }


def traces(*spans: dict[str, Any]) -> bytes:
    """Return an export request in OTLP/JSON."""
    return json.dumps({"resourceSpans": [{"scopeSpans": [{"scope": {"name": "acme"}, "spans": list(spans)}]}]}).encode()


def traces_in_protobuf(*ids: tuple[bytes, bytes]) -> bytes:
    """Return an export request in protobuf that has a chat span for each pair of ids."""
    request = ExportTraceServiceRequest()
    spans = request.resource_spans.add().scope_spans.add().spans
    for trace_id, span_id in ids:
        added = spans.add(trace_id=trace_id, span_id=span_id, name="chat", start_time_unix_nano=1)
        added.attributes.add(key="gen_ai.operation.name").value.string_value = "chat"
    body: bytes = request.SerializeToString()
    return body


def bomb(size: int) -> bytes:
    """Return so many zero bytes compressed by gzip, without making them all at once."""
    packer = zlib.compressobj(wbits=31)
    chunk = bytes(1 << 20)
    return b"".join(packer.compress(chunk) for _ in range(size >> 20)) + packer.flush()


@dataclass(frozen=True)
class Response:
    """The response to an HTTP request."""

    status: int
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes = b""

    @property
    def json(self) -> Any:
        return json.loads(self.body)


class Listening:
    """A receiver of either protocol that listens on a free port of this machine."""

    outbox: Outbox
    port: int
    _tls: Tls | None

    @property
    def url(self) -> str:
        return f"{'http' if self._tls is None else 'https'}://127.0.0.1:{self.port}"

    @property
    def kept(self) -> int:
        """Number of calls in the outbox."""
        return self.outbox.overview.summary().states["pending"]

    def connect(self) -> socket.socket:
        return socket.create_connection(("127.0.0.1", self.port), timeout=10)


class Receiver(Listening):
    """A receiver of OTLP/HTTP on a free port while its context lasts. Nothing is delivered."""

    def __init__(
        self,
        directory: Path,
        *,
        limits: Limits | None = None,
        token: str | None = None,
        tls: Tls | None = None,
        max_bytes: int = 64 << 20,
        max_state_bytes: int = 0,
        outbox: Outbox | None = None,
        **settings: Any,
    ) -> None:
        self.outbox = outbox or Outbox.in_file(directory / "outbox.db", synchronous="FULL")
        self.holding = True
        self.counts = Counts()
        self._group_commit = GroupCommit(
            self.outbox,
            holds_lock=lambda: self.holding,
            due_at=lambda: 0.0,
            max_state_bytes=max_state_bytes,
            counts=self.counts,
        )
        self._otlp = OtlpHttp(
            Selection(load({**settings, "state_dir": directory}, {})),
            self._group_commit,
            token=token,
            max_bytes=max_bytes,
        )
        self.server = HttpServer(self._otlp, limits)
        self._tls = tls
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever)
        self.port = 0

    def __enter__(self) -> Self:
        self._group_commit.start()
        self._thread.start()
        self.port = self._run(self.server.listen("127.0.0.1", 0, self._tls))
        return self

    def __exit__(self, *error: object) -> None:
        self.stop()
        self._group_commit.close()
        self._otlp.close()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.run_until_complete(self._loop.shutdown_asyncgens())
        self._loop.close()
        self.outbox.close()

    def stop(self) -> None:
        """Accept no more requests, and wait for the responses to those under way."""
        self._run(self.server.close(5))

    def _run(self, work: Any) -> Any:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(10)

    def post(self, body: bytes, path: str = "/v1/traces", content_type: str = JSON, **headers: str) -> Response:
        """Send an export request. In the names of headers, `_` stands for `-`."""
        return self.send("POST", path, body, content_type=content_type, content_length=str(len(body)), **headers)

    def send(self, method: str, path: str, body: bytes = b"", **headers: str) -> Response:
        """Send a request with these headers alone."""
        lines = [f"{name.replace('_', '-')}: {value}" for name, value in {"host": "x", **headers}.items()]
        with self.connect() as client:
            client.sendall("\r\n".join([f"{method} {path} HTTP/1.1", *lines, "", ""]).encode() + body)
            return read_response(client, method)


class GrpcReceiver(Listening):
    """A receiver of OTLP/gRPC on a free port while its context lasts. Nothing is delivered."""

    def __init__(
        self,
        directory: Path,
        *,
        limits: Limits | None = None,
        token: str | None = None,
        tls: Tls | None = None,
        max_state_bytes: int = 0,
        outbox: Outbox | None = None,
    ) -> None:
        self.outbox = outbox or Outbox.in_file(directory / "outbox.db", synchronous="FULL")
        self.holding = True
        self._group_commit = GroupCommit(
            self.outbox,
            holds_lock=lambda: self.holding,
            due_at=lambda: 0.0,
            max_state_bytes=max_state_bytes,
            counts=Counts(),
        )
        selection = Selection(load({"state_dir": directory}, {}))
        self.otlp = OtlpGrpc(selection, self._group_commit, token=token, limits=limits)
        self._tls = tls
        self.port = 0

    def __enter__(self) -> Self:
        self._group_commit.start()
        self.port = self.otlp.listen("127.0.0.1", 0, self._tls)
        return self

    def __exit__(self, *error: object) -> None:
        self.otlp.close(1)
        self._group_commit.close()
        self.outbox.close()

    def export(self, body: bytes, method: str = TRACES, **options: Any) -> Any:
        """Return the response to a request, or the RpcError with which it failed."""
        compression = options.pop("compression", grpc.Compression.NoCompression)
        unlimited = [("grpc.max_send_message_length", -1)]
        with grpc.insecure_channel(f"127.0.0.1:{self.port}", unlimited, compression) as channel:
            try:
                return channel.unary_unary(method)(body, timeout=20, **options)
            except grpc.RpcError as error:
                return error


def read_response(client: socket.socket, method: str = "POST") -> Response:
    """Read one response."""
    response = HTTPResponse(client, method=method)
    response.begin()
    return Response(response.status, {name.lower(): value for name, value in response.getheaders()}, response.read())
