"""`label-studio-otel retry`: send parked calls again, try blocked destinations now; with --from move calls here."""

from __future__ import annotations

import argparse
import time
from contextlib import closing
from pathlib import Path

from label_studio_otel.cli import _settings
from label_studio_otel.cli._output import print_error, print_line
from label_studio_otel.cli.status import summary_of
from label_studio_otel.delivery.deliverer import OUTBOX
from label_studio_otel.delivery.lock import DirectoryLock
from label_studio_otel.errors import LabelStudioOtelError, OutboxError, SpoolError
from label_studio_otel.outbox.outbox import Outbox
from label_studio_otel.pipeline import ingest, spool_directory
from label_studio_otel.settings import Settings, directory_name
from label_studio_otel.settings.readers import normalized_url
from label_studio_otel.spool.record import encode_retry, frame
from label_studio_otel.spool.writer import SpoolWriter

#: Records that are read at once.
PAGE_SIZE = 25

SUMMARY = "send parked calls again"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options and arguments of the command."""
    _settings.add_options(parser, _settings.STATE)
    parser.add_argument(
        "--from",
        dest="source",
        metavar="SERVER",
        help="send the calls here that wait for another server: the URL that was set then, or its name in `status`",
    )


def run(args: argparse.Namespace) -> int:
    """Move calls, or let the process that delivers send parked ones again; return 1 where that is not possible."""
    settings = _settings.read(args)
    try:
        if args.source:
            _move(args.source, settings)
        else:
            _request_retry(settings)
    except (LabelStudioOtelError, OSError) as error:
        print_error(str(error))
        return 1
    return 0


def _request_retry(settings: Settings) -> None:
    """Write the request into the spool: a running application may hold the outbox, and no other process changes it."""
    if not settings.directory.is_dir():
        print_line(f"nothing is kept in {settings.directory}")
        return
    parked = summary_of(settings.directory).states["parked"]
    with closing(SpoolWriter(spool_directory(settings.directory))) as writer:
        _append(writer, encode_retry(), settings)
    print_line(f"{parked} parked calls will be sent again by the application, or now by `label-studio-otel deliver`")


def _move(name: str, settings: Settings) -> None:
    source = settings.state_dir / name
    if not source.is_dir():
        source = settings.state_dir / directory_name(normalized_url(name))
    if not source.is_dir() or source == settings.directory:
        raise OutboxError(f"nothing is kept for another server {name!r} in {settings.state_dir}")
    lock = DirectoryLock(source)
    if not lock.acquire():
        raise OutboxError(
            f"an application still delivers from {source}: correct its LABEL_STUDIO_URL, restart it, again"
        )
    try:
        moved = _moved(source, settings)
    finally:
        lock.release()
    print_line(f"{moved} calls moved; they are sent by the application, or now by `label-studio-otel deliver`")
    states = summary_of(source).states
    if left := states["uncertain"] + states["leased"]:
        print_error(f"{left} calls may have arrived at {name} and stay there")


def _moved(source: Path, settings: Settings) -> int:
    """Write the calls to this server's spool, then delete them there; return how many.

    A kill between the two leaves both, with one key.
    """
    moved = 0
    with (
        closing(Outbox.in_file(source / OUTBOX)) as outbox,
        closing(SpoolWriter(spool_directory(settings.directory))) as writer,
    ):
        ingest(source, outbox, time.time())
        while items := outbox.movable(PAGE_SIZE):
            for item in items:
                _append(writer, [frame(item.record)], settings)
            outbox.drop([item.id for item in items])
            moved += len(items)
    return moved


def _append(writer: SpoolWriter, frames: list[bytes], settings: Settings) -> None:
    if not writer.append(frames):
        raise SpoolError(f"{settings.directory} cannot be written")
