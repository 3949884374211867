"""Virtual environments of our own, and the child processes that make them.

Long work reports by a callback, `progress(message)`, at least several times a second. An exception raised by the
callback stops the work, ends the child process and is passed on: that is how Ctrl-C reaches it.
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
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from label_studio_otel.errors import LabelStudioOtelError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    Progress = Callable[[str], None]

__all__ = ["CommandFailed", "VirtualEnvironment", "cache_directory", "end", "kill", "lock", "quiet", "run_command"]

#: Between two looks at a child process.
POLL_SECONDS = 0.1
#: What a process of ours may take to end by itself before it is killed.
GRACE_SECONDS = 5.0
#: What an environment of ours inherits. PYTHONPATH would leak our packages into it, and Label Studio reads many
#: ordinary names (HOST, DEBUG, USERNAME, DJANGO_DB) as settings.
INHERITED = ("PATH", "HOME", "USERPROFILE", "LANG", "LC_ALL", "TMPDIR", "TEMP", "TMP", "SYSTEMROOT", "LOCALAPPDATA")


class CommandFailed(LabelStudioOtelError):
    """A command that the set-up needs ended with an error; the message names its log and cites the end of it."""


def quiet(_message: str) -> None:
    """Report nothing."""


def cache_directory() -> Path:
    """Return where environments and the migrated database are kept; it may be deleted at any time."""
    if sys.platform == "win32":
        base = os.environ.get("LOCALAPPDATA")
    else:
        base = os.environ.get("XDG_CACHE_HOME")
    return Path(base or Path.home() / ".cache", "label-studio-otel")


def minimal_environment() -> dict[str, str]:
    """Return the few environment variables that a program needs and that cannot change what it does."""
    return {name: os.environ[name] for name in INHERITED if name in os.environ}


@contextlib.contextmanager
def lock(path: Path, *, wait: bool = True, progress: Progress = quiet, message: str = "") -> Iterator[bool]:
    """Hold a file's lock, so that two processes never make the same thing at once.

    Yields False where another process holds it and `wait` is False. The lock ends with the process.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        import fcntl
    except ImportError:  # Windows: nothing is locked
        yield True
        return
    with path.open("w") as file:
        while not (held := _try_lock(fcntl, file.fileno())) and wait:
            progress(message)
            time.sleep(POLL_SECONDS)
        yield held


def _try_lock(fcntl: Any, descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    return True


def run_command(command: Sequence[str], *, env: Mapping[str, str], log: Path, progress: Progress, message: str) -> None:
    """Run a command to its end, its output appended to `log`; no process of it is left when this returns or raises."""
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("ab") as output:
        process = subprocess.Popen(
            command,
            env=dict(env),
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,  # a group of its own: Ctrl-C in the terminal is ours to pass on
        )
        try:
            while process.poll() is None:
                progress(message)
                time.sleep(POLL_SECONDS)
        finally:
            end(process)
    if process.returncode:
        said = log.read_text("utf-8", "replace").strip().splitlines()[-8:]
        raise CommandFailed("\n".join([f"{message} failed; the whole output is in {log}", *said]))


def end(process: subprocess.Popen[bytes]) -> None:
    """End a process that was started in a session of its own, and whatever it started: asked first, then killed."""
    with contextlib.suppress(subprocess.TimeoutExpired):
        if process.poll() is None:
            _signal_group(process, signal.SIGTERM)
            process.wait(GRACE_SECONDS)
    kill(process)  # also where the process itself is gone: a child of it may have stayed


def kill(process: subprocess.Popen[bytes]) -> None:
    """End a process that was started in a session of its own, and whatever it started, at once."""
    _signal_group(process, getattr(signal, "SIGKILL", signal.SIGTERM))
    process.wait()
    _wait_for_group(process.pid)
    if process.stdin is not None:
        process.stdin.close()


def _wait_for_group(group: int) -> None:
    """Wait until the killed processes of a group are gone, but not for one that nobody reaps."""
    deadline = time.monotonic() + 2
    with contextlib.suppress(ProcessLookupError, PermissionError):
        while hasattr(os, "killpg") and time.monotonic() < deadline:
            os.killpg(group, 0)
            time.sleep(0.01)


def _signal_group(process: subprocess.Popen[bytes], number: int) -> None:
    if hasattr(os, "killpg"):
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(process.pid, number)
    elif process.poll() is None:
        process.send_signal(number)


@dataclass(frozen=True)
class VirtualEnvironment:
    """A virtual environment that is either complete or made anew.

    It is made by uv where there is one, else by `venv` and pip.
    """

    #: Folder of the environment.
    path: Path
    #: Arguments of `pip install`.
    requirements: tuple[str, ...]
    #: What uv shall take as interpreter; None is the running one.
    python: str | None = None

    @property
    def executable(self) -> Path:
        """The environment's Python."""
        return self.program("python")

    def program(self, name: str) -> Path:
        """Return the path of a command that a package brought."""
        return self.path / "Scripts" / f"{name}.exe" if sys.platform == "win32" else self.path / "bin" / name

    @property
    def is_complete(self) -> bool:
        """True where the environment was made to its end with these requirements."""
        try:
            return self._marker.read_text("utf-8") == self._fingerprint and self.executable.exists()
        except OSError:
            return False

    def ensure(self, *, progress: Progress = quiet, message: str = "installing packages") -> None:
        """Make the environment unless it is there."""
        if self.is_complete:
            return
        log = self.path.with_name(f"{self.path.name}.log")
        with lock(self.path.with_name(f"{self.path.name}.lock"), progress=progress, message=message):
            if self.is_complete:  # another process made it meanwhile
                return
            shutil.rmtree(self.path, ignore_errors=True)
            log.unlink(missing_ok=True)
            for command in self._commands():
                run_command(command, env=_installer_environment(), log=log, progress=progress, message=message)
            self._marker.write_text(self._fingerprint, "utf-8")

    @property
    def _marker(self) -> Path:
        return self.path / "label-studio-otel.complete"

    @property
    def _fingerprint(self) -> str:
        return hashlib.sha256("\n".join(self.requirements).encode()).hexdigest()

    def _commands(self) -> list[list[str]]:
        uv = find_uv()
        if uv:
            return [
                [*uv, "venv", "--quiet", "--python", self.python or sys.executable, str(self.path)],
                [*uv, "pip", "install", "--python", str(self.executable), *self.requirements],
            ]
        if self.python:
            raise CommandFailed(
                f"Python {self.python} is needed for {self.path.name}; "
                "`pip install uv` gets it, or run this with that Python"
            )
        return [
            [sys.executable, "-m", "venv", str(self.path)],
            [str(self.executable), "-m", "pip", "install", "--disable-pip-version-check", *self.requirements],
        ]


def find_uv() -> list[str] | None:
    """Return the command that runs uv, None where there is none."""
    if importlib.util.find_spec("uv"):
        return [sys.executable, "-m", "uv"]
    program = shutil.which("uv")
    # A name on PATH may be the shim of a version manager with nothing behind it.
    if program and subprocess.run([program, "--version"], capture_output=True, check=False).returncode == 0:
        return [program]
    return None


def _installer_environment() -> dict[str, str]:
    """Return the user's own variables (proxies, package indexes) without those that point into another environment."""
    foreign = ("PYTHONPATH", "PYTHONHOME", "VIRTUAL_ENV", "CONDA_PREFIX")
    return {name: value for name, value in os.environ.items() if name not in foreign}
