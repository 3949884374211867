"""What clients do to the bridge over HTTP and gRPC: requests of 512 spans at a steady rate, and all that goes amiss."""

from __future__ import annotations

import gzip
import http.client
import itertools
import json
import os
import threading
import time
import zlib
from collections import Counter
from typing import TYPE_CHECKING, Any

import grpc
from google.protobuf import json_format
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

__all__ = ["SPANS", "Bodies", "GrpcClient", "HttpClient", "Load"]

SPANS, LLM = 512, 5
MIB = 1 << 20
EXPORT = "/opentelemetry.proto.collector.trace.v1.TraceService/Export"
PROTOBUF, JSON = "application/x-protobuf", "application/json"


class Bodies:
    """Requests whose LLM calls are new each time; their other spans are the same."""

    def __init__(self) -> None:
        self._numbers = itertools.count(1)
        request = ExportTraceServiceRequest()
        group = request.resource_spans.add()
        group.resource.attributes.add(key="service.name").value.string_value = "shop"
        spans = group.scope_spans.add().spans
        for number in range(1, SPANS - LLM + 1):
            span = spans.add(trace_id=os.urandom(16), span_id=os.urandom(8), name="GET", kind=3)
            span.start_time_unix_nano, span.end_time_unix_nano = time.time_ns(), time.time_ns()
            for name in ("http.request.method", "url.full", "server.address", "user_agent.original"):
                span.attributes.add(key=name).value.string_value = f"{name} of order {number}"
        self._others: bytes = request.SerializeToString()

    def __call__(self) -> bytes:
        """Return a request in protobuf."""
        calls: bytes = self._calls().SerializeToString()
        return self._others + calls  # requests are concatenated by concatenation

    def in_json(self) -> bytes:
        """Return a request of LLM calls alone, in JSON."""
        written = json_format.MessageToDict(self._calls())
        for span in written["resourceSpans"][0]["scopeSpans"][0]["spans"]:
            span |= {"traceId": os.urandom(16).hex(), "spanId": os.urandom(8).hex()}
        return json.dumps(written).encode()

    def _calls(self) -> Any:
        request = ExportTraceServiceRequest()
        group = request.resource_spans.add()
        scope = group.scope_spans.add()
        scope.scope.name = "opentelemetry.instrumentation.langchain"
        for number in itertools.islice(self._numbers, LLM):
            span = scope.spans.add(trace_id=os.urandom(16), span_id=os.urandom(8), name="chat", kind=3)
            span.start_time_unix_nano, span.end_time_unix_nano = time.time_ns(), time.time_ns()
            for role, name in (("user", "gen_ai.input.messages"), ("assistant", "gen_ai.output.messages")):
                text = f"[case {number}] " + "It takes about 60 minutes, whatever the headway is. " * 20
                message = [{"role": role, "parts": [{"type": "text", "content": text}]}]
                span.attributes.add(key=name).value.string_value = json.dumps(message)
            span.attributes.add(key="gen_ai.operation.name").value.string_value = "chat"
        return request


def mixed(plain: Callable[[], str], *rare: tuple[int, Callable[[], str]]) -> Iterator[Callable[[], str]]:
    """Yield ways to send, for ever: the first rare one whose number divides the count, else the plain one."""
    for number in itertools.count(1):
        yield next((way for every, way in rare if number % every == 0), plain)


class HttpClient:
    """What clients of OTLP/HTTP do; each method is one request, and returns what came of it."""

    def __init__(self, port: int, bodies: Bodies) -> None:
        self._port = port
        self._bodies = bodies
        self._sent = 0
        self._connection = self._connect()
        self._last = bodies()
        packer = zlib.compressobj(wbits=31)
        self._bomb = b"".join(packer.compress(bytes(MIB)) for _ in range(80)) + packer.flush()

    def ways(self) -> Iterator[Callable[[], str]]:
        """Yield what to do next, for ever."""
        return mixed(
            self.plain,
            (211, self.bomb),
            (101, self.too_large),
            (53, self.broken_off),
            (47, self.malformed),
            (43, self.duplicate),
            (7, self.json),
            (3, self.compressed),
        )

    def plain(self) -> str:
        """Send a request."""
        self._last = self._bodies()
        return self._post(self._last)

    def json(self) -> str:
        """Send one in JSON."""
        return self._post(self._bodies.in_json(), JSON)

    def compressed(self) -> str:
        """Send one in gzip."""
        return self._post(gzip.compress(self._bodies(), 1), encoding="gzip")

    def duplicate(self) -> str:
        """Send the last one again."""
        return self._post(self._last)

    def malformed(self) -> str:
        """Send what ends too early."""
        return self._post(self._bodies()[:-1])

    def bomb(self) -> str:
        """Send little that becomes too much."""
        return self._post(self._bomb, encoding="gzip")

    def too_large(self) -> str:
        """Declare more than is taken."""
        self._connection.putrequest("POST", "/v1/traces")
        self._connection.putheader("Content-Type", PROTOBUF)
        self._connection.putheader("Content-Length", str(100 * MIB))
        self._connection.endheaders(bytes(MIB))
        return self._answer()

    def broken_off(self) -> str:
        """Be gone in the middle of a body."""
        self._connection.putrequest("POST", "/v1/traces")
        self._connection.putheader("Content-Type", PROTOBUF)
        self._connection.putheader("Content-Length", str(8 * MIB))
        self._connection.endheaders(bytes(4 * MIB))
        self._again()
        return "broken off"

    def _post(self, body: bytes, content_type: str = PROTOBUF, encoding: str = "identity") -> str:
        self._connection.request(
            "POST", "/v1/traces", body, {"Content-Type": content_type, "Content-Encoding": encoding}
        )
        return self._answer()

    def _answer(self) -> str:
        response = self._connection.getresponse()
        response.read()
        self._sent += 1
        if self._sent % 20 == 0 or response.will_close:
            self._again()
        return str(response.status)

    def _again(self) -> None:
        self._connection.close()
        self._connection = self._connect()

    def _connect(self) -> http.client.HTTPConnection:
        return http.client.HTTPConnection("127.0.0.1", self._port, timeout=30)


class GrpcClient:
    """The same over gRPC."""

    def __init__(self, address: str, bodies: Bodies) -> None:
        self._address = address
        self._bodies = bodies
        self._sent = 0
        self._channel = self._connect()
        self._last = bodies()

    def ways(self) -> Iterator[Callable[[], str]]:
        """Yield what to do next, for ever."""
        return mixed(
            self.plain,
            (211, self.too_large),
            (53, self.given_up),
            (47, self.malformed),
            (43, self.duplicate),
            (3, self.compressed),
        )

    def plain(self) -> str:
        """Send a request."""
        self._last = self._bodies()
        return self._export(self._last)

    def compressed(self) -> str:
        """Send one in gzip."""
        return self._export(self._bodies(), compression=grpc.Compression.Gzip)

    def duplicate(self) -> str:
        """Send the last one again."""
        return self._export(self._last)

    def malformed(self) -> str:
        """Send what ends too early."""
        return self._export(self._bodies()[:-1])

    def too_large(self) -> str:
        """Send too much."""
        return self._export(bytes(65 * MIB), compression=grpc.Compression.Gzip)

    def given_up(self) -> str:
        """Be gone before the answer."""
        self._channel.unary_unary(EXPORT).future(self._bodies()).cancel()
        return "given up"

    def _export(self, body: bytes, **options: Any) -> str:
        self._sent += 1
        if self._sent % 20 == 0:
            self._channel.close()
            self._channel = self._connect()
        try:
            self._channel.unary_unary(EXPORT)(body, timeout=30, **options)
        except grpc.RpcError as error:
            return str(error.code().name)
        return "OK"

    def _connect(self) -> grpc.Channel:
        return grpc.insecure_channel(self._address, [("grpc.max_send_message_length", -1)])


class Load(threading.Thread):
    """One client at a steady rate for a while."""

    def __init__(self, client: HttpClient | GrpcClient, rate: float, seconds: float) -> None:
        super().__init__(daemon=True)
        self._client = client
        self._pause = 1 / rate
        self._seconds = seconds
        #: By what was done and what came of it.
        self.outcomes: Counter[str] = Counter()

    def run(self) -> None:
        """Send."""
        due = began = time.monotonic()
        for way in self._client.ways():
            if time.monotonic() - began > self._seconds:
                return
            time.sleep(max(0.0, due - time.monotonic()))
            due = max(due + self._pause, time.monotonic() - 1)
            try:
                outcome = way()
            except (OSError, http.client.HTTPException) as error:
                outcome = type(error).__name__
                if isinstance(self._client, HttpClient):
                    self._client._again()
            self.outcomes[f"{way.__name__} {outcome}"] += 1
