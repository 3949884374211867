"""The applications and the deliverer of a run: started when they are missing, killed when told."""

from __future__ import annotations

import contextlib
import os
import random
import select
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

HERE = Path(__file__).parent
APPLICATIONS = 3
#: Fewest calls that an application makes before it ends by itself.
FEWEST_CALLS = 50
#: Seconds that applications and their children may take to end when told to.
LAST_WORDS = 60
#: Seconds after which one `deliver` is taken for one that never ends.
DRAIN_SECONDS = 1800


class Fleet:
    """Three applications, of which one leaves delivery to others, and `label-studio-otel deliver --watch`.

    Args:
        directory: for the ledger, the output and the state.
        seed: of what the applications do.
        env: of all processes.
        tokens: for Label Studio, taken in turns.
        calls: most that an application makes before it ends by itself.
        deliverer: False leaves all delivery to the applications.
        sabotage: the bug that all have.
    """

    def __init__(
        self,
        directory: Path,
        seed: int,
        *,
        env: Mapping[str, str],
        tokens: Sequence[str],
        calls: int,
        deliverer: bool,
        sabotage: str | None,
    ) -> None:
        self.ledger = directory / "ledger"
        self.state = directory / "state"
        #: Applications started.
        self.started = 0
        #: How often the deliverer is not started though it is missing: the applications deliver by themselves then.
        self.absences = 0
        self._output = directory / "output"
        self._seed = seed
        self._env = {**os.environ, **env, "LABEL_STUDIO_OTEL_STATE_DIR": str(self.state)}
        self._tokens = tokens
        self._calls = calls
        self._deliverer = deliverer
        self._starts = 0
        self._command = [sys.executable, "-m", "label_studio_otel"]
        if sabotage:
            self._command = [sys.executable, str(HERE / "sabotage.py"), sabotage]
            self._env["CHAOS_SABOTAGE"] = sabotage
        self._processes: dict[int | str, subprocess.Popen[bytes]] = {}
        # The end of this pipe is seen when the last process that inherited it is gone, forked children included.
        self._gone, self._alive = os.pipe()

    def start_what_is_missing(self) -> None:
        for which in range(APPLICATIONS):
            if not self._lives(which):
                self.started += 1
                seed = f"{self._seed} application {self.started}"
                # Not from the choices of the kills: when an application is missing is not repeatable.
                calls = random.Random(seed).randint(FEWEST_CALLS, self._calls)
                command = [sys.executable, str(HERE / "application.py"), str(self.ledger), seed, str(calls)]
                self._start(which, command, "off" if which == 0 else "thread")
        if self.absences > 0:
            self.absences -= 1
        elif self._deliverer and not self._lives("deliverer"):
            self._start_deliverer()

    def kill_application(self, which: int, *, hurry: float | None, whole_group: bool) -> None:
        """Kill one, in the middle of calls without a pause after so many seconds of them, perhaps with its children."""
        if not self._lives(which):  # it may have ended by itself since: only the living count as killed
            self.start_what_is_missing()
        process = self._processes[which]
        if hurry is not None:
            process.send_signal(signal.SIGUSR1)
            time.sleep(hurry)
        _end(process, whole_group=whole_group)

    def kill_deliverer(self, *, spare_applications: bool) -> None:
        """Kill the process that delivers, which may be an application or a child of one."""
        holder = None if spare_applications else self._holder()
        own = [process for process in self._processes.values() if process.pid == holder]
        if own:
            _end(own[0])
        elif holder:
            with contextlib.suppress(ProcessLookupError):
                os.kill(holder, signal.SIGKILL)
        else:
            if not self._lives("deliverer"):
                self._start_deliverer()
            _end(self._processes["deliverer"])

    def let_applications_end(self) -> None:
        for which in range(APPLICATIONS):
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self._processes[which].pid, signal.SIGTERM)
        os.close(self._alive)
        if not select.select([self._gone], [], [], LAST_WORDS)[0]:
            raise RuntimeError(f"an application, or a child of one, did not end within {LAST_WORDS} s")

    def drain(self, patience: int) -> bool:
        """Deliver until nothing is left, or nothing moves for so many seconds; True when nothing is left."""
        command = [*self._command, "deliver", "--timeout", str(patience)]
        env = {**self._env, "LABEL_STUDIO_API_KEY": self._tokens[0]}
        with contextlib.suppress(subprocess.TimeoutExpired):  # it goes on for ever where it sends the same for ever
            return subprocess.run(command, env=env, check=False, timeout=DRAIN_SECONDS).returncode == 0
        return False

    def kill(self) -> None:
        """End everything that still runs."""
        for process in self._processes.values():
            _end(process, whole_group=True)

    def _lives(self, which: int | str) -> bool:
        return which in self._processes and self._processes[which].poll() is None

    def _start_deliverer(self) -> None:
        self._start("deliverer", [*self._command, "deliver", "--watch"])

    def _start(self, which: int | str, command: list[str], delivery: str = "thread") -> None:
        self._starts += 1
        token = self._tokens[self._starts % len(self._tokens)]
        with self._output.open("ab") as output:
            self._processes[which] = subprocess.Popen(
                command,
                env={**self._env, "LABEL_STUDIO_OTEL_DELIVERY": delivery, "LABEL_STUDIO_API_KEY": token},
                stdout=output,
                stderr=subprocess.STDOUT,
                pass_fds=() if which == "deliverer" else (self._alive,),
                start_new_session=True,
            )

    def _holder(self) -> int | None:
        """Return the process that took the lock of the state directory, by the kernel's list."""
        for path in self.state.glob("*/deliver.lock"):
            inode = path.stat().st_ino
            for line in Path("/proc/locks").read_text().splitlines():
                fields = line.split()
                if "FLOCK" in fields and fields[5].endswith(f":{inode}") and self._is_ours(int(fields[4])):
                    return int(fields[4])
        return None

    def _is_ours(self, pid: int) -> bool:
        """Tell a process of this run from a stranger that has the same inode on another disk, or a dead one's pid."""
        with contextlib.suppress(OSError):
            return str(self.state).encode() in Path(f"/proc/{pid}/environ").read_bytes()
        return False


def _end(process: subprocess.Popen[bytes], *, whole_group: bool = False) -> None:
    if whole_group:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
    process.kill()
    process.wait()
