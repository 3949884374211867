"""Real applications, real delivery, a real Label Studio behind faults, and kill -9 for each of them at random moments.

The disk of applications and deliverers is full now and then. At the end everything may rest, `label-studio-otel
deliver` sends what is left, and each call that the ledger says was taken must be one task with its prediction. The last
line of the output says whether it is; so does the exit code.

    python tests/chaos/harness.py --seed 1 --kills 50
"""

from __future__ import annotations

import argparse
import contextlib
import random
import shutil
import signal
import sys
import tempfile
import threading
import time
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any

import ledger
from disk import SmallDisk
from fleet import APPLICATIONS, Fleet
from proxy import FaultProxy
from sabotage import BUGS, CIRCUMSTANCES

from label_studio_otel.cli.demo.label_studio_server import LabelStudioServer

if TYPE_CHECKING:
    from collections.abc import Iterator

#: What dies, with the weight of its being chosen.
VICTIMS = {"application": 4, "deliverer": 4, "Label Studio": 1}
#: Seconds between two kills.
QUIET = (0.2, 2.4)
#: Most calls that an application makes before it ends by itself, and how often one is followed by a fork.
CALLS = 800
FORKS = 0.02
#: Of the kills of an application, those that take its children with it, and those in the middle of many calls.
WHOLE_GROUP = 0.5
IN_A_HURRY = 0.8
#: Seconds of calls without a pause before such a kill.
HURRY = (0.005, 0.03)
#: Kills during which a killed deliverer stays away, at most: the applications deliver by themselves then.
ABSENCES = 8
#: The disk is full during one of so many kills, and these bytes, at most, are left of it.
FULL_DISK = 10
SPARE = (0, 1000, 100_000)
#: Seconds after which everybody has noticed that there is room again: the product tries once a second.
NOTICED = 3.0
#: Seconds; sound because the proxy lets no look-up pass while Label Studio works on an import.
UNCERTAIN_WAIT = 2
#: Seconds without progress, and how many times, until `deliver` is taken for one that never ends.
DRAIN_PATIENCE = 150
DRAINS = 3


class Chaos:
    """One run, with everything it started: ends with the `with`.

    Args:
        directory: for everything of it.
        args: of the command line.
    """

    def __init__(self, directory: Path, args: argparse.Namespace) -> None:
        self.kills: Counter[str] = Counter()
        self.full_disks = 0
        self._choice = random.Random(args.seed)
        self._directory = directory
        self._args = args
        self._full = directory / "full"
        self._stack = contextlib.ExitStack()
        self._restart: threading.Thread | None = None

    def __enter__(self) -> Chaos:
        with self._stack:
            self.disk = self._stack.enter_context(SmallDisk(self._directory / "state"))
            env = self._stack.enter_context(_database(self._args.database))
            self.server = self._stack.enter_context(LabelStudioServer(self._directory / "label-studio", env=env))
            self._stack.callback(self._label_studio_is_up)
            self.proxy = FaultProxy(lambda: self.server.port, self._args.seed)
            self._stack.callback(self.proxy.close)
            self.fleet = self._made_fleet()
            self._stack.callback(self.fleet.kill)
            self._stack = self._stack.pop_all()
        return self

    def __exit__(self, *error: object) -> None:
        self._stack.close()

    def run(self, kills: int) -> None:
        """Kill one after the other, then let the applications end by themselves."""
        for number in range(kills):
            if number % FULL_DISK == 0:
                full = number + self._choice.randrange(FULL_DISK)
            self.fleet.start_what_is_missing()
            with self._full_disk() if number == full else contextlib.nullcontext():
                time.sleep(self._choice.uniform(*QUIET))
                victim = self._kill_one()
            print(f"{number + 1}/{kills} {victim}{', while the disk was full' * (number == full)}", flush=True)
        self.fleet.start_what_is_missing()
        self.fleet.let_applications_end()
        self.proxy.faulty = False
        self._label_studio_is_up()
        self.fleet.kill()

    def drain(self) -> bool:
        """Deliver what is left; True when the command said that nothing is."""
        return self.proxy.wait_until_idle() and any(self.fleet.drain(DRAIN_PATIENCE) for _ in range(DRAINS))

    def verdict(self) -> ledger.Verdict:
        """Ask Label Studio itself for every task."""
        return ledger.compare(*ledger.read(self.fleet.ledger), ledger.tasks(self._asked))

    def _made_fleet(self) -> Fleet:
        # A user has one personal access token at a time.
        tokens = (self.server.token, self._asked("/api/token/", "POST")["token"])
        env = {
            "LABEL_STUDIO_URL": self.proxy.url,
            "LABEL_STUDIO_OTEL_PROJECT_NAME": "Chaos",
            "LABEL_STUDIO_OTEL_UNCERTAIN_WAIT": str(UNCERTAIN_WAIT),
            "CHAOS_PAUSE": str(self._args.pause),
            "CHAOS_FORKS": str(self._args.forks),
            "CHAOS_FULL": str(self._full),
        }
        return Fleet(
            self._directory,
            self._args.seed,
            env=env,
            tokens=tokens,
            calls=self._args.calls,
            deliverer=self._args.deliverer,
            sabotage=self._args.sabotage,
        )

    def _asked(self, path: str, method: str = "GET") -> Any:
        status, answer = self.server.request(method, path, timeout=300)
        if status >= 300:
            raise RuntimeError(f"Label Studio answered {status} to {path}")
        return answer

    @contextlib.contextmanager
    def _full_disk(self) -> Iterator[None]:
        spare, seconds = self._choice.choice(SPARE), self._choice.uniform(*QUIET)
        if not self.disk.mounted:
            yield
            return
        self.full_disks += 1
        self._full.touch()
        self.disk.fill(spare)
        yield
        time.sleep(seconds)
        self.disk.free()
        time.sleep(NOTICED)
        self._full.unlink()

    def _kill_one(self) -> str:
        # What waits in an application's memory for a full disk dies with it, as the product says.
        full = self._full.exists()
        victims = {**VICTIMS, "application": 0} if full else VICTIMS
        victim = self._choice.choices(list(victims), list(victims.values()))[0]
        which, hurry = self._choice.randrange(APPLICATIONS), self._choice.uniform(*HURRY)
        in_a_hurry, whole_group = self._choice.random() < IN_A_HURRY, self._choice.random() < WHOLE_GROUP
        absences = self._choice.randrange(ABSENCES)
        self.kills[victim] += 1
        if victim == "Label Studio":
            self._label_studio_is_up()
            self.server.kill()
            self._restart = threading.Thread(target=self.server.start)
            self._restart.start()
        elif victim == "deliverer":
            self.fleet.kill_deliverer(spare_applications=full)
            self.fleet.absences = absences
        else:
            self.fleet.kill_application(which, hurry=hurry if in_a_hurry else None, whole_group=whole_group)
        return victim

    def _label_studio_is_up(self) -> None:
        if self._restart is not None:
            self._restart.join()


@contextlib.contextmanager
def _database(name: str) -> Iterator[dict[str, str]]:
    """Yield what Label Studio must be told to use this one."""
    if name == "sqlite":
        yield {}
        return
    sys.path.append(str(Path(__file__).parents[1]))
    from support.postgresql import PostgreSQL, migrated

    with PostgreSQL(migrated()) as database:
        yield database.variables


def _parsed() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--seed", type=int, default=1, help="of all choices (default: 1)")
    parser.add_argument("--kills", type=int, default=50, help="how many processes die (default: 50)")
    parser.add_argument("--database", choices=("sqlite", "postgresql"), default="sqlite", help="behind Label Studio")
    parser.add_argument(
        "--pause", type=float, default=0.05, help="seconds between two calls of a thread (default: 0.05)"
    )
    parser.add_argument("--sabotage", choices=sorted(BUGS), help="put a bug into the product: the run must fail")
    parser.add_argument("--keep", type=Path, metavar="DIRECTORY", help="work there, and leave everything there")
    parser.set_defaults(calls=CALLS, forks=FORKS, deliverer=True)
    args = parser.parse_args()
    vars(args).update(CIRCUMSTANCES.get(args.sabotage, {}))
    return args


def main() -> int:
    args = _parsed()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # everything that was started ends with it
    directory = args.keep or Path(tempfile.mkdtemp(prefix="chaos-"))
    directory.mkdir(parents=True, exist_ok=True)
    with Chaos(directory, args) as chaos:
        begun = time.monotonic()
        chaos.run(args.kills)
        drained = chaos.drain()
        verdict = chaos.verdict()
        took = time.monotonic() - begun
    faults = chaos.proxy.faults + Counter({"full disk": chaos.full_disks})
    print(f"seed {args.seed}, {args.database}, {took:.0f} s, {chaos.fleet.started} applications")
    print("killed:", _listed(chaos.kills))
    print("faults:", _listed(faults))
    if not chaos.disk.mounted:
        print("the disk was never full: only root may mount a small one")
    print(f"in flight at a kill: {verdict.in_flight}, of which {verdict.in_flight_tasks} are tasks")
    for what in ("lost", "duplicated", "predictions_lost", "unknown"):
        for key in getattr(verdict, what)[:10]:
            print(f"{what}: {key}")
    good = drained and verdict.good
    if good and args.keep is None:
        shutil.rmtree(directory)
    else:
        print(f"{'' if drained else 'not all was delivered; '}state, ledger and outputs are in {directory}")
    print(verdict.line(chaos.kills.total(), faults.total()))
    return 0 if good else 1


def _listed(counts: Counter[str]) -> str:
    return ", ".join(f"{name} {number}" for name, number in sorted(counts.items()))


if __name__ == "__main__":
    sys.exit(main())
