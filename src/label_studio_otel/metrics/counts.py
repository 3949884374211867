"""What this process did, as numbers: written where it happens, read by `metrics`."""

from __future__ import annotations

import threading
from dataclasses import dataclass, field, fields
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from contextlib import AbstractContextManager

__all__ = ["Counts", "Depth"]


@dataclass(slots=True)
class Counts:
    """Numbers since the process began. What several threads may count is counted by `add`."""

    #: Calls that settings left out.
    filtered: int = 0
    #: Calls that were lost to an error of ours.
    failed: int = 0
    #: Log events that were taken for calls.
    events: int = 0
    #: Calls that came into the outbox.
    accepted: int = 0
    #: Calls that were there already: the same span twice.
    duplicates: int = 0
    #: Calls whose task is known to be in Label Studio.
    delivered: int = 0
    #: Calls that were refused or could not be read.
    parked: int = 0
    #: Predictions that an import had lost and that were added.
    repaired_predictions: int = 0
    #: Batches in doubt that were settled by looking them up.
    reconciled_batches: int = 0
    #: Surplus copies of a task that were removed.
    removed_copies: int = 0
    #: Calls that another span had told already.
    doubles: int = 0
    #: Bytes of spool files that could not be read.
    damaged_bytes: int = 0
    #: Calls that an age limit gave up.
    expired: int = 0

    #: Reentrant: a signal handler of the application may end a span while its thread is in here.
    _lock: AbstractContextManager[Any] = field(default_factory=threading.RLock, repr=False, compare=False)

    def add(self, **numbers: int) -> None:
        """Add to numbers by their names, from any thread."""
        with self._lock:
            for name, number in numbers.items():
                setattr(self, name, getattr(self, name) + number)

    def reset(self) -> None:
        """Begin from nothing, in a process that was forked."""
        self._lock = threading.RLock()  # a thread that is not there any more may hold it
        for one in fields(self):
            if one.name != "_lock":
                setattr(self, one.name, 0)


@dataclass(frozen=True, slots=True)
class Depth:
    """What waits in an outbox, as one look found it."""

    #: Number of items by state, without those that need nothing more.
    states: dict[str, int] = field(default_factory=dict)
    #: When the oldest that is to be delivered was taken, seconds since the epoch; None where there is none.
    oldest: float | None = None
    #: Destinations that nothing is sent to.
    blocked: int = 0
    #: Bytes of the spool's files.
    spool_bytes: int = 0
    #: Bytes of the outbox's file that are in use.
    outbox_bytes: int = 0
