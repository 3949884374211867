"""What is asked of an outbox again and again: right answers, and never at the price of reading what waits."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from typing import TYPE_CHECKING

import pytest

from label_studio_otel.errors import OutboxError
from label_studio_otel.metrics.counts import Backlog
from label_studio_otel.outbox import looks
from label_studio_otel.outbox.outbox import SqliteOutbox
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
def outbox(path: Path, clock: FakeClock) -> Iterator[SqliteOutbox]:
    outbox = SqliteOutbox(path, clock=clock)
    yield outbox
    outbox.close()


def _put(outbox: SqliteOutbox, keys: str, destination: Destination = PROMPTS) -> None:
    outbox.accept([(destination, key, b"x" * 5000) for key in keys], "1.spool", 0, 0.0)


def _deliver(outbox: SqliteOutbox, target: int, keys: str) -> None:
    items = [item.id for item in outbox.due(target, 100) if item.key in keys]
    batch = outbox.lease(target, 1, 0, dict.fromkeys(items, 1))
    outbox.deliver(batch, dict.fromkeys(items, 7))


def test_nothing_waits_in_a_new_outbox(outbox: SqliteOutbox) -> None:
    assert looks.depth(outbox) == Backlog({"pending": 0, "leased": 0, "uncertain": 0, "parked": 0}, None, 0, 0)


def test_what_waits_is_counted_by_state_over_all_destinations(outbox: SqliteOutbox, clock: FakeClock) -> None:
    _put(outbox, "abcdef")
    _put(outbox, "gh", CHATS)
    prompts, chats = outbox.targets()
    by_key = {item.key: item.id for item in outbox.due(prompts.id, 100)}
    _deliver(outbox, prompts.id, "a")
    outbox.park({by_key["b"]: "refused"})
    outbox.lease(prompts.id, 1, 0, {by_key["c"]: 1})
    outbox.doubt(outbox.lease(prompts.id, 1, 0, {by_key["d"]: 1}), "no answer")
    outbox.block(chats.id, "forbidden", 0.0, passing=False)

    assert looks.depth(outbox, 12) == Backlog(
        {"pending": 4, "leased": 1, "uncertain": 1, "parked": 1}, clock.now, blocked=1, spool_bytes=12
    )


def test_progress_is_what_is_left_and_when_the_last_call_was_delivered(outbox: SqliteOutbox, clock: FakeClock) -> None:
    _put(outbox, "abc")
    (prompts,) = outbox.targets()
    assert looks.progress(outbox) == looks.Progress(left=3, delivered_at=None, stuck=False)
    clock.sleep(60)
    _deliver(outbox, prompts.id, "a")
    outbox.park({item.id: "refused" for item in outbox.due(prompts.id, 100) if item.key == "b"})
    assert looks.progress(outbox) == looks.Progress(left=1, delivered_at=clock.now, stuck=False)


def test_delivery_is_stuck_when_all_that_waits_needs_a_person(outbox: SqliteOutbox) -> None:
    _put(outbox, "a")
    _put(outbox, "b", CHATS)
    prompts, chats = outbox.targets()
    outbox.block(prompts.id, "no such project", 0.0, passing=False)
    outbox.block(chats.id, "502", 0.0, passing=True)
    assert not looks.progress(outbox).stuck
    _deliver(outbox, chats.id, "b")
    assert looks.progress(outbox).stuck
    _deliver(outbox, prompts.id, "a")
    assert not looks.progress(outbox).stuck


def test_the_oldest_is_the_first_taken_of_those_that_are_to_be_delivered(
    outbox: SqliteOutbox, clock: FakeClock
) -> None:
    begun = clock.now
    for key in "abc":
        _put(outbox, key)
        clock.sleep(60)
    (prompts,) = outbox.targets()
    assert looks.depth(outbox).oldest == begun
    _deliver(outbox, prompts.id, "a")
    assert looks.depth(outbox).oldest == begun + 60
    outbox.park({item.id: "refused" for item in outbox.due(prompts.id, 100) if item.key == "b"})
    assert looks.depth(outbox).oldest == begun + 120
    _deliver(outbox, prompts.id, "c")
    assert looks.depth(outbox).oldest is None


def test_the_state_of_a_call_is_known_for_each_of_its_destinations(outbox: SqliteOutbox) -> None:
    _put(outbox, "abc")
    _put(outbox, "b", CHATS)
    _deliver(outbox, outbox.targets()[0].id, "ab")
    assert looks.states_of(outbox, ["a", "b", "c", "d"]) == {
        "a": {"delivered"},
        "b": {"delivered", "pending"},
        "c": {"pending"},
    }


def test_another_process_can_ask_without_writing(outbox: SqliteOutbox, path: Path) -> None:
    _put(outbox, "a")
    with closing(SqliteOutbox(path, read_only=True)) as reading:
        assert looks.states_of(reading, ["a"]) == {"a": {"pending"}}


def test_an_outbox_that_is_not_there_yet_is_said(path: Path) -> None:
    with closing(SqliteOutbox(path, read_only=True)) as reading, pytest.raises(OutboxError):
        looks.states_of(reading, ["a"])
    assert not path.exists()


@pytest.mark.parametrize(
    ("query", "plan"),
    [
        (looks.WAITING, "USING COVERING INDEX item_waiting (destination=? AND state=?)"),
        (looks.DELIVERED_AT, "USING INDEX item_delivered"),
        (looks.TAKEN_AT, "USING INTEGER PRIMARY KEY"),
        (looks.STATES, "(destination=? AND key=?)"),
    ],
)
def test_no_look_reads_all_records(outbox: SqliteOutbox, path: Path, query: str, plan: str) -> None:
    _put(outbox, "a")
    with closing(sqlite3.connect(path)) as connection:
        steps = connection.execute(f"EXPLAIN QUERY PLAN {query}", ("a",) * query.count("?")).fetchall()
    assert plan in " ".join(step[-1] for step in steps)
