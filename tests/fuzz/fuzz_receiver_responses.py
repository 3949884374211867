"""Checks the responses on a connection against its requests as h11 reads them, for the fuzzing of the receiver."""

from __future__ import annotations

from typing import Any, NamedTuple

import h11
from fuzz_receiver_requests import JSON, PROTOBUF
from google.protobuf import json_format
from google.rpc import error_details_pb2  # noqa: F401 - json_format finds them where they are loaded
from google.rpc.status_pb2 import Status
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceResponse
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceResponse
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceResponse

REFUSALS = {400, 401, 403, 404, 405, 408, 411, 413, 415, 417, 429, 431, 501, 503, 505}
RESPONSES = {
    "/v1/traces": ExportTraceServiceResponse,
    "/v1/logs": ExportLogsServiceResponse,
    "/v1/metrics": ExportMetricsServiceResponse,
}
PROBES = ("/healthz", "/readyz", "/metrics")


class Request(NamedTuple):
    """A request as h11 reads it."""

    method: bytes
    path: str
    is_protobuf: bool


class Sent(NamedTuple):
    """The requests that a client sent on a connection."""

    #: Those whose heads are complete.
    requests: list[Request]
    #: The number of those that are complete.
    whole: int
    #: Whether the bytes after them are not HTTP.
    wrong: bool


class Response(NamedTuple):
    """A response."""

    status: int
    headers: dict[bytes, bytes]
    body: bytes

    @property
    def is_last(self) -> bool:
        return b"close" in self.headers.get(b"connection", b"").lower()


def sent(data: bytes) -> Sent:
    """Read all the bytes that a client sent."""
    requests: list[Request] = []
    whole = 0
    connection = h11.Connection(h11.SERVER, max_incomplete_event_size=1 << 30)
    connection.receive_data(data)
    connection.receive_data(b"")
    try:
        while True:
            event = connection.next_event()
            if isinstance(event, h11.Request):
                requests.append(_request(event))
            elif isinstance(event, h11.EndOfMessage):
                whole += 1
                connection.send(h11.Response(status_code=404, headers=[(b"content-length", b"0")]))
                connection.send(h11.EndOfMessage())
                if connection.our_state is not h11.DONE or connection.their_state is not h11.DONE:
                    return Sent(requests, whole, wrong=False)
                connection.start_next_cycle()
            elif not isinstance(event, h11.Data):
                return Sent(requests, whole, wrong=False)
    except h11.RemoteProtocolError:
        return Sent(requests, whole, wrong=True)


def _request(event: h11.Request) -> Request:
    kinds = ", ".join(value.decode("latin-1") for name, value in event.headers if name == b"content-type")
    path = event.target.decode("latin-1").partition("?")[0].removesuffix("/")
    return Request(event.method, path, kinds.partition(";")[0].strip().lower() == PROTOBUF)


def responses(written: bytes, requests: list[Request]) -> list[Response]:
    """Read the responses as a client that sent these requests."""
    found: list[Response] = []
    while written:
        method = requests[len(found)].method if len(found) < len(requests) else b"GET"
        client = h11.Connection(h11.CLIENT)
        client.send(h11.Request(method=method, target=b"/", headers=[(b"host", b"x")]))
        client.send(h11.EndOfMessage())
        client.receive_data(written)
        event = client.next_event()
        while isinstance(event, h11.InformationalResponse):
            event = client.next_event()
        assert isinstance(event, h11.Response), event
        status, headers, body = event.status_code, dict(event.headers), b""
        assert len(headers) == len(list(event.headers)), "a header twice"
        while isinstance(event := client.next_event(), h11.Data):
            body += event.data
        assert isinstance(event, h11.EndOfMessage), event
        written = client.trailing_data[0]
        if method == b"HEAD" and len(written) == int(headers[b"content-length"]):
            body, written = written, b""  # refused before it was known that the method is HEAD
        found.append(Response(status, headers, body))
    return found


def check(got: list[Response], expected: Sent, *, cut_off: bool) -> None:
    """Check the responses against the requests.

    Args:
        cut_off: the connection ended before all responses could be sent.
    """
    assert all(not response.is_last for response in got[:-1]), "a response after the last one"
    assert len(got) <= expected.whole + 1, "more responses than requests"
    closed = bool(got) and got[-1].is_last
    if not cut_off and not closed:
        assert len(got) >= expected.whole, "a request without a response"
        assert not expected.wrong, "no response to bytes that are not HTTP"
    for number, response in enumerate(got):
        _check_form(response, expected.requests[number] if number < len(expected.requests) else None)


def _check_form(response: Response, request: Request | None) -> None:
    assert response.status == 200 or response.status in REFUSALS, response.status
    kind = response.headers[b"content-type"].decode()
    if request and request.method == b"HEAD":
        return
    if request and request.path in PROBES and kind.startswith("text/plain"):
        assert response.status in (200, 503)
        return
    assert kind in (JSON, PROTOBUF)
    # The response to an error in the head is made before the encoding is known.
    assert (kind == PROTOBUF) == bool(request and request.is_protobuf) or response.status in (400, 408, 431, 503)
    message: Any = RESPONSES[request.path]() if response.status == 200 and request else Status()
    if kind == PROTOBUF:
        message.ParseFromString(response.body)
    else:
        json_format.Parse(response.body, message)
    if response.status != 200:
        assert message.code
        assert message.message
    assert (b"retry-after" in response.headers) == (response.status == 503)
