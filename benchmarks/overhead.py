"""What label-studio-otel costs the application, beside the alternatives, all in one run.

    python benchmarks/overhead.py [--quick] [--label-studio URL TOKEN]

Prints figures, each with its aim; never fails for a figure. What is measured, and how to read it: README.md.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import environment

if TYPE_CHECKING:
    from collections.abc import Iterator

HERE = Path(__file__).parent
#: LLM spans per second and process: four of them make more than a Label Studio takes.
RATE = 100
PROCESSORS = ("empty", "loop", "batch", "ours")
KINDS = ("other", "llm_2kb", "llm_100kb")


@dataclass(frozen=True)
class Setting:
    """One situation in which `on_end` is measured."""

    name: str
    processes: int
    rate: int
    delivery: str


SETTINGS = (
    Setting("alone, back to back", 1, 0, "off"),
    Setting(f"alone, {RATE}/s", 1, RATE, "thread"),
    Setting("4 processes, back to back, delivering", 4, 0, "thread"),
    Setting(f"4 processes, {RATE}/s each, delivering", 4, RATE, "thread"),
)


@dataclass
class Lengths:
    """How long the parts take: seconds, and shares or numbers of repetitions."""

    rounds: int = 3
    seconds: float = 2.5
    fraction: float = 1.0
    warm_up: float = 3.5
    gather: float = 1.0
    starts: int = 7
    call_rounds: int = 3


QUICK = Lengths(rounds=1, seconds=0.3, fraction=0.05, warm_up=0.3, gather=0.2, starts=1, call_rounds=1)


@dataclass
class Bench:
    """The servers of a run, and what is passed to the measured processes."""

    lengths: Lengths
    otlp: str
    stub: str
    aims: list[tuple[str, str, bool]] = field(default_factory=list)

    def measure(self, script: str, count: int = 1, **options: Any) -> list[Any]:
        """Run a script of this directory in so many processes at once, with a state directory of their own."""
        with tempfile.TemporaryDirectory() as state_dir:
            from label_studio_otel.testing import FakeLabelStudio

            known = {"otlp": self.otlp, "label_studio": self.stub, "token": FakeLabelStudio.token}
            told = json.dumps(
                {
                    **known,
                    "state_dir": state_dir,
                    "begin": time.time() + self.lengths.gather * (1 + count / 4),
                    **options,
                }
            )
            command = [sys.executable, str(HERE / script), told]
            pipes: dict[str, Any] = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
            running = [subprocess.Popen(command, **pipes) for _ in range(count)]
            return [_answer(script, process) for process in running]

    def aim(self, what: str, value: str, met: bool) -> None:
        """Note a figure that has an aim."""
        self.aims.append((what, value, met))


def _answer(script: str, process: subprocess.Popen[str]) -> Any:
    output, said = process.communicate()
    if process.returncode:
        raise SystemExit(f"{script} failed:\n{said}")
    return json.loads(output)


def quantile(times: list[float], share: float) -> float:
    """Return a quantile, in microseconds."""
    return sorted(times)[min(len(times) - 1, int(share * len(times)))] / 1e3


def on_end(bench: Bench) -> None:
    """Print what `on_end` takes, by setting, kind of span and processor."""
    print("on_end in the application's thread, µs per span (median of runs)")
    print(f"{'':54}{'median':>9}{'p99':>9}{'over empty':>12}{'÷ batch':>9}")
    for setting in SETTINGS:
        print(setting.name)
        figures = _figures(bench, setting)
        for kind in KINDS:
            for name in PROCESSORS:
                if (name, kind) not in figures:
                    continue
                median, p99 = figures[name, kind]
                over, ratio = median - figures["empty", kind][0], median / max(figures["batch", kind][0], 0.01)
                print(f"    {kind:12}{_LABELS[name]:38}{median:9.1f}{p99:9.0f}{over:12.1f}{ratio:9.1f}")
        _on_end_aims(bench, setting, figures)
    print()


_LABELS = {
    "empty": "empty SpanProcessor",
    "loop": "a 40 µs loop (control)",
    "batch": "BatchSpanProcessor + OTLP",
    "ours": "LabelStudioSpanProcessor",
}


def _figures(bench: Bench, setting: Setting) -> dict[tuple[str, str], tuple[float, float]]:
    """Return median and p99 by processor and kind: of each run, then the median of the runs."""
    runs: dict[tuple[str, str], list[tuple[float, float]]] = {}
    for _ in range(bench.lengths.rounds):
        for name in PROCESSORS:
            delivery = setting.delivery if name == "ours" else "off"
            kinds = ("llm_2kb",) if name == "loop" else KINDS
            answers = bench.measure(
                "on_end.py",
                setting.processes,
                processor=name,
                kinds=kinds,
                rate=setting.rate,
                delivery=delivery,
                seconds=bench.lengths.seconds,
                fraction=bench.lengths.fraction,
                warm_up=bench.lengths.warm_up if delivery == "thread" else 0.2,
            )
            for kind in kinds:
                times = [spent for answer in answers for spent in answer[kind]]
                runs.setdefault((name, kind), []).append((quantile(times, 0.5), quantile(times, 0.99)))
    return {
        key: (statistics.median(median for median, _ in figures), statistics.median(p99 for _, p99 in figures))
        for key, figures in runs.items()
    }


def _on_end_aims(bench: Bench, setting: Setting, figures: dict[tuple[str, str], tuple[float, float]]) -> None:
    over = figures["ours", "other"][0] - figures["empty", "other"][0]
    bench.aim(f"other span ≤ 2 µs over the empty processor; {setting.name}", f"{over:.1f} µs", over <= 2)
    if setting.processes > 1:
        median, p99 = figures["ours", "llm_2kb"]
        control = figures["loop", "llm_2kb"][1]
        bench.aim(f"LLM span of 2 KB ≤ 80 µs median; {setting.name}", f"{median:.0f} µs", median <= 80)
        bench.aim(
            f"LLM span of 2 KB ≤ 1 ms p99; {setting.name}", f"{p99:.0f} µs, the control {control:.0f}", p99 <= 1000
        )


def start(bench: Bench) -> None:
    """Print what the in-process part costs over the bare SDK."""
    answers = [bench.measure("start.py")[0] for _ in range(bench.lengths.starts)]
    print("over the bare SDK (median of runs)                             CPU ms   RSS MB")
    for moment, label in (("registered", "imported and registered"), ("delivering", "after a delivery in the thread")):
        cpu = statistics.median(answer[moment]["cpu"] for answer in answers) * 1e3
        memory = statistics.median(answer[moment]["memory"] for answer in answers) / 1e6
        print(f"    {label:56}{cpu:9.1f}{memory:9.1f}")
        if moment == "registered":
            bench.aim("import ≤ 50 ms CPU", f"{cpu:.1f} ms", cpu <= 50)
            bench.aim("import ≤ 10 MB", f"{memory:.1f} MB", memory <= 10)
    print()


def calls(bench: Bench, url: str, token: str) -> None:
    """Print what one call of a fake LangChain model takes, by how it is watched."""
    medians: dict[str, list[float]] = {}
    p99s: dict[str, list[float]] = {}
    for number in range(bench.lengths.call_rounds):
        for way in ("bare", "instrumented", "ours", "handler"):
            options = {"way": way, "seconds": bench.lengths.seconds, "project": f"Overhead {way} {number}"}
            (times,) = bench.measure("langchain_calls.py", **options, label_studio=url, token=token)
            medians.setdefault(way, []).append(quantile(times, 0.5))
            p99s.setdefault(way, []).append(quantile(times, 0.99))
    print("a call of a fake LangChain model, Label Studio on the same machine, µs (median of runs)")
    print(f"{'':54}{'median':>9}{'p99':>9}")
    for way, label in _WAYS.items():
        print(f"    {label:50}{statistics.median(medians[way]):9.0f}{statistics.median(p99s[way]):9.0f}")
    by_handler, by_us = (
        statistics.median(more - less for more, less in zip(medians[a], medians[b], strict=True))
        for a, b in (("handler", "bare"), ("ours", "instrumented"))
    )
    ratio = by_handler / by_us if by_us > 0 else float("inf")
    value = f"{by_handler:.0f} µs / {by_us:.0f} µs = {ratio:.0f}"
    bench.aim("(handler - bare) / (ours - instrumented) ≥ 500", value, ratio >= 500)
    print()


_WAYS = {
    "bare": "bare",
    "instrumented": "instrumented, BatchSpanProcessor + OTLP",
    "ours": "the same and LabelStudioSpanProcessor",
    "handler": "LabelStudioCallbackHandler, not instrumented",
}


@contextlib.contextmanager
def label_studio(given: list[str] | None) -> Iterator[tuple[str, str]]:
    """Yield URL and token of a real Label Studio: the one that was named, or one that lives as long as this run."""
    if given:
        yield given[0], given[1]
        return
    from label_studio_otel.cli.demo.label_studio_server import LabelStudioServer

    with tempfile.TemporaryDirectory() as data_dir, LabelStudioServer(data_dir) as server:
        yield server.url, server.token


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description="What label-studio-otel costs the application.")
    parser.add_argument("--quick", action="store_true", help="see that it works; the figures mean little")
    parser.add_argument("--label-studio", nargs=2, metavar=("URL", "TOKEN"), help="use this one, with a legacy token")
    arguments = parser.parse_args()
    environment.ensure(HERE.parent)
    from servers import running

    sys.stdout.reconfigure(line_buffering=True)  # type: ignore[union-attr]
    print(f"Python {sys.version.split()[0]}, {os.cpu_count()} processors, {_load()}\n")
    with running("otlp") as otlp, running("label-studio") as stub:
        bench = Bench(QUICK if arguments.quick else Lengths(), otlp, stub)
        start(bench)
        on_end(bench)
        with label_studio(arguments.label_studio) as (url, token):
            calls(bench, url, token)
    print("aims")
    for what, value, met in bench.aims:
        print(f"    {'met   ' if met else 'missed'}  {what}: {value}")
    print(f"\n{_load()}")


def _load() -> str:
    if not hasattr(os, "getloadavg"):
        return "load unknown"
    return "load {:.1f} {:.1f} {:.1f}".format(*os.getloadavg())


if __name__ == "__main__":
    main()
