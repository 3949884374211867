"""OTLP in request bodies and in files becomes spans and log records."""

from __future__ import annotations

import base64
import contextlib
import io
import json
from typing import Any

import pytest
from google.protobuf import json_format
from hypothesis import given
from hypothesis import strategies as st
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from label_studio_otel.errors import DecodeError
from label_studio_otel.otlp import files as otlp
from label_studio_otel.spans import Event, LogRecord, Span

TRACE_ID, SPAN_ID, PARENT_ID = "5b8efff798038103d269b633813fc60c", "eee19b7ec3c1b174", "eee19b7ec3c1b173"
START = 1544712660000000000

#: As the specification's example, and every kind of value.
TRACES: dict[str, Any] = {
    "resourceSpans": [
        {
            "resource": {"attributes": [{"key": "service.name", "value": {"stringValue": "shop"}}]},
            "scopeSpans": [
                {
                    "scope": {"name": "acme", "version": "1.0"},
                    "spans": [
                        {
                            "traceId": TRACE_ID,
                            "spanId": SPAN_ID,
                            "parentSpanId": PARENT_ID,
                            "name": "chat",
                            "kind": 3,
                            "startTimeUnixNano": str(START),
                            "endTimeUnixNano": str(START + 5),
                            "attributes": [
                                {"key": "text", "value": {"stringValue": "Grüße"}},
                                {"key": "empty", "value": {"stringValue": ""}},
                                {"key": "number", "value": {"intValue": "-42"}},
                                {"key": "share", "value": {"doubleValue": 0.5}},
                                {"key": "yes", "value": {"boolValue": True}},
                                {"key": "no", "value": {"boolValue": False}},
                                {"key": "bytes", "value": {"bytesValue": "AAEC"}},
                                {"key": "list", "value": {"arrayValue": {"values": [{"intValue": "1"}, {}]}}},
                                {
                                    "key": "map",
                                    "value": {
                                        "kvlistValue": {
                                            "values": [
                                                {"key": "a", "value": {"arrayValue": {"values": []}}},
                                                {"key": "b", "value": {"kvlistValue": {"values": []}}},
                                            ]
                                        }
                                    },
                                },
                                {"key": "nothing", "value": {}},
                            ],
                            "droppedAttributesCount": 2,
                            "events": [
                                {
                                    "timeUnixNano": str(START + 1),
                                    "name": "exception",
                                    "attributes": [{"key": "exception.type", "value": {"stringValue": "Oops"}}],
                                }
                            ],
                            "droppedEventsCount": 1,
                            "links": [{"traceId": TRACE_ID, "spanId": PARENT_ID}],
                            "status": {"code": 2, "message": "failed"},
                        }
                    ],
                }
            ],
        }
    ]
}
LOGS: dict[str, Any] = {
    "resourceLogs": [
        {
            "resource": {"attributes": [{"key": "service.name", "value": {"stringValue": "shop"}}]},
            "scopeLogs": [
                {
                    "scope": {"name": "acme"},
                    "logRecords": [
                        {
                            "timeUnixNano": str(START + 2),
                            "observedTimeUnixNano": str(START + 3),
                            "body": {
                                "kvlistValue": {"values": [{"key": "content", "value": {"stringValue": "Where?"}}]}
                            },
                            "attributes": [{"key": "gen_ai.system", "value": {"stringValue": "openai"}}],
                            "traceId": TRACE_ID,
                            "spanId": SPAN_ID,
                            "eventName": "gen_ai.user.message",
                        }
                    ],
                }
            ],
        }
    ]
}
SPAN = Span(
    trace_id=TRACE_ID,
    span_id=SPAN_ID,
    name="chat",
    start_time_unix_nano=START,
    end_time_unix_nano=START + 5,
    attributes={
        "text": "Grüße",
        "empty": "",
        "number": -42,
        "share": 0.5,
        "yes": True,
        "no": False,
        "bytes": "AAEC",
        "list": [1, None],
        "map": {"a": [], "b": {}},
        "nothing": None,
    },
    parent_span_id=PARENT_ID,
    kind="CLIENT",
    status_code="ERROR",
    status_message="failed",
    events=(Event("exception", {"exception.type": "Oops"}, START + 1),),
    resource={"service.name": "shop"},
    scope_name="acme",
    scope_version="1.0",
    dropped_attributes=2,
    dropped_events=1,
)
LOG = LogRecord(
    event_name="gen_ai.user.message",
    body={"content": "Where?"},
    attributes={"gen_ai.system": "openai"},
    time_unix_nano=START + 2,
    trace_id=TRACE_ID,
    span_id=SPAN_ID,
    scope_name="acme",
    resource={"service.name": "shop"},
)


def protobuf(request: dict[str, Any], kind: Any) -> bytes:
    def fixed(value: Any) -> Any:  # protobuf's own JSON has ids in base64
        if isinstance(value, dict):
            return {
                key: base64.b64encode(bytes.fromhex(item)).decode()
                if key.lower().endswith("spanid") or key == "traceId"
                else fixed(item)
                for key, item in value.items()
            }
        return [fixed(item) for item in value] if isinstance(value, list) else value

    message = kind()
    json_format.ParseDict(fixed(request), message)
    return message.SerializeToString()


def encoded(request: Any) -> bytes:
    return json.dumps(request).encode()


def decoded(data: bytes) -> tuple[list[Span], list[LogRecord]]:
    telemetry = otlp.decode(data, "file")
    return list(map(Span.from_fields, telemetry.spans)), list(map(LogRecord.from_fields, telemetry.logs))


@pytest.mark.parametrize(
    "data", [encoded(TRACES), protobuf(TRACES, ExportTraceServiceRequest)], ids=["json", "protobuf"]
)
def test_a_request_of_traces_gives_its_spans(data: bytes) -> None:
    assert decoded(data) == ([SPAN], [])


@pytest.mark.parametrize("data", [encoded(LOGS), protobuf(LOGS, ExportLogsServiceRequest)], ids=["json", "protobuf"])
def test_a_request_of_logs_gives_its_records(data: bytes) -> None:
    assert decoded(data) == ([], [LOG])


@pytest.mark.parametrize(
    ("field", "value", "kind"),
    [
        ("kind", "SPAN_KIND_SERVER", "SERVER"),
        ("kind", 99, "INTERNAL"),
        ("kind", -1, "INTERNAL"),
        ("kind", None, "INTERNAL"),
    ],
)
def test_enumerations_are_read_by_number_and_by_name(field: str, value: Any, kind: str) -> None:
    request = {"resourceSpans": [{"scopeSpans": [{"spans": [{"traceId": TRACE_ID, "spanId": SPAN_ID, field: value}]}]}]}
    assert decoded(encoded(request))[0][0].kind == kind


def test_integers_are_read_as_numbers_too_and_ids_in_either_case() -> None:
    attributes = [{"key": "n", "value": {"intValue": 7}}, {"key": "x", "value": {"doubleValue": "Infinity"}}]
    span = {"traceId": TRACE_ID.upper(), "spanId": SPAN_ID, "startTimeUnixNano": START, "attributes": attributes}
    request = {"resourceSpans": [{"scopeSpans": [{"spans": [{**span, "later": {"added": 1}}], "schemaUrl": "x"}]}]}
    read = decoded(encoded(request))[0][0]
    assert (read.trace_id, read.start_time_unix_nano, read.attributes) == (TRACE_ID, START, {"n": 7, "x": float("inf")})


@pytest.mark.parametrize("name", ["event.name", "eventName"])
def test_the_name_of_an_event_is_a_field_or_an_attribute(name: str) -> None:
    record: dict[str, Any] = {"observedTimeUnixNano": "9"}
    if name == "eventName":
        record["eventName"] = "gen_ai.choice"
    else:
        record["attributes"] = [{"key": name, "value": {"stringValue": "gen_ai.choice"}}]
    request = {"resourceLogs": [{"scopeLogs": [{"logRecords": [record]}]}]}
    for data in (encoded(request), protobuf(request, ExportLogsServiceRequest)):
        [log] = decoded(data)[1]
        assert (log.event_name, log.time_unix_nano, log.trace_id, log.span_id) == ("gen_ai.choice", 9, "", "")


@pytest.mark.parametrize("data", [b"", b"{}", b'{"resourceMetrics": []}', b'{"resourceSpans": null}'])
def test_a_request_without_spans_and_records_is_empty(data: bytes) -> None:
    assert decoded(data) == ([], [])


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"hello", "file: neither an OTLP request in protobuf nor JSON"),
        (b"\n\xff\xff", "file: neither an OTLP request in protobuf nor JSON"),
        (b'{"resourceSpans": [', "file: no JSON from character 19 on"),
        (b'\n{"resourceSpans": [', "file: no JSON from character 20 on"),
        (b"[1]", "file: JSON, but not that of an OTLP request (AttributeError)"),
        (b'{"resourceSpans": ["secret"]}', "file: JSON, but not that of an OTLP request (AttributeError)"),
        (b'{"a": ' * 50_000, "file: JSON, but not that of an OTLP request (RecursionError)"),
        (b'{"x": "\xff"}', "file: JSON, but not that of an OTLP request (UnicodeDecodeError)"),
    ],
)
def test_data_that_is_not_otlp_is_an_error_that_names_the_source(data: bytes, message: str) -> None:
    with pytest.raises(DecodeError) as caught:
        otlp.decode(data, "file")
    assert str(caught.value) == message


NINES = "9" * 5000
WHOLE = f'{{"traceId": "{"a" * 32}", "spanId": "{"b" * 16}", "name": "chat"}}'


@pytest.mark.parametrize(
    "malformed",
    [
        "null",
        "[]",
        '{"traceId": "zz"}',
        '{"spanId": "zz"}',
        '{"endTimeUnixNano": "-1"}',
        '{"name": 5}',
        '{"attributes": [{"key": "a", "value": {"stringValue": 5}}]}',
        f'{{"attributes": [{{"key": "a", "value": {{"intValue": "{NINES}"}}}}]}}',
        f'{{"attributes": [{{"key": "a", "value": {{"intValue": {NINES}}}}}]}}',
    ],
    ids=["null", "list", "trace id", "span id", "time", "name", "type", "digits in text", "digits"],
)
def test_a_span_that_cannot_be_read_is_counted_and_the_others_are_read(malformed: str) -> None:
    request = f'{{"resourceSpans": [{{"scopeSpans": [{{"spans": [{malformed}, {WHOLE}]}}]}}]}}\n'.encode()
    telemetry = otlp.decode(request, "file")
    assert ([span["name"] for span in telemetry.spans], telemetry.unreadable) == (["chat"], 1)
    assert list(otlp.documents(io.BytesIO(request * 2), "file")) == [
        (request, "file, line 1"),
        (request, "file, line 2"),
    ]


def test_bytes_that_are_not_utf_8_in_protobuf_texts_are_replaced_and_the_rest_is_read() -> None:
    data = protobuf(TRACES, ExportTraceServiceRequest).replace("Grüße".encode(), b"Gr\xff\xfe\xc3\xc3e")
    [span] = decoded(data)[0]
    assert span.attributes["text"] == "Gr����e"
    assert (span.name, span.resource, span.events) == (SPAN.name, SPAN.resource, SPAN.events)


def test_metrics_in_protobuf_are_neither_traces_nor_logs() -> None:
    request = ExportMetricsServiceRequest()
    request.resource_metrics.add().scope_metrics.add().metrics.add(name="latency", unit="s").gauge.data_points.add(
        as_int=1
    )
    with pytest.raises(DecodeError):
        otlp.decode(request.SerializeToString(), "file")


def documents(data: bytes) -> list[tuple[bytes, str]]:
    return list(otlp.documents(io.BytesIO(data), "file"))


def test_each_line_of_a_file_of_lines_is_a_request() -> None:
    line, other = encoded(TRACES), encoded(LOGS)
    assert documents(line + b"\n\n" + other + b"\n") == [
        (line + b"\n", "file, line 1"),
        (other + b"\n", "file, line 3"),
    ]


def test_an_incomplete_last_line_is_a_document_of_its_own() -> None:
    line = encoded(TRACES)
    assert documents(line + b"\n" + line[:50]) == [(line + b"\n", "file, line 1"), (line[:50], "file, line 2")]


@pytest.mark.parametrize(
    "data",
    [
        encoded(TRACES),
        json.dumps(TRACES, indent=2).encode(),
        b"\xef\xbb\xbf" + encoded(TRACES),
        b"\r\n\r\n" + encoded(TRACES),
        protobuf(TRACES, ExportTraceServiceRequest),
    ],
    ids=["one line", "indented", "byte order mark", "empty lines before", "protobuf"],
)
def test_a_file_that_is_one_request_is_one_document(data: bytes) -> None:
    [(document, source)] = documents(data)
    assert source == "file"
    assert decoded(document) == ([SPAN], [])


def test_an_empty_file_is_an_empty_request() -> None:
    assert [decoded(document) for document, _ in documents(b"")] == [([], [])]


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                [
                    "resourceSpans",
                    "scopeSpans",
                    "spans",
                    "resourceLogs",
                    "scopeLogs",
                    "logRecords",
                    "attributes",
                    "key",
                    "value",
                    "stringValue",
                    "intValue",
                    "arrayValue",
                    "kvlistValue",
                    "values",
                    "traceId",
                    "events",
                    "status",
                    "kind",
                    "body",
                ]
            ),
            inner,
            max_size=4,
        )
    ),
    max_leaves=20,
)


@given(json_values | st.fixed_dictionaries({"resourceSpans": json_values, "resourceLogs": json_values}))
def test_any_json_is_decoded_or_raises_a_decode_error(value: Any) -> None:
    with contextlib.suppress(DecodeError):
        decoded(json.dumps(value).encode())


@given(
    st.binary(max_size=200)
    | st.builds(
        lambda cut, extra: protobuf(TRACES, ExportTraceServiceRequest)[:cut] + extra,
        st.integers(0, 400),
        st.binary(max_size=9),
    )
)
def test_any_bytes_are_decoded_or_raise_a_decode_error(data: bytes) -> None:
    with contextlib.suppress(DecodeError):
        decoded(data)


values = st.recursive(
    st.builds(lambda value: {"stringValue": value}, st.text(st.characters(exclude_categories=["Cs"])))
    | st.builds(lambda value: {"intValue": str(value)}, st.integers(-(2**63), 2**63 - 1))
    | st.builds(lambda value: {"doubleValue": value}, st.floats(allow_nan=False, allow_infinity=False))
    | st.builds(lambda value: {"boolValue": value}, st.booleans())
    | st.builds(lambda value: {"bytesValue": base64.b64encode(value).decode()}, st.binary()),
    lambda inner: (
        st.builds(lambda items: {"arrayValue": {"values": items}}, st.lists(inner, max_size=3))
        | st.builds(
            lambda items: {"kvlistValue": {"values": [{"key": key, "value": value} for key, value in items.items()]}},
            st.dictionaries(st.text(st.characters(exclude_categories=["Cs"]), max_size=3), inner, max_size=3),
        )
    ),
    max_leaves=10,
)


@given(values)
def test_json_and_protobuf_of_a_request_are_read_alike(value: dict[str, Any]) -> None:
    record = {"timeUnixNano": "1", "body": value, "attributes": [{"key": "k", "value": value}]}
    request = {"resourceLogs": [{"scopeLogs": [{"logRecords": [record]}]}]}
    assert decoded(encoded(request)) == decoded(protobuf(request, ExportLogsServiceRequest))
