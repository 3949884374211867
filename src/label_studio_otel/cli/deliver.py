"""`label-studio-otel deliver`: send the calls in the state directory until none is left, or with --watch for ever."""

from __future__ import annotations

import argparse
import contextlib
import logging
import time
from collections.abc import Callable
from functools import partial

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

from label_studio_otel.cli import _settings
from label_studio_otel.cli._output import print_error, print_line
from label_studio_otel.cli.status import progress_of, server_directories, summary_of, unsent
from label_studio_otel.delivery.deliverer import Deliverer
from label_studio_otel.delivery.hooks import Hooks
from label_studio_otel.errors import LabelStudioOtelError, OutboxError
from label_studio_otel.metrics.instruments import register
from label_studio_otel.metrics.server_metrics import ServerMetrics
from label_studio_otel.outbox.items import OPEN_STATES, Summary
from label_studio_otel.pipeline import spool_directory
from label_studio_otel.settings import Settings
from label_studio_otel.spool.reader import is_of_another_version, spool_files

#: Seconds between two steps of the deliverer where the first one sent nothing.
POLL_SECONDS = 0.25
WATCH_POLL_SECONDS = 1.0
#: Seconds that a call waits for its log events and for other spans of the same call.
SETTLE_DELAY_S = 2.0

SUMMARY = "send the calls that wait, until none is left"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options and arguments of the command."""
    _settings.add_options(parser, _settings.STATE)
    parser.add_argument("--watch", action="store_true", help="keep running, and send new calls")
    add_timeout(parser)
    parser.add_argument(
        "--reconcile",
        action="store_true",
        help="look up waiting calls before they are sent: after the outbox was lost, some may have been delivered",
    )
    parser.add_argument(
        "--server-restarted",
        action="store_true",
        help="Label Studio's process was just restarted: calls that were sent before and are missing are sent again at "
        "once",
    )


def add_timeout(parser: argparse.ArgumentParser) -> None:
    """Add the option after which `drain` gives up."""
    parser.add_argument(
        "--timeout",
        type=float,
        default=60.0,
        metavar="SECONDS",
        help="give up after this long without progress (default: 60)",
    )


def run(args: argparse.Namespace) -> int:
    """Deliver; return 0 when all calls arrived, 1 when some are left or parked, with the reason on standard error."""
    settings = _settings.read(args)
    source = ServerMetrics(settings.url)
    deliverer = Deliverer(
        settings,
        settle_delay=SETTLE_DELAY_S if args.watch else 0.0,
        hooks=Hooks(
            observe_latency=source.record_latency,
            observe_import=source.record_import,
            restarted_at=time.time() if args.server_restarted else 0.0,
        ),
    )
    source.counts += (deliverer.counts,)
    try:
        if (args.reconcile or args.server_restarted) and not deliverer.take_lock():
            print_error(
                f"another process delivers what is in {settings.directory}: end it first, or start it with "
                "LABEL_STUDIO_OTEL_DELIVERY=off"
            )
            return 1
        if args.reconcile:
            deliverer.reconcile()
        return _watch(deliverer, source) if args.watch else drain(deliverer, settings, args.timeout)
    except (LabelStudioOtelError, OSError) as error:
        print_error(str(error))
        return 1
    finally:
        deliverer.close()


def _watch(deliverer: Deliverer, source: ServerMetrics) -> int:
    register(late=True)
    while True:
        moved = deliverer.step()
        source.update_backlog(deliverer.backlog)
        if not moved:
            time.sleep(WATCH_POLL_SECONDS)


def drain(deliverer: Deliverer, settings: Settings, timeout: float) -> int:
    """Deliver until no call is left, or for `timeout` seconds without progress; return the exit code.

    Raises:
        OutboxError: the outbox cannot be read.
    """
    logging.getLogger("label_studio_otel").setLevel(logging.ERROR)  # `_verdict` reports errors
    deliverer.skip_settling()
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as progress:
        bar = progress.add_task("delivering", total=None)
        summary = _steps(deliverer, settings, timeout, partial(progress.update, bar))
    return _verdict(summary, settings, deliverer.problem)


def _steps(deliverer: Deliverer, settings: Settings, timeout: float, show: Callable[..., object]) -> Summary:
    last_progress = time.monotonic()
    before, most = progress_of(settings.directory), 0
    while True:
        moved = deliverer.step()
        progress = progress_of(settings.directory)
        if moved or progress.delivered_at != before.delivered_at:
            last_progress, before = time.monotonic(), progress
        most = max(most, before.left, progress.left)
        show(completed=most - progress.left, total=most)
        if progress.left == 0 or time.monotonic() > last_progress + timeout or progress.stuck:
            return summary_of(settings.directory)
        if not moved:
            time.sleep(POLL_SECONDS)


def _verdict(summary: Summary, settings: Settings, problem: str | None) -> int:
    left = {state: summary.states[state] for state in (*OPEN_STATES, "parked") if summary.states[state]}
    if problem:
        print_error(problem)
    for target, states, parked in summary.destinations:
        if target.blocked and any(states[state] for state in OPEN_STATES):
            print_error(f"{target.destination}: {target.blocked}")
        for reason, number in parked.items():
            print_error(f"{target.destination}: {number} parked: {reason}")
    if left:
        print_error(f"left in {settings.directory}: {', '.join(f'{number} {state}' for state, number in left.items())}")
        if "uncertain" in left:
            print_error(
                "uncertain: sent, and no answer came; the next `deliver` looks them up before anything is resent"
            )
    newer = list(filter(is_of_another_version, spool_files(spool_directory(settings.directory))))
    for path in newer:
        print_error(f"{path} was written by another version of label-studio-otel; upgrade this installation")
    if not left and not newer:
        print_line(f"all delivered ({summary.states['delivered']} LLM calls are tasks)")
    _mention_others(settings)
    return 1 if left or newer else 0


def _mention_others(settings: Settings) -> None:
    """Report calls that wait for other servers: this command sends only to the server of its token."""
    for directory in server_directories(settings.state_dir):
        with contextlib.suppress(OutboxError):
            if directory != settings.directory and (left := unsent(summary_of(directory))):
                print_error(
                    f"{left} more wait for another server ({directory.name}): set LABEL_STUDIO_URL to it, or, where "
                    f"that was never its address, send them here: label-studio-otel retry --from {directory.name}"
                )
