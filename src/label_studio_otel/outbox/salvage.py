"""Keeps a damaged outbox under another name, and copies all calls that can be read into the new one.

A damaged file is never deleted. Its name says what was done: `outbox.db.unread-TIME` until all that can be read was
copied, `outbox.db.corrupt-TIME` from then on.
"""

from __future__ import annotations

import itertools
import sqlite3
import time
from collections.abc import Iterator
from contextlib import closing, suppress
from pathlib import Path
from typing import Any, TypeVar

from label_studio_otel.outbox.items import NewEvent, RestoredItem
from label_studio_otel.outbox.outbox import Outbox
from label_studio_otel.settings import Destination

#: Parts of the names, before and after all that can be read was copied.
UNREAD, CORRUPT = "unread", "corrupt"
#: Files beside a database. One that stayed behind would be taken for the new database's.
JOURNALS = ("-wal", "-shm")

Value = TypeVar("Value")

DESTINATIONS = "SELECT id, project_name, project_id, mode, project_config, default_name FROM destination"
#: Schemas 1 and 2 have the records in `item`, later ones in `payload`.
ITEMS_WITH_RECORDS = "SELECT id, destination, key, record, state, reason FROM item NOT INDEXED"
ITEMS = """
SELECT id, destination, key, COALESCE((SELECT payload.record FROM payload WHERE payload.item = item.id), item.record),
       state, reason
FROM item NOT INDEXED
"""
DONE = """
SELECT id, destination, key, NULL, state, reason FROM item NOT INDEXED
WHERE id > ? AND id < ? AND state IN ('delivered', 'doubled') ORDER BY id
"""


def quarantine(path: Path, now: float) -> None:
    """Rename a damaged outbox.

    Raises:
        OSError: it cannot be renamed.
    """
    when = time.strftime("%Y%m%dT%H%M%S", time.localtime(now))
    _rename(path, f"{path.name}.{UNREAD}-{when}")


def quarantined(outbox: Path) -> list[Path]:
    """Return the damaged files of which not everything that can be read was copied."""
    found = outbox.parent.glob(f"{outbox.name}.{UNREAD}-*")
    return sorted(path for path in found if not path.name.endswith(JOURNALS))


def mark_salvaged(path: Path) -> Path:
    """Rename a damaged file of which everything that can be read was copied; return its last name."""
    return _rename(path, path.name.replace(f".{UNREAD}-", f".{CORRUPT}-"))


def salvage(path: Path, outbox: Outbox) -> int:
    """Copy every call that can be read into another outbox; return how many.

    What was not delivered becomes pending, with its log events; what was parked stays parked; what was delivered keeps
    its key, so that it is not sent again.

    Raises:
        OutboxError: the new outbox cannot be written.
    """
    saved = 0
    with suppress(sqlite3.DatabaseError), closing(_opened(path)) as damaged:  # else not even the tables can be read
        for calls in _parts(_calls(damaged)):
            outbox.restore(calls)
            saved += len(calls)
        for events in _parts(_events(damaged)):
            outbox.accept((), "", 0, 0.0, events)
    return saved


def was_sending(path: Path) -> bool:
    """Return whether a damaged outbox had sent items that may still arrive; True if this cannot be read."""
    try:
        with closing(_opened(path)) as damaged:
            return damaged.execute("SELECT 1 FROM batch").fetchone() is not None
    except sqlite3.DatabaseError:
        return True


def _rename(path: Path, name: str) -> Path:
    """Rename a database and its journals, to a name that does not exist yet; return the new path."""
    new, number = path.with_name(name), 1
    while new.exists():
        number += 1
        new = path.with_name(f"{name}-{number}")
    for suffix in (*JOURNALS, ""):
        with suppress(FileNotFoundError):
            path.with_name(f"{path.name}{suffix}").rename(new.with_name(f"{new.name}{suffix}"))
    return new


def _opened(path: Path) -> sqlite3.Connection:
    # `immutable` writes nothing beside the file, but does not read the journal: only for an empty one.
    journal = path.with_name(f"{path.name}-wal")
    mode = "mode=ro" if journal.exists() and journal.stat().st_size else "immutable=1"
    return sqlite3.connect(f"{path.absolute().as_uri()}?{mode}", uri=True, timeout=5)


def _parts(values: Iterator[Value]) -> Iterator[list[Value]]:
    """Yield the values in lists, one for each transaction."""
    while part := list(itertools.islice(values, 50)):
        yield part


def _calls(damaged: sqlite3.Connection) -> Iterator[RestoredItem]:
    destinations = {
        number: Destination(name, project_id or None, mode, config, bool(default_name))
        for number, name, project_id, mode, config, default_name in damaged.execute(DESTINATIONS)
    }
    for _, destination, *values in _items(damaged):
        if destination in destinations:
            yield RestoredItem(destinations[destination], *values)


def _events(damaged: sqlite3.Connection) -> Iterator[NewEvent]:
    """Yield the log events before the damage; schema 1 has none."""
    with suppress(sqlite3.DatabaseError):
        yield from itertools.starmap(NewEvent, damaged.execute("SELECT span, record FROM event ORDER BY id"))


def _items(damaged: sqlite3.Connection) -> Iterator[tuple[Any, ...]]:
    """Yield the rows before the damage, those after it, and between them what was done: its rows have no record."""
    first, last = 2**63 - 1, 0
    has_payloads = damaged.execute("SELECT 1 FROM sqlite_master WHERE name = 'payload'").fetchone() is not None
    items = ITEMS if has_payloads else ITEMS_WITH_RECORDS
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
