"""Reads the body of a request that a receiver got: its signal and its encoding are known, and only a part is wanted.

Spans and log records that are not selected are not read: most of what a Collector sends is no LLM call.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from label_studio_otel.errors import RequestTooLarge
from label_studio_otel.otlp import json, protobuf
from label_studio_otel.otlp.json import Selected

#: Spans, or log records, that one request may have.
MAX_COUNT = 100_000
#: Commas and opening brackets of JSON. OTLP has one in nine bytes or more; each can take a hundred bytes of memory.
MAX_JSON_PARTS = 8 << 20
_NO_TRACE, _NO_SPAN = "0" * 32, "0" * 16
#: The attribute of a log record that is an event; the field `event_name` came with OTLP 1.5.
_EVENT_KEYS = frozenset({"event.name"})


def select(signal: str, data: bytes, keys: frozenset[str], *, is_json: bool, max_count: int = MAX_COUNT) -> Selected:
    """Return the spans (`traces`) with one of these attributes and valid ids, or the log records (`logs`) with a name.

    Spans without valid ids are counted as rejected.

    Raises:
        DecodeError: the request is not OTLP; the message quotes nothing of it.
        RequestTooLarge: it has more spans or log records than `max_count`, or its JSON has too many parts.
    """
    if signal == "logs":
        keys = _EVENT_KEYS
    if not is_json:
        found = protobuf.select(signal, data, keys, max_count)
    elif len(data) > MAX_JSON_PARTS and sum(map(data.count, (b",", b"[", b"{"))) > MAX_JSON_PARTS:
        raise RequestTooLarge(f"the request has more than {MAX_JSON_PARTS} parts")
    else:
        found = json.select(signal, json.load(data), keys, max_count)
    if signal == "logs":
        return found
    valid = [span for span in found.items if _has_ids(span)]
    return Selected(valid, found.rejected + len(found.items) - len(valid), found.span_count)


def _has_ids(span: Mapping[str, Any]) -> bool:
    trace_id, span_id = span["traceId"], span["spanId"]
    return len(trace_id) == 32 and len(span_id) == 16 and trace_id != _NO_TRACE and span_id != _NO_SPAN
