"""An export request in protobuf, to the same fields as its JSON gives."""

from __future__ import annotations

import base64
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from google.protobuf.message import DecodeError as ProtobufError
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import InstrumentationScope
from opentelemetry.proto.logs.v1.logs_pb2 import LogRecord
from opentelemetry.proto.resource.v1.resource_pb2 import Resource
from opentelemetry.proto.trace.v1.trace_pb2 import Span

from label_studio_otel.otlp.json import KINDS, STATUS_CODES
from label_studio_otel.otlp.utf8 import repaired
from label_studio_otel.otlp.wire import groups

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from opentelemetry.proto.common.v1.common_pb2 import AnyValue, KeyValue

__all__ = ["decode", "picked"]

#: Bytes of a resource or scope that is remembered from one request to the next.
SMALL = 16 << 10


def decode(data: bytes) -> tuple[tuple[dict[str, Any], ...], tuple[dict[str, Any], ...]] | None:
    """Return the spans and the log records of a request; None where it is neither traces nor logs.

    The two differ only in what the innermost messages hold: the first field of a span is its trace's id, that of a log
    record its time.
    """
    for parse in (_strictly, _repaired):
        traces = parse(ExportTraceServiceRequest, data)
        if traces is not None:
            spans = tuple(_spans(traces))
            if all(len(span["traceId"]) == 32 and len(span["spanId"]) == 16 for span in spans):
                return spans, ()
        logs = parse(ExportLogsServiceRequest, data)
        if logs is not None:
            records = tuple(_logs(logs))
            if all(_is_record(record) for record in records):
                return (), records
    return None


def picked(signal: str, data: bytes, keys: frozenset[str], most: int) -> tuple[list[dict[str, Any]], int, int]:
    """Return the spans (`traces`) or log records (`logs`) of a request that have one of these attributes, or a name as
    an event; how many more there were that cannot be read; and how many there are in all.

    Raises:
        DecodeError: it is no such request.
        RequestTooLarge: it has more spans or records than `most`.
    """
    kind, read = (Span, _span) if signal == "traces" else (LogRecord, _log)
    tried, told = [], 0
    abouts, names = _Once(_about), _Once(_named)
    for group in groups(signal, data, keys, most):
        told += group.told
        if group.wanted:
            source = abouts[group.resource], names[group.scope]
            tried += [_tried(kind, read, one, *source) for one in group.wanted]
    found = [one for one in tried if one is not None]
    return found, len(tried) - len(found), told


def _tried(
    kind: Any, read: Callable[[Any, Any, Any], dict[str, Any]], one: bytes, resource: Any, scope: Any
) -> dict[str, Any] | None:
    try:
        return None if resource is None or scope is None else read(_message(kind, one), resource, scope)
    except ProtobufError:
        return None


class _Once(dict[bytes, Any]):
    """What many spans share, read once for a request, and small ones once for many; nobody changes it."""

    def __init__(self, read: Callable[[bytes], Any]) -> None:
        super().__init__()
        self._read = read

    def __missing__(self, data: bytes) -> Any:
        self[data] = found = _remembered(self._read, data) if len(data) <= SMALL else self._read(data)
        return found


@lru_cache(maxsize=128)
def _remembered(read: Callable[[bytes], Any], data: bytes) -> Any:
    return read(data)


def _about(resource: bytes) -> dict[str, Any] | None:
    """Return a resource's attributes, None where it cannot be read."""
    try:
        return _attributes(_message(Resource, resource).attributes)
    except ProtobufError:
        return None


def _named(scope: bytes) -> dict[str, str] | None:
    try:
        return _scope(_message(InstrumentationScope, scope))
    except ProtobufError:
        return None


def _message(kind: Any, data: bytes) -> Any:
    message = _strictly(kind, data)
    return kind.FromString(repaired(kind, data)) if message is None else message


def _strictly(kind: Any, data: bytes) -> Any:
    try:
        return kind.FromString(data)
    except ProtobufError:
        return None


def _repaired(kind: Any, data: bytes) -> Any:
    try:
        return kind.FromString(repaired(kind, data))
    except ProtobufError:
        return None


def _is_record(record: dict[str, Any]) -> bool:
    """Tell a log record from another message read as one; ids and times may be missing, but not both."""
    ids = (len(record["traceId"]), len(record["spanId"]))
    return ids in {(32, 16), (32, 0), (0, 0)} and bool(
        ids[0] or record["timeUnixNano"] or record["observedTimeUnixNano"]
    )


def _spans(request: ExportTraceServiceRequest) -> Iterable[dict[str, Any]]:
    for group in request.resource_spans:
        resource = _attributes(group.resource.attributes)
        for inner in group.scope_spans:
            scope = _scope(inner.scope)
            for span in inner.spans:
                yield _span(span, resource, scope)


def _logs(request: ExportLogsServiceRequest) -> Iterable[dict[str, Any]]:
    for group in request.resource_logs:
        resource = _attributes(group.resource.attributes)
        for inner in group.scope_logs:
            scope = _scope(inner.scope)
            for record in inner.log_records:
                yield _log(record, resource, scope)


def _scope(scope: InstrumentationScope) -> dict[str, str]:
    return {"name": scope.name, "version": scope.version}


def _span(span: Span, resource: dict[str, Any], scope: dict[str, str]) -> dict[str, Any]:
    fields: dict[str, Any] = {
        "traceId": span.trace_id.hex(),
        "spanId": span.span_id.hex(),
        "name": span.name,
        "kind": _name(KINDS, span.kind),
        "startTimeUnixNano": span.start_time_unix_nano,
        "endTimeUnixNano": span.end_time_unix_nano,
        "attributes": _attributes(span.attributes),
        "status": {"code": _name(STATUS_CODES, span.status.code), "message": span.status.message or None},
        "scope": scope,
        "resource": resource,
    }
    if span.parent_span_id:
        fields["parentSpanId"] = span.parent_span_id.hex()
    if span.events:
        fields["events"] = [
            {"name": event.name, "timeUnixNano": event.time_unix_nano, "attributes": _attributes(event.attributes)}
            for event in span.events
        ]
    if span.links:
        fields["links"] = [{"traceId": link.trace_id.hex(), "spanId": link.span_id.hex()} for link in span.links]
    if span.dropped_attributes_count:
        fields["droppedAttributesCount"] = span.dropped_attributes_count
    if span.dropped_events_count:
        fields["droppedEventsCount"] = span.dropped_events_count
    return fields


def _log(record: LogRecord, resource: dict[str, Any], scope: dict[str, str]) -> dict[str, Any]:
    return {
        # Bindings made before OTLP 1.5 do not know the field.
        "eventName": getattr(record, "event_name", ""),
        "body": _value(record.body),
        "attributes": _attributes(record.attributes),
        "timeUnixNano": record.time_unix_nano,
        "observedTimeUnixNano": record.observed_time_unix_nano,
        "traceId": record.trace_id.hex(),
        "spanId": record.span_id.hex(),
        "scope": scope,
        "resource": resource,
    }


def _name(names: tuple[str, ...], number: int) -> str:
    return names[number] if 0 <= number < len(names) else names[0]


def _attributes(pairs: Iterable[KeyValue]) -> dict[str, Any]:
    return {pair.key: _value(pair.value) for pair in pairs}


def _value(value: AnyValue) -> Any:
    """Decode an AnyValue; one without a value is None."""
    kind = value.WhichOneof("value")
    return _VALUES[kind](value) if kind in _VALUES else None


_VALUES: dict[str | None, Callable[[AnyValue], Any]] = {
    "string_value": lambda value: value.string_value,
    "bool_value": lambda value: value.bool_value,
    "int_value": lambda value: value.int_value,
    "double_value": lambda value: value.double_value,
    "bytes_value": lambda value: base64.b64encode(value.bytes_value).decode(),
    "array_value": lambda value: [_value(item) for item in value.array_value.values],
    "kvlist_value": lambda value: _attributes(value.kvlist_value.values),
}
