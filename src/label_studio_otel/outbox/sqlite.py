"""The outbox in SQLite: one file, one writing process, every method one transaction.

Never opened in a thread of the application, and closed before its process forks: a handle that is inherited loses
commits silently.
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
from label_studio_otel.outbox import STATES, Batch, Item, Summary, Target
from label_studio_otel.outbox.migrations import migrate
from label_studio_otel.settings import Destination

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from pathlib import Path

__all__ = ["SqliteOutbox"]

#: Seconds to wait for a reader (`status`) to let go.
BUSY_TIMEOUT = 5.0


@cache
def queries() -> dict[str, str]:
    """Return the named queries of queries.sql."""
    text = resources.files("label_studio_otel.outbox").joinpath("queries.sql").read_text("utf-8")
    parts = re.split(r"^-- ([a-z_]+)$", text, flags=re.MULTILINE)
    return dict(zip(parts[1::2], (body.strip() for body in parts[2::2]), strict=True))


class SqliteOutbox:
    """An `Outbox` in one file.

    Args:
        path: the database; its directory is made when it is first written.
        read_only: open without writing anything, for `status`.
        clock: seconds since the epoch.
    """

    def __init__(self, path: Path, *, read_only: bool = False, clock: Callable[[], float] = time.time) -> None:
        self._path = path
        self._read_only = read_only
        self._clock = clock
        self._connection: sqlite3.Connection | None = None
        #: Held for the length of one transaction; a fork of this process waits for it.
        self.lock = threading.RLock()

    def accept(
        self, records: Sequence[tuple[Destination, str, bytes]], spool: str, position: int, due_at: float
    ) -> int:
        """See `Outbox.accept`."""
        with self._transaction() as run:
            now = self._clock()
            ids = {destination: self._destination(run, destination) for destination in {r[0] for r in records}}
            new = 0
            for destination, key, payload in records:
                values = {"destination": ids[destination], "key": key, "record": payload, "state": "pending"}
                new += self._run(run, "accept", **values, now=now, due_at=due_at).rowcount
            self._run(run, "move_offset", name=spool, position=position)
        return new

    def positions(self) -> dict[str, int]:
        """See `Outbox.positions`."""
        return {row["name"]: row["position"] for row in self._rows("spools")}

    def forget_spool(self, name: str) -> None:
        """See `Outbox.forget_spool`."""
        self._change("forget_spool", name=name)

    def targets(self) -> list[Target]:
        """See `Outbox.targets`."""
        return [_target(row) for row in self._rows("destinations")]

    def due(self, target: int, limit: int, after: int = 0) -> list[Item]:
        """See `Outbox.due`."""
        rows = self._rows("due", destination=target, now=self._clock(), limit=limit, after=after)
        return [Item(row["id"], row["key"], row["record"], row["attempts"]) for row in rows]

    def next_due(self, target: int) -> float | None:
        """See `Outbox.next_due`."""
        at: float | None = self._rows("next_due", destination=target)[0]["at"]
        return at

    def waive(self) -> None:
        """See `Outbox.waive`."""
        self._change("waive", now=self._clock())

    def resolve(self, target: int, project: int | None, watermark: int | None) -> None:
        """See `Outbox.resolve`."""
        self._change("resolve", destination=target, project=project, watermark=watermark)

    def block(self, target: int, reason: str, retry_at: float, *, passing: bool) -> None:
        """See `Outbox.block`."""
        self._change("block", destination=target, reason=reason, retry_at=retry_at, passing=int(passing))

    def unblock(self, target: int) -> None:
        """See `Outbox.unblock`."""
        self._change("unblock", destination=target)

    def lease(self, target: int, project: int, watermark: int, predictions: Mapping[int, int]) -> int:
        """See `Outbox.lease`."""
        with self._transaction() as run:
            values = {"destination": target, "project": project, "watermark": watermark, "now": self._clock()}
            batch = self._run(run, "begin_batch", **values).lastrowid
            assert batch is not None
            for item, number in predictions.items():
                self._run(run, "lease", id=item, batch=batch, predictions=number)
        return batch

    def deliver(self, batch: int, tasks: Mapping[int, int | None]) -> None:
        """See `Outbox.deliver`."""
        with self._transaction() as run:
            highest = max((task for task in tasks.values() if task), default=None)
            if highest is not None:
                (target,) = run.execute("SELECT destination FROM batch WHERE id = ?", (batch,)).fetchone()
                self._run(run, "raise_watermark", destination=target, watermark=highest)
            for item, task in tasks.items():
                self._run(run, "deliver", id=item, task=task, now=self._clock())
            self._run(run, "end_batch", batch=batch)

    def release(self, batch: int, due_at: float, reason: str | None) -> None:
        """See `Outbox.release`."""
        with self._transaction() as run:
            self._run(run, "release", batch=batch, due_at=due_at, reason=reason)
            self._run(run, "end_batch", batch=batch)

    def doubt(self, batch: int, reason: str) -> None:
        """See `Outbox.doubt`."""
        self._change("doubt", batch=batch, reason=reason)

    def take_over(self, reason: str) -> int:
        """See `Outbox.take_over`."""
        with self._transaction() as run:
            self._run(run, "probe")
            batches = [row["batch"] for row in self._run(run, "leased_batches")]
            for batch in batches:
                self._run(run, "doubt", batch=batch, reason=reason)
        return len(batches)

    def uncertain(self) -> list[Batch]:
        """See `Outbox.uncertain`."""
        return [Batch(*row) for row in self._rows("uncertain_batches")]

    def items(self, batch: int) -> list[Item]:
        """See `Outbox.items`."""
        rows = self._rows("batch_items", batch=batch)
        return [Item(row["id"], row["key"], row["record"], predictions=row["predictions"]) for row in rows]

    def looked(self, batch: int) -> None:
        """See `Outbox.looked`."""
        self._change("looked", batch=batch, now=self._clock())

    def absent(self, batch: int, reason: str) -> None:
        """See `Outbox.absent`."""
        with self._transaction() as run:
            self._run(run, "absent", batch=batch, now=self._clock(), reason=reason)
            self._run(run, "end_batch", batch=batch)

    def park(self, reasons: Mapping[int, str]) -> None:
        """See `Outbox.park`."""
        with self._transaction() as run:
            for item, reason in reasons.items():
                self._run(run, "park", id=item, reason=reason)

    def retry(self) -> int:
        """See `Outbox.retry`."""
        with self._transaction() as run:
            number = self._run(run, "unpark", now=self._clock()).rowcount
            for row in self._run(run, "destinations").fetchall():
                self._run(run, "unblock", destination=row["id"])
        return number

    def movable(self, limit: int) -> list[Item]:
        """See `Outbox.movable`."""
        rows = self._rows("movable", limit=limit)
        return [Item(row["id"], row["key"], row["record"], row["attempts"]) for row in rows]

    def drop(self, items: Sequence[int]) -> None:
        """See `Outbox.drop`."""
        with self._transaction() as run:
            for item in items:
                self._run(run, "drop", id=item)

    def expire(self, before: float) -> int:
        """See `Outbox.expire`."""
        with self._transaction() as run:
            return self._run(run, "expire", before=before).rowcount

    def summary(self) -> Summary:
        """See `Outbox.summary`."""
        summary = Summary()
        by_target: dict[int, dict[str, int]] = {}
        for row in self._rows("counts"):
            summary.states[row["state"]] += row["number"]
            by_target.setdefault(row["destination"], dict.fromkeys(STATES, 0))[row["state"]] = row["number"]
            if row["state"] not in ("delivered", "doubled"):
                summary.oldest = min(row["oldest"], summary.oldest or row["oldest"])
        parked: dict[int, dict[str, int]] = {}
        for row in self._rows("parked_reasons"):
            parked.setdefault(row["destination"], {})[row["reason"] or ""] = row["number"]
        for target in self.targets():
            states = by_target.get(target.id, dict.fromkeys(STATES, 0))
            summary.targets.append((target, states, parked.get(target.id, {})))
        return summary

    def close(self) -> None:
        """See `Outbox.close`."""
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

    def _destination(self, run: sqlite3.Connection, destination: Destination) -> int:
        # A project named by its id is the same destination whatever else was said.
        named = not destination.project_id
        identity = {
            "project_id": destination.project_id or 0,
            "project_name": destination.project_name if named else "",
            "mode": destination.mode if named else "",
            "default_name": int(destination.default_name and named),
        }
        self._run(run, "open_destination", **identity, project_config=destination.project_config)
        (target,) = self._run(run, "destination_id", **identity).fetchone()
        return int(target)

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
            self._path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
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
                connection.execute("PRAGMA synchronous = NORMAL")
                migrate(connection)
        except BaseException:
            connection.close()
            raise
        self._connection = connection
        return connection


def _is_corrupt(error: Exception) -> bool:
    """Tell damage from a database that is only busy, full or away; Python 3.10 gives no error codes."""
    return "not a database" in str(error) or "malformed" in str(error)


def _target(row: sqlite3.Row) -> Target:
    destination = Destination(
        project_name=row["project_name"],
        project_id=row["project_id"] or None,
        mode=row["mode"],
        project_config=row["project_config"],
        default_name=bool(row["default_name"]),
    )
    return Target(
        id=row["id"],
        destination=destination,
        blocked=(row["reason"] or "blocked") if row["state"] == "blocked" else None,
        passing=bool(row["passing"]),
        project=row["project"],
        watermark=row["watermark"],
        failures=row["failures"],
        retry_at=row["retry_at"],
    )
