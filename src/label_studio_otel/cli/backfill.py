"""`label-studio-otel backfill`: the LLM calls of recorded OTLP become tasks, by the road of all others.

A kill at any moment loses nothing: what was read is in the outbox, and the same command again reads on over what is
known already. Nothing is held but the document that is being read.
"""

from __future__ import annotations

import logging
import os
import sys
import time
from collections import Counter
from contextlib import closing, suppress
from typing import TYPE_CHECKING, Any

from label_studio_otel.calls.selection import Selection
from label_studio_otel.cli import _settings
from label_studio_otel.cli._files import HELP, Files
from label_studio_otel.cli.deliver import drain
from label_studio_otel.delivery.deliverer import OUTBOX, Deliverer
from label_studio_otel.errors import LabelStudioOtelError, OutboxFull, SpoolError
from label_studio_otel.metrics.counts import Counts
from label_studio_otel.outbox.outbox import SqliteOutbox
from label_studio_otel.pipeline import accept, call, event, spool_directory
from label_studio_otel.reading import dialect_of
from label_studio_otel.spans import Span
from label_studio_otel.spool.record import frame
from label_studio_otel.spool.writer import SpoolWriter

if TYPE_CHECKING:
    import argparse
    from collections.abc import Generator, Iterator

    from label_studio_otel.outbox.items import Taken
    from label_studio_otel.pipeline import TakenEvent
    from label_studio_otel.settings import Settings

__all__ = ["add_parser", "run"]

#: Seconds that calls wait for their log events where another process takes over in the middle.
SETTLE = 10.0
#: Seconds between two looks whether there is room.
POLL = 0.25


def add_parser(commands: Any) -> None:
    """Add the command."""
    parser = commands.add_parser("backfill", help="make tasks of the LLM calls of recorded OTLP")
    parser.add_argument("files", nargs="+", metavar="FILE", help=HELP)
    _settings.add_options(parser)
    _settings.add_destination_options(parser)
    parser.add_argument("--dry-run", action="store_true", help="count the calls, and send nothing")
    parser.add_argument(
        "--timeout",
        type=float,
        default=60.0,
        metavar="SECONDS",
        help="give up after this long without progress (default: 60)",
    )
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Take the calls in and deliver; 0 when all arrived, 1 when something could not be read or did not arrive."""
    settings = _settings.read(args)
    backfill = _Backfill(args.files, settings)
    if args.dry_run:
        for _ in backfill.records():
            continue
        backfill.tell()
        return backfill.code
    logging.getLogger("label_studio_otel").setLevel(logging.ERROR)  # what is wrong is said at the end
    outbox = SqliteOutbox(settings.directory / OUTBOX)
    deliverer = Deliverer(settings, settle=SETTLE, outbox=outbox)
    with closing(deliverer):
        try:
            new = _take(backfill, deliverer, outbox, settings, args.timeout)
        except (LabelStudioOtelError, OSError) as error:
            sys.stderr.write(f"label-studio-otel: {error}; the same command again goes on\n")
            return 1
        backfill.tell(new)
        return max(drain(deliverer, settings, args.timeout), backfill.code)


def _take(
    backfill: _Backfill, deliverer: Deliverer, outbox: SqliteOutbox, settings: Settings, timeout: float
) -> int | None:
    """Take the calls in; return how many were new, None where only the process that delivers knows."""
    with closing(backfill.shown()) as records:
        if deliverer.take_lock():
            return _Direct(deliverer, outbox, settings, timeout).take(records)
        _through_the_spool(records, settings, timeout)
        return None


class _Backfill:
    """One run over the files."""

    def __init__(self, names: list[str], settings: Settings) -> None:
        self._names = names
        self._selection = Selection(settings)
        self._files = Files(names)
        self._dialects: Counter[str] = Counter()
        self._spans = self._events = 0

    @property
    def code(self) -> int:
        """1 where something could not be read."""
        return 1 if self._files.failed else 0

    def shown(self) -> Generator[Taken | TakenEvent]:
        """Yield what is to be taken in, with a progress bar."""
        from rich.console import Console
        from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn

        columns = (TextColumn("reading"), BarColumn(), DownloadColumn())
        with Progress(*columns, console=Console(stderr=True), transient=True) as progress:
            bar = progress.add_task("", total=_size(self._names))
            self._files.on_read = lambda size: progress.advance(bar, size)
            yield from self.records()

    def records(self) -> Iterator[Taken | TakenEvent]:
        """Yield what is to be taken in."""
        for telemetry in self._files:
            self._spans += len(telemetry.spans)
            for destination, span in self._selection.calls(telemetry.spans):
                self._dialects[dialect_of(Span.from_fields(span)).name] += 1
                yield call(destination, span)
            for record in self._selection.events(telemetry.logs):
                self._events += 1
                yield event(record)

    def tell(self, new: int | None = None) -> None:
        """Print what was met."""
        calls, left_out = self._dialects.total(), self._selection.filtered
        by = ", ".join(f"{name} {number}" for name, number in self._dialects.most_common())
        parts = [f"{calls} LLM calls{f' ({by})' if by else ''}", f"{self._events} log events"]
        if left_out:
            parts.append(f"{left_out} calls that the settings leave out")
        parts.append(f"{self._spans - calls - left_out} other spans")
        sys.stdout.write(f"read {', '.join(parts)}\n")
        if new is not None:
            sys.stdout.write(f"{new} calls are new\n")


class _Direct:
    """Takes calls into the outbox, whose lock this process holds."""

    def __init__(self, deliverer: Deliverer, outbox: SqliteOutbox, settings: Settings, timeout: float) -> None:
        self._deliverer = deliverer
        self._outbox = outbox
        self._max_bytes = settings.max_state_bytes
        self._timeout = timeout
        #: Not the deliverer's: those count what it takes from the spool, too.
        self._counts = Counts()

    def take(self, records: Iterator[Taken | TakenEvent]) -> int:
        """Take all; what is there is delivered wherever the outbox is full. Returns how many were new."""
        while not self._taken(records):
            self._make_room()
        return self._counts.accepted

    def _taken(self, records: Iterator[Taken | TakenEvent]) -> bool:
        """Take what there is room for; True when that was all."""
        try:
            accept(self._outbox, records, time.time() + SETTLE, counts=self._counts, max_state_bytes=self._max_bytes)
        except OutboxFull:
            return False
        return True

    def _make_room(self) -> None:
        self._deliverer.waive()
        end = time.monotonic() + self._timeout
        while self._outbox.used_bytes() >= self._max_bytes:
            if self._deliverer.step():
                end = time.monotonic() + self._timeout
            elif time.monotonic() > end:
                raise OutboxFull("the outbox is full (LABEL_STUDIO_OTEL_MAX_STATE_BYTES) and nothing can be delivered")
            else:
                time.sleep(POLL)


def _through_the_spool(records: Iterator[Taken | TakenEvent], settings: Settings, timeout: float) -> None:
    """Hand the calls to the process that delivers, as applications do."""
    directory = spool_directory(settings.directory)
    writer = SpoolWriter(directory, max_bytes=settings.max_state_bytes, max_backlog_bytes=0)
    try:
        for record in records:
            end = time.monotonic() + timeout
            while not writer.append([frame(record.payload)]):
                if time.monotonic() > end:
                    raise SpoolError(f"{directory} is full or cannot be written")
                time.sleep(POLL)
    finally:
        writer.close()


def _size(names: list[str]) -> int | None:
    """Return how much there is to read, None where that is not known."""
    with suppress(OSError):
        return sum(os.stat(name).st_size for name in names)
    return None
