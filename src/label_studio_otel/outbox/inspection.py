"""Answers questions of `doctor` about an outbox file of any version: its schema, and repeated span ids. Reads only."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

from label_studio_otel.outbox.migrations import STEPS

#: A key is trace_id:span_id:start_time_unix_nano; the first 49 characters are the two ids.
REPEATED = """
    SELECT count(*) FROM (
        SELECT 1 FROM item GROUP BY substr(key, 1, 49) HAVING count(DISTINCT substr(key, 51)) > 1
    )
"""


def newer_schema(path: Path) -> tuple[int, int] | None:
    """Return the file's schema number and the newest known one; None unless the file's is newer."""
    schema = _number(path, "PRAGMA user_version")
    return (schema, len(STEPS)) if schema > len(STEPS) else None


def repeated_span_ids(path: Path) -> int:
    """Return how many pairs of trace id and span id have more than one start time."""
    return _number(path, REPEATED)


def _number(path: Path, query: str) -> int:
    """Return the number that a query returns, 0 where the outbox is missing or unreadable, which `status` reports."""
    if not path.exists():
        return 0
    try:
        with closing(sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True, timeout=5)) as connection:
            return int(connection.execute(query).fetchone()[0])
    except sqlite3.DatabaseError:
        return 0
