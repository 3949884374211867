"""The outbox's file: opened on demand, one transaction at a time, closed before a fork.

Never opened in a thread of the application: a handle that is inherited loses commits silently.
"""

from __future__ import annotations

import os
import re
import sqlite3
import threading
import time
from contextlib import contextmanager
from functools import cache
from importlib import resources
from typing import TYPE_CHECKING, Any

from label_studio_otel.errors import OutboxCorrupt, OutboxError
from label_studio_otel.files import make_directory
from label_studio_otel.outbox.migrations import is_older, migrate

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

__all__ = ["Database"]

#: Seconds to wait for a reader (`status`) to let go.
BUSY_TIMEOUT = 5.0


@cache
def queries() -> dict[str, str]:
    """Return the named queries of queries.sql."""
    text = resources.files("label_studio_otel.outbox").joinpath("queries.sql").read_text("utf-8")
    parts = re.split(r"^-- ([a-z_]+)$", text, flags=re.MULTILINE)
    return dict(zip(parts[1::2], (body.strip() for body in parts[2::2]), strict=True))


class Database:
    """One SQLite file and the named queries on it.

    Args:
        path: the database; its directory is made when it is first written.
        read_only: open without writing anything, for `status`.
        clock: seconds since the epoch.
        synchronous: SQLite's: with FULL, a commit survives a loss of power too.
    """

    def __init__(
        self,
        path: Path,
        *,
        read_only: bool = False,
        clock: Callable[[], float] = time.time,
        synchronous: str = "NORMAL",
    ) -> None:
        self._path = path
        self._read_only = read_only
        self._clock = clock
        self._synchronous = synchronous
        self._connection: sqlite3.Connection | None = None
        #: Held for the length of one transaction; a fork of this process waits for it.
        self.lock = threading.RLock()

    def used_bytes(self) -> int:
        """Return how much of the file is in use."""
        with self._transaction() as run:
            pages, free, size = (
                run.execute(f"PRAGMA {name}").fetchone()[0] for name in ("page_count", "freelist_count", "page_size")
            )
        return int((pages - free) * size)

    def is_removed(self) -> bool:
        """Tell whether what is written now goes into a file without a name."""
        return self._connection is not None and not self._path.exists()

    def check(self) -> None:
        """Read all of the file.

        Raises:
            OutboxCorrupt: it is damaged.
        """
        with self._transaction() as run:
            (found,) = run.execute("PRAGMA quick_check(1)").fetchone()
            if found != "ok":
                raise sqlite3.DatabaseError(f"malformed: {found}")

    def close(self) -> None:
        """Let go of the file; the next call opens it again."""
        with self.lock:
            connection, self._connection = self._connection, None
            if connection is not None:
                connection.close()

    def abandon(self) -> sqlite3.Connection | None:
        """Begin anew in a forked child that inherited an open handle; return it, to be kept and never used.

        Closing it here would drop the parent's work; the caller must not open an outbox in this process again.
        """
        self.lock = threading.RLock()
        connection, self._connection = self._connection, None
        return connection

    def _rows(self, query: str, /, **values: Any) -> list[sqlite3.Row]:
        with self._transaction() as run:
            return self._run(run, query, **values).fetchall()

    def _change(self, query: str, /, **values: Any) -> None:
        with self._transaction() as run:
            self._run(run, query, **values)

    def _run(self, connection: sqlite3.Connection, query: str, /, **values: Any) -> sqlite3.Cursor:
        return connection.execute(queries()[query], values)

    @contextmanager
    def _transaction(self) -> Iterator[sqlite3.Connection]:
        with self.lock:
            try:
                connection = self._connection or self._open()
                connection.execute("BEGIN" if self._read_only else "BEGIN IMMEDIATE")
                try:
                    yield connection
                    connection.execute("COMMIT")
                except BaseException:
                    connection.rollback()
                    raise
            except (sqlite3.DatabaseError, OSError) as error:
                self.close()
                kind = OutboxCorrupt if _is_corrupt(error) else OutboxError
                raise kind(f"{self._path}: {error}") from error

    def _open(self) -> sqlite3.Connection:
        if not self._read_only:
            make_directory(self._path.parent)
            os.close(os.open(self._path, os.O_RDWR | os.O_CREAT, 0o600))
        connection = sqlite3.connect(
            f"{self._path.absolute().as_uri()}?mode={'ro' if self._read_only else 'rw'}",
            uri=True,
            timeout=BUSY_TIMEOUT,
            isolation_level=None,
            check_same_thread=False,
        )
        try:
            connection.row_factory = sqlite3.Row
            if not self._read_only:
                connection.execute("PRAGMA journal_mode = WAL")
                connection.execute(f"PRAGMA synchronous = {self._synchronous}")
                migrate(connection)
            elif is_older(connection):
                connection = _migrated_copy(connection)
        except BaseException:
            connection.close()
            raise
        self._connection = connection
        return connection


def _migrated_copy(connection: sqlite3.Connection) -> sqlite3.Connection:
    """Return an older version's file as this version reads it; the file stays as it is."""
    copy = sqlite3.connect(":memory:", isolation_level=None, check_same_thread=False)
    connection.backup(copy)
    connection.close()
    copy.row_factory = sqlite3.Row
    migrate(copy)
    return copy


def _is_corrupt(error: Exception) -> bool:
    """Tell damage from a database that is only busy, full or away; Python 3.10 gives no error codes."""
    return "not a database" in str(error) or "malformed" in str(error)
