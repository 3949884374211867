"""`label-studio-otel status`: what waits, by state and destination. Writes nothing."""

from __future__ import annotations

import json
import sys
import time
from typing import TYPE_CHECKING, Any

from label_studio_otel.cli import _settings
from label_studio_otel.deliverer import OUTBOX
from label_studio_otel.errors import OutboxError
from label_studio_otel.outbox import STATES, Summary
from label_studio_otel.outbox.sqlite import SqliteOutbox
from label_studio_otel.pipeline import waiting

if TYPE_CHECKING:
    import argparse
    from pathlib import Path

__all__ = ["add_parser", "run", "summary_of"]


def add_parser(commands: Any) -> None:
    """Add the command."""
    parser = commands.add_parser("status", help="say what waits, by state and destination")
    _settings.add_options(parser)
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Print the counts; 0 where they could be read."""
    settings = _settings.read(args)
    report = _report(settings.state_dir)
    if args.json:
        json.dump(report, sys.stdout, indent=1)
        sys.stdout.write("\n")
    else:
        _print(report, settings.state_dir)
    return 0


def summary_of(directory: Path) -> Summary:
    """Return what stands in a server's directory, the spool counted as pending.

    Raises:
        OutboxError: the outbox cannot be read.
    """
    summary, positions = Summary(), {}
    if (directory / OUTBOX).exists():
        outbox = SqliteOutbox(directory / OUTBOX, read_only=True)
        try:
            summary, positions = outbox.summary(), outbox.positions()
        finally:
            outbox.close()
    summary.states["pending"] += waiting(directory, positions)
    return summary


def _report(state_dir: Path) -> dict[str, Any]:
    report: dict[str, Any] = {**dict.fromkeys(STATES, 0), "oldest": None, "destinations": [], "unreadable": []}
    for directory in sorted(path for path in state_dir.glob("*") if path.is_dir()):
        try:
            summary = summary_of(directory)
        except OutboxError as error:
            report["unreadable"].append(str(error))
            continue
        for state, number in summary.states.items():
            report[state] += number
        report["oldest"] = min(filter(None, (report["oldest"], summary.oldest)), default=None)
        for target, states, parked in summary.targets:
            where = {"server": directory.name, "destination": str(target.destination), "project": target.project}
            report["destinations"].append({**where, **states, "last_error": target.blocked, "parked_reasons": parked})
    return report


def _print(report: dict[str, Any], state_dir: Path) -> None:
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    console = Console()
    table = Table("server", "destination", *(state for state in STATES), title=str(state_dir), title_justify="left")
    for one in report["destinations"]:
        table.add_row(one["server"], escape(one["destination"]), *(str(one[state]) for state in STATES))
    table.add_row("all, with the spool", "", *(str(report[state]) for state in STATES), style="bold")
    console.print(table)
    if report["oldest"]:
        console.print(f"oldest waiting: {time.strftime('%Y-%m-%d %H:%M:%S', time.localtime(report['oldest']))}")
    for one in report["destinations"]:
        if one["last_error"]:
            console.print(f"{one['destination']}: {one['last_error']}", markup=False, style="yellow", soft_wrap=True)
        for reason, number in one["parked_reasons"].items():
            console.print(f"{one['destination']}: {number} parked: {reason}", markup=False, soft_wrap=True)
    for error in report["unreadable"]:
        console.print(error, markup=False, style="red", soft_wrap=True)
