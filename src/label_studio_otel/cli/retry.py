"""`label-studio-otel retry`: send parked calls again, try blocked destinations now; with --from move calls here."""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path
from typing import Any

from label_studio_otel.cli import _settings
from label_studio_otel.cli.status import summary_of
from label_studio_otel.delivery.deliverer import OUTBOX
from label_studio_otel.delivery.lock import DirectoryLock
from label_studio_otel.errors import LabelStudioOtelError
from label_studio_otel.outbox.outbox import Outbox
from label_studio_otel.pipeline import ingest, spool_directory
from label_studio_otel.settings import Settings, directory_name
from label_studio_otel.settings.readers import normalized_url
from label_studio_otel.spool.record import encode_retry, frame
from label_studio_otel.spool.writer import SpoolWriter

#: Records that are read at once.
PAGE_SIZE = 25


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
    """Move calls, or let the process that delivers send parked ones again; return 1 where that is not possible."""
    settings = _settings.read(args)
    return _move(args.source, settings) if args.source else _request_retry(settings)


def _request_retry(settings: Settings) -> int:
    """Write the request into the spool: a running application may hold the outbox, and no other process changes it."""
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
    """Write the calls to this server's spool, then delete them there: a kill in between leaves two with one key."""
    outbox = Outbox.in_file(source / OUTBOX)
    writer = SpoolWriter(spool_directory(settings.directory))
    moved = 0
    try:
        ingest(source, outbox, time.time())
        while items := outbox.movable(PAGE_SIZE):
            for item in items:
                if not writer.append([frame(item.record)]):
                    raise OSError(f"{settings.directory} cannot be written")
            outbox.drop([item.id for item in items])
            moved += len(items)
    finally:
        writer.close()
        outbox.close()
    return moved
