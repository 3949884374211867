"""Real applications, real delivery, a real Label Studio behind faults, and kill -9 for each of them at random moments.

At the end everything may rest, `label-studio-otel deliver` sends what is left, and each call that the ledger says was
taken must be one task with its prediction. The last line of the output says whether it is; so does the exit code.

    python tests/chaos/harness.py --seed 1 --kills 50
"""

from __future__ import annotations

import argparse
import contextlib
import os
import random
import select
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from pathlib import Path
from typing import Any

import ledger
from proxy import FaultProxy
from sabotage import BUGS

from label_studio_otel.cli.label_studio_server import LabelStudioServer

HERE = Path(__file__).parent
#: What dies, with the weight of its being chosen.
VICTIMS = {"application": 4, "deliverer": 4, "Label Studio": 1}
APPLICATIONS = 3
#: Seconds between two kills.
QUIET = (0.2, 2.4)
#: Seconds; sound because the proxy lets no look-up pass while Label Studio works on an import.
UNCERTAIN_WAIT = 2
#: Seconds that applications and their children may take to end when told to.
LAST_WORDS = 60
#: Seconds without progress, and how many times, until `deliver` is taken for one that never ends.
DRAIN_PATIENCE = 60
DRAINS = 3
PAGE = 1000


class Chaos:
    """One run, with everything it started: ends with the `with`."""

    def __init__(self, seed: int, directory: Path, sabotage: str | None) -> None:
        self.choice = random.Random(seed)
        self.seed = seed
        self.directory = directory
        self.ledger = directory / "ledger"
        self.server = LabelStudioServer(directory / "label-studio")
        self.sabotage = sabotage
        self.kills: Counter[str] = Counter()
        self.started = 0
        self._restart: threading.Thread | None = None
        self._processes: dict[int | str, subprocess.Popen[bytes]] = {}
        # The end of this pipe is seen when the last process that inherited it is gone, forked children included.
        self._gone, self._alive = os.pipe()

    def __enter__(self) -> Chaos:
        self.server.start()
        self.proxy = FaultProxy(lambda: self.server.port, self.seed)
        return self

    def __exit__(self, *error: object) -> None:
        for process in self._processes.values():
            process.kill()
            process.wait()
        self._label_studio_is_up()
        self.proxy.close()
        self.server.stop()

    def run(self, kills: int) -> None:
        """Kill one after the other, then let the applications end by themselves."""
        for number in range(kills):
            self._start_what_is_missing()
            time.sleep(self.choice.uniform(*QUIET))
            victim = self.choice.choices(list(VICTIMS), list(VICTIMS.values()))[0]
            which = self.choice.randrange(APPLICATIONS)
            self._kill(victim, which)
            print(f"{number + 1}/{kills} {victim}", flush=True)
        self._start_what_is_missing()
        self._let_applications_end()
        self.proxy.faulty = False
        self._label_studio_is_up()
        self._processes.pop("deliverer").kill()

    def drain(self) -> bool:
        """Deliver what is left; True when the command said that nothing is."""
        if not self.proxy.wait_until_idle():
            return False
        command = [*self._command(), "deliver", "--timeout", str(DRAIN_PATIENCE)]
        return any(subprocess.run(command, env=self._env(), check=False).returncode == 0 for _ in range(DRAINS))

    def verdict(self) -> ledger.Verdict:
        """Ask Label Studio itself for every task."""
        return ledger.compare(*ledger.read(self.ledger), self._tasks())

    def _tasks(self) -> list[tuple[str, list[str]]]:
        found: list[tuple[str, list[str]]] = []
        for project in self._asked("/api/projects?page_size=1000")["results"]:
            page, total = 1, 1
            while (page - 1) * PAGE < total:
                answer = self._asked(f"/api/tasks?project={project['id']}&fields=all&page={page}&page_size={PAGE}")
                total, page = answer["total"], page + 1
                found += [(task["data"]["key"], _texts(task)) for task in answer["tasks"]]
        return found

    def _asked(self, path: str) -> Any:
        status, answer = self.server.request("GET", path, timeout=300)
        if status != 200:
            raise RuntimeError(f"Label Studio answered {status} to {path}")
        return answer

    def _kill(self, victim: str, which: int) -> None:
        self.kills[victim] += 1
        if victim == "Label Studio":
            self._label_studio_is_up()
            self.server.kill()
            self._restart = threading.Thread(target=self.server.start)
            self._restart.start()
        else:
            self._start_what_is_missing()  # it may have ended by itself since: only the living count as killed
            process = self._processes["deliverer" if victim == "deliverer" else which]
            process.kill()
            process.wait()

    def _label_studio_is_up(self) -> None:
        if self._restart is not None:
            self._restart.join()

    def _start_what_is_missing(self) -> None:
        for which in range(APPLICATIONS):
            if not self._lives(which):
                self.started += 1
                seed = f"{self.seed} application {self.started}"
                # Not from the choices of the kills: when an application is missing is not repeatable.
                calls = random.Random(seed).randrange(50, 800)
                command = [sys.executable, str(HERE / "application.py"), str(self.ledger), seed, str(calls)]
                self._start(which, command, "off" if which == 0 else "thread")
        if not self._lives("deliverer"):
            self._start("deliverer", [*self._command(), "deliver", "--watch"])

    def _lives(self, which: int | str) -> bool:
        return which in self._processes and self._processes[which].poll() is None

    def _start(self, which: int | str, command: list[str], delivery: str = "thread") -> None:
        with (self.directory / "output").open("ab") as output:
            self._processes[which] = subprocess.Popen(
                command,
                env={**self._env(), "LABEL_STUDIO_OTEL_DELIVERY": delivery},
                stdout=output,
                stderr=subprocess.STDOUT,
                pass_fds=() if which == "deliverer" else (self._alive,),
            )

    def _let_applications_end(self) -> None:
        for which in range(APPLICATIONS):
            with contextlib.suppress(ProcessLookupError):
                self._processes[which].send_signal(signal.SIGTERM)
        os.close(self._alive)
        if not select.select([self._gone], [], [], LAST_WORDS)[0]:
            raise RuntimeError(f"an application, or a child of one, did not end within {LAST_WORDS} s")

    def _command(self) -> list[str]:
        if self.sabotage:
            return [sys.executable, str(HERE / "sabotage.py"), self.sabotage]
        return [sys.executable, "-m", "label_studio_otel"]

    def _env(self) -> dict[str, str]:
        return {
            **os.environ,
            "LABEL_STUDIO_URL": self.proxy.url,
            "LABEL_STUDIO_API_KEY": self.server.token,
            "LABEL_STUDIO_OTEL_PROJECT_NAME": "Chaos",
            "LABEL_STUDIO_OTEL_STATE_DIR": str(self.directory / "state"),
            "LABEL_STUDIO_OTEL_UNCERTAIN_WAIT": str(UNCERTAIN_WAIT),
            "CHAOS_SABOTAGE": self.sabotage or "",
        }


def _texts(task: dict[str, Any]) -> list[str]:
    results = [one for prediction in task["predictions"] for one in prediction["result"]]
    return ["\n".join(one["value"]["text"]) for one in results]


def _parsed() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--seed", type=int, default=1, help="of all choices (default: 1)")
    parser.add_argument("--kills", type=int, default=50, help="how many processes die (default: 50)")
    parser.add_argument("--sabotage", choices=sorted(BUGS), help="put a bug into the product: the run must fail")
    parser.add_argument("--keep", type=Path, metavar="DIRECTORY", help="work there, and leave everything there")
    return parser.parse_args()


def main() -> int:
    args = _parsed()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # everything that was started ends with it
    directory = args.keep or Path(tempfile.mkdtemp(prefix="chaos-"))
    directory.mkdir(parents=True, exist_ok=True)
    with Chaos(args.seed, directory, args.sabotage) as chaos:
        begun = time.monotonic()
        chaos.run(args.kills)
        drained = chaos.drain()
        verdict = chaos.verdict()
        took = time.monotonic() - begun
    kills, faults = chaos.kills, chaos.proxy.faults
    print(f"seed {args.seed}, {took:.0f} s, {chaos.started} applications")
    print("killed:", ", ".join(f"{name} {number}" for name, number in sorted(kills.items())))
    print("faults:", ", ".join(f"{name} {number}" for name, number in sorted(faults.items())))
    print(f"in flight at a kill: {verdict.in_flight}, of which {verdict.in_flight_tasks} are tasks")
    for what in ("lost", "duplicated", "predictions_lost", "unknown"):
        for key in getattr(verdict, what)[:10]:
            print(f"{what}: {key}")
    good = drained and verdict.good
    if good and args.keep is None:
        shutil.rmtree(directory)
    else:
        print(f"{'' if drained else 'not all was delivered; '}state, ledger and outputs are in {directory}")
    print(verdict.line(kills.total(), faults.total()))
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
