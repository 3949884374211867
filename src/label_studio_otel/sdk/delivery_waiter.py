"""Tells the application's threads that what this process took has arrived, for `flush=delivered`.

The thread that asks waits for an event and touches nothing; the delivering thread looks at the outbox and answers. So
it is told too where another process delivers.
"""

from __future__ import annotations

import contextlib
import threading
import time
from itertools import islice
from queue import Empty, SimpleQueue
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping

__all__ = ["Arrivals", "ReentrantEvent"]

#: Keys that are remembered, 10 MB of them. Of more, the oldest are forgotten: they are sent before the others.
MAX_KEYS = 100_000
#: Keys looked up at once, so that a fork never waits for it.
PAGE = 500

ARRIVED = {"delivered", "doubled"}
HOPELESS = {*ARRIVED, "parked"}


class ReentrantEvent:
    """A `threading.Event` for one waiting thread, which a signal handler may set while its own thread sets it.

    `threading.Event` has a plain lock, and would wait for itself. `SimpleQueue` is made for this.
    """

    def __init__(self) -> None:
        self._marks: SimpleQueue[None] = SimpleQueue()

    def is_set(self) -> bool:
        """Return True between `set` and `clear`."""
        return not self._marks.empty()

    def set(self) -> None:
        """Wake the waiting thread."""
        if not self.is_set():
            self._marks.put(None)

    def clear(self) -> None:
        """Take `set` back."""
        with contextlib.suppress(Empty):
            while True:
                self._marks.get_nowait()

    def wait(self, timeout: float) -> bool:
        """Return True when it is set; False after `timeout` seconds."""
        try:
            self._marks.get(timeout=timeout)
        except Empty:
            return False
        self._marks.put(None)
        return True


class _Wish:
    """What one thread waits for."""

    def __init__(self, keys: Collection[str]) -> None:
        self.open = dict.fromkeys(keys)
        self.failed = False
        self.answered = ReentrantEvent()


class Arrivals:
    """The calls of this process that are not known to have arrived.

    Args:
        max_age: seconds after which a call is given up; 0 is never.
        clock: seconds since any moment.
    """

    def __init__(self, max_age: float = 0.0, clock: Callable[[], float] = time.monotonic) -> None:
        self._max_age = max_age
        self._clock = clock
        # Reentrant: a signal handler of the application may end a span while its thread is in here.
        self._lock = threading.RLock()
        #: When each was taken, the oldest first.
        self._keys: dict[str, float] = {}
        self._wishes: list[_Wish] = []

    @property
    def wanted(self) -> bool:
        """True while a thread waits for an answer."""
        return bool(self._wishes)

    def took(self, key: str) -> None:
        """Note a call that was taken."""
        with self._lock:
            self._keys[key] = self._clock()
            if len(self._keys) > MAX_KEYS:
                del self._keys[next(iter(self._keys))]

    def wait(self, timeout: float, wake: Callable[[], None]) -> bool:
        """Wait until every call that was taken before has arrived; False at the time-out, or where one never will.

        Args:
            timeout: seconds.
            wake: called once the wish stands.
        """
        with self._lock:
            if not self._keys:
                return True
            wish = _Wish(self._keys)
            self._wishes.append(wish)
        try:
            wake()
            return wish.answered.wait(timeout) and not wish.failed
        finally:
            with self._lock:
                if wish in self._wishes:
                    self._wishes.remove(wish)

    def look(self, states_of: Callable[[Collection[str]], Mapping[str, set[str]]]) -> None:
        """Find out what has arrived, and answer who waits; for the delivering thread.

        Args:
            states_of: returns the states of the items of these keys.
        """
        while page := self._oldest():
            states = states_of(page)
            arrived = {key for key in states if states[key] <= ARRIVED}
            hopeless = {key for key in states if states[key] <= HOPELESS} | self._given_up()
            settled = self._settle(arrived, hopeless - arrived)
            if not settled.issuperset(page):
                break  # what comes later was sent later
        self._answer()

    def _oldest(self) -> list[str]:
        with self._lock:
            return list(islice(self._keys, PAGE))

    def _given_up(self) -> set[str]:
        if not self._max_age:
            return set()
        before = self._clock() - self._max_age
        with self._lock:
            return {key for key, taken in self._keys.items() if taken < before}

    def _settle(self, arrived: set[str], failed: set[str]) -> set[str]:
        """Forget what needs no more looking, and return it; what failed is remembered until somebody was told."""
        with self._lock:
            settled = arrived | failed if self._wishes else arrived
            for wish in self._wishes:
                wish.failed |= not failed.isdisjoint(wish.open)
            for key in settled:
                self._keys.pop(key, None)
                for wish in self._wishes:
                    wish.open.pop(key, None)
        return settled

    def _answer(self) -> None:
        with self._lock:
            for wish in [wish for wish in self._wishes if not wish.open]:
                self._wishes.remove(wish)  # here, so that the very next step is an ordinary one
                wish.answered.set()
