"""`label-studio-otel retry`: let what was parked be sent again, and blocked destinations be tried now."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

from label_studio_otel.cli import _settings
from label_studio_otel.cli.status import summary_of
from label_studio_otel.pipeline import spool_directory
from label_studio_otel.spool import encode_retry
from label_studio_otel.spool.writer import SpoolWriter

if TYPE_CHECKING:
    import argparse

__all__ = ["add_parser", "run"]


def add_parser(commands: Any) -> None:
    """Add the command."""
    parser = commands.add_parser("retry", help="send parked calls again")
    _settings.add_options(parser)
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Ask whoever delivers to send parked calls again.

    A running application may hold the outbox, and only its holder writes: the wish goes the way of the spans.
    """
    settings = _settings.read(args)
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
