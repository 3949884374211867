"""A short run of the chaos harness on each database, and what its verdict rests on."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from chaos.ledger import Ledger, compare, read

HARNESS = Path(__file__).parents[1] / "chaos" / "harness.py"
#: Far above what a run takes: a run that hangs fails.
PATIENCE = 400


@pytest.mark.parametrize("database", ["sqlite", "postgresql"])
def test_every_call_is_one_task_whatever_dies_when(database: str) -> None:
    run = subprocess.run(
        [sys.executable, HARNESS, "--seed", "3", "--kills", "10", "--database", database],
        check=False,
        capture_output=True,
        text=True,
        timeout=PATIENCE,
    )

    said = run.stdout + run.stderr
    last = re.fullmatch(
        r"kills 10, faults (\d+), taken (\d+), tasks (\d+), lost 0, duplicated 0, predictions lost 0",
        run.stdout.splitlines()[-1],
    )
    assert last, said
    assert run.returncode == 0, said
    faults, taken, tasks = (int(number) for number in last.groups())
    assert faults > 0, said
    assert taken > 300, said
    assert tasks >= taken, said
    assert "killed: Label Studio 2, application 5, deliverer 3" in said
    assert "full disk 1" in said or "the disk was never full: only root may mount a small one" in said


GOOD = [("a", ["Answer a"]), ("b", ["Answer b"])]


@pytest.mark.parametrize(
    ("tasks", "line"),
    [
        (GOOD, "kills 3, faults 4, taken 2, tasks 2, lost 0, duplicated 0, predictions lost 0"),
        (GOOD[:1], "kills 3, faults 4, taken 2, tasks 1, lost 1, duplicated 0, predictions lost 0"),
        ([*GOOD, *GOOD[:1]], "kills 3, faults 4, taken 2, tasks 3, lost 0, duplicated 1, predictions lost 0"),
        (
            [GOOD[0], ("b", ["Answer b"] * 2)],
            "kills 3, faults 4, taken 2, tasks 2, lost 0, duplicated 1, predictions lost 0",
        ),
        ([GOOD[0], ("b", [])], "kills 3, faults 4, taken 2, tasks 2, lost 0, duplicated 0, predictions lost 1"),
        (
            [GOOD[0], ("b", ["Answer a"])],
            "kills 3, faults 4, taken 2, tasks 2, lost 0, duplicated 0, predictions lost 1",
        ),
    ],
)
def test_the_verdict_is_good_only_where_the_zeros_are_zeros(tasks: list[tuple[str, list[str]]], line: str) -> None:
    verdict = compare({"a", "b"}, set(), tasks)

    assert verdict.line(kills=3, faults=4) == line
    assert verdict.good == (tasks == GOOD)


def test_a_call_in_the_middle_of_its_end_may_be_a_task_or_not() -> None:
    assert compare({"a", "b"}, {"c"}, GOOD).good
    assert compare({"a", "b"}, {"c"}, [*GOOD, ("c", ["Answer c"])]).good
    assert not compare({"a", "b"}, {"c"}, [*GOOD, ("c", ["Answer c"]), ("c", ["Answer c"])]).good


def test_a_task_of_no_call_and_a_run_without_calls_are_no_success() -> None:
    assert not compare({"a", "b"}, set(), [*GOOD, ("d", ["Answer d"])]).good
    assert not compare(set(), set(), []).good


def test_a_call_counts_as_taken_when_its_end_returned(tmp_path: Path) -> None:
    path = tmp_path / "ledger"
    ledger = Ledger(path)
    ledger.begun("a")
    ledger.begun("b")
    ledger.taken("a")

    assert read(path) == ({"a"}, {"b"})
