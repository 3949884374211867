"""`label-studio-otel doctor`: find what is wrong in a set-up, and say how to correct it.

It reads the variables, packages and files of the environment that it is started in (`SetUp`, see `installation`), so it
is run with the application's own Python. Each check is a function from the set-up to findings: `installation`, `sdk`,
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
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from label_studio_otel.cli import _settings
from label_studio_otel.cli.doctor import content, exporters, instrumentation, observed, sdk, server, state
from label_studio_otel.cli.doctor.finding import ERROR, OK, WARNING, Finding, Findings, counted, error
from label_studio_otel.cli.doctor.installation import SetUp, installed, interpreter
from label_studio_otel.cli.doctor.observed import Observed
from label_studio_otel.log import one_line
from label_studio_otel.sdk.observer import VARIABLE
from label_studio_otel.settings import load

Check = Callable[[SetUp], Findings]

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
    interpreter,
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

SUMMARY = "find what is wrong in a set-up, and how to correct it"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options and arguments of the command."""
    parser.usage = "label-studio-otel doctor [--in-code] [--json] [-- python app.py …]"
    parser.description = (
        "Looks at this environment's variables and packages, at Label Studio and at the state directory; run it with "
        "the application's Python and variables. With a command it runs the application once, under "
        f"{INSTRUMENT}, and says which spans came. Exit code 1 where something keeps LLM calls from arriving."
    )
    _settings.add_options(parser, _settings.STATE)
    parser.add_argument(
        "--json", action="store_true", help="print one JSON object; the application's output goes to standard error"
    )
    parser.add_argument(
        "--in-code",
        action="store_true",
        help=f"tracing is set up in the application's code: start it as it is, without {INSTRUMENT}",
    )
    parser.add_argument("command", nargs=argparse.REMAINDER, help="the application and its arguments, behind --")


def run(args: argparse.Namespace) -> int:
    """Print the findings; return 1 where one is an error, else 0."""
    command = args.command[1:] if args.command[:1] == ["--"] else args.command
    settings = load({"url": args.url, "state_dir": args.state_dir})
    set_up = SetUp(os.environ, installed(), settings, args.in_code)
    found = [one for check in CHECKS if not (args.in_code and check in CONFIGURATION) for one in check(set_up)]
    seen = None
    if command:
        seen, of_run = _observed(command, set_up, quiet=args.json)
        # Calls arrive: `opentelemetry-instrument --traces_exporter` and tracing set up in code need no variable.
        if seen and seen.llm_calls > seen.missed:
            wrong = [one for one in found if one.level == ERROR and one.subject in CONFIGURED]
            found = [replace(one, level=WARNING) if one in wrong else one for one in found]
        found += of_run
    (_print_json if args.json else _print)(found, seen)
    return int(any(one.level == ERROR for one in found))


def _observed(command: Sequence[str], set_up: SetUp, *, quiet: bool) -> tuple[Observed | None, list[Finding]]:
    """Run the application once; return its spans, None where it could not be started, and the findings about them."""
    with tempfile.TemporaryDirectory(prefix="label-studio-otel-doctor-") as directory:
        notes = Path(directory, "notes.jsonl")
        environ = {**os.environ, VARIABLE: str(notes)}
        if set_up.in_code:
            path = [str(Path(__file__).with_name("observed_start")), os.environ.get("PYTHONPATH")]
            environ["PYTHONPATH"] = os.pathsep.join(filter(None, path))
        else:
            command = _instrumented(command)
        try:
            # The user sees the application's output; with --json it goes to standard error.
            process = subprocess.Popen(command, env=environ, stdout=sys.stderr if quiet else None)
        except OSError as problem:
            fix = f"correct the command behind --, or install what brings {command[0]}"
            return None, [error("run", f"{command[0]} cannot be started: {problem.strerror}", fix)]
        with process, suppress(KeyboardInterrupt):  # Ctrl-C reached the application too, and ends a server
            process.wait()
        lines = notes.read_text("utf-8").splitlines() if notes.exists() else []
    seen = observed.read(lines, process.returncode)
    return seen, list(observed.findings(seen, set_up.settings, in_code=set_up.in_code))


def _instrumented(command: Sequence[str]) -> Sequence[str]:
    """Return the command under `opentelemetry-instrument`, by preference the one beside this interpreter."""
    if any(Path(word).stem == INSTRUMENT for word in command):
        return command
    beside = Path(sys.executable).with_name(INSTRUMENT)
    return [str(beside) if beside.exists() else INSTRUMENT, *command]


def _print_json(found: Sequence[Finding], observed: Observed | None) -> None:
    report: dict[str, Any] = {"findings": [asdict(one) for one in found]}
    if observed is not None:
        numbers = {name: value for name, value in vars(observed).items() if name != "names"}
        report["run"] = {**numbers, "llm_calls": observed.llm_calls}
    sys.stdout.write(json.dumps(report, indent=1) + "\n")


def _print(found: Sequence[Finding], observed: Observed | None) -> None:
    console = Console(highlight=False)
    for one in found:
        mark, colour = MARKS[one.level]
        line = Text.assemble((f"{mark} ", colour), (f"{one.subject}: ", "bold"), one_line(one.met))
        console.print(line, soft_wrap=True)
        if one.fix:
            console.print(Text(f"  → {one_line(one.fix)}", style="cyan"), soft_wrap=True)
    if observed is not None and observed.spans:
        table = Table("scope", box=None, pad_edge=False)
        table.add_column("spans", justify="right")
        table.add_column("LLM calls", justify="right")
        for scope, number in sorted(observed.spans.items()):
            table.add_row(Text(one_line(scope) or "(none)"), str(number), str(observed.calls[scope]))
        console.print(table)
    errors, warnings = (sum(one.level == level for one in found) for level in (ERROR, WARNING))
    console.print(f"{counted(errors, 'error')}, {counted(warnings, 'warning')}", style="bold")
