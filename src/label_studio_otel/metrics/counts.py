"""The counts of this process, and the backlog of its outbox."""

from __future__ import annotations

from dataclasses import dataclass, field

from label_studio_otel import process


@dataclass(slots=True)
class Counts:
    """Numbers since the process began; `table.py` says what each means. From several threads, add with `add`."""

    filtered: int = 0
    failed: int = 0
    events: int = 0
    accepted: int = 0
    duplicates: int = 0
    doubles: int = 0
    delivered: int = 0
    parked: int = 0
    expired: int = 0
    repaired_predictions: int = 0
    reconciled_batches: int = 0
    removed_copies: int = 0
    damaged_bytes: int = 0

    def add(self, **numbers: int) -> None:
        """Add to the numbers of these names. Any thread may call it."""
        with process.lock:
            for name, number in numbers.items():
                setattr(self, name, getattr(self, name) + number)


@dataclass(frozen=True, slots=True)
class Backlog:
    """The numbers of what waits in an outbox, at the time of one reading."""

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
