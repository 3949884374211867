"""The body of a request whose signal and encoding are known: what is wanted of it, and never the rest.

What is wanted and cannot be read is left out and counted; what is not wanted is not looked at.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, NamedTuple

from label_studio_otel.errors import DecodeError, RequestTooLarge
from label_studio_otel.otlp import json as otlp

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["MOST", "Picked", "logs", "traces"]

#: Spans, or log records, that one request may have.
MOST = 100_000
#: Commas and opening brackets of JSON. OTLP has one for nine bytes or more; each can become a hundred bytes of memory.
MOST_PARTS = 8 << 20
_NO_TRACE, _NO_SPAN = "0" * 32, "0" * 16
#: Of a log record that is an event; `event_name` is a field since OTLP 1.5.
_NAMED = frozenset({"event.name"})


class Picked(NamedTuple):
    """What was wanted of a request."""

    #: Spans or log records, as `otlp.Telemetry` has them.
    found: list[dict[str, Any]]
    #: How many more cannot be read, or have no identity.
    rejected: int
    #: How many there are in the request, with those that were not wanted.
    told: int


def traces(data: bytes, keys: frozenset[str], *, is_json: bool, most: int = MOST) -> Picked:
    """Return the spans of a request that have one of these attributes.

    Raises:
        DecodeError: the request is no OTLP; the message never says what was in it.
        RequestTooLarge: it has more spans than `most`.
    """
    spans, unreadable, told = _picked("traces", data, keys, is_json=is_json, most=most)
    valid = [span for span in spans if _identified(span)]
    return Picked(valid, unreadable + len(spans) - len(valid), told)


def logs(data: bytes, *, is_json: bool, most: int = MOST) -> Picked:
    """Return the log records of a request that are events, with a name.

    Raises:
        DecodeError: the request is no OTLP; the message never says what was in it.
        RequestTooLarge: it has more log records than `most`.
    """
    return Picked(*_picked("logs", data, _NAMED, is_json=is_json, most=most))


def _identified(span: Mapping[str, Any]) -> bool:
    trace_id, span_id = span["traceId"], span["spanId"]
    return len(trace_id) == 32 and len(span_id) == 16 and trace_id != _NO_TRACE and span_id != _NO_SPAN


def _picked(
    signal: str, data: bytes, keys: frozenset[str], *, is_json: bool, most: int
) -> tuple[list[dict[str, Any]], int, int]:
    if is_json:
        return _json(signal, data, keys, most)
    from label_studio_otel.otlp import protobuf  # noqa: PLC0415 - it takes 60 ms to import

    return protobuf.picked(signal, data, keys, most)


def _json(signal: str, data: bytes, keys: frozenset[str], most: int) -> tuple[list[dict[str, Any]], int, int]:
    count = 0
    if len(data) > MOST_PARTS and sum(map(data.count, (b",", b"[", b"{"))) > MOST_PARTS:
        raise RequestTooLarge(f"the request has more than {MOST_PARTS} parts")

    def is_wanted(raw: dict[str, Any]) -> bool:
        nonlocal count
        count += 1
        if count > most:
            raise RequestTooLarge(f"the request has more than {most} spans or log records")
        return bool(raw.get("eventName")) or any(pair.get("key") in keys for pair in raw.get("attributes") or ())

    try:
        found, unreadable = (otlp.spans_of if signal == "traces" else otlp.logs_of)(otlp.loaded(data), is_wanted)
        return found, unreadable, count
    except json.JSONDecodeError as error:
        raise DecodeError(f"no JSON from character {error.pos} on") from None
    except otlp.UNREADABLE as error:
        raise DecodeError(f"JSON, but not that of an OTLP request ({type(error).__name__})") from None
