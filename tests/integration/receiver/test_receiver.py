"""The OTLP/HTTP receiver over a socket, rule by rule of the OTLP specification."""

from __future__ import annotations

import gzip
import json
import threading
import zlib
from typing import TYPE_CHECKING, Any

import pytest
from google.rpc.error_details_pb2 import BadRequest
from google.rpc.status_pb2 import Status
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceResponse
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceResponse

from label_studio_otel.spool import record as spool
from support.receiving import JSON, PROTOBUF, TRACE_ID, Receiver, read_response, span, traces, traces_in_protobuf

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

VALID = (b"\1" * 16, b"\2" * 8)


@pytest.fixture
def receiver(tmp_path: Path) -> Iterator[Receiver]:
    with Receiver(tmp_path) as one:
        yield one


@pytest.mark.parametrize(
    ("body", "content_type", "answered"),
    [
        (traces(span()), JSON, b"{}"),
        (traces(span()), "application/json; charset=utf-8", b"{}"),
        (traces(span()), "Application/JSON", b"{}"),
        (traces_in_protobuf(VALID), PROTOBUF, b""),
        (traces_in_protobuf(VALID), "application/x-protobuf;x=y", b""),
    ],
)
def test_success_is_200_in_the_encoding_of_the_request(
    receiver: Receiver, body: bytes, content_type: str, answered: bytes
) -> None:
    got = receiver.post(body, content_type=content_type)

    assert (got.status, got.body) == (200, answered)
    assert got.headers["content-type"] == content_type.partition(";")[0].lower()
    assert receiver.kept == 1


@pytest.mark.parametrize(("body", "content_type"), [(b"", PROTOBUF), (b"{}", JSON), (b'{"resourceSpans":[]}', JSON)])
@pytest.mark.parametrize("path", ["/v1/traces", "/v1/logs"])
def test_an_empty_request_is_a_success(receiver: Receiver, body: bytes, content_type: str, path: str) -> None:
    got = receiver.post(body, path, content_type)

    assert (got.status, got.body) == (200, body if content_type == PROTOBUF else b"{}")


@pytest.mark.parametrize("path", ["/v1/traces/", "/v1/traces?token=1"])
def test_a_path_may_end_with_a_slash_or_a_query(receiver: Receiver, path: str) -> None:
    assert receiver.post(traces(span()), path).status == 200
    assert receiver.kept == 1


@pytest.mark.parametrize(
    ("compression", "compress"),
    [
        ("gzip", gzip.compress),
        ("GZIP", gzip.compress),
        ("deflate", zlib.compress),
        ("identity", bytes),
        ("gzip", lambda body: gzip.compress(body[:9]) + gzip.compress(body[9:])),
    ],
)
def test_compressed_bodies_are_read(receiver: Receiver, compression: str, compress: Any) -> None:
    assert receiver.post(compress(traces(span())), content_encoding=compression).status == 200
    assert receiver.kept == 1


def test_a_chunked_body_is_read(receiver: Receiver) -> None:
    body = traces(span())
    chunks = b"".join(b"%x\r\n%b\r\n" % (len(part), part) for part in (body[:7], body[7:])) + b"0\r\n\r\n"

    got = receiver.send("POST", "/v1/traces", chunks, content_type=JSON, transfer_encoding="chunked")

    assert got.status == 200
    assert receiver.kept == 1


def test_expect_100_continue_is_answered(receiver: Receiver) -> None:
    body = traces(span())
    head = f"POST /v1/traces HTTP/1.1\r\nHost: x\r\nContent-Type: {JSON}\r\nContent-Length: {len(body)}\r\n"
    with receiver.connect() as client:
        client.sendall(f"{head}Expect: 100-continue\r\n\r\n".encode())
        assert client.recv(100) == b"HTTP/1.1 100 \r\n\r\n"
        client.sendall(body)
        assert read_response(client).status == 200


def test_a_connection_can_have_several_requests(receiver: Receiver) -> None:
    body = traces(span())
    request = f"POST /v1/traces HTTP/1.1\r\nHost: x\r\nContent-Type: {JSON}\r\nContent-Length: {len(body)}\r\n\r\n"
    with receiver.connect() as client:
        for _ in range(3):
            client.sendall(request.encode() + body)
            assert read_response(client).status == 200
    assert receiver.kept == 1


#: What is wrong with a request, and what it is answered.
REFUSED: dict[str, tuple[str, str, bytes, dict[str, str], int, int]] = {
    "no JSON": ("POST", "/v1/traces", b"{ secret", {"content_type": JSON}, 400, 3),
    "no body where Content-Type is JSON": ("POST", "/v1/traces", b"", {"content_type": JSON}, 400, 3),
    "JSON of something else": ("POST", "/v1/traces", b"[1]", {"content_type": JSON}, 400, 3),
    "JSON that nests too deep": ("POST", "/v1/traces", b"[" * 100_000, {"content_type": JSON}, 400, 3),
    "no UTF-8": ("POST", "/v1/traces", b'{"resourceSpans": "\xff"}', {"content_type": JSON}, 400, 3),
    "no protobuf": ("POST", "/v1/traces", b"secret", {"content_type": PROTOBUF}, 400, 3),
    "JSON as protobuf": ("POST", "/v1/logs", b'{"a": 1}', {"content_type": PROTOBUF}, 400, 3),
    "not compressed": ("POST", "/v1/traces", b"{}", {"content_type": JSON, "content_encoding": "gzip"}, 400, 3),
    "cut off": (
        "POST",
        "/v1/traces",
        gzip.compress(b"{}")[:-9],
        {"content_type": PROTOBUF, "content_encoding": "gzip"},
        400,
        3,
    ),
    "another path": ("POST", "/v1/profiles", b"{}", {"content_type": JSON}, 404, 5),
    "the root": ("GET", "/", b"", {}, 404, 5),
    "another method": ("GET", "/v1/traces", b"", {}, 405, 12),
    "another method on a probe": ("POST", "/healthz", b"", {"content_type": PROTOBUF}, 405, 12),
    "another type": ("POST", "/v1/traces", b"{}", {"content_type": "text/plain"}, 415, 3),
    "no type": ("POST", "/v1/traces", b"{}", {}, 415, 3),
    "another compression": ("POST", "/v1/traces", b"{}", {"content_type": JSON, "content_encoding": "br"}, 415, 3),
    "too large by its head": (
        "POST",
        "/v1/logs",
        b"",
        {"content_type": PROTOBUF, "content_length": "67108865"},
        413,
        8,
    ),
    "absurdly large": ("POST", "/v1/logs", b"", {"content_type": JSON, "content_length": "9" * 15}, 413, 8),
}


@pytest.mark.parametrize("wrong", REFUSED)
def test_errors_are_a_status_in_the_encoding_of_the_request(receiver: Receiver, wrong: str) -> None:
    method, path, body, headers, code, number = REFUSED[wrong]

    got = receiver.send(method, path, body, **{"content_length": str(len(body)), **headers})

    assert got.status == code
    assert b"secret" not in got.body
    if headers.get("content_type") == PROTOBUF:
        assert got.headers["content-type"] == PROTOBUF
        status = Status.FromString(got.body)
        assert (status.code, bool(status.message)) == (number, True)
    else:
        assert got.headers["content-type"] == JSON
        assert (got.json["code"], bool(got.json["message"])) == (number, True)
    assert "retry-after" not in got.headers
    assert receiver.kept == 0


def test_the_details_of_a_400_are_a_bad_request(receiver: Receiver) -> None:
    got = Status.FromString(receiver.post(b"secret", content_type=PROTOBUF).body)
    bad = BadRequest()
    assert got.details[0].Unpack(bad)
    assert [one.description for one in bad.field_violations] == ["no OTLP request for traces in protobuf"]

    assert receiver.post(b"{").json == {
        "code": 3,
        "message": "no JSON from character 1 on",
        "details": [
            {
                "@type": "type.googleapis.com/google.rpc.BadRequest",
                "fieldViolations": [{"description": "no JSON from character 1 on"}],
            }
        ],
    }


@pytest.mark.parametrize(
    ("method", "path", "allowed"), [("PUT", "/v1/logs", "POST"), ("DELETE", "/readyz", "GET, HEAD")]
)
def test_a_405_names_the_allowed_methods(receiver: Receiver, method: str, path: str, allowed: str) -> None:
    assert receiver.send(method, path).headers["allow"] == allowed


def test_spans_that_cannot_be_read_are_a_partial_success(receiver: Receiver) -> None:
    broken = [span(2, traceId="no hexadecimal"), span(3, traceId="00" * 16), span(4, attributes=7), span(5, spanId="")]

    got = receiver.post(traces(span(1), *broken))

    assert got.status == 200
    assert got.json == {
        "partialSuccess": {"rejectedSpans": "4", "errorMessage": "4 spans cannot be read, or have no valid ids"}
    }
    assert receiver.kept == 1


def test_a_partial_success_in_protobuf(receiver: Receiver) -> None:
    got = receiver.post(traces_in_protobuf(VALID, (b"\1" * 15, b"\2" * 8), (b"\0" * 16, b"\3" * 8)), PATH, PROTOBUF)

    partial = ExportTraceServiceResponse.FromString(got.body).partial_success
    assert (got.status, partial.rejected_spans) == (200, 2)
    assert partial.error_message == "2 spans cannot be read, or have no valid ids"
    assert receiver.kept == 1


PATH = "/v1/traces"


def test_log_records_that_cannot_be_read_are_a_partial_success(receiver: Receiver) -> None:
    records = [{"eventName": "a", "attributes": 7}, {"eventName": "b"}]
    body = json.dumps({"resourceLogs": [{"scopeLogs": [{"logRecords": records}]}]}).encode()

    got = receiver.post(body, "/v1/logs")

    assert got.json == {
        "partialSuccess": {
            "rejectedLogRecords": "1",
            "errorMessage": "1 log records cannot be read, or have no valid ids",
        }
    }
    assert ExportLogsServiceResponse().partial_success.rejected_log_records == 0


def test_metrics_are_accepted_and_dropped(receiver: Receiver) -> None:
    assert receiver.post(b"whatever", "/v1/metrics", PROTOBUF).status == 200
    assert receiver.post(b"{}", "/v1/metrics").body == b"{}"


@pytest.mark.parametrize("number", ["1700000000000000001", 1700000000000000001])
def test_64_bit_integers_are_strings_or_numbers_and_unknown_fields_are_ignored(receiver: Receiver, number: Any) -> None:
    receiver.post(traces(span(startTimeUnixNano=number, traceId=TRACE_ID.upper(), novelty={"x": [1]}, flags=257)))

    (item,) = receiver.outbox.due_items(1, 10)
    assert item.key == f"{TRACE_ID}:0000000000000001:1700000000000000001"


def test_delivery_can_read_the_stored_record(receiver: Receiver) -> None:
    receiver.post(traces(span(text="Where? " + "x" * 600)))

    (item,) = receiver.outbox.due_items(1, 10)
    record = spool.decode(item.record)
    assert record.destination is not None
    assert record.destination.project_name == "LangChain-2023-11-14"
    assert receiver.outbox.spool_positions() == {}
    assert record.span is not None
    assert "Where? xxx" in record.span["attributes"]["gen_ai.output.messages"]


def test_log_events_are_kept_for_their_spans(receiver: Receiver) -> None:
    message = {"traceId": TRACE_ID, "spanId": "1".zfill(16), "timeUnixNano": "5"}
    records = [{**message, "eventName": "gen_ai.user.message"}, {**message, "eventName": "other"}, {}]
    body = json.dumps({"resourceLogs": [{"scopeLogs": [{"logRecords": records}]}]}).encode()

    assert receiver.post(body, "/v1/logs").body == b"{}"

    assert len(receiver.outbox.events(f"{TRACE_ID}:{'1'.zfill(16)}")) == 1


def test_calls_that_the_settings_exclude_are_not_stored(tmp_path: Path) -> None:
    other = span(2, attributes=[{"key": "http.request.method", "value": {"stringValue": "GET"}}])
    with Receiver(tmp_path, operations={"text_completion"}) as receiver:
        assert receiver.post(traces(span(1), other)).body == b"{}"
        assert receiver.kept == 0


@pytest.mark.parametrize(("path", "body"), [("/healthz", b"ok\n"), ("/readyz", b"ok\n"), ("/readyz/", b"ok\n")])
def test_the_probes_are_answered(receiver: Receiver, path: str, body: bytes) -> None:
    got = receiver.send("GET", path)
    assert (got.status, got.body) == (200, body)
    assert receiver.send("HEAD", path).body == b""


def test_no_thread_is_left_when_the_receiver_closes(tmp_path: Path) -> None:
    before = set(threading.enumerate())
    with Receiver(tmp_path) as receiver:
        receiver.post(traces(span()))
        receiver.send("GET", "/readyz")
        started = [one for one in set(threading.enumerate()) - before if one.name.startswith("LabelStudio")]
    for one in started:
        one.join(10)
    assert {one.name.partition("_")[0] for one in started} == {
        "LabelStudioDecoder",
        "LabelStudioProbe",
        "LabelStudioGroupCommit",
    }
    assert not any(one.is_alive() for one in started)
