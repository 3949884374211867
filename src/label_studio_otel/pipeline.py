"""The one road: what stands in the spool, or comes by another way (`accept`), goes into the outbox, each record once.

Records of the spool and the position up to which a file was read are committed together, and a file is removed after
that and only when its writer is gone: a kill between any two lines repeats work, and the unique key makes the
repetition harmless.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from label_studio_otel import log
from label_studio_otel.errors import OutboxFull
from label_studio_otel.metrics.counts import Counts
from label_studio_otel.outbox.items import NewEvent, NewItem
from label_studio_otel.spool import record as spool
from label_studio_otel.spool.reader import SpoolFile, count, spool_files

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping
    from pathlib import Path

    from label_studio_otel.outbox.outbox import Outbox
    from label_studio_otel.settings import Destination

__all__ = ["accept", "call", "event", "ingest", "spool_directory", "waiting"]

#: Records and bytes in one transaction: few enough that a fork never waits for one.
MAX_RECORDS = 50
MAX_BYTES = 4 << 20


def call(destination: Destination, span: Mapping[str, Any]) -> NewItem:
    """Return an LLM call for `accept`, from a span's fields with their resource (`otlp.Telemetry.spans`)."""
    fields = {name: value for name, value in span.items() if name != "resource"}
    written = spool.encode_destination(destination)
    return _taken(destination, span, _payload(spool.encode(written, spool.to_json(span["resource"]), fields)))


def event(record: Mapping[str, Any]) -> NewEvent:
    """Return a log event for `accept`, from its fields with their resource (`otlp.Telemetry.logs`)."""
    fields = {name: value for name, value in record.items() if name != "resource"}
    return _taken_event(record, _payload(spool.encode_log(spool.to_json(record["resource"]), fields)))


def accept(
    outbox: Outbox,
    records: Iterable[NewItem | NewEvent],
    due_at: float,
    *,
    counts: Counts | None = None,
    max_state_bytes: int = 0,
    whole: bool = False,
) -> int:
    """Take what does not come from a spool, durably; return how many calls were new.

    Args:
        due_at: when the items may be sent, seconds since the epoch.
        counts: what came of it is added here.
        max_state_bytes: what the outbox may hold, 0 is without end.
        whole: all in one transaction, else in several of bounded size.

    Raises:
        OutboxFull: it holds so much; an iterator that was given can be given again when there is room.
        OutboxError: the outbox cannot be written.
    """
    counts = counts or Counts()
    new = 0
    rest = iter(records)
    while True:
        if max_state_bytes and outbox.used_bytes() >= max_state_bytes:
            raise OutboxFull(f"the outbox holds {max_state_bytes} bytes (LABEL_STUDIO_OTEL_MAX_STATE_BYTES)")
        transaction = _Transaction()
        for record in rest:
            transaction.add(record)
            if transaction.full and not whole:
                break
        if not transaction:
            return new
        new += transaction.commit(outbox, due_at, counts)
        if whole:  # it is taken, even if nothing more can be
            return new


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
    positions = outbox.spool_positions()
    counts = counts or Counts()
    new = 0
    for path in spool_files(spool_directory(directory)):
        position = positions.pop(path.name, 0)
        try:
            with SpoolFile(path) as file:
                abandoned = file.abandoned()
                if abandoned or file.size() > position:
                    new += _Ingestion(file, outbox, due_at, pause, counts).run(position)
                if abandoned and position:
                    file.examine(pause)
        except FileNotFoundError:
            continue
        except OSError as error:  # as of a file of another user; the others are no worse for it
            log.warn_once(
                f"unreadable {path.name}",
                f"{path} cannot be read ({error.strerror}); its LLM calls stay there until this process may read it",
            )
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
        if limit is not None and new >= limit:
            return new
    for name in positions:
        outbox.forget_spool(name)
    return new


def _say_damage(directory: Path, file: SpoolFile, outbox: Outbox, counts: Counts) -> None:
    unreadable = file.damaged + file.torn
    if unreadable:
        outbox.add_to_counter("unreadable_bytes", unreadable)
        counts.damaged_bytes += unreadable
    if file.damaged:
        log.warning(
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
        self._transaction = _Transaction()

    def run(self, position: int) -> int:
        """Take what stands behind a position; return how many calls were new."""
        end, new = position, 0
        for read in self._file.records(position):
            end = read.end
            self._take(read.payload)
            if self._transaction.full:
                new += self._commit(end)
            self._pause()
        return new + self._commit(end) if end > position else new

    def _take(self, payload: bytes) -> None:
        record = self._file.record(payload)
        if record is None:
            return
        if record.retry:
            self._outbox.retry()
            return
        try:
            if record.log is not None:
                self._transaction.add(_taken_event(record.log, payload))
            elif record.destination is not None and record.span is not None:
                self._transaction.add(_taken(record.destination, record.span, payload))
        except (TypeError, ValueError, AttributeError):  # what no outbox can hold must not stop what comes behind it
            self._file.damaged += len(payload)

    def _commit(self, end: int) -> int:
        transaction, self._transaction = self._transaction, _Transaction()
        return transaction.commit(self._outbox, self._due_at, self._counts, self._file.path.name, end)


class _Transaction:
    """What goes into the outbox at once."""

    def __init__(self) -> None:
        self._calls: list[NewItem] = []
        self._events: list[NewEvent] = []
        self._bytes = 0

    def __len__(self) -> int:
        return len(self._calls) + len(self._events)

    @property
    def full(self) -> bool:
        return len(self) >= MAX_RECORDS or self._bytes >= MAX_BYTES

    def add(self, record: NewItem | NewEvent) -> None:
        if isinstance(record, NewItem):
            self._calls.append(record)
        else:
            self._events.append(record)
        self._bytes += len(record.payload)

    def commit(self, outbox: Outbox, due_at: float, counts: Counts, spool: str = "", position: int = 0) -> int:
        new = outbox.accept(self._calls, spool, position, due_at, self._events)
        counts.add(accepted=new, duplicates=len(self._calls) - new)
        return new


def _taken(destination: Destination, span: Mapping[str, Any], payload: bytes) -> NewItem:
    started = _nanoseconds(span["startTimeUnixNano"])
    ended = max(started, _nanoseconds(span.get("endTimeUnixNano")))
    scope = span.get("scope", {}).get("name")
    key = spool.key_of(span)
    for text in (key, destination.project_name, destination.mode, destination.project_config or ""):
        text.encode()
    return NewItem(destination, key, payload, scope if _is_text(scope) else "", started, ended)


def _is_text(value: Any) -> bool:
    """Tell text that can be kept, which half a surrogate pair cannot."""
    try:
        value.encode()
    except (AttributeError, UnicodeEncodeError):
        return False
    return True


def _taken_event(record: Mapping[str, Any], payload: bytes) -> NewEvent:
    span = f"{record['traceId']}:{record['spanId']}"
    span.encode()
    return NewEvent(span, payload)


def _payload(buffers: list[bytes]) -> bytes:
    """Return what the outbox keeps of a spool record: all behind its frame."""
    return b"".join(buffers)[spool.FRAME.size :]


def _nanoseconds(value: Any) -> int:
    """Return a time as SQLite can hold it."""
    return min(max(value, 0), 2**63 - 1) if isinstance(value, int) else 0
