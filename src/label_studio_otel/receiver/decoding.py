"""The body of an export request, already decompressed, to what of it is taken in."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple, TypeVar

from label_studio_otel import pipeline, reading
from label_studio_otel.errors import RequestTooLarge
from label_studio_otel.otlp import request

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from label_studio_otel.calls.selection import Selection
    from label_studio_otel.outbox.items import NewEvent, NewItem

Record = TypeVar("Record", "NewItem", "NewEvent")

__all__ = ["ANSWER_WITHIN", "MAX_BYTES", "RETRY_AFTER", "Read", "read"]

#: Of a body, decompressed: what the OTLP specification recommends.
MAX_BYTES = 64 << 20
#: Of what a request's records come to: each has its resource with it, of which the request has but one.
MAX_RECORDS_BYTES = 256 << 20
#: Seconds until a client is told to come again; Python's exporters wait ten in all, with their own attempts.
ANSWER_WITHIN = 8.0
#: Seconds after which a client shall send again what was not taken.
RETRY_AFTER = 5


class Read(NamedTuple):
    """What a request's body came to."""

    records: Sequence[NewItem | NewEvent] = ()
    #: LLM calls or events that cannot be read.
    rejected: int = 0
    #: Spans or log records in the request, whatever they are.
    received: int = 0


def read(selection: Selection, signal: str, body: bytes, *, is_json: bool) -> Read:
    """Read a request for `traces`, `logs` or `metrics`; of the last nothing is taken.

    Raises:
        DecodeError: it is no OTLP.
        RequestTooLarge: it has more spans or log records than one may, or they come to more bytes.
    """
    if signal == "traces":
        spans, rejected, received = request.traces(body, reading.keys(), is_json=is_json)
        return Read(_bounded(pipeline.new_item(*one) for one in selection.calls(spans)), rejected, received)
    if signal == "logs":
        logs, rejected, received = request.logs(body, is_json=is_json)
        return Read(_bounded(pipeline.new_event(one) for one in selection.events(logs)), rejected, received)
    return Read()


def _bounded(records: Iterable[Record]) -> list[Record]:
    found = []
    size = 0
    for record in records:
        size += len(record.payload)
        if size > MAX_RECORDS_BYTES:
            raise RequestTooLarge(f"the request comes to more than {MAX_RECORDS_BYTES} bytes, a resource for each call")
        found.append(record)
    return found
