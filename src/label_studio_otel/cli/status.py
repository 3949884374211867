"""`label-studio-otel status`: print the calls in the state directory by state and destination. It changes nothing."""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any, TypeVar

from rich.console import Console
from rich.table import Table
from rich.text import Text

from label_studio_otel.cli import _settings
from label_studio_otel.delivery.deliverer import OUTBOX
from label_studio_otel.errors import OutboxError
from label_studio_otel.log import one_line
from label_studio_otel.outbox.items import OPEN_STATES, STATES, Progress, Summary
from label_studio_otel.outbox.outbox import Outbox
from label_studio_otel.outbox.overview import Overview
from label_studio_otel.pipeline import count_unread

Counted = TypeVar("Counted")
#: States in the table; `--json` has all.
SHOWN = ("pending", "uncertain", "parked", "delivered")
#: Counters of what was lost, with their meaning.
LOST = {
    "given_up": "calls were given up: they waited longer than LABEL_STUDIO_OTEL_MAX_AGE allows",
    "unreadable_bytes": "bytes of spool files could not be read",
}

SUMMARY = "count the calls that wait, by state and destination"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options and arguments of the command."""
    _settings.add_options(parser, _settings.STATE)
    parser.add_argument("--json", action="store_true", help="print one JSON object")


def run(args: argparse.Namespace) -> int:
    """Print the counts; return 0."""
    settings = _settings.read(args)
    report = _report(settings.state_dir)
    if args.json:
        json.dump(report, sys.stdout, indent=1)
        sys.stdout.write("\n")
    else:
        _print(report, settings.state_dir)
    return 0


def server_directories(state_dir: Path) -> list[Path]:
    """Return the directories of a state directory, one for each server, sorted."""
    return sorted(path for path in state_dir.glob("*") if os.path.isdir(path))


def summary_of(directory: Path) -> Summary:
    """Return the counts of a server's directory; calls in the spool count as pending.

    Raises:
        OutboxError: the outbox cannot be read.
    """
    summary, unread = _counted(directory, Overview.summary, Summary())
    summary.states["pending"] += unread
    return summary


def progress_of(directory: Path) -> Progress:
    """Return how far delivery of a server's directory is, the spool counted as left.

    Raises:
        OutboxError: the outbox cannot be read.
    """
    progress, unread = _counted(directory, Overview.progress, Progress())
    return progress._replace(left=progress.left + unread)


def _counted(directory: Path, count: Callable[[Overview], Counted], nothing: Counted) -> tuple[Counted, int]:
    """Return the counts of an outbox, `nothing` where there is none, and the number of calls in the spool."""
    if not (directory / OUTBOX).exists():
        return nothing, count_unread(directory, {})
    with closing(Outbox.in_file(directory / OUTBOX, read_only=True)) as outbox:
        return count(outbox.overview), count_unread(directory, outbox.spool_positions())


def unsent(summary: Summary) -> int:
    """Return the number of calls that did not arrive yet and are not parked."""
    return sum(summary.states[state] for state in OPEN_STATES)


def _report(state_dir: Path) -> dict[str, Any]:
    report: dict[str, Any] = {**dict.fromkeys(STATES, 0), "oldest": None, "destinations": [], "unreadable": []}
    report |= dict.fromkeys(LOST, 0)
    for directory in server_directories(state_dir):
        try:
            summary = summary_of(directory)
        except OutboxError as error:
            report["unreadable"].append(str(error))
            continue
        for state, number in summary.states.items():
            report[state] += number
        for name in LOST:
            report[name] += int(summary.counters.get(name, 0))
        report["oldest"] = min(filter(None, (report["oldest"], summary.oldest)), default=None)
        for target, states, parked in summary.destinations:
            where = {"server": directory.name, "destination": str(target.destination), "project": target.project}
            report["destinations"].append({**where, **states, "last_error": target.blocked, "parked_reasons": parked})
    return report


def _print(report: dict[str, Any], state_dir: Path) -> None:
    console = Console()
    table = Table("destination", box=None, pad_edge=False)
    for state in SHOWN:
        table.add_column(state, justify="right")
    for one in report["destinations"]:
        name = Text(one_line(f"{one['destination']} at {one['server']}"), overflow="fold")
        table.add_row(name, *(str(one[state]) for state in SHOWN))
    table.add_row("all, with the spool", *(str(report[state]) for state in SHOWN), style="bold")
    console.print(f"kept in {state_dir}", soft_wrap=True, highlight=False)
    console.print(table)
    for line in _remarks(report):
        console.print(one_line(line), markup=False, highlight=False, soft_wrap=True)


def _remarks(report: dict[str, Any]) -> Iterator[str]:
    if report["oldest"]:
        yield f"oldest waiting: {time.strftime('%Y-%m-%d %H:%M:%S', time.localtime(report['oldest']))}"
    for name, meaning in LOST.items():
        if report[name]:
            yield f"{report[name]} {meaning}"
    for one in report["destinations"]:
        if one["last_error"]:
            yield f"{one['destination']}: {one['last_error']}"
        for reason, number in one["parked_reasons"].items():
            yield f"{one['destination']}: {number} parked: {reason}"
    yield from report["unreadable"]
