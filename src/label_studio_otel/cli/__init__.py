"""The command line `label-studio-otel`: each command is a module or folder beside this file.

A command has a `SUMMARY` for the help, `add_arguments` and `run`.

Commands read the same environment variables as the application (`_settings`), print results on standard output and
errors on standard error, and return the exit code. A command's module is imported only when the command runs.
`_output` writes lines, `_files` reads recorded OTLP, `_logs` formats the log of a service, `config_check` checks
labeling configs for `setup`, `genai_json` writes calls for `convert`.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from importlib import import_module

from label_studio_otel._version import __version__

COMMANDS = ("demo", "setup", "deliver", "doctor", "status", "retry", "convert", "backfill", "serve")


def parser(names: Sequence[str] = COMMANDS) -> argparse.ArgumentParser:
    """Return a parser with these commands."""
    whole = argparse.ArgumentParser(
        prog="label-studio-otel", description="LLM calls traced by OpenTelemetry become Label Studio tasks."
    )
    whole.add_argument("--version", action="version", version=f"%(prog)s {__version__}")
    commands = whole.add_subparsers(title="commands", metavar="COMMAND", required=True)
    for name in names:
        module = import_module(f"label_studio_otel.cli.{name}")
        command = commands.add_parser(name, help=module.SUMMARY)
        module.add_arguments(command)
        command.set_defaults(run=module.run)
    return whole


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code."""
    arguments = sys.argv[1:] if arguments is None else arguments
    # The help needs the modules of all commands.
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
