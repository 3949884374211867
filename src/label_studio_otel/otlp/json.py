"""OTLP as it stands in request bodies and in files, to the neutral fields that `Span` and `LogRecord` are made of.

Read are the body of an export request as protobuf or as OTLP/JSON, and the JSON lines of the Collector's file exporter,
each line a request (https://github.com/open-telemetry/opentelemetry-proto/blob/v1.9.0/docs/specification.md). Requests
for traces and for logs are told apart by their content; metrics hold nothing for us. Field names are those of OTLP's
JSON, as in `spans.fields_of`; values are decoded, bytes become base64 text; unknown fields are ignored.
"""

from __future__ import annotations

import itertools
import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from label_studio_otel.errors import DecodeError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from typing import BinaryIO

__all__ = ["UNREADABLE", "Telemetry", "decode", "documents", "loaded", "logs_of", "spans_of"]

#: SpanKind and StatusCode of trace.proto by number; 0 is unspecified, which means INTERNAL.
KINDS = ("INTERNAL", "INTERNAL", "SERVER", "CLIENT", "PRODUCER", "CONSUMER")
STATUS_CODES = ("UNSET", "OK", "ERROR")

#: What reading JSON of another shape raises.
UNREADABLE = (ArithmeticError, AttributeError, LookupError, RecursionError, TypeError, ValueError)

#: Digits of 64 bits with their sign.
_MOST_DIGITS = 20
_BYTE_ORDER_MARK = b"\xef\xbb\xbf"
#: The first byte of every protobuf request that is not empty, and a line feed.
_FIELD_1 = b"\n"


@dataclass(frozen=True, slots=True)
class Telemetry:
    """What an export request holds."""

    #: For `Span.from_fields`.
    spans: tuple[dict[str, Any], ...] = ()
    #: For `LogRecord.from_fields`.
    logs: tuple[dict[str, Any], ...] = ()
    #: How many more of both there were that cannot be read.
    unreadable: int = 0


def documents(stream: BinaryIO, source: str) -> Iterator[tuple[bytes, str]]:
    """Yield each request of a file with its name for `decode`: the whole file, or its lines where each is a document.

    A file of lines is never held whole.
    """
    first = stream.readline()
    if not _is_json(first) or first.startswith(_FIELD_1):
        yield first + stream.read(), source
        return
    second = stream.readline()
    if not second:
        yield first, source
    elif _is_document(first):
        for number, line in enumerate(itertools.chain((first, second), stream), 1):
            if line.strip():
                yield line, f"{source}, line {number}"
    else:
        yield first + second + stream.read(), source


def _is_json(data: bytes) -> bool:
    return data.removeprefix(_BYTE_ORDER_MARK).lstrip()[:1] in (b"{", b"[")


def _is_document(line: bytes) -> bool:
    try:
        loaded(line)
    except (ValueError, RecursionError):
        return False
    return True


def decode(data: bytes, source: str) -> Telemetry:
    """Decode one export request.

    Args:
        data: protobuf or JSON.
        source: where it came from, for the error.

    Raises:
        DecodeError: it is no OTLP; the message names the source and never what was said.
    """
    # Protobuf first where both could be meant: JSON after an empty line is no valid protobuf.
    if data.startswith(_FIELD_1) or not _is_json(data):
        from label_studio_otel.otlp import protobuf  # noqa: PLC0415 - it takes 60 ms to import

        decoded = protobuf.decode(data)
        if decoded is not None:
            return Telemetry(*decoded)
        if not _is_json(data):
            raise DecodeError(f"{source}: neither an OTLP request in protobuf nor JSON")
    try:
        return _request(loaded(data.removeprefix(_BYTE_ORDER_MARK)))
    except json.JSONDecodeError as error:
        raise DecodeError(f"{source}: no JSON from character {error.pos} on") from None
    except UNREADABLE as error:
        raise DecodeError(f"{source}: JSON, but not that of an OTLP request ({type(error).__name__})") from None


# OTLP/JSON: ids are hexadecimal, enumerations numbers, 64-bit integers strings; integers as numbers and enumerations by
# name are read too. A field that is null is one that is not there.
# https://github.com/open-telemetry/opentelemetry-proto/blob/v1.9.0/docs/specification.md#json-protobuf-encoding


def loaded(data: bytes) -> Any:
    """Parse JSON; a longer number than OTLP has is left as text, for the interpreter refuses the longest.

    Raises:
        ValueError, RecursionError: it is none.
    """
    return json.loads(data, parse_int=lambda digits: int(digits) if len(digits) <= _MOST_DIGITS else digits)


def _request(raw: dict[str, Any]) -> Telemetry:
    spans, spans_unreadable = spans_of(raw)
    logs, logs_unreadable = logs_of(raw)
    return Telemetry(tuple(spans), tuple(logs), spans_unreadable + logs_unreadable)


def _everything(_: Any) -> bool:
    return True


def spans_of(
    request: dict[str, Any], is_wanted: Callable[[Any], bool] = _everything
) -> tuple[list[dict[str, Any]], int]:
    """Return the spans of a request that are wanted as they stand, and how many more of these cannot be read."""
    return _readable(_span, _inner(request, "Spans", "spans"), is_wanted)


def logs_of(
    request: dict[str, Any], is_wanted: Callable[[Any], bool] = _everything
) -> tuple[list[dict[str, Any]], int]:
    """Return the log records of a request that are wanted as they stand, and how many more of these cannot be read."""
    return _readable(_log, _inner(request, "Logs", "logRecords"), is_wanted)


def _readable(
    read: Callable[[Any, Any, Any], dict[str, Any]],
    inner: Iterator[tuple[Any, Any, Any]],
    is_wanted: Callable[[Any], bool],
) -> tuple[list[dict[str, Any]], int]:
    tried = [_tried(read, *one) for one in inner if _asked(is_wanted, one[0])]
    found = [one for one in tried if one is not None]
    return found, len(tried) - len(found)


def _asked(is_wanted: Callable[[Any], bool], raw: Any) -> bool:
    try:
        return is_wanted(raw)
    except UNREADABLE:  # reading it will say so
        return True


def _tried(read: Callable[[Any, Any, Any], dict[str, Any]], *one: Any) -> dict[str, Any] | None:
    try:
        return read(*one)
    except UNREADABLE:
        return None


def _inner(request: dict[str, Any], signal: str, name: str) -> Iterator[tuple[Any, Any, Any]]:
    for group in request.get(f"resource{signal}") or ():
        for resource, scope, inner in _scopes(group, f"scope{signal}"):
            for raw in inner.get(name) or ():
                yield raw, resource, scope


def _scopes(group: dict[str, Any], name: str) -> Iterator[tuple[dict[str, Any], dict[str, str], dict[str, Any]]]:
    resource = _attributes((group.get("resource") or {}).get("attributes"))
    for inner in group.get(name) or ():
        scope = inner.get("scope") or {}
        yield resource, {name: _lenient_text(scope.get(name)) for name in ("name", "version")}, inner


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


def _lenient_text(value: Any) -> str:
    """Return a text, an empty one for what is none: not worth all the spans of a scope."""
    return value if isinstance(value, str) else ""


def _enumerated(value: Any, names: tuple[str, ...], prefix: str) -> str:
    if isinstance(value, str):
        name = value.removeprefix(prefix)
        return name if name in names else names[0]
    number = value or 0
    return names[number] if 0 <= number < len(names) else names[0]


def _attributes(raw: list[dict[str, Any]] | None) -> dict[str, Any]:
    return {_text(pair.get("key")): _value(pair.get("value") or {}) for pair in raw or ()}


def _value(raw: dict[str, Any]) -> Any:
    """Decode an AnyValue; one without a value is None."""
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
