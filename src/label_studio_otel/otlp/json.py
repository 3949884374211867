"""Reads export requests in OTLP/JSON.

Ids are hexadecimal, enumerations are numbers, and integers of 64 bits are text. Integers as numbers and enumerations by
name are read too. A field that is null counts as missing, and unknown fields are ignored.
https://github.com/open-telemetry/opentelemetry-proto/blob/v1.9.0/docs/specification.md#json-protobuf-encoding
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

from label_studio_otel.errors import DecodeError, RequestTooLarge

#: SpanKind and StatusCode of trace.proto by number. Kind 0 is unspecified, which means INTERNAL.
KINDS = ("INTERNAL", "INTERNAL", "SERVER", "CLIENT", "PRODUCER", "CONSUMER")
STATUS_CODES = ("UNSET", "OK", "ERROR")

#: The errors of reading JSON that has another form than expected.
WRONG_FORM = (ArithmeticError, AttributeError, LookupError, RecursionError, TypeError, ValueError)
#: The digits of an integer of 64 bits, with its sign.
MAX_DIGITS = 20


class Selected(NamedTuple):
    """The selected spans, or log records, of one request."""

    #: For `Span.from_fields` or `LogRecord.from_fields`.
    items: list[dict[str, Any]]
    #: The number of further selected ones that cannot be read.
    rejected: int
    #: The number of all spans or log records in the request, selected or not.
    span_count: int


def load(data: bytes) -> Any:
    """Return the decoded JSON. An integer with more digits than OTLP's stays text, as Python refuses very long ones.

    Raises:
        DecodeError: the data is not JSON; the message quotes nothing of it.
    """
    try:
        return json.loads(data, parse_int=lambda digits: int(digits) if len(digits) <= MAX_DIGITS else digits)
    except json.JSONDecodeError as error:
        raise DecodeError(f"no JSON from character {error.pos} on") from None
    except WRONG_FORM as error:
        raise _not_otlp(error) from None


def select(signal: str, request: Any, keys: frozenset[str] | None = None, max_count: float = math.inf) -> Selected:
    """Return the spans (`traces`) or log records (`logs`) of a request that `load` has parsed.

    Args:
        keys: only those are read that have one of these attributes, or a name as an event; None for all.
        max_count: how many spans or records the request may have.

    Raises:
        DecodeError: the request is not OTLP; the message quotes nothing of it.
        RequestTooLarge: it has more spans or records.
    """
    read = _span if signal == "traces" else _log
    found: list[dict[str, Any]] = []
    rejected = count = 0
    try:
        for item, resource, scope in _items(request, signal):
            count += 1
            if count > max_count:
                raise RequestTooLarge(f"the request has more than {max_count} spans or log records")
            if keys is None or _is_selected(item, keys):
                try:
                    found.append(read(item, resource, scope))
                except WRONG_FORM:
                    rejected += 1
    except WRONG_FORM as error:
        raise _not_otlp(error) from None
    return Selected(found, rejected, count)


def _not_otlp(error: Exception) -> DecodeError:
    return DecodeError(f"JSON, but not that of an OTLP request ({type(error).__name__})")


def _is_selected(item: Any, keys: frozenset[str]) -> bool:
    try:
        return bool(item.get("eventName")) or any(pair.get("key") in keys for pair in item.get("attributes") or ())
    except WRONG_FORM:  # selected, so that it is read and counted as rejected
        return True


def _items(request: dict[str, Any], signal: str) -> Iterator[tuple[Any, dict[str, Any], dict[str, str]]]:
    """Yield each span or log record with the attributes of its resource, and with its scope."""
    suffix, name = ("Spans", "spans") if signal == "traces" else ("Logs", "logRecords")
    for group in request.get(f"resource{suffix}") or ():
        resource = _attributes((group.get("resource") or {}).get("attributes"))
        for inner in group.get(f"scope{suffix}") or ():
            scope = _scope(inner.get("scope") or {})
            for item in inner.get(name) or ():
                yield item, resource, scope


def _scope(raw: dict[str, Any]) -> dict[str, str]:
    """Return the name and the version of a scope; "" for a value that is not text, so that its spans are still read."""
    values = ((name, raw.get(name)) for name in ("name", "version"))
    return {name: value if isinstance(value, str) else "" for name, value in values}


def _span(raw: dict[str, Any], resource: dict[str, Any], scope: dict[str, str]) -> dict[str, Any]:
    status = raw.get("status") or {}
    fields: dict[str, Any] = {
        "traceId": _id(raw.get("traceId")),
        "spanId": _id(raw.get("spanId")),
        "name": _text(raw.get("name")),
        "kind": _enumerated(raw.get("kind"), KINDS, "SPAN_KIND_"),
        "startTimeUnixNano": _time(raw.get("startTimeUnixNano")),
        "endTimeUnixNano": _time(raw.get("endTimeUnixNano")),
        "attributes": _attributes(raw.get("attributes")),
        "status": {
            "code": _enumerated(status.get("code"), STATUS_CODES, "STATUS_CODE_"),
            "message": status.get("message") or None,
        },
        "scope": scope,
        "resource": resource,
    }
    if parent := _id(raw.get("parentSpanId")):
        fields["parentSpanId"] = parent
    if events := raw.get("events"):
        fields["events"] = [_event(event) for event in events]
    if links := raw.get("links"):
        fields["links"] = [{name: _id(link.get(name)) for name in ("traceId", "spanId")} for link in links]
    for name in ("droppedAttributesCount", "droppedEventsCount"):
        if number := int(raw.get(name) or 0):
            fields[name] = number
    return fields


def _event(raw: dict[str, Any]) -> dict[str, Any]:
    return {
        "name": _text(raw.get("name")),
        "timeUnixNano": _time(raw.get("timeUnixNano")),
        "attributes": _attributes(raw.get("attributes")),
    }


def _log(raw: dict[str, Any], resource: dict[str, Any], scope: dict[str, str]) -> dict[str, Any]:
    return {
        "eventName": _text(raw.get("eventName")),
        "body": _value(raw.get("body") or {}),
        "attributes": _attributes(raw.get("attributes")),
        "timeUnixNano": _time(raw.get("timeUnixNano")),
        "observedTimeUnixNano": _time(raw.get("observedTimeUnixNano")),
        "traceId": _id(raw.get("traceId")),
        "spanId": _id(raw.get("spanId")),
        "scope": scope,
        "resource": resource,
    }


def _id(value: Any) -> str:
    return bytes.fromhex(value or "").hex()


def _time(value: Any) -> int:
    number = int(value or 0)
    if not 0 <= number < 1 << 64:
        raise ValueError(number)
    return number


def _text(value: Any) -> str:
    if value is not None and not isinstance(value, str):
        raise TypeError(type(value).__name__)
    return value or ""


def _enumerated(value: Any, names: tuple[str, ...], prefix: str) -> str:
    if isinstance(value, str):
        name = value.removeprefix(prefix)
        return name if name in names else names[0]
    number = value or 0
    return names[number] if 0 <= number < len(names) else names[0]


def _attributes(raw: list[dict[str, Any]] | None) -> dict[str, Any]:
    return {_text(pair.get("key")): _value(pair.get("value") or {}) for pair in raw or ()}


def _value(raw: dict[str, Any]) -> Any:
    """Return the value of an AnyValue; None if it has none."""
    for kind, value in raw.items():
        if value is not None and (reader := _VALUES.get(kind)):
            return reader(value)
    return None


def _same(value: Any) -> Any:
    if not isinstance(value, (str, bool)):
        raise TypeError(type(value).__name__)
    return value


_VALUES: dict[str, Callable[[Any], Any]] = {
    "stringValue": _same,
    "bytesValue": _same,
    "boolValue": _same,
    "intValue": int,
    "doubleValue": float,
    "arrayValue": lambda value: [_value(item or {}) for item in value.get("values") or ()],
    "kvlistValue": lambda value: _attributes(value.get("values")),
}
