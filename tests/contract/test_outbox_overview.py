"""The overview of an outbox: its counts, and that it reads no records for them."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from typing import TYPE_CHECKING, Any

import pytest

from label_studio_otel.errors import OutboxError
from label_studio_otel.metrics.counts import Backlog
from label_studio_otel.outbox.database import queries
from label_studio_otel.outbox.items import NewItem, Progress
from label_studio_otel.outbox.outbox import Outbox
from label_studio_otel.settings import Destination
from label_studio_otel.testing import FakeClock

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

PROMPTS, CHATS = Destination("Prompts"), Destination("Chats", mode="chat")


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "outbox.db"


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def outbox(path: Path, clock: FakeClock) -> Iterator[Outbox]:
    outbox = Outbox.in_file(path, clock=clock)
    yield outbox
    outbox.close()


def _put(outbox: Outbox, keys: str, destination: Destination = PROMPTS) -> None:
    outbox.accept([NewItem(destination, key, b"x" * 5000) for key in keys], "1.spool", 0, 0.0)


def _deliver(outbox: Outbox, target: int, keys: str) -> None:
    items = [item.id for item in outbox.due_items(target, 100) if item.key in keys]
    batch = outbox.batches.lease(target, 1, 0, dict.fromkeys(items, 1))
    outbox.batches.mark_delivered(batch, dict.fromkeys(items, 7))


def test_a_new_outbox_has_no_backlog(outbox: Outbox) -> None:
    assert outbox.overview.backlog() == Backlog({"pending": 0, "leased": 0, "uncertain": 0, "parked": 0}, None, 0, 0)


def test_the_backlog_counts_items_by_state_over_all_destinations(outbox: Outbox, clock: FakeClock) -> None:
    _put(outbox, "abcdef")
    _put(outbox, "gh", CHATS)
    prompts, chats = outbox.destinations.all()
    by_key = {item.key: item.id for item in outbox.due_items(prompts.id, 100)}
    _deliver(outbox, prompts.id, "a")
    outbox.park({by_key["b"]: "refused"})
    outbox.batches.lease(prompts.id, 1, 0, {by_key["c"]: 1})
    outbox.batches.mark_uncertain(outbox.batches.lease(prompts.id, 1, 0, {by_key["d"]: 1}), "no answer")
    outbox.destinations.block(chats.id, "forbidden", 0.0, passing=False)

    assert outbox.overview.backlog() == Backlog(
        {"pending": 4, "leased": 1, "uncertain": 1, "parked": 1}, clock.now, blocked=1
    )


def test_progress_has_the_number_of_calls_left_and_the_time_of_the_last_delivery(
    outbox: Outbox, clock: FakeClock
) -> None:
    _put(outbox, "abc")
    (prompts,) = outbox.destinations.all()
    assert outbox.overview.progress() == Progress(left=3, delivered_at=None, stuck=False)
    clock.sleep(60)
    _deliver(outbox, prompts.id, "a")
    outbox.park({item.id: "refused" for item in outbox.due_items(prompts.id, 100) if item.key == "b"})
    assert outbox.overview.progress() == Progress(left=1, delivered_at=clock.now, stuck=False)


def test_delivery_is_stuck_when_all_destinations_with_calls_need_a_person(outbox: Outbox) -> None:
    _put(outbox, "a")
    _put(outbox, "b", CHATS)
    prompts, chats = outbox.destinations.all()
    outbox.destinations.block(prompts.id, "no such project", 0.0, passing=False)
    outbox.destinations.block(chats.id, "502", 0.0, passing=True)
    assert not outbox.overview.progress().stuck
    _deliver(outbox, chats.id, "b")
    assert outbox.overview.progress().stuck
    _deliver(outbox, prompts.id, "a")
    assert not outbox.overview.progress().stuck


def test_the_backlog_has_the_time_of_the_oldest_item_that_is_still_to_be_delivered(
    outbox: Outbox, clock: FakeClock
) -> None:
    begun = clock.now
    for key in "abc":
        _put(outbox, key)
        clock.sleep(60)
    (prompts,) = outbox.destinations.all()
    assert outbox.overview.backlog().oldest == begun
    _deliver(outbox, prompts.id, "a")
    assert outbox.overview.backlog().oldest == begun + 60
    outbox.park({item.id: "refused" for item in outbox.due_items(prompts.id, 100) if item.key == "b"})
    assert outbox.overview.backlog().oldest == begun + 120
    _deliver(outbox, prompts.id, "c")
    assert outbox.overview.backlog().oldest is None


def test_the_state_of_a_call_is_known_for_each_of_its_destinations(outbox: Outbox) -> None:
    _put(outbox, "abc")
    _put(outbox, "b", CHATS)
    _deliver(outbox, outbox.destinations.all()[0].id, "ab")
    assert outbox.overview.states_of(["a", "b", "c", "d"]) == {
        "a": {"delivered"},
        "b": {"delivered", "pending"},
        "c": {"pending"},
    }


def test_another_process_can_read_the_states_of_a_call(outbox: Outbox, path: Path) -> None:
    _put(outbox, "a")
    with closing(Outbox.in_file(path, read_only=True)) as reading:
        assert reading.overview.states_of(["a"]) == {"a": {"pending"}}


def test_reading_an_outbox_that_does_not_exist_raises_and_creates_none(path: Path) -> None:
    with closing(Outbox.in_file(path, read_only=True)) as reading, pytest.raises(OutboxError):
        reading.overview.states_of(["a"])
    assert not path.exists()


@pytest.mark.parametrize(
    ("query", "values", "plan"),
    [
        ("not_done", {}, "USING COVERING INDEX item_waiting (destination=? AND state=?)"),
        ("last_delivered_at", {}, "USING INDEX item_delivered"),
        ("taken_at", {"id": 1}, "USING INTEGER PRIMARY KEY"),
        ("states_of", {"key": "a"}, "(destination=? AND key=?)"),
    ],
)
def test_no_query_of_the_overview_reads_all_records(
    outbox: Outbox, path: Path, query: str, values: dict[str, Any], plan: str
) -> None:
    _put(outbox, "a")
    with closing(sqlite3.connect(path)) as connection:
        steps = connection.execute(f"EXPLAIN QUERY PLAN {queries()[query]}", values).fetchall()
    assert plan in " ".join(step[-1] for step in steps)
