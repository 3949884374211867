"""The values that go into the outbox and come out of it; times are seconds since the epoch if nothing else is said."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import NamedTuple

from label_studio_otel.settings import Destination

#: States of calls that did not arrive yet.
OPEN_STATES = ("pending", "leased", "uncertain")
STATES = (*OPEN_STATES, "parked", "delivered", "doubled")


class NewItem(NamedTuple):
    """A call that is not in the outbox yet."""

    destination: Destination
    #: Unique within a destination: trace_id:span_id:start_time_unix_nano.
    key: str
    #: A spool record's payload.
    payload: bytes
    #: Name of the instrumentation scope that wrote the span.
    scope: str = ""
    #: Nanoseconds since the epoch.
    started: int = 0
    ended: int = 0


class NewEvent(NamedTuple):
    """A log event that is not in the outbox yet."""

    #: trace_id:span_id.
    span: str
    #: A spool record's payload.
    payload: bytes


class RestoredItem(NamedTuple):
    """A call that was read from a damaged outbox."""

    destination: Destination
    key: str
    #: None where it is lost, or where the item was done (delivered or merged).
    payload: bytes | None
    state: str
    reason: str | None


@dataclass(frozen=True, slots=True)
class DestinationRow:
    """A destination with what the outbox knows of it."""

    id: int
    destination: Destination
    #: Why nothing is sent, None where the destination is open.
    blocked: str | None = None
    #: True where waiting may remove the cause, False where a person must act.
    passing: bool = False
    #: Id of the project in Label Studio, None until it was found or created.
    project: int | None = None
    #: The highest id of a task when this was read last; tasks of later imports have higher ids. None before that.
    watermark: int | None = None
    #: How many times in a row the destination was blocked.
    failures: int = 0
    retry_at: float = 0.0
    #: The project's `created_at`: a server that was set up anew can have another project with the same id.
    created: str = ""


@dataclass(frozen=True, slots=True)
class Item:
    """One call in the outbox."""

    id: int
    key: str
    #: A spool record's payload, empty where the call is done or a damaged outbox lost it.
    record: bytes
    #: Requests that contained this item, counted from 0 again when it is clear that it was not the cause of a failure.
    attempts: int = 0
    #: Number of predictions that were sent with it.
    predictions: int = 0
    taken_at: float = 0.0
    #: Largest number of items in a batch that contains this one, None for any.
    at_most: int | None = None


@dataclass(frozen=True, slots=True)
class Overlap:
    """An item whose call ran at the same time as another one."""

    id: int
    key: str
    state: str
    #: Of a merged item: the key of the item that is the same call.
    winner: str | None
    fingerprint: str | None


@dataclass(frozen=True, slots=True)
class Batch:
    """Items that were sent in one request whose outcome is uncertain."""

    id: int
    destination_id: int
    project: int
    #: Tasks of this batch have higher ids.
    watermark: int
    sent_at: float
    looked_at: float | None
    lookups: int
    #: Why it is uncertain.
    reason: str | None = None
    #: HTTP status of the response, None where there was none.
    answer: int | None = None
    #: Id of the import where Label Studio carries it out later.
    import_id: int | None = None


@dataclass(frozen=True, slots=True)
class Recheck:
    """Calls whose tasks were found and are looked up once more: a surplus task may appear late."""

    id: int
    project: int
    #: Tasks of these calls have higher ids.
    watermark: int
    keys: tuple[str, ...]


class Progress(NamedTuple):
    """How far delivery is."""

    #: Calls that are still to be delivered.
    left: int = 0
    #: When the last call was delivered, None where none was.
    delivered_at: float | None = None
    #: True when every destination with such calls is blocked until a person acts.
    stuck: bool = False


@dataclass(slots=True)
class Summary:
    """Counts of all that is in an outbox."""

    #: Number of items by state.
    states: dict[str, int] = field(default_factory=lambda: dict.fromkeys(STATES, 0))
    #: When the oldest item that is neither delivered nor merged was taken.
    oldest: float | None = None
    #: For each destination: its number of items by state, and of its parked items by reason.
    destinations: list[tuple[DestinationRow, dict[str, int], dict[str, int]]] = field(default_factory=list)
    #: Stored numbers by name.
    counters: dict[str, float] = field(default_factory=dict)
