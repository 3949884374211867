"""The body of a request whose signal and encoding are known: what cannot be read of it is left out, and counted."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from label_studio_otel import otlp
from label_studio_otel.errors import DecodeError

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["logs", "traces"]

_NO_TRACE, _NO_SPAN = "0" * 32, "0" * 16


def traces(data: bytes, *, is_json: bool) -> tuple[list[dict[str, Any]], int]:
    """Return the spans of a request, and how many more there were that cannot be read or have no identity.

    Raises:
        DecodeError: the request is no OTLP; the message never says what was in it.
    """
    spans, unreadable = _json(data, otlp.spans_of) if is_json else _protobuf(data, "traces")
    valid = [span for span in spans if _identified(span)]
    return valid, unreadable + len(spans) - len(valid)


def logs(data: bytes, *, is_json: bool) -> tuple[list[dict[str, Any]], int]:
    """Return the log records of a request, and how many more there were that cannot be read.

    Raises:
        DecodeError: the request is no OTLP; the message never says what was in it.
    """
    return _json(data, otlp.logs_of) if is_json else _protobuf(data, "logs")


def _identified(span: dict[str, Any]) -> bool:
    trace_id, span_id = span["traceId"], span["spanId"]
    return len(trace_id) == 32 and len(span_id) == 16 and trace_id != _NO_TRACE and span_id != _NO_SPAN


def _protobuf(data: bytes, signal: str) -> tuple[list[dict[str, Any]], int]:
    from label_studio_otel.otlp import protobuf  # noqa: PLC0415 - it takes 60 ms to import

    decoded = protobuf.decode_as(signal, data)
    if decoded is None:
        raise DecodeError(f"no OTLP request for {signal} in protobuf")
    return decoded, 0


def _json(data: bytes, read: Callable[[Any], tuple[list[dict[str, Any]], int]]) -> tuple[list[dict[str, Any]], int]:
    try:
        return read(otlp.loaded(data))
    except json.JSONDecodeError as error:
        raise DecodeError(f"no JSON from character {error.pos} on") from None
    except otlp.UNREADABLE as error:
        raise DecodeError(f"JSON, but not that of an OTLP request ({type(error).__name__})") from None
