"""The virtual environments that uv makes for the demo, and the child processes that the demo runs.

Long work reports by a callback, `progress(message)`, several times a second. An exception raised by the callback stops
the work, ends the child process and is passed on: this is how Ctrl-C ends the demo.
"""

from __future__ import annotations

import contextlib
import hashlib
import importlib.util
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO

from label_studio_otel.errors import LabelStudioOtelError

Progress = Callable[[str], None]

#: Seconds between two checks of a child process.
POLL_SECONDS = 0.1
#: Seconds that a child process may take to end after SIGTERM; then it is killed.
GRACE_SECONDS = 5.0
#: Seconds to wait until the killed processes of a group are gone; one that nobody reaps stays.
REAP_SECONDS = 2.0
#: Version of the running interpreter.
RUNNING_PYTHON = f"{sys.version_info[0]}.{sys.version_info[1]}"


class CommandFailed(LabelStudioOtelError):
    """A command of the set-up ended with an error; the message names its log and cites the last lines of it."""


def quiet(_message: str) -> None:
    """Report nothing."""


def cache_directory() -> Path:
    """Return the folder of the environments and of the migrated database; a user may delete it at any time."""
    return user_directory("XDG_CACHE_HOME", ".cache")


def user_directory(variable: str, default: str) -> Path:
    """Return this package's folder below the one that a variable names, by default below one of the home folder."""
    base = os.environ.get("LOCALAPPDATA" if sys.platform == "win32" else variable)
    return Path(base or Path.home() / default, "label-studio-otel")


def uv() -> list[str]:
    """Return the command that runs uv.

    Raises:
        CommandFailed: uv is not installed.
    """
    if importlib.util.find_spec("uv"):
        return [sys.executable, "-m", "uv"]
    # `uv run` sets UV to its own program, which is not on PATH where uv was started as `python3 -m uv`.
    program = os.environ.get("UV") or shutil.which("uv")
    if program is None:
        raise CommandFailed('uv is not installed: pip install "label-studio-otel[demo]"')
    return [program]


@dataclass(frozen=True)
class VirtualEnvironment:
    """A virtual environment in the cache directory.

    It is made under another name and renamed when it is complete, so that a folder with its name is complete. A digest
    of what it is made from is part of its name, so that no environment changes while a program uses it.
    """

    name: str
    #: Arguments of `uv pip install`.
    requirements: tuple[str, ...]
    #: Version of its interpreter; uv finds or downloads another one than the running one.
    python: str = RUNNING_PYTHON
    #: A text that changes where the same requirements would install something else.
    state: str = ""
    cache_dir: Path = field(default_factory=cache_directory)

    @property
    def path(self) -> Path:
        """The environment's folder."""
        digest = hashlib.sha256("\n".join([*self.requirements, self.state]).encode()).hexdigest()[:8]
        return self.cache_dir / f"{self.name}-py{self.python}-{digest}"

    def program(self, name: str) -> Path:
        """Return the path of a command that a package of the environment has."""
        return self.path / "Scripts" / f"{name}.exe" if sys.platform == "win32" else self.path / "bin" / name

    def ensure(self, *, progress: Progress = quiet, message: str = "installing packages") -> None:
        """Make the environment unless it exists.

        Raises:
            CommandFailed: uv is not installed, or cannot install the requirements.
        """
        if self.path.exists():
            return
        log = self.path.with_name(f"{self.path.name}.log")
        python = sys.executable if self.python == RUNNING_PYTHON else self.python
        self.cache_dir.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=f"{self.path.name}.", dir=self.cache_dir) as folder:
            partial = Path(folder, "partial")
            for command in (
                ["venv", "--quiet", "--relocatable", "--python", python, str(partial)],
                ["pip", "install", "--python", str(partial), *self.requirements],
            ):
                run_command([*uv(), *command], env=os.environ, log=log, progress=progress, message=message)
            try:
                partial.rename(self.path)
            except OSError:
                if not self.path.exists():  # else another process made it meanwhile
                    raise


def run_command(command: Sequence[str], *, env: Mapping[str, str], log: Path, progress: Progress, message: str) -> None:
    """Run a command to its end and append its output to `log`; leave no process of it, also where this raises.

    Raises:
        CommandFailed: its exit code is not 0.
    """
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("ab") as output:
        process = spawn(command, env, output)
        try:
            while process.poll() is None:
                progress(message)
                time.sleep(POLL_SECONDS)
        finally:
            end(process)
    if process.returncode:
        raise CommandFailed(f"{message} failed; the whole output is in {log}\n{end_of_log(log)}")


def spawn(
    command: Sequence[str], env: Mapping[str, str], output: BinaryIO, stdin: int = subprocess.DEVNULL
) -> subprocess.Popen[bytes]:
    """Start a command and return its process. It leads a process group, which the terminal's Ctrl-C does not reach."""
    return subprocess.Popen(
        command, env=env, stdin=stdin, stdout=output, stderr=subprocess.STDOUT, start_new_session=True
    )


def end_of_log(log: Path) -> str:
    """Return the last lines of a log."""
    return "\n".join(log.read_text("utf-8", "replace").strip().splitlines()[-8:])


def end(process: subprocess.Popen[bytes]) -> None:
    """End a process that leads a process group, and the whole group: with SIGTERM, then with SIGKILL."""
    with contextlib.suppress(subprocess.TimeoutExpired):
        if process.poll() is None:
            _signal_group(process, signal.SIGTERM)
            process.wait(GRACE_SECONDS)
    kill(process)  # also where the process itself has ended: a child of it may still run


def kill(process: subprocess.Popen[bytes]) -> None:
    """Kill a process that leads a process group, and the whole group."""
    _signal_group(process, getattr(signal, "SIGKILL", signal.SIGTERM))
    process.wait()
    deadline = time.monotonic() + REAP_SECONDS
    with contextlib.suppress(ProcessLookupError, PermissionError):
        while hasattr(os, "killpg") and time.monotonic() < deadline:
            os.killpg(process.pid, 0)
            time.sleep(0.01)
    if process.stdin is not None:
        process.stdin.close()


def _signal_group(process: subprocess.Popen[bytes], number: int) -> None:
    if hasattr(os, "killpg"):
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(process.pid, number)
    elif process.poll() is None:
        process.send_signal(number)
