"""The outbox: every LLM span that was taken, until its task is known to be in Label Studio.

States of an item, each arrow one named query in `queries.sql`::

              accept                lease (committed before the request)
    spool ───────────→ pending ───────────────────────→ leased ──── deliver ────→ delivered ── expire ──→ (forgotten)
    damaged outbox ──→  ↑ │ ↑ │                          │ │ │                        ↑ ↑
              restore   │ │ │ ├── double ──→ doubled      │ │ │                        │ └── adopt (pending, and found
              (in any   │ │ │ └── give_up ─→ (dropped)   │ │ │                        │     before it was sent)
              state)    │ │ └──────── release ───────────┘ │ └─ doubt, ──→ uncertain ─┤
                  unpark│ │park       (nothing arrived)    │    interrupt    │        │ deliver (found)
                        │ ↓                                │ park            │ absent
                       parked ←────────────────────────────┘      pending ←──┘ (looked up long enough)
                          └── give_up ─→ (dropped)

A destination is `open` or `blocked(reason)`; while it is blocked its items stay pending. Whoever holds the state
directory's lock is the only one that writes.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple, Protocol

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from label_studio_otel.settings import Destination

__all__ = ["STATES", "Batch", "Item", "Outbox", "Overlap", "Summary", "Taken", "Target", "Watch"]

STATES = ("pending", "leased", "uncertain", "parked", "delivered", "doubled")


@dataclass(frozen=True, slots=True)
class Target:
    """A destination as the outbox knows it."""

    id: int
    destination: Destination
    #: Why nothing is sent, None where it is open.
    blocked: str | None = None
    #: True where waiting may mend what blocks it, False where a person must act.
    passing: bool = False
    #: Id of the project in Label Studio, None until it was found or made.
    project: int | None = None
    #: Id of a task that existed before any batch still in doubt was sent.
    watermark: int | None = None
    #: Times in a row that it turned out to be blocked.
    failures: int = 0
    #: When to try again, seconds since the epoch.
    retry_at: float = 0.0
    #: When its project was made, as Label Studio says it: another project can have its id, on a server set up anew.
    created: str = ""


class Taken(NamedTuple):
    """A call as it comes in."""

    destination: Destination
    #: Unique for a destination.
    key: str
    #: A spool record's payload.
    payload: bytes
    #: Who wrote the span.
    scope: str = ""
    #: Nanoseconds since the epoch.
    started: int = 0
    ended: int = 0


@dataclass(frozen=True, slots=True)
class Overlap:
    """An item that went on at the same time as others."""

    id: int
    key: str
    state: str
    #: Of a doubled one: the key of the item that is the same call.
    winner: str | None
    fingerprint: str | None


@dataclass(frozen=True, slots=True)
class Item:
    """One call that waits to become a task."""

    id: int
    key: str
    #: A spool record's payload.
    record: bytes
    #: Requests it was part of, since one of them last failed without this being the likely cause.
    attempts: int = 0
    #: Predictions that were sent with it.
    predictions: int = 0
    #: Seconds since the epoch.
    taken_at: float = 0.0
    #: Largest batch that it may be in, None where any.
    at_most: int | None = None


@dataclass(frozen=True, slots=True)
class Batch:
    """Items that were sent together and whose arrival is in doubt."""

    id: int
    target: int
    project: int
    #: Tasks of this batch have higher ids.
    watermark: int
    sent_at: float
    looked_at: float | None
    lookups: int
    #: What put it in doubt.
    reason: str | None = None
    #: The HTTP status of the answer, None where there was none.
    answer: int | None = None
    #: Id of the import, where Label Studio carries it out later.
    import_id: int | None = None


@dataclass(frozen=True, slots=True)
class Watch:
    """Calls whose tasks were found, and that are looked up once more: a copy may appear late."""

    id: int
    project: int
    #: Tasks of these calls have higher ids.
    watermark: int
    keys: tuple[str, ...]


@dataclass(slots=True)
class Summary:
    """What stands in an outbox."""

    #: Number of items by state.
    states: dict[str, int] = field(default_factory=lambda: dict.fromkeys(STATES, 0))
    #: When the oldest that is not delivered was taken, seconds since the epoch.
    oldest: float | None = None
    #: By destination: its own states, why it is blocked, why items are parked.
    targets: list[tuple[Target, dict[str, int], dict[str, int]]] = field(default_factory=list)
    #: What was counted and noted, by name.
    facts: dict[str, float] = field(default_factory=dict)


class Outbox(Protocol):
    """What delivery needs of an outbox; every method is one transaction, durable when it returns.

    Raises:
        OutboxError: from every method, when the storage cannot be used.
    """

    def accept(
        self,
        records: Sequence[tuple[Destination, str, bytes] | Taken],
        spool: str,
        position: int,
        due_at: float,
        events: Sequence[tuple[str, bytes]] = (),
    ) -> int:
        """Take calls and log events (trace_id:span_id, payload).

        Notes how far the spool was read, whose name is empty where they come from elsewhere; returns how many calls
        were new.
        """

    def positions(self) -> dict[str, int]:
        """Return how far each spool file was read."""

    def forget_spool(self, name: str) -> None:
        """Drop the position of a file that is gone."""

    def targets(self) -> list[Target]:
        """Return all destinations that calls were taken for and not all forgotten, and the newest one."""

    def waiting(self) -> list[tuple[Target, float]]:
        """Return the destinations with pending items, and when the first of these is due."""

    def due(self, target: int, limit: int, after: int = 0) -> list[Item]:
        """Return items to send now whose id is above `after`, the oldest first."""

    def scopes(self, target: int) -> set[str]:
        """Return who wrote spans for a destination, two of them where there are more."""

    def overlapping(self, target: int, started: int, ended: int) -> list[Overlap]:
        """Return what went on between these times (nanoseconds): what waits, and what else has a fingerprint."""

    def record(self, item: int) -> bytes:
        """Return the record of an item, nothing where it is not needed any more."""

    def note_fingerprints(self, fingerprints: Mapping[int, str]) -> None:
        """Keep what tells whether another span is the same call (id: fingerprint)."""

    def has_events(self) -> bool:
        """Tell whether there are log events at all."""

    def events(self, span: str) -> list[bytes]:
        """Return the log events of a span (trace_id:span_id)."""

    def are_pending(self, items: Sequence[Item]) -> bool:
        """Tell whether all of these may still be sent."""

    def next_due(self, target: int) -> float | None:
        """Return when the next pending item is due, None where none is pending."""

    def waive(self) -> None:
        """Let nothing settle any longer."""

    def resolve(self, target: int, project: int | None, watermark: int | None, created: str = "") -> None:
        """Note which project a destination is, None where it must be found anew, and when that project was made."""

    def block(self, target: int, reason: str, retry_at: float, *, passing: bool) -> None:
        """Close a destination until then."""

    def unblock(self, target: int) -> None:
        """Open a destination."""

    def lease(self, target: int, project: int, watermark: int, predictions: Mapping[int, int]) -> int:
        """Mark items (id: predictions to be sent) as being sent; return the batch."""

    def deliver(self, batch: int, tasks: Mapping[int, int | None], *, look_at: float | None = None) -> None:
        """Note that items (id: id of the task) arrived, and when to look them up once more, None for never."""

    def postpone(self, due_at: Mapping[int, float]) -> None:
        """Let pending items (id: when they may be sent) wait."""

    def adopt(self, tasks: Mapping[int, int]) -> None:
        """Note that pending items (id: id of the task) are there already."""

    def double(self, winners: Mapping[int, str]) -> None:
        """Note that pending items (id: key of the other one) are the same call as another item."""

    def release(self, batch: int, due_at: float, reason: str | None) -> None:
        """Give the leased items of a batch back: nothing arrived."""

    def doubt(self, batch: int, reason: str, *, answer: int | None = None, import_id: int | None = None) -> None:
        """Note that the leased items of a batch may have arrived, and what was answered."""

    def take_over(self, reason: str) -> int:
        """Put in doubt what another deliverer had leased when it died, and let blocked destinations be tried at once.

        Returns how many batches are in doubt.
        """

    def interrupt(self, target: int, reason: str) -> None:
        """Put in doubt what of a destination is leased, and nobody waits for."""

    def shift(self, seconds: float) -> None:
        """Move all times of what is not delivered: the clock was set by so much."""

    def uncertain(self) -> list[Batch]:
        """Return the batches in doubt."""

    def items(self, batch: int) -> list[Item]:
        """Return the items of a batch."""

    def watches(self, now: float) -> list[Watch]:
        """Return what is to be looked up once more."""

    def rewatch(self, watch: int, look_at: float) -> None:
        """Put that look off."""

    def unwatch(self, watch: int) -> None:
        """Note that it was looked up once more."""

    def looked(self, batch: int) -> None:
        """Note that a batch was looked up."""

    def absent(self, batch: int, reason: str, *, at_most: int | None = None, suspect: bool = False) -> None:
        """Give the items in doubt back, they did not arrive; they are sent in batches of at most so many.

        Where they are not suspect, how often they were sent is counted anew.
        """

    def park(self, reasons: Mapping[int, str]) -> None:
        """Keep items (id: reason) out of delivery until an operator says `retry`."""

    def retry(self) -> int:
        """Send parked items again and probe blocked destinations now; return how many items."""

    def movable(self, limit: int) -> list[Item]:
        """Return items that never left for this server, parked ones too, the oldest first."""

    def drop(self, items: Sequence[int]) -> None:
        """Forget items that are kept elsewhere now."""

    def expire(self, before: float) -> int:
        """Forget what was delivered before then, return how many.

        With it go destinations of which nothing is left, and log events that no call claimed for an hour.
        """

    def expire_oldest(self, limit: int, before: float) -> int:
        """Forget so many of what was delivered first, and of log events without a call that waits, all before then.

        Returns how many.
        """

    def give_up(self, before: float) -> int:
        """Drop what has waited since before then, and count it; return how many."""

    def has_delivered(self, target: int, since: float) -> bool:
        """Tell whether something was delivered to a destination since then."""

    def facts(self) -> dict[str, float]:
        """Return numbers by name: what was counted and noted."""

    def note(self, name: str, value: float) -> None:
        """Keep a number."""

    def count(self, name: str, number: int) -> None:
        """Add to a number."""

    def is_unused(self) -> bool:
        """Tell whether nothing was ever taken or noted."""

    def is_removed(self) -> bool:
        """Tell whether somebody took the storage away, so that what is written now is lost."""

    def used_bytes(self) -> int:
        """Return how much room the outbox takes."""

    def summary(self) -> Summary:
        """Return the counts."""

    def close(self) -> None:
        """Let go of the storage; the next call opens it again."""
