"""Lets threads of the application wait until the LLM calls of this process have become tasks, for `flush=delivered`.

A thread that waits touches neither disk nor outbox: the delivering thread reads the outbox and answers it. So it is
answered too when another process delivers.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Collection, Mapping
from itertools import islice
from queue import Empty, SimpleQueue

#: Keys that are tracked, 10 MB of them. Beyond, the oldest is forgotten, since it is delivered before the others.
MAX_KEYS = 100_000
#: Keys of one query on the outbox, few enough that a fork need not wait for it.
KEYS_PER_QUERY = 500

#: States of the items of a call that was delivered.
DELIVERED_STATES = {"delivered", "doubled"}
#: States of items whose state will not change by itself.
FINAL_STATES = {*DELIVERED_STATES, "parked"}


class ReentrantEvent:
    """An event for one waiting thread, which a signal handler may set while its own thread sets it.

    `threading.Event` has a plain lock, and the thread would wait for itself. `SimpleQueue` is made for this.
    """

    def __init__(self) -> None:
        self._marks: SimpleQueue[None] = SimpleQueue()

    def is_set(self) -> bool:
        """Return True from `set` until a thread has waited for it."""
        return not self._marks.empty()

    def set(self) -> None:
        """Wake the waiting thread."""
        if not self.is_set():
            self._marks.put(None)

    def wait(self, timeout: float) -> bool:
        """Return True when the event is set, and reset it; False after `timeout` seconds."""
        try:
            self._marks.get(timeout=timeout)
        except Empty:
            return False
        return True


class _Waiter:
    """One thread that waits."""

    def __init__(self, keys: Collection[str]) -> None:
        #: Of the calls that it still waits for.
        self.keys = dict.fromkeys(keys)
        #: One of its calls will not be delivered.
        self.failed = False
        self.answered = ReentrantEvent()


class DeliveryWaiter:
    """The keys of this process's LLM calls that are not known to be delivered, and the threads that wait for them.

    Args:
        max_age: seconds after which a call is given up; 0 is never.
        clock: seconds since any moment.
    """

    def __init__(self, max_age: float = 0.0, clock: Callable[[], float] = time.monotonic) -> None:
        self._max_age = max_age
        self._clock = clock
        self._lock = threading.RLock()
        #: When the call of each key was kept, the oldest first.
        self._kept_at: dict[str, float] = {}
        #: Threads that wait for an answer.
        self.waiters: list[_Waiter] = []

    def track(self, key: str) -> None:
        """Add the key of a call that was kept."""
        with self._lock:
            self._kept_at[key] = self._clock()
            if len(self._kept_at) > MAX_KEYS:
                del self._kept_at[next(iter(self._kept_at))]

    def wait(self, timeout: float, wake: Callable[[], None]) -> bool:
        """Return True when every call that was tracked before is delivered; False at once if one never will be.

        False also after `timeout` seconds. `wake` wakes the delivering thread, which then calls `update`.
        """
        with self._lock:
            if not self._kept_at:
                return True
            waiter = _Waiter(self._kept_at)
            self.waiters.append(waiter)
        try:
            wake()
            return waiter.answered.wait(timeout) and not waiter.failed
        finally:
            with self._lock:
                if waiter in self.waiters:
                    self.waiters.remove(waiter)

    def update(self, states_of: Callable[[Collection[str]], Mapping[str, set[str]]]) -> None:
        """Let the delivering thread read the states of the calls from the outbox, and answer the threads that wait."""
        while page := self._oldest_keys():
            states = states_of(page)
            delivered = {key for key in states if states[key] <= DELIVERED_STATES}
            final = {key for key in states if states[key] <= FINAL_STATES} | self._expired_keys()
            if not self._forget(delivered, failed=final - delivered).issuperset(page):
                break  # calls that were kept later are sent later
        with self._lock:
            for waiter in [one for one in self.waiters if not one.keys]:
                self.waiters.remove(waiter)  # here, so that the very next step is an ordinary one
                waiter.answered.set()

    def _oldest_keys(self) -> list[str]:
        with self._lock:
            return list(islice(self._kept_at, KEYS_PER_QUERY))

    def _expired_keys(self) -> set[str]:
        if not self._max_age:
            return set()
        oldest = self._clock() - self._max_age
        with self._lock:
            return {key for key, kept_at in self._kept_at.items() if kept_at < oldest}

    def _forget(self, delivered: set[str], failed: set[str]) -> set[str]:
        """Stop tracking these calls, and return their keys.

        Calls that failed are tracked further if no thread waits, so that the next `wait` returns False.
        """
        with self._lock:
            keys = delivered | failed if self.waiters else delivered
            for waiter in self.waiters:
                waiter.failed |= not failed.isdisjoint(waiter.keys)
            for key in keys:
                self._kept_at.pop(key, None)
                for waiter in self.waiters:
                    waiter.keys.pop(key, None)
        return keys
