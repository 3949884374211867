"""The one road: what stands in the spool goes into the outbox, each record once.

Records and the position up to which a file was read are committed together, and a file is removed after that and
only when its writer is gone: a kill between any two lines repeats work, and the unique key makes the repetition
harmless.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from label_studio_otel import log, spool
from label_studio_otel.counts import Counts
from label_studio_otel.outbox import Taken
from label_studio_otel.spool.reader import SpoolFile, count, spool_files

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from label_studio_otel.outbox import Outbox

__all__ = ["ingest", "spool_directory", "waiting"]

#: Records and bytes in one transaction: few enough that a fork never waits for one.
MAX_RECORDS = 50
MAX_BYTES = 4 << 20


def spool_directory(directory: Path) -> Path:
    """Return where the spool of a server's directory is."""
    return directory / "spool"


def waiting(directory: Path, positions: dict[str, int]) -> int:
    """Return how many records stand in the spool and not yet in the outbox."""
    return sum(count(path, positions.get(path.name, 0)) for path in spool_files(spool_directory(directory)))


def ingest(
    directory: Path,
    outbox: Outbox,
    due_at: float,
    pause: Callable[[], None] = lambda: None,
    *,
    counts: Counts | None = None,
    limit: int | None = None,
) -> int:
    """Move the spool into the outbox; return how many calls were new.

    Args:
        due_at: when the items may be sent, seconds since the epoch.
        pause: called between two records, to let the application's threads run.
        counts: what came of it is added here.
        limit: stop after the file in which so many were met, None for no limit.

    Raises:
        OutboxError: the outbox cannot be written; the spool stays as it is.
    """
    positions = outbox.positions()
    counts = counts or Counts()
    before = counts.accepted
    for path in spool_files(spool_directory(directory)):
        position = positions.pop(path.name, 0)
        try:
            with SpoolFile(path) as file:
                abandoned = file.abandoned()
                if abandoned or file.size() > position:
                    _Ingestion(file, outbox, due_at, pause, counts).run(position)
                if abandoned and position:
                    file.examine(pause)
        except FileNotFoundError:
            continue
        if file.newer is not None:
            log.warn_once(
                f"newer spool {directory}",
                f"{path} was written by a newer version of label-studio-otel (format {file.newer}); upgrade this "
                "installation: the file stays where it is until then",
            )
        if abandoned and file.remove():
            outbox.forget_spool(path.name)
            _say_damage(directory, file, outbox, counts)
        if limit is not None and counts.accepted - before >= limit:
            return counts.accepted - before
    for name in positions:
        outbox.forget_spool(name)
    return counts.accepted - before


def _say_damage(directory: Path, file: SpoolFile, outbox: Outbox, counts: Counts) -> None:
    unreadable = file.damaged + file.torn
    if unreadable:
        outbox.count("unreadable_bytes", unreadable)
        counts.damaged_bytes += unreadable
    if file.damaged:
        log.warn_once(
            f"damaged {file.path.name}",
            f"{file.damaged} bytes of a spool file cannot be read; {file.path.name} was set aside in "
            f"{directory / 'damaged'}",
        )


class _Ingestion:
    """Takes one file into the outbox."""

    def __init__(
        self, file: SpoolFile, outbox: Outbox, due_at: float, pause: Callable[[], None], counts: Counts
    ) -> None:
        self._file = file
        self._counts = counts
        self._outbox = outbox
        self._due_at = due_at
        self._pause = pause
        self._rows: list[Taken] = []
        self._events: list[tuple[str, bytes]] = []
        self._bytes = 0

    def run(self, position: int) -> None:
        end = position
        for read in self._file.records(position):
            end = read.end
            self._take(read.payload)
            if len(self._rows) + len(self._events) >= MAX_RECORDS or self._bytes >= MAX_BYTES:
                self._commit(end)
            self._pause()
        if end > position:
            self._commit(end)

    def _take(self, payload: bytes) -> None:
        record = self._file.record(payload)
        if record is None:
            return
        if record.retry:
            self._outbox.retry()
        elif record.log is not None:
            self._events.append((f"{record.log['traceId']}:{record.log['spanId']}", payload))
            self._bytes += len(payload)
        elif record.destination is not None and record.span is not None:
            span = record.span
            started = _nanoseconds(span["startTimeUnixNano"])
            ended = max(started, _nanoseconds(span.get("endTimeUnixNano")))
            scope = span.get("scope", {}).get("name", "")
            self._rows.append(Taken(record.destination, spool.key_of(span), payload, scope, started, ended))
            self._bytes += len(payload)

    def _commit(self, end: int) -> None:
        new = self._outbox.accept(self._rows, self._file.path.name, end, self._due_at, self._events)
        self._counts.accepted += new
        self._counts.duplicates += len(self._rows) - new
        self._rows, self._events, self._bytes = [], [], 0


def _nanoseconds(value: Any) -> int:
    """Return a time as SQLite can hold it."""
    return min(max(value, 0), 2**63 - 1) if isinstance(value, int) else 0
