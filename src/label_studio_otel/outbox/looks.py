"""What is asked of an outbox again and again while calls are delivered; each answer takes milliseconds, whatever waits.

The queries read the index over what waits and never a record: those of 100,000 items are a gigabyte.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from label_studio_otel.metrics.counts import Depth

if TYPE_CHECKING:
    from collections.abc import Iterable

    from label_studio_otel.outbox.database import Database

__all__ = ["depth", "states_of"]

#: States of what is still to be delivered.
OPEN = ("pending", "leased", "uncertain")

WAITING = """
    SELECT destination, state, COUNT(*) AS number, MIN(id) AS first FROM item WHERE state <> 'delivered'
    GROUP BY destination, state
"""
BLOCKED = "SELECT COUNT(*) FROM destination WHERE state = 'blocked'"
TAKEN_AT = "SELECT taken_at FROM item WHERE id = ?"
STATES = "SELECT state FROM item WHERE destination IN (SELECT id FROM destination) AND key = ?"


def depth(outbox: Database, spool_bytes: int = 0) -> Depth:
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
    return Depth(states, oldest, blocked, spool_bytes)


def states_of(outbox: Database, keys: Iterable[str]) -> dict[str, set[str]]:
    """Return the states of the items of each key, one for each destination; a key that is not there is left out.

    Raises:
        OutboxError: the outbox cannot be read.
    """
    with outbox._transaction() as run:
        found = {key: {row["state"] for row in run.execute(STATES, (key,))} for key in keys}
    return {key: states for key, states in found.items() if states}
