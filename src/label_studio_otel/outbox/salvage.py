"""What can still be read of a damaged outbox: from both ends towards the damage, into a new one."""

from __future__ import annotations

import itertools
import sqlite3
from contextlib import closing, suppress
from typing import TYPE_CHECKING

from label_studio_otel.settings import Destination

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from label_studio_otel.outbox.outbox import SqliteOutbox

__all__ = ["salvage", "was_sending"]

#: Rows in one transaction.
ROWS = 50

DESTINATIONS = "SELECT id, project_id, project_name, mode, default_name, project_config FROM destination"
EVENTS = "SELECT span, record FROM event ORDER BY id"
#: Of the first versions, in which records stood with their items, and of those since.
ITEMS_ALONE = "SELECT id, destination, key, record, state, reason FROM item NOT INDEXED"
ITEMS = """
SELECT id, destination, key, COALESCE((SELECT payload.record FROM payload WHERE payload.item = item.id), item.record),
       state, reason
FROM item NOT INDEXED
"""
DONE = """
SELECT id, destination, key, NULL, state, reason FROM item NOT INDEXED
WHERE id > ? AND id < ? AND state IN ('delivered', 'doubled') ORDER BY id
"""
#: The highest id there can be.
MOST = 2**63 - 1


def salvage(path: Path, outbox: SqliteOutbox) -> int:
    """Take over every call that can be read; return how many.

    What had not arrived is pending again, with its log events; what was parked is parked; what was delivered keeps its
    key, so that it is not sent again.

    Args:
        path: the damaged file.
        outbox: the new one.

    Raises:
        OutboxError: the new outbox cannot be written.
    """
    saved = 0
    try:
        with closing(_opened(path)) as damaged:
            destinations = {row[0]: _destination(row) for row in damaged.execute(DESTINATIONS)}
            rows: list[tuple[Destination, str, bytes | None, str, str | None]] = []
            for row in _items(damaged):
                if row[1] in destinations:
                    rows.append((destinations[row[1]], row[2], row[3], row[4], row[5]))
                    saved += 1
                if len(rows) == ROWS:
                    outbox.restore(rows)
                    rows = []
            outbox.restore(rows)
            events = _events(damaged)
            while part := list(itertools.islice(events, ROWS)):
                outbox.accept((), "", 0, 0.0, part)
    except sqlite3.DatabaseError:
        return saved  # nothing of the file's own tables is left
    return saved


def was_sending(path: Path) -> bool:
    """Tell whether a damaged outbox had something under way or in doubt, which may still arrive; True in doubt."""
    try:
        with closing(_opened(path)) as damaged:
            return damaged.execute("SELECT 1 FROM batch").fetchone() is not None
    except sqlite3.DatabaseError:
        return True


def _opened(path: Path) -> sqlite3.Connection:
    # Immutable: nothing is written beside the file. Only with a journal that holds something it would say too little.
    journal = path.with_name(f"{path.name}-wal")
    mode = "mode=ro" if journal.exists() and journal.stat().st_size else "immutable=1"
    return sqlite3.connect(f"{path.absolute().as_uri()}?{mode}", uri=True, timeout=5)


def _destination(row: tuple[int, int, str, str, int, str | None]) -> Destination:
    return Destination(row[2], row[1] or None, row[3], row[5], bool(row[4]))


def _events(damaged: sqlite3.Connection) -> Iterator[tuple[str, bytes]]:
    """Yield the log events in front of the damage; the first versions had none."""
    try:
        yield from damaged.execute(EVENTS)
    except sqlite3.DatabaseError:
        return


def _items(damaged: sqlite3.Connection) -> Iterator[tuple[int, int, str, bytes | None, str, str | None]]:
    """Yield the rows in front of the damage, those behind it, and of those between what was done: it has no record."""
    first, last = MOST, 0
    items = ITEMS if damaged.execute("SELECT 1 FROM sqlite_master WHERE name = 'payload'").fetchone() else ITEMS_ALONE
    try:
        for row in damaged.execute(f"{items} ORDER BY id"):
            last = row[0]
            yield row
        return
    except sqlite3.DatabaseError:
        with suppress(sqlite3.DatabaseError):
            for row in damaged.execute(f"{items} ORDER BY id DESC"):
                if row[0] <= last:
                    return
                first = row[0]
                yield row
    with suppress(sqlite3.DatabaseError):
        yield from damaged.execute(DONE, (last, first))
