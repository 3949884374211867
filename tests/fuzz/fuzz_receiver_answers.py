"""Which answers the requests on a connection must have got, told by h11 alone; for the fuzzing of the receiver."""

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


class Asked(NamedTuple):
    """A request as h11 reads it."""

    method: bytes
    path: str
    is_protobuf: bool


class Sent(NamedTuple):
    """What stood on a connection."""

    #: Whose heads came.
    asked: list[Asked]
    #: How many of them came whole.
    whole: int
    #: Whether what came next is no HTTP.
    wrong: bool


class Answer(NamedTuple):
    """What came back."""

    status: int
    headers: dict[bytes, bytes]
    body: bytes

    @property
    def is_last(self) -> bool:
        return b"close" in self.headers.get(b"connection", b"").lower()


def sent(data: bytes) -> Sent:
    """Read what a client sent, all at once and to its end."""
    asked: list[Asked] = []
    whole = 0
    connection = h11.Connection(h11.SERVER, max_incomplete_event_size=1 << 30)
    connection.receive_data(data)
    connection.receive_data(b"")
    try:
        while True:
            event = connection.next_event()
            if isinstance(event, h11.Request):
                asked.append(_asked(event))
            elif isinstance(event, h11.EndOfMessage):
                whole += 1
                connection.send(h11.Response(status_code=404, headers=[(b"content-length", b"0")]))
                connection.send(h11.EndOfMessage())
                if connection.our_state is not h11.DONE or connection.their_state is not h11.DONE:
                    return Sent(asked, whole, wrong=False)
                connection.start_next_cycle()
            elif not isinstance(event, h11.Data):
                return Sent(asked, whole, wrong=False)
    except h11.RemoteProtocolError:
        return Sent(asked, whole, wrong=True)


def _asked(event: h11.Request) -> Asked:
    kinds = ", ".join(value.decode("latin-1") for name, value in event.headers if name == b"content-type")
    path = event.target.decode("latin-1").partition("?")[0].removesuffix("/")
    return Asked(event.method, path, kinds.partition(";")[0].strip().lower() == PROTOBUF)


def answers(written: bytes, asked: list[Asked]) -> list[Answer]:
    """Read what came back, as the client who asked that."""
    found: list[Answer] = []
    while written:
        method = asked[len(found)].method if len(found) < len(asked) else b"GET"
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
        found.append(Answer(status, headers, body))
    return found


def check(got: list[Answer], expected: Sent, *, cut_off: bool) -> None:
    """Compare them.

    Args:
        cut_off: the connection ended before all could be answered.
    """
    assert all(not answer.is_last for answer in got[:-1]), "answered after the last answer"
    assert len(got) <= expected.whole + 1, "answered more than was asked"
    closed = bool(got) and got[-1].is_last
    if not cut_off and not closed:
        assert len(got) >= expected.whole, "a request without an answer"
        assert not expected.wrong, "no answer to what is no HTTP"
    for number, answer in enumerate(got):
        _check_form(answer, expected.asked[number] if number < len(expected.asked) else None)


def _check_form(answer: Answer, asked: Asked | None) -> None:
    assert answer.status == 200 or answer.status in REFUSALS, answer.status
    kind = answer.headers[b"content-type"].decode()
    if asked and asked.method == b"HEAD":
        return
    if asked and asked.path in PROBES and kind.startswith("text/plain"):
        assert answer.status in (200, 503)
        return
    assert kind in (JSON, PROTOBUF)
    # An error in the head is answered before the encoding is known.
    assert (kind == PROTOBUF) == bool(asked and asked.is_protobuf) or answer.status in (400, 408, 431, 503)
    message: Any = RESPONSES[asked.path]() if answer.status == 200 and asked else Status()
    if kind == PROTOBUF:
        message.ParseFromString(answer.body)
    else:
        json_format.Parse(answer.body, message)
    if answer.status != 200:
        assert message.code
        assert message.message
    assert (b"retry-after" in answer.headers) == (answer.status == 503)
