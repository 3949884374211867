"""A request of which only some spans are selected: they are those that reading all of it gives."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from label_studio_otel.errors import DecodeError, RequestTooLarge
from label_studio_otel.otlp import request as requests
from label_studio_otel.otlp import wire
from label_studio_otel.otlp.files import decode

KEYS = frozenset({"gen_ai.operation.name", "wanted"})
CALL = {"gen_ai.operation.name": "chat"}
OTHER = {"http.request.method": "GET"}


def request(*scopes: list[dict[str, str]]) -> bytes:
    """Return a request with a scope for each list, and a span for each of its attributes; ids count from 1."""
    message = ExportTraceServiceRequest()
    number = 0
    for spans in scopes:
        group = message.resource_spans.add()
        group.resource.attributes.add(key="service.name").value.string_value = f"service {len(message.resource_spans)}"
        inner = group.scope_spans.add()
        inner.scope.name = f"scope {len(message.resource_spans)}"
        for attributes in spans:
            number += 1
            span = inner.spans.add(trace_id=b"t" * 16, span_id=number.to_bytes(8, "big"), name="n" * number)
            for key, value in attributes.items():
                span.attributes.add(key=key).value.string_value = value
    return bytes(message.SerializeToString())


def selected(data: bytes, keys: frozenset[str] = KEYS, **options: Any) -> list[tuple[str, str, str]]:
    spans, rejected, _ = requests.select("traces", data, keys, is_json=False, **options)
    assert rejected == 0
    return [(span["spanId"][-2:], span["resource"]["service.name"], span["scope"]["name"]) for span in spans]


def test_only_spans_with_one_of_the_keys_are_read() -> None:
    data = request([OTHER, CALL, {}, {**OTHER, "wanted": ""}], [OTHER], [CALL])

    assert selected(data) == [
        ("02", "service 1", "scope 1"),
        ("04", "service 1", "scope 1"),
        ("06", "service 3", "scope 3"),
    ]


def test_a_key_in_a_value_selects_nothing() -> None:
    assert selected(request([{"note": "wanted gen_ai.operation.name"}])) == []


def test_an_empty_request_has_no_spans() -> None:
    assert selected(b"") == []


def test_unknown_fields_are_ignored() -> None:
    unknown = b"".join([b"\xf8\x07\x2a", b"\xf9\x07" + b"8" * 8, b"\xfd\x07" + b"4" * 4, b"\xfa\x07\x03abc"])

    assert selected(unknown + request([CALL]) + unknown) == [("01", "service 1", "scope 1")]


@pytest.mark.parametrize("field", [b"\x18\x07", b"\x22\x03abc", b"\x29" + b"8" * 8, b"\x35" + b"4" * 4])
def test_an_unknown_field_in_an_attribute_changes_nothing(field: bytes) -> None:
    """OTLP adds fields: `key_strindex` of an attribute came with 1.10."""
    message = ExportTraceServiceRequest.FromString(request([CALL, OTHER, OTHER], [OTHER, CALL]))
    for group in message.resource_spans:
        for span in group.scope_spans[0].spans:
            span.attributes[0].MergeFromString(field)

    assert selected(message.SerializeToString()) == [
        ("01", "service 1", "scope 1"),
        ("05", "service 2", "scope 2"),
    ]


def test_a_span_with_an_attribute_twice_is_selected_all_the_same() -> None:
    message = ExportTraceServiceRequest.FromString(request([OTHER, CALL]))
    for span in message.resource_spans[0].scope_spans[0].spans:
        span.attributes.add(key="http.request.method").value.string_value = "PUT"
        span.attributes.add(key="http.request.method").value.string_value = "PATCH"

    assert selected(message.SerializeToString()) == [("02", "service 1", "scope 1")]


def test_a_resource_may_come_after_its_spans() -> None:
    """Writers need not keep to the order of the numbers."""
    message = ExportTraceServiceRequest.FromString(request([CALL]))
    (group,) = message.resource_spans
    scope, resource = group.scope_spans[0].SerializeToString(), group.resource.SerializeToString()
    inner = b"\x12" + bytes([len(scope)]) + scope + b"\x0a" + bytes([len(resource)]) + resource

    assert selected(b"\x0a" + bytes([len(inner)]) + inner) == [("01", "service 1", "scope 1")]


def test_a_key_that_is_not_utf_8_does_not_hide_another_span() -> None:
    data = request([{"abc": "x"}, CALL]).replace(b"abc", b"a\xffc")

    assert ("02", "service 1", "scope 1") in selected(data)


def test_a_span_that_cannot_be_read_does_not_affect_the_others() -> None:
    data = request([{**CALL, "a": "broken"}, CALL])
    data = data.replace(b"\x0a\x06broken", b"\x0a\x7fbroken")

    spans, rejected, _ = requests.select("traces", data, KEYS, is_json=False)

    assert [span["spanId"] for span in spans] == ["0000000000000002"]
    assert rejected == 1


@pytest.mark.parametrize(
    "data",
    [
        b"\x0a",
        b"\x0a\x05ab",
        b"\x0b",
        b"\xff" * 11,
        b"\x0a\x02\x12\x7f",
        b"\x0a\x04\x12\x02\x12\x7f",
        b"\x09123",
        b"no protobuf",
        request([CALL])[:-1],
        request([CALL, CALL]) + b"\x0a",
    ],
)
def test_data_that_is_not_a_request_is_an_error(data: bytes) -> None:
    with pytest.raises(DecodeError, match="no OTLP request for traces in protobuf"):
        selected(data)


@pytest.mark.parametrize("is_json", [False, True])
def test_a_request_with_too_many_spans_is_an_error(is_json: bool) -> None:
    spans = [OTHER] * 3
    data = request(spans)
    if is_json:
        data = json.dumps({"resourceSpans": [{"scopeSpans": [{"spans": [{}] * 3}]}]}).encode()

    assert requests.select("traces", data, KEYS, is_json=is_json, max_count=3).items == []
    with pytest.raises(RequestTooLarge, match="the request has more than 2 spans or log records"):
        requests.select("traces", data, KEYS, is_json=is_json, max_count=2)


def test_scopes_without_spans_count_too() -> None:
    with pytest.raises(RequestTooLarge):
        selected(request([], [], []), max_count=2)


def test_only_log_records_that_are_events_are_read() -> None:
    message = ExportLogsServiceRequest()
    records = message.resource_logs.add().scope_logs.add().log_records
    records.add(severity_text="INFO").body.string_value = "GET /"
    records.add(event_name="gen_ai.choice")
    records.add().attributes.add(key="event.name").value.string_value = "gen_ai.user.message"

    found, rejected, _ = requests.select("logs", message.SerializeToString(), KEYS, is_json=False)

    assert [(one["eventName"], one["attributes"]) for one in found] == [
        ("gen_ai.choice", {}),
        ("", {"event.name": "gen_ai.user.message"}),
    ]
    assert rejected == 0


ATTRIBUTES = st.dictionaries(st.sampled_from([*sorted(KEYS), "http.route", "é", ""]), st.text(max_size=9), max_size=4)


@given(st.lists(st.lists(ATTRIBUTES, max_size=4), max_size=4))
def test_selected_spans_are_those_with_a_key_when_all_are_read(scopes: list[list[dict[str, str]]]) -> None:
    data = request(*scopes)
    whole = [span for span in decode(data, "x").spans if not KEYS.isdisjoint(span["attributes"])]

    assert requests.select("traces", data, KEYS, is_json=False) == (whole, 0, sum(map(len, scopes)))


@given(st.binary(max_size=60))
def test_any_bytes_have_groups_or_raise_a_decode_error(data: bytes) -> None:
    try:
        for group in wire.groups("traces", data, KEYS, 10):
            assert len(group.selected) <= 10
    except DecodeError as error:
        assert "OTLP request" in str(error) or "more than" in str(error)  # noqa: PT017 - either is an answer
