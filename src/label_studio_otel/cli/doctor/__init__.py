"""`label-studio-otel doctor`: what is wrong in a set-up, each with what mends it.

It looks at the environment it is started in, so it is run with the application's own Python. With a command behind
`--` it also runs that application once, as it always runs, and says which spans came of it.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from label_studio_otel.cli import _settings
from label_studio_otel.cli.doctor.checks import findings
from label_studio_otel.cli.doctor.finding import ERROR, OK, WARNING, Finding, counted
from label_studio_otel.cli.doctor.installation import SetUp, installed
from label_studio_otel.sdk.observer import VARIABLE

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from rich.console import Console

    from label_studio_otel.cli.doctor.observed import Observed

__all__ = ["add_parser", "run"]

MARKS = {OK: ("✓", "green"), WARNING: ("!", "yellow"), ERROR: ("✗", "red")}
INSTRUMENT = "opentelemetry-instrument"
#: Subjects that a run can show to be well although the variables look otherwise.
CONFIGURED = ("distro", "declarative file", "exporter")


def add_parser(commands: Any) -> None:
    """Add the command."""
    parser = commands.add_parser(
        "doctor",
        help="say what is wrong in a set-up, and what mends it",
        usage="label-studio-otel doctor [--in-code] [--json] [-- python app.py …]",
        description="Looks at this environment's variables and packages, at Label Studio and at the state directory; "
        "run it with the application's Python and variables. With a command it runs the application once, under "
        f"{INSTRUMENT}, and says which spans came. Exit code 1 where something keeps LLM calls from arriving.",
    )
    _settings.add_options(parser)
    parser.add_argument(
        "--json", action="store_true", help="print one JSON object; the application's output moves away"
    )
    parser.add_argument(
        "--in-code",
        action="store_true",
        help=f"tracing is set up in the application's code: start it as it is, and ask nothing of {INSTRUMENT}",
    )
    parser.add_argument("command", nargs=argparse.REMAINDER, help="the application and its arguments, behind --")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Print what was found; 1 where there is an error, else 0."""
    command = args.command[1:] if args.command[:1] == ["--"] else args.command
    set_up = _set_up(args)
    observed = None
    found = list(findings(set_up))
    if command:
        observed, seen = _observed(command, set_up, quiet=args.json)
        found = [*(_weighed(found, observed) if observed else found), *seen]
    if args.json:
        _print_json(found, observed)
    else:
        _print(found, observed)
    return int(any(one.level == ERROR for one in found))


def _set_up(args: argparse.Namespace) -> SetUp:
    from label_studio_otel.settings import load

    settings = load({"url": args.url, "state_dir": args.state_dir})
    return SetUp(os.environ, installed(), settings, args.in_code)


def _observed(command: Sequence[str], set_up: SetUp, *, quiet: bool) -> tuple[Observed | None, list[Finding]]:
    """Run the application once and read what its processes noted."""
    from label_studio_otel.cli.doctor import observed
    from label_studio_otel.cli.doctor.finding import error

    with tempfile.TemporaryDirectory(prefix="label-studio-otel-doctor-") as directory:
        notes = Path(directory, "notes.jsonl")
        environ = {**os.environ, VARIABLE: str(notes), **(_path_first() if set_up.in_code else {})}
        words = list(command) if set_up.in_code else _instrumented(command)
        try:
            # Its output is the user's to see; with --json standard output holds the JSON alone.
            code = _run(words, environ, quiet=quiet)
        except OSError as problem:
            fix = f"correct the command behind --, or install what brings {words[0]}"
            return None, [error("run", f"{words[0]} cannot be started: {problem.strerror}", fix)]
        lines = notes.read_text("utf-8").splitlines() if notes.exists() else []
    seen = observed.read(lines, code)
    return seen, list(observed.findings(seen, set_up.settings, in_code=set_up.in_code))


def _run(words: Sequence[str], environ: Mapping[str, str], *, quiet: bool) -> int:
    with subprocess.Popen(words, env=environ, stdout=sys.stderr if quiet else None) as process:
        try:
            return process.wait()
        except KeyboardInterrupt:  # the application got it too; that is how the run of a server ends
            return process.wait()


def _weighed(found: Sequence[Finding], observed: Observed) -> list[Finding]:
    """Take what the variables say for a warning where the run shows that calls do arrive.

    `opentelemetry-instrument --traces_exporter` and the application's code need no variable.
    """
    if observed.llm_calls == observed.missed:
        return list(found)
    return [replace(one, level=WARNING) if one.subject in CONFIGURED and one.level == ERROR else one for one in found]


def _instrumented(command: Sequence[str]) -> list[str]:
    """Return the command under `opentelemetry-instrument`, the one beside this interpreter where there is one."""
    if any(Path(word).stem == INSTRUMENT for word in command):
        return list(command)
    beside = Path(sys.executable).with_name(INSTRUMENT)
    return [str(beside) if beside.exists() else INSTRUMENT, *command]


def _path_first() -> dict[str, str]:
    own = Path(__file__).with_name("observed_start")
    return {"PYTHONPATH": os.pathsep.join(filter(None, [str(own), os.environ.get("PYTHONPATH")]))}


def _print_json(found: Sequence[Finding], observed: Observed | None) -> None:
    report: dict[str, Any] = {"findings": [asdict(one) for one in found]}
    if observed is not None:
        numbers = {name: value for name, value in vars(observed).items() if name != "names"}
        report["run"] = {**numbers, "llm_calls": observed.llm_calls}
    sys.stdout.write(json.dumps(report, indent=1) + "\n")


def _print(found: Sequence[Finding], observed: Observed | None) -> None:
    from rich.console import Console

    console = Console(highlight=False)
    for one in found:
        _print_finding(console, one)
    if observed is not None and observed.spans:
        _print_spans(console, observed.spans, observed.calls)
    errors, warnings = (sum(one.level == level for one in found) for level in (ERROR, WARNING))
    console.print(f"{counted(errors, 'error')}, {counted(warnings, 'warning')}", style="bold")


def _print_finding(console: Console, one: Finding) -> None:
    from rich.text import Text

    mark, colour = MARKS[one.level]
    console.print(Text.assemble((f"{mark} ", colour), (f"{one.subject}: ", "bold"), one.met), soft_wrap=True)
    if one.fix:
        console.print(Text(f"  → {one.fix}", style="cyan"), soft_wrap=True)


def _print_spans(console: Console, spans: Mapping[str, int], calls: Mapping[str, int]) -> None:
    from rich.table import Table
    from rich.text import Text

    table = Table("scope", box=None, pad_edge=False)
    table.add_column("spans", justify="right")
    table.add_column("LLM calls", justify="right")
    for scope, number in sorted(spans.items()):
        table.add_row(Text(scope or "(none)"), str(number), str(calls.get(scope, 0)))
    console.print(table)
