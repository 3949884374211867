"""What this process did, as numbers: written where it happens, read by `metrics`."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["Counts"]


@dataclass(slots=True)
class Counts:
    """Numbers since the process began. Each has one writer at a time, so that plain additions suffice."""

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
    #: Bytes of spool files that could not be read.
    damaged_bytes: int = 0
    #: Calls that an age limit gave up.
    expired: int = 0
