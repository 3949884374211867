"""`label-studio-otel backfill`: make tasks of the LLM calls in recorded OTLP, through the same outbox as all others.

A kill at any moment loses nothing: the outbox has the calls that were read, and the same command, started again, skips
them. In memory is only the document that is being read.
"""

from __future__ import annotations

import argparse
import logging
import os
import time
from collections import Counter
from collections.abc import Generator, Iterable, Iterator
from contextlib import closing, suppress

from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn

from label_studio_otel.calls.selection import Selection
from label_studio_otel.cli import _settings
from label_studio_otel.cli._files import HELP, Files
from label_studio_otel.cli._output import print_error, print_line
from label_studio_otel.cli.deliver import POLL_SECONDS, add_timeout, drain
from label_studio_otel.delivery.deliverer import OUTBOX, Deliverer
from label_studio_otel.errors import LabelStudioOtelError, OutboxFull, SpoolError
from label_studio_otel.metrics.counts import Counts
from label_studio_otel.outbox.items import NewEvent, NewItem
from label_studio_otel.outbox.outbox import Outbox
from label_studio_otel.pipeline import accept, new_event, new_item, spool_directory
from label_studio_otel.reading import dialect_of
from label_studio_otel.settings import Settings
from label_studio_otel.spans import Span
from label_studio_otel.spool.record import frame
from label_studio_otel.spool.writer import SpoolWriter

#: Seconds that calls wait for their log events, where another process delivers after this one was ended.
SETTLE_DELAY_S = 10.0

SUMMARY = "make tasks of the LLM calls of recorded OTLP"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options and arguments of the command."""
    parser.add_argument("files", nargs="+", metavar="FILE", help=HELP)
    _settings.add_options(parser, (*_settings.STATE, *_settings.DESTINATION))
    parser.add_argument("--dry-run", action="store_true", help="count the calls, and send nothing")
    add_timeout(parser)


def run(args: argparse.Namespace) -> int:
    """Store the calls and deliver them; return 0 when all arrived, 1 when one could not be read or did not arrive."""
    settings = _settings.read(args)
    recorded = _Recorded(args.files, settings)
    if args.dry_run:
        for _ in recorded.records():
            continue
        recorded.print_counts()
        return int(recorded.files.failed)
    logging.getLogger("label_studio_otel").setLevel(logging.ERROR)  # `drain` reports errors at the end
    outbox = Outbox.in_file(settings.directory / OUTBOX)
    with closing(Deliverer(settings, settle_delay=SETTLE_DELAY_S, outbox=outbox)) as deliverer:
        try:
            new = _take_in(recorded, deliverer, outbox, settings, args.timeout)
            recorded.print_counts(new)
            return max(drain(deliverer, settings, args.timeout), int(recorded.files.failed))
        except (LabelStudioOtelError, OSError) as error:
            print_error(f"label-studio-otel: {error}; the same command again goes on")
            return 1


def _take_in(
    recorded: _Recorded, deliverer: Deliverer, outbox: Outbox, settings: Settings, timeout: float
) -> int | None:
    """Store the calls; return how many are new, None if another process delivers: only that process counts them."""
    max_bytes = settings.max_state_bytes
    with closing(recorded.with_progress_bar()) as records:
        if not deliverer.take_lock():
            _through_the_spool(records, settings, timeout)
            return None
        counts = Counts()  # those of the deliverer count the calls from the spool too
        while True:
            with suppress(OutboxFull):
                accept(outbox, records, time.time() + SETTLE_DELAY_S, counts=counts, max_state_bytes=max_bytes)
                return counts.accepted
            _make_room(deliverer, outbox, max_bytes, timeout)


def _make_room(deliverer: Deliverer, outbox: Outbox, max_bytes: int, timeout: float) -> None:
    """Deliver until the outbox is smaller than its limit.

    Raises:
        OutboxFull: nothing could be delivered for `timeout` seconds.
    """
    deliverer.skip_settling()
    end = time.monotonic() + timeout
    while outbox.used_bytes() >= max_bytes:
        if deliverer.step():
            end = time.monotonic() + timeout
        elif time.monotonic() > end:
            raise OutboxFull("the outbox is full (LABEL_STUDIO_OTEL_MAX_STATE_BYTES) and nothing can be delivered")
        else:
            time.sleep(POLL_SECONDS)


class _Recorded:
    """The files to read, and the counts of what was read."""

    def __init__(self, names: list[str], settings: Settings) -> None:
        self._selection = Selection(settings)
        self.files = Files(names)
        self._dialects: Counter[str] = Counter()
        self._spans = self._events = 0

    def with_progress_bar(self) -> Generator[NewItem | NewEvent]:
        """Yield the calls and log events to store, and show a progress bar."""
        columns = (TextColumn("reading"), BarColumn(), DownloadColumn())
        with Progress(*columns, console=Console(stderr=True), transient=True) as progress:
            bar = progress.add_task("", total=_size(self.files.names))
            self.files.on_read = lambda size: progress.advance(bar, size)
            yield from self.records()

    def records(self) -> Iterator[NewItem | NewEvent]:
        """Yield the calls and log events to store."""
        for telemetry in self.files:
            self._spans += len(telemetry.spans)
            for destination, span in self._selection.calls(telemetry.spans):
                self._dialects[dialect_of(Span.from_fields(span)).name] += 1
                yield new_item(destination, span)
            for record in self._selection.events(telemetry.logs):
                self._events += 1
                yield new_event(record)

    def print_counts(self, new: int | None = None) -> None:
        """Print how many calls, log events and other spans were read, and how many calls are new if that is known."""
        calls, left_out = self._dialects.total(), self._selection.filtered
        by = ", ".join(f"{name} {number}" for name, number in self._dialects.most_common())
        parts = [f"{calls} LLM calls{f' ({by})' if by else ''}", f"{self._events} log events"]
        if left_out:
            parts.append(f"{left_out} calls that the settings leave out")
        parts.append(f"{self._spans - calls - left_out} other spans")
        print_line(f"read {', '.join(parts)}")
        if new is not None:
            print_line(f"{new} calls are new")


def _through_the_spool(records: Iterator[NewItem | NewEvent], settings: Settings, timeout: float) -> None:
    """Write the calls to the spool, as applications do, for the process that delivers.

    Raises:
        SpoolError: the spool had no room for a call for `timeout` seconds.
    """
    directory = spool_directory(settings.directory)
    with closing(SpoolWriter(directory, max_bytes=settings.max_state_bytes, max_backlog_bytes=0)) as writer:
        for record in records:
            end = time.monotonic() + timeout
            while not writer.append([frame(record.payload)]):
                if time.monotonic() > end:
                    raise SpoolError(f"{directory} is full or cannot be written")
                time.sleep(POLL_SECONDS)


def _size(names: Iterable[str]) -> int | None:
    """Return the size of all files in bytes, None where one is not a file."""
    with suppress(OSError):
        return sum(os.stat(name).st_size for name in names)
    return None
