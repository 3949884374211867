"""The command line; each command is a module of this package. Reads the same variables as the application."""

from __future__ import annotations

import argparse
import sys
from importlib import import_module
from typing import TYPE_CHECKING

from label_studio_otel._version import __version__

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["main", "parser"]

COMMANDS = ("demo", "setup", "deliver", "doctor", "status", "retry", "convert", "backfill", "serve")


def parser(names: Sequence[str] = COMMANDS) -> argparse.ArgumentParser:
    """Return the parser of these commands, by default of all."""
    whole = argparse.ArgumentParser(
        prog="label-studio-otel", description="LLM calls traced by OpenTelemetry become Label Studio tasks."
    )
    whole.add_argument("--version", action="version", version=f"%(prog)s {__version__}")
    commands = whole.add_subparsers(title="commands", metavar="COMMAND", required=True)
    for name in names:
        import_module(f"label_studio_otel.cli.{name}").add_parser(commands)
    return whole


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code."""
    arguments = sys.argv[1:] if arguments is None else arguments
    # Each command's module is imported only for that command, and all of them for the help.
    named = [name for name in arguments[:1] if name in COMMANDS]
    parsed = parser(named or COMMANDS).parse_args(arguments)
    try:
        code: int = parsed.run(parsed)
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:  # `label-studio-otel status | head`
        sys.stderr.close()
        return 141
    return code
