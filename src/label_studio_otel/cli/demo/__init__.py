"""`label-studio-otel demo`: start a Label Studio on this machine and fill it from an unmodified LangChain program.

`example` names the program and its environment, `label_studio_installation` and `label_studio_server` run the server,
`environment` makes virtual environments with uv and runs commands, `steps` shows progress and handles Ctrl-C.
Nothing is installed beside the user's packages, and no process is left when the demo ends.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor, as_completed
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.markup import escape

from label_studio_otel.cli.demo.environment import POLL_SECONDS, cache_directory, run_command, user_directory
from label_studio_otel.cli.demo.example import EXAMPLE, example_environment, example_path
from label_studio_otel.cli.demo.label_studio_installation import LABEL_STUDIO_VERSION
from label_studio_otel.cli.demo.label_studio_server import LabelStudioServer
from label_studio_otel.cli.demo.steps import Interruption, Row, interruption_by_signals, spinners
from label_studio_otel.delivery.lock import DirectoryLock
from label_studio_otel.errors import LabelStudioOtelError

#: Project title by LABEL_STUDIO_OTEL_MODE: the same program fills one project of each mode.
PROJECTS = {"prompt": "LangChain demo, prompt mode", "chat": "LangChain demo, chat mode"}
#: Beginnings of the user's variables that the example must not get.
FOREIGN_VARIABLES = ("OTEL_", "LABEL_STUDIO_", "TRACELOOP_", "PYTHONPATH", "PYTHONHOME", "VIRTUAL_ENV")
#: Seconds to wait for the tasks after they were delivered.
TASKS_SECONDS = 60.0

SUMMARY = "start a Label Studio and fill it from an unmodified LangChain program"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of the command."""
    parser.description = (
        "Starts a Label Studio of its own on this machine, runs an unmodified LangChain program under "
        "opentelemetry-instrument, and prints the links of the projects that its LLM calls filled. With OPENAI_API_KEY "
        "set (and OPENAI_BASE_URL for a compatible server, OPENAI_MODEL for the model) the program uses that model, "
        "without, LangChain's fake models."
    )
    parser.add_argument("--directory", type=Path, help=f"where the demo keeps its data (default: {_data_directory()})")
    parser.add_argument("--exit", action="store_true", help="stop Label Studio at once when the tasks are there")


def run(args: argparse.Namespace) -> int:
    """Run the demo until Ctrl-C; return 0, 1 where it failed, 130 where it was stopped before the tasks were there."""
    console = Console(highlight=False)
    directory = (args.directory or _data_directory()).expanduser().absolute()
    with interruption_by_signals() as interruption:
        try:
            with _locked(directory):
                _Demo(directory, console, interruption).run(stay=not args.exit)
        except (LabelStudioOtelError, OSError) as error:
            console.print(f"[red]{escape(str(error))}[/red]", soft_wrap=True)
            return 1
        except KeyboardInterrupt:
            console.print("Stopped.")
            return 130
    return 0


@contextlib.contextmanager
def _locked(directory: Path) -> Iterator[None]:
    lock = DirectoryLock(directory)
    if not lock.acquire():
        raise LabelStudioOtelError(f"a demo is running in {directory} already; --directory takes another one")
    try:
        yield
    finally:
        lock.release()


class _Demo:
    """One run of the demo."""

    def __init__(self, directory: Path, console: Console, interruption: Interruption) -> None:
        self.directory = directory
        self.console = console
        self.interruption = interruption
        self.application = example_environment()
        self.application_log = directory / "langchain_app.log"
        self.server = LabelStudioServer(directory / "label-studio")

    def run(self, *, stay: bool) -> None:
        model = "the model of OPENAI_API_KEY" if os.environ.get("OPENAI_API_KEY") else "LangChain's fake models"
        places = f"each in an environment of its own under {cache_directory()}; data in {self.directory}"
        self._print(
            f"Label Studio {LABEL_STUDIO_VERSION} and the LangChain program {EXAMPLE} ({model}), {escape(places)}"
        )
        try:
            with spinners(self.console) as progress:
                self._prepare(Row(progress, self.interruption), Row(progress, self.interruption))
            self._show()
            if stay:
                self._stay()
        finally:
            self.server.stop()

    def _prepare(self, server_row: Row, row: Row) -> None:
        """Start the server and install the example at the same time, then run the example."""

        def start() -> None:
            self.server.start(server_row)
            server_row.done()

        def install() -> None:
            self.application.ensure(progress=row, message="installing LangChain and its instrumentation")
            row.done()

        with ThreadPoolExecutor() as pool:
            try:
                for future in as_completed([pool.submit(start), pool.submit(install)]):
                    future.result()
            except BaseException:
                self.interruption.wanted = True  # ends the other job too
                raise
        for mode, title in PROJECTS.items():
            before = self._task_count(title)
            self._run_example(mode, row)
            self._wait_for_more_tasks(title, before, row)
        row.done()

    def _run_example(self, mode: str, row: Row) -> None:
        program, env = self.application.program, self._variables(mode)
        # The example waits for Label Studio only shortly at its exit; `deliver` sends the rest.
        for message, *command in (
            (f"running {EXAMPLE}, {mode} mode", program("opentelemetry-instrument"), program("python"), example_path()),
            ("delivering to Label Studio", program("label-studio-otel"), "deliver"),
        ):
            words = [str(word) for word in command]
            run_command(words, env=env, log=self.application_log, progress=row, message=message)

    def _variables(self, mode: str) -> dict[str, str]:
        inherited = {name: value for name, value in os.environ.items() if not name.startswith(FOREIGN_VARIABLES)}
        no_proxy = ",".join(filter(None, [os.environ.get("NO_PROXY") or os.environ.get("no_proxy"), "127.0.0.1"]))
        return {
            **inherited,
            "NO_PROXY": no_proxy,
            "no_proxy": no_proxy,
            "OTEL_SERVICE_NAME": "langchain-app",
            "OTEL_TRACES_EXPORTER": "label_studio",
            "OTEL_METRICS_EXPORTER": "none",
            "OTEL_LOGS_EXPORTER": "none",
            "LABEL_STUDIO_URL": self.server.url,
            "LABEL_STUDIO_API_KEY": self.server.token,
            "LABEL_STUDIO_OTEL_MODE": mode,
            "LABEL_STUDIO_OTEL_PROJECT_NAME": PROJECTS[mode],
            "LABEL_STUDIO_OTEL_STATE_DIR": str(self.directory / "state"),
        }

    def _wait_for_more_tasks(self, title: str, before: int, row: Row) -> None:
        deadline = time.monotonic() + TASKS_SECONDS
        while self._task_count(title) <= before:
            row("waiting for the tasks")
            if time.monotonic() > deadline:
                raise LabelStudioOtelError(f"no task came into {title!r}; see {self.application_log}")
            time.sleep(POLL_SECONDS)

    def _task_count(self, title: str) -> int:
        project = self._project(title)
        return project["task_number"] if project else 0

    def _project(self, title: str) -> dict[str, Any] | None:
        status, answer = self.server.request("GET", "/api/projects?page_size=1000")
        if status != 200:
            raise LabelStudioOtelError(f"Label Studio answered {status} to the list of projects; see {self.server.log}")
        return next((project for project in answer["results"] if project["title"] == title), None)

    def _show(self) -> None:
        self._print("\nThe program's LLM calls are tasks now, each with the model's answer to edit:")
        for title in PROJECTS.values():
            if project := self._project(title):
                link = f"{self.server.url}/projects/{project['id']}/data?labeling=1"
                self._print(f"  {title}, {project['task_number']} tasks: [bold cyan]{link}[/]")
        username, password = self.server.username, self.server.password
        self._print(f"Log in as [bold]{username}[/] with the password [bold]{password}[/]")

    def _stay(self) -> None:
        self._print(
            "\nYour own application gets there with the same variables:\n"
            "  export OTEL_TRACES_EXPORTER=label_studio OTEL_METRICS_EXPORTER=none OTEL_LOGS_EXPORTER=none\n"
            f"  export LABEL_STUDIO_URL={self.server.url} LABEL_STUDIO_API_KEY={self.server.token}\n"
            "  opentelemetry-instrument python app.py\n"
            "\nCtrl-C stops Label Studio; the data stays."
        )
        while not self.interruption.wanted:
            if not self.server.is_running:
                raise LabelStudioOtelError(f"Label Studio ended; its output is in {self.server.log}")
            time.sleep(POLL_SECONDS)

    def _print(self, text: str) -> None:
        self.console.print(text, soft_wrap=True)


def _data_directory() -> Path:
    return user_directory("XDG_DATA_HOME", ".local/share") / "demo"
