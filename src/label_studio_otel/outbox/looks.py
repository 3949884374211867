"""What is asked of an outbox again and again while calls are delivered; each answer takes milliseconds, whatever waits.

The queries read the index over what waits: never a record, those of 100,000 items are a gigabyte, and never what was
delivered or doubled, of which there is a month's.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from label_studio_otel.metrics.counts import Backlog

if TYPE_CHECKING:
    from collections.abc import Iterable

    from label_studio_otel.outbox.database import Database

__all__ = ["Progress", "depth", "progress", "states_of"]

#: States of what is still to be delivered.
OPEN = ("pending", "leased", "uncertain")

WAITING = """
    SELECT destination, state, COUNT(*) AS number, MIN(id) AS first FROM item INDEXED BY item_waiting
    WHERE destination IN (SELECT id FROM destination) AND state <> 'delivered'
          AND state IN ('pending', 'leased', 'uncertain', 'parked')
    GROUP BY destination, state
"""
BLOCKED = "SELECT COUNT(*) FROM destination WHERE state = 'blocked'"
HOPELESS = "SELECT id FROM destination WHERE state = 'blocked' AND NOT passing"
DELIVERED_AT = "SELECT MAX(delivered_at) FROM item WHERE state = 'delivered'"
TAKEN_AT = "SELECT taken_at FROM item WHERE id = ?"
STATES = "SELECT state FROM item WHERE destination IN (SELECT id FROM destination) AND key = ?"


class Progress(NamedTuple):
    """How far delivery is."""

    #: Calls that are still to be delivered.
    left: int = 0
    #: When the last one was delivered, seconds since the epoch; None where none was.
    delivered_at: float | None = None
    #: True when only a person can help: every destination with calls is blocked by what waiting won't mend.
    stuck: bool = False


def depth(outbox: Database, spool_bytes: int = 0) -> Backlog:
    """Return what waits.

    Raises:
        OutboxError: the outbox cannot be read.
    """
    states = dict.fromkeys((*OPEN, "parked"), 0)
    with outbox._transaction() as run:
        rows = run.execute(WAITING).fetchall()
        first = min((row["first"] for row in rows if row["state"] in OPEN), default=None)
        oldest = None if first is None else run.execute(TAKEN_AT, (first,)).fetchone()[0]
        (blocked,) = run.execute(BLOCKED).fetchone()
    for row in rows:
        if row["state"] in states:
            states[row["state"]] += row["number"]
    return Backlog(states, oldest, blocked, spool_bytes)


def progress(outbox: Database) -> Progress:
    """Return how far delivery is.

    Raises:
        OutboxError: the outbox cannot be read.
    """
    with outbox._transaction() as run:
        waiting = [row for row in run.execute(WAITING) if row["state"] in OPEN]
        hopeless = {row["id"] for row in run.execute(HOPELESS)}
        (delivered_at,) = run.execute(DELIVERED_AT).fetchone()
    stuck = bool(waiting) and all(row["destination"] in hopeless for row in waiting)
    return Progress(sum(row["number"] for row in waiting), delivered_at, stuck)


def states_of(outbox: Database, keys: Iterable[str]) -> dict[str, set[str]]:
    """Return the states of the items of each key, one for each destination; a key that is not there is left out.

    Raises:
        OutboxError: the outbox cannot be read.
    """
    with outbox._transaction() as run:
        found = {key: {row["state"] for row in run.execute(STATES, (key,))} for key in keys}
    return {key: states for key, states in found.items() if states}
