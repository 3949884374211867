"""What really happened, and what Label Studio has: two lists that were made independently, compared.

The applications write the ledger themselves, `begun` before `span.end()` and `taken` after it returned. Nothing of it
comes from files of the product.
"""

from __future__ import annotations

import os
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from pathlib import Path

PAGE = 1000


class Ledger:
    """An append-only file of many writers: a line is one write, so that it is there whole or not at all."""

    def __init__(self, path: Path) -> None:
        self._fd = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)

    def begun(self, key: str) -> None:
        os.write(self._fd, f"begun {key}\n".encode())

    def taken(self, key: str) -> None:
        os.write(self._fd, f"taken {key}\n".encode())


def read(path: Path) -> tuple[set[str], set[str]]:
    """Return the keys whose `span.end()` returned, and those that were in the middle of it when their process died."""
    lines = [line.split(" ") for line in path.read_text("ascii").splitlines()] if path.exists() else []
    taken = {key for what, key in lines if what == "taken"}
    return taken, {key for _, key in lines} - taken


def answer(key: str) -> str:
    """Return what the model answered in the call of this key."""
    return f"Answer {key}"


def tasks(asked: Callable[[str], Any]) -> list[tuple[str, list[str]]]:
    """Return the key of each task that Label Studio has, and the texts of its predictions.

    Args:
        asked: returns what Label Studio answers to a path.
    """
    found: list[tuple[str, list[str]]] = []
    for project in asked("/api/projects?page_size=1000")["results"]:
        page, total = 1, 1
        while (page - 1) * PAGE < total:
            answered = asked(f"/api/tasks?project={project['id']}&fields=all&page={page}&page_size={PAGE}")
            total, page = answered["total"], page + 1
            found += [(task["data"]["key"], _texts(task)) for task in answered["tasks"]]
    return found


def _texts(task: dict[str, Any]) -> list[str]:
    results = [one for prediction in task["predictions"] for one in prediction["result"]]
    return ["\n".join(one["value"]["text"]) for one in results]


@dataclass(frozen=True)
class Verdict:
    """The two lists compared."""

    taken: int
    tasks: int
    #: Taken keys without a task.
    lost: tuple[str, ...]
    #: Keys that have several tasks, once per surplus one, or several predictions in a task.
    duplicated: tuple[str, ...]
    #: Keys whose task has not its answer as prediction.
    predictions_lost: tuple[str, ...]
    #: Tasks of no call that ever was.
    unknown: tuple[str, ...]
    #: Calls in the middle of `span.end()` when their process died, and how many of them are tasks: both are right.
    in_flight: int
    in_flight_tasks: int

    @property
    def good(self) -> bool:
        return self.taken > 0 and not (self.lost or self.duplicated or self.predictions_lost or self.unknown)

    def line(self, kills: int, faults: int) -> str:
        return (
            f"kills {kills}, faults {faults}, taken {self.taken}, tasks {self.tasks}, lost {len(self.lost)}, "
            f"duplicated {len(self.duplicated)}, predictions lost {len(self.predictions_lost)}"
        )


def compare(taken: set[str], in_flight: set[str], tasks: Iterable[tuple[str, list[str]]]) -> Verdict:
    """Compare the ledger with the tasks: of each its key and the texts of its predictions."""
    tasks = list(tasks)
    copies = Counter(key for key, _ in tasks)
    surplus = [key for key, number in copies.items() for _ in range(number - 1)]
    surplus += [key for key, texts in tasks if len(texts) > 1]
    return Verdict(
        taken=len(taken),
        tasks=len(tasks),
        lost=tuple(sorted(taken - copies.keys())),
        duplicated=tuple(surplus),
        predictions_lost=tuple(key for key, texts in tasks if answer(key) not in texts),
        unknown=tuple(sorted(copies.keys() - taken - in_flight)),
        in_flight=len(in_flight),
        in_flight_tasks=len(in_flight & copies.keys()),
    )
