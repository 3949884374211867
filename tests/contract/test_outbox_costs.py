"""What delivery asks of an outbox costs the same, however many delivered keys are in it."""

from __future__ import annotations

from contextlib import closing
from typing import TYPE_CHECKING

import pytest

from label_studio_otel.outbox.items import NewEvent, NewItem
from label_studio_otel.outbox.outbox import Outbox
from label_studio_otel.settings import Destination
from label_studio_otel.testing import FakeClock

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

PROMPTS = Destination("Prompts")
SPANS = [f"{number:032x}:{number:016x}" for number in range(5)]
DONE = """
INSERT INTO item (destination, key, state, taken_at, due_at, delivered_at, started, ended)
VALUES (1, ?, ?, 1000, 1000, 1000, 5, 6)
"""

CALLS: dict[str, Callable[[Outbox], object]] = {
    "depth": lambda outbox: outbox.overview.backlog(),
    "progress": lambda outbox: outbox.overview.progress(),
    "next_due": lambda outbox: outbox.next_due(1),
    "has_delivered": lambda outbox: outbox.destinations.has_delivered(1, 2000.0),
    "interrupt": lambda outbox: outbox.batches.mark_all_uncertain(1, "an error"),
    "retry": lambda outbox: outbox.retry(),
    "take_over": lambda outbox: outbox.take_over("its process ended"),
    "shift": lambda outbox: outbox.shift_times(60.0),
    "give_up": lambda outbox: outbox.give_up(500.0),
    "adopt a call with log events": lambda outbox: outbox.mark_found({1: 70}),
    "expire where nothing is old enough": lambda outbox: outbox.expire(500.0),
    "expire log events": lambda outbox: outbox.expire(1000.0),
    "expire_oldest": lambda outbox: outbox.expire_oldest(3, 1001.0),
}


@pytest.mark.parametrize("call", CALLS.values(), ids=CALLS.keys())
def test_a_method_costs_the_same_after_many_deliveries(tmp_path: Path, call: Callable[[Outbox], object]) -> None:
    few, many = (_steps(tmp_path / f"{done}.db", done, call) for done in (50, 500))
    assert many <= few + 50  # a deeper index takes a few steps more; reading the 450 items would take 450


def _steps(path: Path, done: int, call: Callable[[Outbox], object]) -> int:
    """Return how many steps SQLite takes for a method, with so many delivered items and as many merged ones."""
    with closing(Outbox.in_file(path, clock=FakeClock(9000.0))) as outbox:
        _fill(outbox, done)
        taken: list[bool] = []
        assert outbox.database._connection is not None
        outbox.database._connection.set_progress_handler(lambda: taken.append(True), 1)
        call(outbox)
        return len(taken)


def test_an_idle_step_costs_the_same_however_many_destinations_there_were(tmp_path: Path) -> None:
    one, many = (_steps_of_waiting(tmp_path / f"{number}.db", number) for number in (1, 100))
    assert many <= one + 50


def _steps_of_waiting(path: Path, destinations: int) -> int:
    with closing(Outbox.in_file(path, clock=FakeClock(9000.0))) as outbox:
        days = [Destination(f"Prompts of day {number}") for number in range(destinations)]
        outbox.accept([NewItem(day, "a", b"call") for day in days], "", 0, 9000.0)
        outbox.mark_found(dict.fromkeys(range(1, destinations + 1), 70))
        outbox.accept([NewItem(PROMPTS, "b", b"call")], "", 0, 9000.0)
        taken: list[bool] = []
        assert outbox.database._connection is not None
        outbox.database._connection.set_progress_handler(lambda: taken.append(True), 1)
        ((target, due_at),) = outbox.destinations.with_pending()
        assert (target.destination, due_at) == (PROMPTS, 9000.0)
        return len(taken)


def _fill(outbox: Outbox, done: int) -> None:
    """Add a pending, a leased and a parked item, and the given number of delivered and of merged ones."""
    calls = [NewItem(PROMPTS, f"{span}:1", b"call") for span in SPANS[:3]]
    outbox.accept(calls, "", 0, 9000.0, [NewEvent(span, b"said") for span in (SPANS[0], SPANS[3])])
    outbox.batches.lease(1, 7, 0, {2: 1})
    outbox.park({3: "refused"})
    with outbox.database.transaction() as run:
        keys = [f"{number:032x}:{number:016x}:1" for number in range(1000, 1000 + 2 * done)]
        run.connection.executemany(DONE, [(key, "delivered" if at % 2 else "doubled") for at, key in enumerate(keys)])
    outbox.expire(500.0)
    with outbox.database.transaction() as run:
        run.connection.execute("UPDATE event SET taken_at = 900")


def test_expire_oldest_deletes_merged_items_too(tmp_path: Path) -> None:
    with closing(Outbox.in_file(tmp_path / "outbox.db", clock=FakeClock(9000.0))) as outbox:
        _fill(outbox, 4)
        assert outbox.expire_oldest(6, 1001.0) == 7  # six items, and the log event of a call that never came
        assert outbox.expire_oldest(6, 1001.0) == 2
        states = outbox.overview.summary().states
        assert (states["pending"], states["delivered"], states["doubled"]) == (1, 0, 0)
