"""Applications of users: real processes under `opentelemetry-instrument`, and what became of their LLM calls."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, NamedTuple

from support.servers import wait_for

if TYPE_CHECKING:
    from collections.abc import Mapping

    from typing_extensions import Self

    from support.servers import Api

APPS = Path(__file__).parents[1] / "acceptance" / "apps"
COMMANDS = Path(sys.executable).parent
INSTRUMENT = [str(COMMANDS / "opentelemetry-instrument")]
#: Seconds after which a process of a test is taken for one that hangs.
PATIENCE = 90.0


class Ended(NamedTuple):
    """A process that ended."""

    code: int
    stdout: str
    stderr: str
    #: `time.time()` when its end was seen.
    at: float

    @property
    def said(self) -> list[str]:
        """What we said on standard error."""
        return [line for line in self.stderr.splitlines() if "label-studio-otel" in line]

    @property
    def finished(self) -> list[str]:
        """The prompts whose answers the application had got."""
        return finished(self.stdout)


class Running:
    """A process that runs while its context lasts, and not longer, whatever becomes of the test.

    Its output goes to files: what stands in a pipe can be read once only, and a full one stops the process.
    """

    def __init__(self, command: list[str], environ: Mapping[str, str]) -> None:
        self._stdout = tempfile.TemporaryFile("w+", encoding="utf-8")  # noqa: SIM115 - closed by __exit__
        self._stderr = tempfile.TemporaryFile("w+", encoding="utf-8")  # noqa: SIM115
        self._process = subprocess.Popen(
            command, env=environ, cwd=APPS, stdin=subprocess.PIPE, stdout=self._stdout, stderr=self._stderr, text=True
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self._process.kill()
        self._process.communicate()
        self._stdout.close()
        self._stderr.close()

    def say(self, line: str) -> None:
        """Write a line to standard input."""
        self._process.stdin.write(f"{line}\n")
        self._process.stdin.flush()

    def wait_until_finished(self, calls: int) -> None:
        """Return when that many calls have returned."""
        wait_for(lambda: len(finished(_read(self._stdout))) >= calls, timeout=PATIENCE, what=f"{calls} calls")

    def send_signal(self, number: int) -> None:
        """Send a signal to this process."""
        self._process.send_signal(number)

    def ended(self, stdin: str = "") -> Ended:
        """Close standard input and wait for the end; a process that hangs fails the test."""
        try:
            self._process.communicate(stdin, timeout=PATIENCE)
        except subprocess.TimeoutExpired:
            raise AssertionError(f"it hangs after saying {_read(self._stderr)}") from None
        return Ended(self._process.returncode, _read(self._stdout), _read(self._stderr), time.time())


def _read(file: IO[str]) -> str:
    return os.pread(file.fileno(), os.fstat(file.fileno()).st_size, 0).decode()


@dataclass(frozen=True)
class Deployment:
    """What one user configured: which Label Studio, which project, which state directory."""

    api: Api
    title: str
    state_dir: Path
    url: str
    variables: Mapping[str, str] = field(default_factory=dict)

    def environ(self, **variables: str) -> dict[str, str]:
        """Return the environment of an application; what was not meant for it is left out."""
        foreign = ("OTEL_", "LABEL_STUDIO_", "OPENAI_", "TRACELOOP_")
        return {
            **{name: value for name, value in os.environ.items() if not name.startswith(foreign)},
            "OTEL_TRACES_EXPORTER": "label_studio",
            "OTEL_METRICS_EXPORTER": "none",
            "OTEL_LOGS_EXPORTER": "none",
            "LABEL_STUDIO_URL": self.url,
            "LABEL_STUDIO_API_KEY": self.api.server.token,
            "LABEL_STUDIO_OTEL_PROJECT_NAME": self.title,
            "LABEL_STUDIO_OTEL_STATE_DIR": str(self.state_dir),
            # A process killed between taking a batch and sending it leaves it in doubt.
            "LABEL_STUDIO_OTEL_UNCERTAIN_WAIT": "3",
            **self.variables,
            **variables,
        }

    def start(self, app: str, *arguments: str, instrumented: bool = True, **variables: str) -> Running:
        """Start one of the programs in `apps`; use it as a context."""
        command = [sys.executable, str(APPS / app), *arguments]
        return self.start_command([*INSTRUMENT, *command] if instrumented else command, **variables)

    def start_command(self, command: list[str], **variables: str) -> Running:
        """Start any command as the application; use it as a context."""
        return Running(command, self.environ(**variables))

    def run(self, app: str, *arguments: str, stdin: str = "", instrumented: bool = True, **variables: str) -> Ended:
        """Run one of the programs in `apps` to its end."""
        with self.start(app, *arguments, instrumented=instrumented, **variables) as running:
            return running.ended(stdin)

    def command(self, *arguments: str, **variables: str) -> Ended:
        """Run `label-studio-otel` with the application's settings."""
        with self.start_command([str(COMMANDS / "label-studio-otel"), *arguments], **variables) as running:
            return running.ended()

    def deliver(self, **variables: str) -> None:
        """Run `label-studio-otel deliver`, which must say that everything arrived."""
        delivery = self.command("deliver", **variables)
        assert delivery.code == 0, delivery

    def tasks(self, title: str | None = None) -> list[dict[str, Any]]:
        """Return the project's tasks, none where there is no project yet."""
        projects = self.api.projects_titled(title or self.title)
        assert len(projects) <= 1, projects
        return self.api.tasks(projects[0]["id"]) if projects else []

    def prompts(self, title: str | None = None) -> Counter[str]:
        """Return how many tasks there are of each prompt; each has one prediction."""
        tasks = self.tasks(title)
        assert [len(task["predictions"]) for task in tasks] == [1] * len(tasks)
        return Counter(task["data"]["prompt"] for task in tasks)


def finished(stdout: str) -> list[str]:
    """Return the prompts of the lines that an application wrote after each answer; a torn line is none."""
    lines = (line for line in stdout.splitlines(keepends=True) if line.endswith("\n"))
    return [line.removeprefix("finished ").rstrip("\n") for line in lines if line.startswith("finished ")]
