"""What delivery does per second and needs for it, beside a bare HTTP client with the same tasks ready-made.

    python benchmarks/delivery.py [--tasks N] [--quick] [--label-studio URL TOKEN]
    python benchmarks/delivery.py --outage N

Prints figures, each with its aim; never fails for a figure. What is measured, and how to read it: README.md.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import subprocess
import sys
import tempfile
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any

import environment

if TYPE_CHECKING:
    from collections.abc import Iterator

    from label_studio_otel.cli.demo.label_studio_server import LabelStudioServer

HERE = Path(__file__).parent
#: Batches that one client sends before it is the other one's turn: some seconds, so that both meet the same noise.
BATCHES = 4
#: What the peak of an outage is compared with.
FEW = 1_000


class Process:
    """One process of clients.py: a line in, a line out."""

    def __init__(self, way: str, **options: Any) -> None:
        command = [sys.executable, str(HERE / "clients.py"), json.dumps({"way": way, **options})]
        self._popen = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        assert self._popen.stdin is not None
        assert self._popen.stdout is not None
        self._stdin, self._stdout = self._popen.stdin, self._popen.stdout

    def __enter__(self) -> Process:
        return self

    def __exit__(self, *raised: object) -> None:
        self._stdin.close()
        self._stdout.close()
        self._popen.wait()

    def ask(self, line: str = "") -> None:
        """Let it go on."""
        self._stdin.write(f"{line}\n")
        self._stdin.flush()

    def answer(self) -> Any:
        """Return what it says next."""
        line = self._stdout.readline()
        if not line:
            raise SystemExit("a client failed")
        return json.loads(line)


def once(way: str, **options: Any) -> Any:
    """Run a client that answers once."""
    with Process(way, **options) as process:
        return process.answer()


def server_cpu(pid: int | None) -> float:
    """Return the seconds of processor time that a process and its children took; 0 where nobody says."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return 0.0
    return sum(map(int, fields[11:15])) / os.sysconf("SC_CLK_TCK")


class Race:
    """Two clients that take turns, and what each of them took in all."""

    def __init__(self, pid: int | None) -> None:
        self._pid = pid
        self.totals: dict[str, Counter[str]] = {"ours": Counter(), "bare": Counter()}
        self.ratios: list[float] = []

    def run(self, ours: Process, bare: Process) -> None:
        """Let them take turns until ours has nothing left; who goes first changes."""
        first, turn = True, {"left": 1}
        while turn["left"]:
            if first:
                turn = self._turn("ours", ours)
                other = self._turn("bare", bare, turn["tasks"])
            else:
                other = self._turn("bare", bare, BATCHES * 500)
                turn = self._turn("ours", ours)
            if turn["stuck"]:
                raise SystemExit(f"{turn['left']} tasks are stuck")
            if turn["tasks"] and other["tasks"]:
                self.ratios.append(turn["tasks"] / turn["seconds"] / (other["tasks"] / other["seconds"]))
            first = not first

    def _turn(self, name: str, process: Process, tasks: int = 0) -> Any:
        before = server_cpu(self._pid)
        process.ask(str(tasks))
        turn = process.answer()
        figures = {what: turn[what] for what in ("seconds", "cpu", "tasks")}
        self.totals[name].update({**figures, "server": server_cpu(self._pid) - before})
        return turn


def race(tasks: int, url: str, token: str, server: LabelStudioServer | None) -> None:
    """Print tasks/s of both clients, and the processor time of client and server."""
    with tempfile.TemporaryDirectory() as directory:
        known = {"url": url, "token": token, "state_dir": f"{directory}/state", "bodies": f"{directory}/bodies"}
        Path(known["bodies"]).mkdir()
        once("spool", **known, project="Delivery", tasks=tasks)
        made = once("bodies", **known)
        project = create_project(url, token, made["label_config"])
        turns = Race(server.pid if server else None)
        with Process("ours", **known, batches=BATCHES) as ours, Process("bare", **known, project_id=project) as bare:
            turns.run(ours, bare)
    print(f"{tasks} chats, tasks of {made['bytes'] / 1e3:.1f} KB    tasks/s   client CPU   server CPU, ms per task")
    for name, label in (("ours", "spool to Label Studio, ours"), ("bare", "bare client, ready-made")):
        total = turns.totals[name]
        spent = "".join(f"{1e3 * total[what] / total['tasks']:13.3f}" for what in ("cpu", "server"))
        print(f"    {label:32}{total['tasks'] / total['seconds']:9.0f}{spent}")
    _race_aims(turns)


def _race_aims(turns: Race) -> None:
    ours, bare = turns.totals["ours"], turns.totals["bare"]
    ratio = ours["tasks"] / ours["seconds"] / (bare["tasks"] / bare["seconds"])
    spread = f"turns {min(turns.ratios):.2f} to {max(turns.ratios):.2f}"
    aim("ours / bare client ≥ 0.95", f"{ratio:.3f} ({spread})", ratio >= 0.95)
    if ours["server"]:
        share = ours["cpu"] / ours["server"]
        aim("client CPU ≤ 10 % of the server's", f"{share:.1%}", share <= 0.1)


def create_project(url: str, token: str, label_config: str) -> int:
    """Make the project of the bare client and return its id."""
    from label_studio_otel.label_studio.client import LabelStudio

    return LabelStudio(url, token).create_project("Delivery, bare client", label_config).id


def handler(seconds: float, url: str, token: str) -> None:
    """Print how many calls LangChain's own handler takes per second."""
    told = {"way": "handler", "label_studio": url, "token": token, "project": "Delivery, handler", "seconds": seconds}
    command = [sys.executable, str(HERE / "langchain_calls.py"), json.dumps(told)]
    times = json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout)
    rate = len(times) / (sum(times) / 1e9)
    print(f"    {'LabelStudioCallbackHandler':32}{rate:9.1f}    {len(times)} short calls\n")


def outage(tasks: int) -> None:
    """Print the peak memory of delivery after an outage, beside that of a short queue."""
    from servers import running

    from label_studio_otel.cli.demo.label_studio_server import free_port
    from label_studio_otel.testing import FakeLabelStudio

    print(
        "an hour without a server, then drained: most memory over the start, MB    queued   drained      s  CPU ms/task"
    )
    peaks = []
    for count in (min(FEW, tasks), tasks):
        with tempfile.TemporaryDirectory() as directory:
            port = free_port()
            known = {"url": f"http://127.0.0.1:{port}", "token": FakeLabelStudio.token, "state_dir": directory}
            once("spool", **known, project="Outage", tasks=count)
            with Process("outage", **known) as process:
                away = process.answer()
                with running("forgetting", port):
                    process.ask()
                    drained = process.answer()
        if away["queued"] != count or drained["left"]:
            raise SystemExit(f"of {count} calls {away['queued']} were queued and {drained['left']} are left")
        peaks.append(drained["memory"] / 1e6)
        print(
            f"    {f'{count} calls':70}{away['memory'] / 1e6:10.1f}{peaks[-1]:10.1f}{drained['seconds']:7.1f}"
            f"{1e3 * drained['cpu'] / count:13.3f}"
        )
    value = f"{peaks[1]:.1f} MB of {tasks} calls, {peaks[0]:.1f} MB of {min(FEW, tasks)}"
    aim("the peak does not grow with the queue (≤ 1.25 times)", value, peaks[1] <= 1.25 * peaks[0])


def aim(what: str, value: str, met: bool) -> None:
    """Print a figure that has an aim."""
    print(f"{'met   ' if met else 'missed'}  {what}: {value}")


@contextlib.contextmanager
def label_studio(given: list[str] | None) -> Iterator[tuple[str, str, LabelStudioServer | None]]:
    """Yield URL and token of a real Label Studio, and the server where it is one that lives as long as this run."""
    if given:
        yield given[0], given[1], None
        return
    from label_studio_otel.cli.demo.label_studio_server import LabelStudioServer

    with tempfile.TemporaryDirectory() as data_dir, LabelStudioServer(data_dir) as server:
        yield server.url, server.token, server


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description="What delivery does per second, and needs for it.")
    parser.add_argument("--tasks", type=int, default=20_000, metavar="N", help="for each client (default: 20000)")
    parser.add_argument("--quick", action="store_true", help="see that it works; the figures mean little")
    parser.add_argument("--label-studio", nargs=2, metavar=("URL", "TOKEN"), help="use this one, with a legacy token")
    parser.add_argument("--outage", type=int, metavar="N", help="instead: so many calls wait for a server that is away")
    arguments = parser.parse_args()
    environment.ensure(HERE.parent)
    sys.stdout.reconfigure(line_buffering=True)  # type: ignore[union-attr]
    print(f"Python {sys.version.split()[0]}, {os.cpu_count()} processors, {load()}\n")
    if arguments.outage:
        outage(arguments.outage)
    else:
        with label_studio(arguments.label_studio) as (url, token, server):
            race(600 if arguments.quick else arguments.tasks, url, token, server)
            handler(0.1 if arguments.quick else 10.0, url, token)
    print(f"\n{load()}")


def load() -> str:
    """Return how busy the machine is."""
    if not hasattr(os, "getloadavg"):
        return "load unknown"
    return "load {:.1f} {:.1f} {:.1f}".format(*os.getloadavg())


if __name__ == "__main__":
    main()
