"""What this process did, as numbers, and what waits in the outbox, as one reading."""

from __future__ import annotations

from dataclasses import dataclass, field, fields

from label_studio_otel import process

__all__ = ["Backlog", "Counts"]


@dataclass(slots=True)
class Counts:
    """Numbers since the process began. Code that several threads run adds with `add`."""

    #: Calls that settings left out.
    filtered: int = 0
    #: Calls that were lost to an error of ours.
    failed: int = 0
    #: Log events of calls that were kept.
    events: int = 0
    #: Calls that came into the outbox.
    accepted: int = 0
    #: Calls whose span was in the outbox already.
    duplicates: int = 0
    #: Calls whose task is known to be in Label Studio.
    delivered: int = 0
    #: Calls that were refused or could not be read.
    parked: int = 0
    #: Predictions that an import had lost and that were added.
    repaired_predictions: int = 0
    #: Batches whose import was not answered, and that were looked up in Label Studio.
    reconciled_batches: int = 0
    #: Surplus copies of a task that were removed.
    removed_copies: int = 0
    #: Calls that were merged into another span of the same call.
    doubles: int = 0
    #: Bytes of spool files that could not be read.
    damaged_bytes: int = 0
    #: Calls that were given up at the age limit.
    expired: int = 0

    def add(self, **numbers: int) -> None:
        """Add to numbers by their names, from any thread."""
        with process.lock:
            for name, number in numbers.items():
                setattr(self, name, getattr(self, name) + number)

    def reset(self) -> None:
        """Begin from nothing, in a process that was forked."""
        for one in fields(self):
            setattr(self, one.name, 0)


@dataclass(frozen=True, slots=True)
class Backlog:
    """What waits in an outbox, as one reading found it."""

    #: Number of items by state, without the states of items that are done.
    states: dict[str, int] = field(default_factory=dict)
    #: When the oldest item that is to be delivered arrived, seconds since the epoch; None if there is none.
    oldest: float | None = None
    #: Destinations that nothing is sent to.
    blocked: int = 0
    #: Bytes of the spool's files.
    spool_bytes: int = 0
    #: Bytes of the outbox's file that are in use.
    outbox_bytes: int = 0
