"""What a thread is told that waits until calls have arrived; the outbox is a dictionary here."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

import pytest

from label_studio_otel.sdk import delivery_waiter
from label_studio_otel.sdk.delivery_waiter import DeliveryWaiter, ReentrantEvent
from support.servers import wait_for

if TYPE_CHECKING:
    from collections.abc import Callable, Collection


class Outbox:
    """States by key, and which keys were asked for."""

    def __init__(self, **states: str) -> None:
        self.states = {key: set(said.split()) for key, said in states.items()}
        self.asked: list[list[str]] = []

    def states_of(self, keys: Collection[str]) -> dict[str, set[str]]:
        self.asked.append(list(keys))
        return {key: self.states[key] for key in keys if key in self.states}


def _taken(*keys: str, **options: float) -> DeliveryWaiter:
    waiter = DeliveryWaiter(**options)
    for key in keys:
        waiter.track(key)
    return waiter


def _told(waiter: DeliveryWaiter, outbox: Outbox, timeout: float = 0.0) -> bool:
    """Return what a thread is told that asks, when the delivering thread looks once while it waits."""
    return waiter.wait(timeout, wake=lambda: waiter.update(outbox.states_of))


def test_where_nothing_was_taken_nothing_is_waited_for() -> None:
    def never() -> None:
        raise AssertionError("nobody needs to look")

    assert DeliveryWaiter().wait(60, wake=never)


@pytest.mark.parametrize(
    ("states", "told"),
    [
        ({"a": "delivered", "b": "delivered"}, True),
        ({"a": "delivered", "b": "doubled"}, True),
        ({"a": "delivered"}, False),
        ({"a": "delivered", "b": "pending"}, False),
        ({"a": "delivered", "b": "leased"}, False),
        ({"a": "delivered", "b": "uncertain"}, False),
        ({"a": "delivered", "b": "parked"}, False),
        ({"a": "delivered", "b": "delivered pending"}, False),
        ({"a": "delivered", "b": "delivered parked"}, False),
    ],
    ids=str,
)
def test_all_has_arrived_when_each_item_of_each_call_has(states: dict[str, str], told: bool) -> None:
    assert _told(_taken("a", "b"), Outbox(**states)) is told


def test_a_thread_that_waits_is_told_when_the_last_call_arrives() -> None:
    waiter, outbox, told = _taken("a"), Outbox(a="leased"), list[bool]()
    thread = threading.Thread(target=lambda: told.append(waiter.wait(30, wake=lambda: None)))
    thread.start()
    wait_for(lambda: waiter.waiters, timeout=10)
    waiter.update(outbox.states_of)
    assert told == []
    outbox.states["a"] = {"delivered"}
    waiter.update(outbox.states_of)
    thread.join(10)
    assert (told, waiter.waiters) == ([True], [])


def test_what_is_taken_while_somebody_waits_is_not_waited_for() -> None:
    waiter = _taken("a")

    def wake() -> None:
        waiter.track("later")
        waiter.update(Outbox(a="delivered").states_of)

    assert waiter.wait(0, wake)
    assert not _told(waiter, Outbox())


def test_a_parked_call_is_told_once_and_then_holds_nobody_up() -> None:
    waiter, outbox = _taken("a", "b"), Outbox(a="parked", b="delivered")
    assert not _told(waiter, outbox, timeout=30)  # at once: waiting would not help
    waiter.track("c")
    assert _told(waiter, Outbox(c="delivered"))


def test_a_parked_call_is_told_also_when_it_was_seen_before_somebody_asked() -> None:
    waiter, outbox = _taken("a"), Outbox(a="parked")
    waiter.update(outbox.states_of)
    assert not _told(waiter, outbox)


def test_what_was_given_up_is_told_once() -> None:
    now = [0.0]
    waiter = _taken("a", max_age=60.0, clock=lambda: now[0])  # type: ignore[arg-type]
    assert not _told(waiter, Outbox())
    now[0] = 61.0
    waiter.track("b")
    assert not _told(waiter, Outbox(b="delivered"), timeout=30)
    assert _told(waiter, Outbox())


def test_what_has_arrived_is_forgotten_also_where_nobody_asks() -> None:
    waiter = _taken(*(f"k{number}" for number in range(1200)))
    outbox = Outbox(**{f"k{number}": "delivered" for number in range(1100)})
    waiter.update(outbox.states_of)
    assert [len(page) for page in outbox.asked] == [500, 500, 200]
    waiter.update(outbox.states_of)
    assert outbox.asked[-1] == [f"k{number}" for number in range(1100, 1200)]


def test_a_page_in_which_a_call_waits_ends_the_look() -> None:
    waiter, outbox = _taken(*(f"k{number}" for number in range(1200))), Outbox()
    assert not _told(waiter, outbox)
    assert [len(page) for page in outbox.asked] == [500]


def test_of_very_many_calls_the_oldest_are_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(delivery_waiter, "MAX_KEYS", 3)
    waiter, outbox = _taken("a", "b", "c", "d"), Outbox()
    waiter.update(outbox.states_of)
    assert outbox.asked == [["b", "c", "d"]]


def test_several_threads_wait_each_for_its_own() -> None:
    waiter, outbox, told = _taken("a"), Outbox(a="pending"), dict[str, bool]()

    def ask(name: str) -> Callable[[], None]:
        return lambda: told.update({name: waiter.wait(30, wake=lambda: None)})

    threads = [threading.Thread(target=ask(name)) for name in ("first", "second")]
    for thread in threads:
        thread.start()
    wait_for(lambda: len(waiter.waiters) == 2, timeout=10)
    outbox.states["a"] = {"delivered"}
    waiter.update(outbox.states_of)
    for thread in threads:
        thread.join(10)
    assert told == {"first": True, "second": True}


def test_an_event_is_set_until_a_thread_has_waited_for_it() -> None:
    event = ReentrantEvent()
    assert (event.is_set(), event.wait(0)) == (False, False)
    event.set()
    event.set()
    assert (event.is_set(), event.wait(0)) == (True, True)
    assert (event.is_set(), event.wait(0)) == (False, False)


def test_an_event_wakes_the_thread_that_waits() -> None:
    event, woken = ReentrantEvent(), []
    thread = threading.Thread(target=lambda: woken.append(event.wait(60)))
    thread.start()
    event.set()
    thread.join(60)
    assert woken == [True]
