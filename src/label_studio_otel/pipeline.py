"""Moves calls and log events into the outbox: from the spool (`ingest`), or from another source (`accept`).

The records of a spool file and the position up to which it was read are committed together. The file is removed after
that, and only when its writer has ended. A process that is killed between any two steps repeats work, and the outbox
ignores a key that it has.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

from label_studio_otel import log
from label_studio_otel.errors import OutboxFull
from label_studio_otel.metrics.counts import Counts
from label_studio_otel.outbox.items import NewEvent, NewItem
from label_studio_otel.outbox.outbox import Outbox
from label_studio_otel.settings import LARGEST_ID, Destination
from label_studio_otel.spool import record as spool
from label_studio_otel.spool.reader import SpoolFile, count, spool_files

#: Largest number of records and bytes in one transaction: so few that a fork never waits long for one.
MAX_RECORDS = 50
MAX_BYTES = 4 << 20


def new_item(destination: Destination, span: Mapping[str, Any]) -> NewItem:
    """Return a call for `accept`, from a span's fields with their resource, as `otlp` returns them."""
    fields = {name: value for name, value in span.items() if name != "resource"}
    written = spool.encode_destination(destination)
    return _item(destination, span, _payload(spool.encode(written, spool.to_json(span["resource"]), fields)))


def new_event(record: Mapping[str, Any]) -> NewEvent:
    """Return a log event for `accept`, from its fields with their resource, as `otlp` returns them."""
    fields = {name: value for name, value in record.items() if name != "resource"}
    return _event(record, _payload(spool.encode_log(spool.to_json(record["resource"]), fields)))


def accept(
    outbox: Outbox,
    records: Iterable[NewItem | NewEvent],
    due_at: float,
    *,
    counts: Counts | None = None,
    max_state_bytes: int = 0,
    whole: bool = False,
) -> int:
    """Add calls and log events that do not come from a spool, durably; return how many calls are new.

    Args:
        due_at: when the items may be sent, seconds since the epoch.
        counts: accepted calls and duplicates are added here.
        max_state_bytes: largest size of the outbox, 0 for no limit.
        whole: all in one transaction, else in several of limited size.

    Raises:
        OutboxFull: the outbox has this size. An iterator keeps what was not added, and can be passed again later.
        OutboxError: the outbox cannot be written.
    """
    intake = _Intake(outbox, due_at, counts)
    rest = iter(records)
    while True:
        if max_state_bytes and outbox.used_bytes() >= max_state_bytes:
            raise OutboxFull(f"the outbox holds {max_state_bytes} bytes (LABEL_STUDIO_OTEL_MAX_STATE_BYTES)")
        for record in rest:
            intake.add(record)
            if intake.is_full and not whole:
                break
        else:
            intake.commit()
            return intake.new
        intake.commit()


def spool_directory(directory: Path) -> Path:
    """Return the directory of the spool below a server's directory."""
    return directory / "spool"


def count_unread(directory: Path, positions: dict[str, int]) -> int:
    """Return how many records are in the spool and not yet in the outbox."""
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
    """Move the spool into the outbox; return how many calls are new.

    Args:
        due_at: when the items may be sent, seconds since the epoch.
        pause: called between two records, to let the application's threads run.
        counts: accepted calls, duplicates and damaged bytes are added here.
        limit: stop after the file with which so many new calls were added, None for no limit.

    Raises:
        OutboxError: the outbox cannot be written; the spool stays as it is.
    """
    positions = outbox.spool_positions()
    new = 0
    for path in spool_files(spool_directory(directory)):
        intake = _Intake(outbox, due_at, counts)
        _ingest_file(path, positions.pop(path.name, 0), intake, pause)
        new += intake.new
        if limit is not None and new >= limit:
            return new
    for name in positions:  # their files are removed
        outbox.forget_spool(name)
    return new


class _Intake:
    """Collects records, and adds them to the outbox together."""

    def __init__(self, outbox: Outbox, due_at: float, counts: Counts | None) -> None:
        self.outbox = outbox
        self.counts = counts or Counts()
        #: How many calls were new.
        self.new = 0
        self._due_at = due_at
        self._items: list[NewItem] = []
        self._events: list[NewEvent] = []
        self._bytes = 0

    @property
    def is_full(self) -> bool:
        return len(self._items) + len(self._events) >= MAX_RECORDS or self._bytes >= MAX_BYTES

    def add(self, record: NewItem | NewEvent) -> None:
        if isinstance(record, NewItem):
            self._items.append(record)
        else:
            self._events.append(record)
        self._bytes += len(record.payload)

    def commit(self, spool: str = "", position: int = 0) -> None:
        if self._items or self._events or spool:
            new = self.outbox.accept(self._items, spool, position, self._due_at, self._events)
            self.counts.add(accepted=new, duplicates=len(self._items) - new)
            self.new += new
            self._items, self._events, self._bytes = [], [], 0


def _ingest_file(path: Path, position: int, intake: _Intake, pause: Callable[[], None]) -> None:
    """Add the records behind a position; remove the file if its writer has ended."""
    try:
        with SpoolFile(path) as file:
            abandoned = file.abandoned()
            if abandoned or file.size() > position:
                _add_records(file, position, intake, pause)
            if abandoned and position:
                file.examine(partial(_read_record, file), pause)
    except FileNotFoundError:
        return
    except OSError as error:  # such as a file of another user; the other files are read
        log.warn_once(
            f"unreadable {path.name}",
            f"{path} cannot be read ({error.strerror}); its LLM calls stay there until this process may read it",
        )
        return
    if file.newer is not None:
        log.warn_once(
            f"newer spool {path.parents[1]}",
            f"{path} was written by a newer version of label-studio-otel (format {file.newer}); upgrade this "
            "installation: the file stays where it is until then",
        )
    if abandoned and file.remove():
        intake.outbox.forget_spool(path.name)
        _report_damage(file, intake)


def _add_records(file: SpoolFile, position: int, intake: _Intake, pause: Callable[[], None]) -> None:
    end = position
    for read in file.records(position):
        end = read.end
        _add_record(file, read.payload, intake)
        if intake.is_full:
            intake.commit(file.path.name, end)
        pause()
    if end != position:
        intake.commit(file.path.name, end)


def _add_record(file: SpoolFile, payload: bytes, intake: _Intake) -> None:
    read = _read_record(file, payload)
    if isinstance(read, NewItem | NewEvent):
        intake.add(read)
    elif read is not None:
        intake.outbox.retry()


def _read_record(file: SpoolFile, payload: bytes) -> NewItem | NewEvent | spool.Record | None:
    """Return the call or log event of a record, or the record that asks for a retry; None for damage, which is counted.

    A record that the outbox cannot store is damage too: the records behind it go on.
    """
    record = file.record(payload)
    if record is None or record.retry:
        return record
    try:
        if record.log is not None:
            return _event(record.log, payload)
        if record.destination is not None and record.span is not None:
            return _item(record.destination, record.span, payload)
    except (TypeError, ValueError, AttributeError):
        file.damaged += len(payload)
    return None


def _report_damage(file: SpoolFile, intake: _Intake) -> None:
    if unreadable := file.damaged + file.torn:
        intake.outbox.add_to_counter("unreadable_bytes", unreadable)
        intake.counts.damaged_bytes += unreadable
    if file.damaged:
        log.warning(
            f"{file.damaged} bytes of a spool file cannot be read; {file.path.name} was set aside in "
            f"{file.path.parents[1] / 'damaged'}",
        )


def _item(destination: Destination, span: Mapping[str, Any], payload: bytes) -> NewItem:
    """Return a call.

    Raises:
        TypeError, ValueError, AttributeError: a field has another type, or its text cannot be stored.
    """
    started = _nanoseconds(span["startTimeUnixNano"])
    ended = max(started, _nanoseconds(span.get("endTimeUnixNano")))
    scope = span.get("scope", {}).get("name")
    try:
        scope.encode()
    except (AttributeError, UnicodeEncodeError):  # no text, or one with half a surrogate pair
        scope = ""
    if (destination.project_id or 0) > LARGEST_ID:  # older versions took it, and no transaction could store it
        raise ValueError("no project has this id")
    key = spool.key_of(span)
    for text in (key, destination.project_name, destination.mode, destination.project_config or ""):
        text.encode()
    return NewItem(destination, key, payload, scope, started, ended)


def _event(record: Mapping[str, Any], payload: bytes) -> NewEvent:
    span = f"{record['traceId']}:{record['spanId']}"
    span.encode()
    return NewEvent(span, payload)


def _payload(buffers: list[bytes]) -> bytes:
    """Return a spool record without its frame."""
    return b"".join(buffers)[spool.FRAME.size :]


def _nanoseconds(value: Any) -> int:
    """Return a time within the range of the outbox's integers (64 bits), 0 for what is no number."""
    return min(max(value, 0), 2**63 - 1) if isinstance(value, int) else 0
