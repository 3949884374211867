"""Reads export requests in protobuf. The result has the same fields as that of json.py."""

from __future__ import annotations

import base64
import math
from collections.abc import Callable, Iterable
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from google.protobuf.message import DecodeError as ProtobufError
from opentelemetry.proto.common.v1.common_pb2 import InstrumentationScope
from opentelemetry.proto.logs.v1.logs_pb2 import LogRecord
from opentelemetry.proto.resource.v1.resource_pb2 import Resource
from opentelemetry.proto.trace.v1.trace_pb2 import Span

from label_studio_otel.otlp.json import KINDS, STATUS_CODES, Selected
from label_studio_otel.otlp.utf8 import repaired
from label_studio_otel.otlp.wire import groups

if TYPE_CHECKING:
    from opentelemetry.proto.common.v1.common_pb2 import AnyValue, KeyValue

#: The size up to which a resource or scope is cached from one request to the next.
MAX_CACHED_BYTES = 16 << 10


def select(signal: str, data: bytes, keys: frozenset[str] | None = None, max_count: float = math.inf) -> Selected:
    """Return the same as `json.select`, for the bytes of a request in protobuf. It raises the same errors."""
    kind, read = (Span, _span) if signal == "traces" else (LogRecord, _log)
    found: list[dict[str, Any]] = []
    rejected = count = 0
    resources, scopes = _Cache(_resource), _Cache(_scope)
    for group in groups(signal, data, keys, max_count):
        count += group.item_count
        for item in group.selected:
            resource, scope = resources[group.resource], scopes[group.scope]
            try:
                if resource is None or scope is None:
                    rejected += 1
                else:
                    found.append(read(_parse(kind, item), resource, scope))
            except ProtobufError:
                rejected += 1
    return Selected(found, rejected, count)


class _Cache(dict[bytes, Any]):
    """The results of reading resources or scopes, which many spans share; callers must not change them.

    It lasts for one request. Small resources and scopes are cached across requests too.
    """

    def __init__(self, read: Callable[[bytes], Any]) -> None:
        super().__init__()
        self._read = read

    def __missing__(self, data: bytes) -> Any:
        read = _read_cached if len(data) <= MAX_CACHED_BYTES else _read
        self[data] = found = read(self._read, data)
        return found


def _read(read: Callable[[bytes], Any], data: bytes) -> Any:
    """Return the result of reading, None where the data cannot be read."""
    try:
        return read(data)
    except ProtobufError:
        return None


_read_cached = lru_cache(maxsize=128)(_read)


def _resource(data: bytes) -> dict[str, Any]:
    return _attributes(_parse(Resource, data).attributes)


def _scope(data: bytes) -> dict[str, str]:
    scope = _parse(InstrumentationScope, data)
    return {"name": scope.name, "version": scope.version}


def _parse(kind: Any, data: bytes) -> Any:
    """Return the parsed message of this class, also if its texts are not UTF-8.

    Raises:
        ProtobufError: the message is invalid in another way.
    """
    try:
        return kind.FromString(data)
    except ProtobufError:
        return kind.FromString(repaired(kind, data))


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
        # opentelemetry-proto from before OTLP 1.5 does not have the field.
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
    """Return the value of an AnyValue; None if it has none."""
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
