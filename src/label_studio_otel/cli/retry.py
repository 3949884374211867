"""`label-studio-otel retry`: let what was parked be sent again, blocked destinations be tried now, calls be moved."""

from __future__ import annotations

import sys
import time
from typing import TYPE_CHECKING, Any

from label_studio_otel.cli import _settings
from label_studio_otel.cli.status import summary_of
from label_studio_otel.delivery.deliverer import OUTBOX
from label_studio_otel.delivery.lock import DirectoryLock
from label_studio_otel.errors import LabelStudioOtelError
from label_studio_otel.outbox.outbox import SqliteOutbox
from label_studio_otel.pipeline import ingest, spool_directory
from label_studio_otel.settings import directory_name
from label_studio_otel.settings.readers import normalized_url
from label_studio_otel.spool.record import encode_retry, frame
from label_studio_otel.spool.writer import SpoolWriter

if TYPE_CHECKING:
    import argparse
    from pathlib import Path

    from label_studio_otel.settings import Settings

__all__ = ["add_parser", "run"]

#: Records read at once.
PAGE = 25


def add_parser(commands: Any) -> None:
    """Add the command."""
    parser = commands.add_parser("retry", help="send parked calls again")
    _settings.add_options(parser)
    parser.add_argument(
        "--from",
        dest="source",
        metavar="SERVER",
        help="send here what waits for another server, by the URL that was set then or its name in `status`",
    )
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Move calls, or ask whoever delivers to send parked ones again; 1 where that cannot be done."""
    settings = _settings.read(args)
    return _move(args.source, settings) if args.source else _wish(settings)


def _wish(settings: Settings) -> int:
    """A running application may hold the outbox, and only its holder writes: the wish goes the way of the spans."""
    if not settings.directory.is_dir():
        sys.stdout.write(f"nothing is kept in {settings.directory}\n")
        return 0
    parked = summary_of(settings.directory).states["parked"]
    writer = SpoolWriter(spool_directory(settings.directory))
    if not writer.append(encode_retry()):
        sys.stderr.write(f"{settings.directory} cannot be written\n")
        return 1
    writer.close()
    sys.stdout.write(
        f"{parked} parked calls will be sent again by the application, or now by `label-studio-otel deliver`\n"
    )
    return 0


def _move(name: str, settings: Settings) -> int:
    source = settings.state_dir / name
    if not source.is_dir():
        source = settings.state_dir / directory_name(normalized_url(name))
    if not source.is_dir() or source == settings.directory:
        sys.stderr.write(f"nothing is kept for another server {name!r} in {settings.state_dir}\n")
        return 1
    lock = DirectoryLock(source)
    if not lock.acquire():
        sys.stderr.write(
            f"an application still delivers from {source}: correct its LABEL_STUDIO_URL, restart it, again\n"
        )
        return 1
    try:
        moved = _moved(source, settings)
    except (LabelStudioOtelError, OSError) as error:
        sys.stderr.write(f"{error}\n")
        return 1
    finally:
        lock.release()
    left = summary_of(source).states["uncertain"] + summary_of(source).states["leased"]
    sys.stdout.write(f"{moved} calls moved; they are sent by the application, or now by `label-studio-otel deliver`\n")
    if left:
        sys.stderr.write(f"{left} calls may have arrived at {name} and stay there\n")
    return 0


def _moved(source: Path, settings: Settings) -> int:
    """Append here, then forget there: a kill in between repeats a call that has the same key."""
    outbox = SqliteOutbox(source / OUTBOX)
    writer = SpoolWriter(spool_directory(settings.directory))
    moved = 0
    try:
        ingest(source, outbox, time.time())
        while items := outbox.movable(PAGE):
            for item in items:
                if not writer.append([frame(item.record)]):
                    raise OSError(f"{settings.directory} cannot be written")
            outbox.drop([item.id for item in items])
            moved += len(items)
    finally:
        writer.close()
        outbox.close()
    return moved
