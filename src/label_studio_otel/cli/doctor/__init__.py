"""`label-studio-otel doctor`: find what is wrong in a set-up, and say how to correct it.

It reads the variables, packages and files of the environment that it is started in (`SetUp`, see `installation`), so it
is run with the application's own Python. Each check is a function from the set-up to findings: `python`, `sdk`,
`exporters`, `instrumentation`, `content`, `server`, `state`. With a command behind `--` it also runs the application
once; `observed` counts the spans of that run.
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
from label_studio_otel.cli.doctor import content, exporters, instrumentation, observed, python, sdk, server, state
from label_studio_otel.cli.doctor.finding import ERROR, OK, WARNING, Finding, counted, error
from label_studio_otel.cli.doctor.installation import SetUp, installed
from label_studio_otel.sdk.observer import VARIABLE
from label_studio_otel.settings import load

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from rich.console import Console

    from label_studio_otel.cli.doctor.observed import Observed

    Check = Callable[[SetUp], Iterator[Finding]]

__all__ = ["add_parser", "run"]

MARKS = {OK: ("✓", "green"), WARNING: ("!", "yellow"), ERROR: ("✗", "red")}
INSTRUMENT = "opentelemetry-instrument"
#: Subjects that a run can prove to be in order although the variables look wrong.
CONFIGURED = ("distro", "declarative file", "exporter")
#: Checks of the configuration that `opentelemetry-instrument` reads; not run with --in-code.
CONFIGURATION: tuple[Check, ...] = (
    exporters.distro,
    exporters.declarative,
    exporters.named,
    exporters.installed,
    exporters.listeners,
)
CHECKS: tuple[Check, ...] = (
    python.interpreter,
    sdk.disabled,
    *CONFIGURATION,
    instrumentation.instrumentations,
    content.traceloop,
    content.gen_ai,
    content.openinference,
    sdk.limits,
    sdk.sampler,
    sdk.batch_processor,
    server.settings,
    server.label_studio,
    state.state_directory,
    state.waiting,
    state.versions,
    state.span_ids,
)


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
    """Print the findings; return 1 where one is an error, else 0."""
    command = args.command[1:] if args.command[:1] == ["--"] else args.command
    settings = load({"url": args.url, "state_dir": args.state_dir})
    set_up = SetUp(os.environ, installed(), settings, args.in_code)
    found = [one for check in CHECKS if not (args.in_code and check in CONFIGURATION) for one in check(set_up)]
    seen = None
    if command:
        seen, of_run = _observed(command, set_up, quiet=args.json)
        found = [*(_weighed(found, seen) if seen else found), *of_run]
    if args.json:
        _print_json(found, seen)
    else:
        _print(found, seen)
    return int(any(one.level == ERROR for one in found))


def _observed(command: Sequence[str], set_up: SetUp, *, quiet: bool) -> tuple[Observed | None, list[Finding]]:
    """Run the application once; return its spans, None where it could not be started, and the findings about them."""
    with tempfile.TemporaryDirectory(prefix="label-studio-otel-doctor-") as directory:
        notes = Path(directory, "notes.jsonl")
        environ = {**os.environ, VARIABLE: str(notes), **(_path_first() if set_up.in_code else {})}
        words = list(command) if set_up.in_code else _instrumented(command)
        try:
            # The user sees the application's output; with --json it goes to standard error.
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
        except KeyboardInterrupt:  # Ctrl-C reached the application too, and ends a server
            return process.wait()


def _weighed(found: Sequence[Finding], observed: Observed) -> list[Finding]:
    """Return the findings, errors about the configuration as warnings where the run shows that calls arrive.

    With `opentelemetry-instrument --traces_exporter`, or with tracing set up in code, no variable is needed.
    """
    if observed.llm_calls == observed.missed:
        return list(found)
    return [replace(one, level=WARNING) if one.subject in CONFIGURED and one.level == ERROR else one for one in found]


def _instrumented(command: Sequence[str]) -> list[str]:
    """Return the command under `opentelemetry-instrument`, by preference the one beside this interpreter."""
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
