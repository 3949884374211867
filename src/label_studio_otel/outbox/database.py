"""Opens the outbox's SQLite file when it is needed, runs named queries in transactions, and closes it before a fork.

Never opened in a thread of the application: a connection that a forked child inherits loses commits without an error.
"""

from __future__ import annotations

import os
import re
import sqlite3
import threading
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from functools import cache
from importlib import resources
from pathlib import Path
from typing import Any

from label_studio_otel.errors import OutboxCorrupt, OutboxError
from label_studio_otel.files import make_directory
from label_studio_otel.outbox.migrations import STEPS, migrate

#: Seconds to wait for another process that uses the file, such as `status`.
BUSY_TIMEOUT_S = 5.0
#: A key is trace_id:span_id:start_time_unix_nano; the first 49 characters are the two ids.
REPEATED_SPAN_IDS = """
    SELECT count(*) FROM (
        SELECT 1 FROM item GROUP BY substr(key, 1, 49) HAVING count(DISTINCT substr(key, 51)) > 1
    )
"""


@cache
def queries() -> dict[str, str]:
    """Return the queries of queries.sql by name. Each begins with `-- name` and ends before an empty line."""
    text = resources.files("label_studio_otel.outbox").joinpath("queries.sql").read_text("utf-8")
    return dict(re.findall(r"^-- ([a-z_]+)(?:: [^\n]*)?\n(.*?;)\n(?:\n|\Z)", text, flags=re.MULTILINE | re.DOTALL))


class Transaction:
    """Runs named queries on an open connection."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self.connection = connection

    def rows(self, query: str, /, **values: Any) -> list[sqlite3.Row]:
        """Run a query and return its rows."""
        return self._run(query, values).fetchall()

    def change(self, query: str, /, **values: Any) -> int:
        """Run a query; return how many rows it changed, or its last statement if it has several."""
        return self._run(query, values).rowcount

    def insert(self, query: str, /, **values: Any) -> int | None:
        """Return the id of the row that a statement inserted, None where the row was there already."""
        cursor = self._run(query, values)
        return cursor.lastrowid if cursor.rowcount else None

    def _run(self, query: str, values: dict[str, Any]) -> sqlite3.Cursor:
        *before, last = queries()[query].split(";\n")  # SQLite runs one statement at a time
        for statement in before:
            self.connection.execute(statement, values)
        return self.connection.execute(last, values)


class Database:
    """One SQLite file. Any thread may call; every method can raise OutboxError, or OutboxCorrupt for a damaged file.

    Args:
        path: the file; it and its directory are created by the first transaction.
        read_only: write nothing, as `status` needs it.
        synchronous: SQLite's setting; with FULL, a commit survives a loss of power too.
    """

    def __init__(self, path: Path, *, read_only: bool = False, synchronous: str = "NORMAL") -> None:
        self._path = path
        self._read_only = read_only
        self._synchronous = synchronous
        self._connection: sqlite3.Connection | None = None
        #: Held during each transaction; a fork of this process waits for it.
        self.lock = threading.RLock()

    @contextmanager
    def transaction(self) -> Iterator[Transaction]:
        """Run a block with a `Transaction`; commit all its statements together, or none if it raises."""
        with self.lock:
            try:
                connection = self._connection or self._open()
                connection.execute("BEGIN" if self._read_only else "BEGIN IMMEDIATE")
                try:
                    yield Transaction(connection)
                    connection.execute("COMMIT")
                except BaseException:
                    connection.rollback()
                    raise
            except (sqlite3.DatabaseError, OSError) as error:
                self.close()
                kind = OutboxCorrupt if _is_corrupt(error) else OutboxError
                raise kind(f"{self._path}: {error}") from error

    def rows(self, query: str, /, **values: Any) -> list[sqlite3.Row]:
        """Return the rows of a query, run in a transaction of its own."""
        with self.transaction() as transaction:
            return transaction.rows(query, **values)

    def change(self, query: str, /, **values: Any) -> int:
        """Return how many rows a query changed, run in a transaction of its own."""
        with self.transaction() as transaction:
            return transaction.change(query, **values)

    def change_each(self, query: str, name: str, by_id: Mapping[int, Any], /, **values: Any) -> None:
        """Run a query for each id and its value, which is called `name` there; all in one transaction."""
        with self.transaction() as transaction:
            for item, value in by_id.items():
                transaction.change(query, id=item, **{name: value}, **values)

    def used_bytes(self) -> int:
        """Return how many bytes of the file are in use; deleted rows leave room that is used again."""
        with self.transaction() as transaction:
            pages, free, page_size = (
                transaction.connection.execute(f"PRAGMA {name}").fetchone()[0]
                for name in ("page_count", "freelist_count", "page_size")
            )
        return int((pages - free) * page_size)

    def check(self) -> None:
        """Read the whole file.

        Raises:
            OutboxCorrupt: it is damaged.
        """
        with self.transaction() as transaction:
            (result,) = transaction.connection.execute("PRAGMA quick_check(1)").fetchone()
            if result != "ok":
                raise sqlite3.DatabaseError(f"malformed: {result}")

    def is_removed(self) -> bool:
        """Return whether somebody deleted the open file, so that what is written now is lost."""
        return self._connection is not None and not self._path.exists()

    def close(self) -> None:
        """Close the file; the next transaction opens it again."""
        with self.lock:
            connection, self._connection = self._connection, None
            if connection is not None:
                connection.close()

    def abandon(self) -> sqlite3.Connection | None:
        """Drop a connection that a forked child inherited, and return it; the caller keeps it and never uses it.

        To close it would drop the parent's work. This process must not open the same file again.
        """
        self.lock = threading.RLock()
        connection, self._connection = self._connection, None
        return connection

    def _open(self) -> sqlite3.Connection:
        if not self._read_only:
            make_directory(self._path.parent)
            os.close(os.open(self._path, os.O_RDWR | os.O_CREAT, 0o600))
        connection = sqlite3.connect(
            f"{self._path.absolute().as_uri()}?mode={'ro' if self._read_only else 'rw'}",
            uri=True,
            timeout=BUSY_TIMEOUT_S,
            isolation_level=None,
            check_same_thread=False,
        )
        try:
            connection.row_factory = sqlite3.Row
            if not self._read_only:
                connection.execute("PRAGMA journal_mode = WAL")
                connection.execute(f"PRAGMA synchronous = {self._synchronous}")
                migrate(connection)
            elif connection.execute("PRAGMA user_version").fetchone()[0] < len(STEPS):
                connection = _migrated_copy(connection)
        except BaseException:
            connection.close()
            raise
        self._connection = connection
        return connection


def _migrated_copy(connection: sqlite3.Connection) -> sqlite3.Connection:
    """Return a copy in memory of an older version's file, with this version's schema; the file is not changed."""
    copy = sqlite3.connect(":memory:", isolation_level=None, check_same_thread=False)
    connection.backup(copy)
    connection.close()
    copy.row_factory = sqlite3.Row
    migrate(copy)
    return copy


def _is_corrupt(error: Exception) -> bool:
    """Return whether an error means a damaged file, not one that is busy, full or missing. Python 3.10 has no codes."""
    return "not a database" in str(error) or "malformed" in str(error)


def newer_schema(path: Path) -> tuple[int, int] | None:
    """Return a file's schema number and the newest known one; None if the file's is not newer."""
    schema = _number(path, "PRAGMA user_version")
    return (schema, len(STEPS)) if schema > len(STEPS) else None


def repeated_span_ids(path: Path) -> int:
    """Return how many pairs of trace id and span id have more than one start time, in a file of any version."""
    return _number(path, REPEATED_SPAN_IDS)


def _number(path: Path, query: str) -> int:
    """Return the number that a query returns, 0 where the outbox is missing or unreadable, which `status` reports."""
    if not path.exists():
        return 0
    try:
        with closing(sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True, timeout=5)) as connection:
            return int(connection.execute(query).fetchone()[0])
    except sqlite3.DatabaseError:
        return 0
