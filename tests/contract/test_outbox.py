"""The states of the outbox, one test for each arrow of the drawing in `outbox/__init__.py`; for every database."""

from __future__ import annotations

from dataclasses import astuple, replace
from typing import TYPE_CHECKING, Any

import pytest

from label_studio_otel.outbox.items import NewEvent, NewItem
from label_studio_otel.outbox.outbox import Outbox
from label_studio_otel.settings import Destination
from label_studio_otel.testing import FakeClock

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from label_studio_otel.outbox.outbox import Outbox

PROMPTS = Destination("Prompts")


def _sqlite(directory: Path) -> Callable[[FakeClock], Outbox]:
    return lambda clock: Outbox.in_file(directory / "state" / "outbox.db", clock=clock)


#: Each takes a directory and returns a function that opens the outbox in it, the same one with each call.
IMPLEMENTATIONS = [_sqlite]


@pytest.fixture(params=IMPLEMENTATIONS, ids=lambda implementation: implementation.__name__.strip("_"))
def open_again(request: pytest.FixtureRequest, tmp_path: Path) -> Callable[[FakeClock], Outbox]:
    return request.param(tmp_path)


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock(1000.0)


class Subject:
    """An outbox that is opened again before it is asked, so that only durable changes count."""

    def __init__(self, open_again: Callable[[FakeClock], Outbox], clock: FakeClock) -> None:
        self.open_again = open_again
        self.clock = clock
        self.outbox = open_again(clock)

    def accept(self, *keys: str, destination: Destination = PROMPTS, due_at: float = 1000.0) -> int:
        records = [NewItem(destination, key, key.encode()) for key in keys]
        return self.outbox.accept(records, "1.spool", 0, due_at)

    def lease(self, *keys: str, watermark: int = 0, target: int = 1) -> int:
        """Lease the due items with these keys, all due items where no key is given."""
        due = [item for item in self.outbox.due_items(target, 100) if not keys or item.key in keys]
        return self.outbox.batches.lease(target, 7, watermark, {item.id: 1 for item in due})

    def reopen(self) -> Outbox:
        self.outbox.close()
        self.outbox = self.open_again(self.clock)
        return self.outbox

    @property
    def states(self) -> dict[str, int]:
        return {state: number for state, number in self.reopen().overview.summary().states.items() if number}

    @property
    def due(self) -> list[str]:
        return [item.key for item in self.reopen().due_items(1, 100)]


@pytest.fixture
def subject(open_again: Callable[[FakeClock], Outbox], clock: FakeClock) -> Iterator[Subject]:
    subject = Subject(open_again, clock)
    yield subject
    subject.outbox.close()


def test_an_outbox_begins_empty(subject: Subject) -> None:
    summary = subject.outbox.overview.summary()
    assert set(summary.states.values()) == {0}
    assert (
        summary.oldest,
        summary.destinations,
        subject.outbox.destinations.all(),
        subject.outbox.batches.uncertain(),
    ) == (None, [], [], [])
    assert subject.outbox.next_due(1) is None


def test_accepted_items_are_pending_in_order(subject: Subject) -> None:
    assert subject.accept("b", "a", "c") == 3
    assert subject.states == {"pending": 3}
    assert [(item.key, item.record) for item in subject.outbox.due_items(1, 2)] == [("b", b"b"), ("a", b"a")]


def test_the_same_key_is_accepted_once_for_each_destination(subject: Subject) -> None:
    assert subject.accept("a", "a") == 1
    assert subject.accept("a") == 0
    assert subject.accept("a", destination=Destination("Chats", mode="chat")) == 1
    assert subject.states == {"pending": 2}


def test_a_key_stays_known_after_delivery(subject: Subject) -> None:
    subject.accept("a")
    batch = subject.lease()
    subject.outbox.batches.mark_delivered(batch, {1: 70})
    assert subject.accept("a") == 0
    assert subject.states == {"delivered": 1}


def test_the_position_in_a_spool_file_is_kept_with_its_items(subject: Subject) -> None:
    subject.outbox.accept([NewItem(PROMPTS, "a", b"a")], "1.spool", 120, 1000.0)
    subject.outbox.accept([], "2.spool", 5, 1000.0)
    subject.outbox.accept([], "1.spool", 240, 1000.0)
    assert subject.reopen().spool_positions() == {"1.spool": 240, "2.spool": 5}
    subject.outbox.forget_spool("1.spool")
    assert subject.reopen().spool_positions() == {"2.spool": 5}


def test_an_item_settles_until_it_is_due(subject: Subject) -> None:
    subject.accept("a", due_at=1002.0)
    assert subject.due == []
    assert subject.outbox.next_due(1) == 1002.0
    subject.clock.sleep(2)
    assert subject.due == ["a"]


def test_skip_settling_makes_new_items_due(subject: Subject) -> None:
    subject.accept("a", due_at=2000.0)
    subject.outbox.skip_settling()
    assert subject.due == ["a"]


def test_skip_settling_changes_no_item_that_was_sent_before(subject: Subject) -> None:
    subject.accept("a")
    subject.outbox.batches.release(subject.lease(), 1060.0, "too many requests")
    subject.outbox.skip_settling()
    assert subject.due == []


def test_pending_to_leased(subject: Subject) -> None:
    subject.accept("a", "b")
    batch = subject.lease("a")
    assert subject.states == {"leased": 1, "pending": 1}
    assert subject.due == ["b"]
    assert [(item.key, item.record, item.predictions) for item in subject.outbox.batches.items(batch)] == [
        ("a", b"a", 1)
    ]


def test_only_what_is_pending_is_leased(subject: Subject) -> None:
    subject.accept("a")
    first = subject.lease()
    second = subject.outbox.batches.lease(1, 7, 0, {1: 1})
    assert [item.key for item in subject.outbox.batches.items(first)] == ["a"]
    assert subject.outbox.batches.items(second) == []


def test_leased_to_delivered(subject: Subject) -> None:
    subject.accept("a")
    subject.outbox.batches.mark_delivered(subject.lease(), {1: 70})
    assert subject.states == {"delivered": 1}
    assert subject.outbox.overview.summary().oldest is None


def test_leased_to_pending(subject: Subject) -> None:
    subject.accept("a")
    subject.outbox.batches.release(subject.lease(), 1005.0, "too many requests")
    assert subject.states == {"pending": 1}
    assert subject.due == []
    subject.clock.sleep(5)
    assert [(item.key, item.attempts) for item in subject.reopen().due_items(1, 9)] == [("a", 1)]


def test_leased_to_uncertain(subject: Subject) -> None:
    subject.accept("a")
    batch = subject.lease(watermark=41)
    subject.clock.sleep(5)
    subject.outbox.batches.mark_uncertain(batch, "no answer")
    assert subject.states == {"uncertain": 1}
    (batch_row,) = subject.outbox.batches.uncertain()
    assert (batch_row.id, batch_row.destination_id, batch_row.project, batch_row.watermark) == (batch, 1, 7, 41)
    assert (batch_row.sent_at, batch_row.looked_at, batch_row.lookups) == (1000.0, None, 0)


def test_uncertain_to_delivered(subject: Subject) -> None:
    subject.accept("a", "b")
    batch = subject.lease()
    subject.outbox.batches.mark_uncertain(batch, "no answer")
    subject.outbox.batches.mark_delivered(batch, {1: 70})
    assert subject.states == {"uncertain": 1, "delivered": 1}
    assert [item.key for item in subject.outbox.batches.items(batch)] == ["b"]
    subject.outbox.batches.mark_delivered(batch, {2: 71})
    assert subject.states == {"delivered": 2}
    assert subject.outbox.batches.uncertain() == []


def test_delivered_items_are_rechecked_at_the_time_that_is_stored_with_them(subject: Subject) -> None:
    subject.accept("a", "b")
    batch = subject.lease(watermark=60)
    subject.outbox.batches.mark_uncertain(batch, "no answer")
    subject.outbox.batches.mark_delivered(batch, {1: 70}, recheck_at=1900.0)
    subject.outbox.batches.mark_delivered(batch, {2: 71})
    assert subject.reopen().batches.due_rechecks(1899.0) == []
    ((_, project, watermark, keys),) = map(astuple, subject.outbox.batches.due_rechecks(1900.0))
    assert (project, watermark, keys) == (7, 60, ("a",))


def test_an_outbox_is_unused_until_something_is_stored(subject: Subject) -> None:
    subject.outbox.take_over("another process ended")
    assert subject.reopen().is_unused()
    subject.outbox.set_counter("lookup_before", 1000.0)
    assert not subject.reopen().is_unused()


def test_uncertain_to_pending(subject: Subject) -> None:
    subject.accept("a")
    batch = subject.lease()
    subject.outbox.batches.mark_uncertain(batch, "no answer")
    subject.outbox.batches.mark_not_arrived(batch, "it had not arrived")
    assert subject.states == {"pending": 1}
    assert subject.due == ["a"]
    assert subject.outbox.batches.uncertain() == []


def test_a_lookup_is_stored(subject: Subject) -> None:
    subject.accept("a")
    batch = subject.lease()
    subject.outbox.batches.mark_uncertain(batch, "no answer")
    subject.clock.sleep(3)
    subject.outbox.batches.note_lookup(batch)
    subject.outbox.batches.note_lookup(batch)
    (batch_row,) = subject.reopen().batches.uncertain()
    assert (batch_row.sent_at, batch_row.looked_at, batch_row.lookups) == (1000.0, 1003.0, 2)


def test_an_uncertain_item_is_never_leased_parked_or_released(subject: Subject) -> None:
    subject.accept("a")
    batch = subject.lease()
    subject.outbox.batches.mark_uncertain(batch, "no answer")
    subject.outbox.batches.release(batch, 1000.0, None)
    subject.outbox.park({1: "refused"})
    subject.outbox.batches.lease(1, 7, 0, {1: 1})
    assert subject.states == {"uncertain": 1}
    assert [item.key for item in subject.outbox.batches.items(batch)] == ["a"]


def test_pending_to_parked(subject: Subject) -> None:
    subject.accept("a")
    subject.outbox.park({1: "cannot be read"})
    assert subject.states == {"parked": 1}
    assert subject.due == []
    ((_, _, reasons),) = subject.outbox.overview.summary().destinations
    assert reasons == {"cannot be read": 1}


def test_pending_to_delivered(subject: Subject) -> None:
    subject.accept("a", "b")
    subject.outbox.mark_found({1: 70})
    assert subject.states == {"delivered": 1, "pending": 1}
    assert subject.due == ["b"]


def test_pending_to_doubled(subject: Subject) -> None:
    subject.accept("a", "b")
    subject.outbox.mark_merged({2: "a"})
    assert subject.states == {"doubled": 1, "pending": 1}
    assert subject.accept("b") == 0


def test_all_leased_items_of_a_destination_to_uncertain(subject: Subject) -> None:
    subject.accept("a", "b")
    subject.accept("c", destination=Destination("Chats", mode="chat"))
    batches = [subject.lease("a"), subject.lease("b")]
    subject.lease(target=2)
    subject.outbox.batches.mark_all_uncertain(1, "an error of ours")
    assert subject.states == {"uncertain": 2, "leased": 1}
    assert [batch.id for batch in subject.outbox.batches.uncertain()] == batches


def test_pending_and_parked_items_are_given_up_and_counted(subject: Subject) -> None:
    subject.accept("a", "b", "c", "d")
    subject.lease("c")
    subject.outbox.park({1: "refused"})
    subject.outbox.drop([4, 3])
    assert subject.outbox.give_up(1000.0) == 0
    assert subject.outbox.give_up(1001.0) == 2
    assert subject.states == {"leased": 1}
    assert subject.outbox.counters() == {"given_up": 2.0}


def test_leased_to_parked(subject: Subject) -> None:
    subject.accept("a", "b")
    batch = subject.lease()
    subject.outbox.park({1: "refused"})
    subject.outbox.batches.release(batch, 1000.0, None)
    assert subject.states == {"parked": 1, "pending": 1}
    assert subject.due == ["b"]


def test_parked_to_pending(subject: Subject) -> None:
    subject.accept("a")
    subject.outbox.park({1: "refused"})
    subject.outbox.destinations.block(1, "403", 2000.0, passing=False)
    assert subject.outbox.retry() == 1
    assert subject.states == {"pending": 1}
    assert subject.outbox.destinations.all()[0].blocked is None
    assert [(item.key, item.attempts) for item in subject.outbox.due_items(1, 9)] == [("a", 0)]


def test_a_destination_is_blocked_and_opened(subject: Subject) -> None:
    subject.accept("a")
    subject.outbox.destinations.block(1, "401", 1001.0, passing=False)
    subject.outbox.destinations.block(1, "unreachable", 1003.0, passing=True)
    (target,) = subject.reopen().destinations.all()
    assert (target.blocked, target.passing, target.failures, target.retry_at) == ("unreachable", True, 2, 1003.0)
    assert subject.states == {"pending": 1}
    subject.outbox.destinations.unblock(1)
    (target,) = subject.reopen().destinations.all()
    assert (target.blocked, target.failures, target.retry_at) == (None, 0, 0.0)


def test_take_over_makes_leased_items_uncertain_and_tries_blocked_destinations_at_once(subject: Subject) -> None:
    subject.accept("a", "b", "c")
    subject.lease("a")
    subject.lease("b")
    subject.outbox.destinations.block(1, "unreachable", 9000.0, passing=True)
    assert subject.outbox.take_over("its process died") == 2
    assert subject.states == {"uncertain": 2, "pending": 1}
    (target,) = subject.outbox.destinations.all()
    assert (target.blocked, target.retry_at) == ("unreachable", 0.0)
    assert subject.outbox.take_over("its process died") == 0


def test_a_destination_gets_its_project_and_deliveries_never_lower_the_watermark(subject: Subject) -> None:
    subject.accept("a", "b")
    subject.outbox.destinations.set_project(1, 7, 50)
    subject.outbox.batches.mark_delivered(subject.lease("a"), {1: 70})
    assert (subject.reopen().destinations.all()[0].project, subject.outbox.destinations.all()[0].watermark) == (7, 70)
    subject.outbox.batches.mark_delivered(subject.lease("b"), {2: 60})
    assert subject.reopen().destinations.all()[0].watermark == 70
    subject.outbox.destinations.set_project(1, None, None)
    assert (subject.reopen().destinations.all()[0].project, subject.outbox.destinations.all()[0].watermark) == (
        None,
        None,
    )


@pytest.mark.parametrize(
    "other",
    [
        {"project_name": "prompts"},
        {"mode": "chat"},
        {"default_name": True},
        {"project_id": 7},
    ],
    ids=str,
)
def test_any_of_these_settings_makes_another_destination(subject: Subject, other: dict[str, Any]) -> None:
    subject.accept("a")
    subject.accept("a", destination=replace(PROMPTS, **other))
    assert [target.id for target in subject.reopen().destinations.all()] == [1, 2]


def test_a_project_id_is_one_destination_whatever_the_other_settings(subject: Subject) -> None:
    for name, mode in (("a", "prompt"), ("b", "chat")):
        subject.accept(name, destination=Destination(name, 7, mode, default_name=mode == "chat"))
    (target,) = subject.outbox.destinations.all()
    assert target.destination.project_id == 7


def test_a_destination_keeps_the_latest_config_that_was_given(subject: Subject) -> None:
    for config in (None, "<View/>", "<View>2</View>", None):
        subject.accept("a", destination=Destination("Prompts", project_config=config))
    assert [target.destination.project_config for target in subject.reopen().destinations.all()] == ["<View>2</View>"]


def test_delivered_keys_expire(subject: Subject) -> None:
    subject.accept("a", "b", "c")
    subject.outbox.batches.mark_delivered(subject.lease("a"), {1: 70})
    subject.clock.sleep(10)
    subject.outbox.batches.mark_delivered(subject.lease("b"), {2: 71})
    assert subject.outbox.expire(1005.0) == 1
    assert subject.states == {"delivered": 1, "pending": 1}


def test_destinations_with_pending_items_come_with_the_time_when_the_first_is_due(subject: Subject) -> None:
    for number, name in enumerate(("one", "two", "three"), 1):
        subject.accept(f"a{number}", destination=Destination(name), due_at=1000.0 + number)
    subject.accept("b", destination=Destination("three"), due_at=1001.0)
    subject.clock.sleep(10)
    subject.outbox.batches.mark_delivered(subject.lease(target=2), {2: 70})
    waiting = [
        (target.destination.project_name, due_at) for target, due_at in subject.reopen().destinations.with_pending()
    ]
    assert waiting == [("one", 1001.0), ("three", 1001.0)]


def test_a_destination_is_forgotten_with_its_last_key(subject: Subject) -> None:
    for name in ("delivered", "waiting", "uncertain", "newest"):
        subject.accept("a", destination=Destination(name))
    subject.outbox.batches.mark_delivered(subject.lease(target=1), {1: 70})
    subject.outbox.destinations.set_project(1, 7, 70, "2026-01-01")
    subject.outbox.batches.mark_uncertain(subject.lease(target=3), "no answer")
    subject.outbox.batches.mark_delivered(subject.lease(target=4), {4: 71})

    subject.outbox.expire(1000.0)  # not before its keys
    assert [target.id for target in subject.reopen().destinations.all()] == [1, 2, 3, 4]
    assert subject.outbox.destinations.scopes(1) == {""}
    subject.outbox.expire(1001.0)
    assert [target.id for target in subject.reopen().destinations.all()] == [2, 3, 4]
    assert [target.destination.project_name for target, _, _ in subject.outbox.overview.summary().destinations] == [
        "waiting",
        "uncertain",
        "newest",
    ]
    assert subject.outbox.destinations.scopes(1) == set()


def test_no_destination_gets_the_id_of_one_that_was_forgotten(subject: Subject) -> None:
    """Delivery remembers the project of a destination by the destination's id."""
    subject.accept("a", destination=Destination("old"))
    subject.outbox.batches.mark_delivered(subject.lease(), {1: 70})
    subject.outbox.expire(1001.0)
    subject.accept("a", destination=Destination("new"))
    subject.outbox.expire(1001.0)
    ids = {target.destination.project_name: target.id for target in subject.reopen().destinations.all()}
    assert ids == {"new": 2}
    assert subject.accept("a", destination=Destination("old")) == 1
    assert [target.id for target in subject.reopen().destinations.all()] == [2, 3]


def test_log_events_that_no_call_claims_are_kept_for_an_hour(subject: Subject) -> None:
    """For example those of calls that settings leave out. Those of waiting calls are kept with their calls."""
    trace = "0" * 32
    waiting, given_up, never = (f"{trace}:{number:016x}" for number in (1, 2, 3))
    events = [NewEvent(span, b"said") for span in (waiting, given_up, never)]
    subject.outbox.accept([NewItem(PROMPTS, f"{span}:5", b"") for span in (waiting, given_up)], "", 0, 1000.0, events)
    subject.outbox.drop([2])

    subject.clock.sleep(3600)
    subject.outbox.expire(0.0)
    assert [span for span in (waiting, given_up, never) if subject.reopen().events(span)] == [waiting, given_up, never]
    subject.clock.sleep(1)
    subject.outbox.expire(0.0)
    assert [span for span in (waiting, given_up, never) if subject.reopen().events(span)] == [waiting]


@pytest.mark.parametrize("jump", [-86400.0, 86400.0])
def test_log_events_are_kept_for_an_hour_although_the_clock_is_set(subject: Subject, jump: float) -> None:
    subject.outbox.accept([], "", 0, 1000.0, [NewEvent("never", b"said")])
    subject.clock.sleep(jump)
    subject.outbox.shift_times(jump)
    subject.clock.sleep(3599)
    subject.outbox.expire(0.0)
    assert subject.reopen().events("never") == [b"said"]
    subject.clock.sleep(2)
    subject.outbox.expire(0.0)
    assert subject.reopen().events("never") == []


def test_log_events_are_not_kept_longer_when_the_clock_was_set_back_before_take_over(subject: Subject) -> None:
    subject.outbox.accept([], "", 0, 1000.0, [NewEvent("never", b"said")])
    subject.clock.sleep(-86400)
    subject.outbox.take_over("another process ended")
    subject.clock.sleep(3601)
    subject.outbox.expire(0.0)
    assert subject.reopen().events("never") == []


def test_expire_oldest_deletes_log_events_that_no_waiting_call_needs(subject: Subject) -> None:
    """Those of calls that were delivered, or never came because they were filtered, sampled or lost."""
    trace = "0" * 32
    delivered, waiting, never = (f"{trace}:{number:016x}" for number in (1, 2, 3))
    events = [NewEvent(span, b"said") for span in (delivered, waiting, never)]
    subject.outbox.accept([NewItem(PROMPTS, f"{span}:5", b"") for span in (delivered, waiting)], "", 0, 1000.0, events)
    subject.outbox.batches.mark_delivered(subject.lease(f"{delivered}:5"), {1: 70})
    subject.clock.sleep(10)
    subject.outbox.accept([], "", 0, 1000.0, [NewEvent("late", b"said")])

    subject.outbox.expire_oldest(100, 1005.0)

    kept = [span for span in (delivered, waiting, never, "late") if subject.reopen().events(span)]
    assert kept == [waiting, "late"]


def test_the_summary_counts_by_destination_and_has_the_time_of_the_oldest_item(subject: Subject) -> None:
    subject.accept("a")
    subject.clock.sleep(10)
    subject.accept("b", "c", destination=Destination("Chats", mode="chat"))
    subject.outbox.batches.mark_delivered(subject.lease("a"), {1: 70})
    summary = subject.reopen().overview.summary()
    assert summary.oldest == 1010.0
    counted = [
        (target.destination.project_name, states["pending"], states["delivered"])
        for target, states, _ in summary.destinations
    ]
    assert counted == [("Prompts", 0, 1), ("Chats", 2, 0)]


def test_a_closed_outbox_opens_again(subject: Subject) -> None:
    subject.accept("a")
    subject.outbox.close()
    subject.outbox.close()
    assert subject.accept("b") == 1
