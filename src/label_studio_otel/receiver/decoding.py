"""Decodes the body of an export request, after decompression, to the calls and log events for the outbox."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple

from label_studio_otel import pipeline, reading
from label_studio_otel.calls.selection import Selection
from label_studio_otel.errors import RequestTooLarge
from label_studio_otel.otlp import request
from label_studio_otel.outbox.items import NewEvent, NewItem

#: The limit of bytes of all records of a request. They may exceed the body, as each record has a copy of its resource.
MAX_RECORDS_BYTES = 256 << 20


class DecodedRequest(NamedTuple):
    """What a request holds: records for the outbox, and counts."""

    records: Sequence[NewItem | NewEvent] = ()
    #: The number of LLM calls or events that cannot be read.
    rejected: int = 0
    #: The number of all spans or log records.
    span_count: int = 0


def decode(selection: Selection, signal: str, body: bytes, *, is_json: bool) -> DecodedRequest:
    """Return the calls of a request for `traces`, or the log events of one for `logs`; nothing for `metrics`.

    Raises:
        DecodeError: the body is not OTLP.
        RequestTooLarge: it has too many spans or log records, or their records have too many bytes.
    """
    if signal == "metrics":
        return DecodedRequest()
    found = request.select(signal, body, reading.keys(), is_json=is_json)
    made: Iterable[NewItem | NewEvent]
    if signal == "traces":
        made = (pipeline.new_item(*one) for one in selection.calls(found.items))
    else:
        made = (pipeline.new_event(one) for one in selection.events(found.items))
    records = []
    size = 0
    for record in made:
        size += len(record.payload)
        if size > MAX_RECORDS_BYTES:
            raise RequestTooLarge(f"the request comes to more than {MAX_RECORDS_BYTES} bytes, a resource for each call")
        records.append(record)
    return DecodedRequest(records, found.rejected, found.span_count)
