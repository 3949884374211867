"""The deliverer: holds the lock, ingests the spool, delivers the outbox; in a thread or on the command line.

A fork of its process waits until no transaction runs and closes the outbox before: an inherited SQLite handle loses
commits silently, and a child that inherits one must never open the database again.
"""

from __future__ import annotations

import contextlib
import os
import threading
import time
import weakref
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from label_studio_otel import log
from label_studio_otel.delivery.health import Health
from label_studio_otel.delivery.lock import DirectoryLock
from label_studio_otel.delivery.sending import ABSENT_FROM, LOOKUP_BEFORE, Delivery
from label_studio_otel.delivery.timed import TimedLabelStudio
from label_studio_otel.errors import LabelStudioOtelError, OutboxCorrupt, OutboxError
from label_studio_otel.metrics.counts import Counts
from label_studio_otel.outbox.outbox import Outbox
from label_studio_otel.outbox.salvage import mark_salvaged, quarantine, quarantined, salvage, was_sending
from label_studio_otel.pipeline import ingest, spool_directory
from label_studio_otel.spool import record
from label_studio_otel.spool.reader import remove_unnamed

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from label_studio_otel.metrics.counts import Backlog
    from label_studio_otel.outbox.items import Summary
    from label_studio_otel.settings import Settings

__all__ = ["OUTBOX", "Deliverer"]

OUTBOX = "outbox.db"
#: Delivered keys that make way for calls at once where the outbox is full, and seconds that they are kept in any case.
KEYS, LEAST_RETENTION = 1000, 3600.0
#: Calls after which ingestion makes way for delivery.
PORTION = 500
#: Seconds that delivered keys are kept: within them nothing is sent twice.
RETENTION = 30 * 86400.0
#: Seconds between two looks for keys, and for log events that no call claimed, that have been kept long enough.
EXPIRY_INTERVAL = 900.0
#: Seconds by which a clock is set before the outbox's times are set with it.
JUMP = 30.0
#: Seconds that a fork waits for a transaction to end; a child of one that would not is kept from delivering.
FORK_PATIENCE = 0.25


class _Fork(threading.local):
    """What one thread's fork knows of a deliverer, which may have been made after that fork began."""

    #: The fork holds the outbox's lock.
    quiet = False


class Deliverer:
    """Delivers what is below one server's directory, while it holds that directory's lock.

    Args:
        settle: seconds between a span's arrival and its delivery.
        restarted_at: Label Studio's process is known to have begun then.
        health: shared with the recorder of this directory, where this process has one.
        observe: called with the seconds between a call's arrival and its task's.
        imported: called with the seconds of each import, and with the kind of error that it met or None.
        pause: called between two items, to let the application's threads run.
        clock: seconds since the epoch.
        steady: seconds since any moment, which nobody sets.
        outbox: that of this directory, by default one of its own; a process opens it once.
    """

    def __init__(
        self,
        settings: Settings,
        *,
        settle: float = 0.0,
        outbox: Outbox | None = None,
        restarted_at: float = 0.0,
        health: Health | None = None,
        observe: Callable[[float], None] = lambda _: None,
        imported: Callable[[float, str | None], None] = lambda _, __: None,
        pause: Callable[[], None] = lambda: None,
        clock: Callable[[], float] = time.time,
        steady: Callable[[], float] | None = None,
    ) -> None:
        self._directory = settings.directory
        self._health = health or Health()
        #: Seconds between a span's arrival and its delivery.
        self.settle = settle
        self._pause = pause
        self._clock = clock
        self._steady = steady or (time.monotonic if clock is time.time else clock)
        self._difference = clock() - self._steady()
        self._lock = DirectoryLock(self._directory)
        self._interrupted = False  # the last step came to no end: what it had sent may still be leased
        self._next_expiry = 0.0
        self._max_bytes = settings.max_state_bytes
        self._max_age = settings.max_age
        self.counts = Counts()
        self._outbox = outbox or Outbox.in_file(self._directory / OUTBOX, clock=clock)
        self._uncertain_wait = settings.uncertain_wait
        self._client = TimedLabelStudio(settings.url, settings.api_key, observe=imported, clock=clock)
        self._delivery = Delivery(
            self._outbox,
            self._client,
            clock=clock,
            uncertain_wait=settings.uncertain_wait,
            restarted_at=restarted_at,
            counts=self.counts,
            observe=observe,
            max_task_bytes=settings.max_task_bytes,
            max_image_bytes=settings.max_image_bytes,
            trace_link=settings.trace_link,
            report=self._report,
            pause=pause,
            meanwhile=self._ingest,
        )
        self._fork = _Fork()
        _deliverers[id(self)] = self

    @property
    def holding(self) -> bool:
        """True while this one delivers."""
        return self._lock.held

    def authorize(self, api_key: str | None) -> None:
        """Use this token from the next request on; a destination that is blocked is tried again when it is due."""
        self._client.authorize(api_key)

    def step(self) -> bool:
        """Ingest and deliver what is due; True when anything moved. Never raises for what can go wrong outside."""
        try:
            held, jump = self._lock.held, self._jump()
            if not self.take_lock():
                return False
            self._interrupted = True
            if held and jump:
                self._outbox.shift_times(jump)
                self._delivery.forget()
                self._next_expiry = 0.0
            self._delivery.patient = self.settle > 0
            moved = self._ingest() | self._delivery.step()
            self._expire()
            self._interrupted = False
        except OutboxCorrupt as error:
            self._set_aside(error)
            return False
        except (LabelStudioOtelError, OSError) as error:
            self._health.outbox_problem = str(error)
            if not self._health.spool_problem:  # else the recorder has warned of the same disk
                log.warn_once(
                    f"state {self._directory}",
                    f"{error}; LLM calls wait in {self._directory} until this is mended, or "
                    "LABEL_STUDIO_OTEL_STATE_DIR names another directory",
                )
            return False
        self._health.outbox_problem = None
        log.resolved(f"state {self._directory}", f"{self._directory} can be used again")
        return moved

    def _jump(self) -> float:
        """Return how far somebody set the clock since the last step, 0 for what clocks differ by anyway."""
        before, self._difference = self._difference, self._clock() - self._steady()
        jump = self._difference - before
        return jump if abs(jump) > JUMP else 0.0

    def take_lock(self) -> bool:
        """Become the deliverer of this directory if there is none; True when this is it.

        Raises:
            OSError: the directory cannot be written.
            OutboxError: the outbox cannot be used.
        """
        if _inherited:
            return False
        if self._lock.held and not self._interrupted:
            return True
        used_before = self._lock.was_used()
        if not self._lock.acquire():
            return False
        self._interrupted = True
        # An outbox that was lost may have delivered what stands in the spool. That its file is there proves nothing: a
        # process that was killed may have made it anew, and noted nothing in it.
        if used_before and self._outbox.is_unused():
            self.reconcile()
        self._take_aside_over()
        # Whoever had it died in the middle of these, was cut off at its process's end, or could not note the answer.
        self._outbox.take_over("the process that sent it ended before the answer")
        self._interrupted = False
        if not self.settle:
            self._outbox.skip_settling()
        return True

    def examine(self) -> None:
        """Look whether the outbox is damaged, and set it aside if so: who takes calls in by another way met that."""
        if not self._lock.held:
            return
        try:
            self._outbox.database.check()
        except OutboxCorrupt as error:
            self._set_aside(error)
        except OutboxError:
            return  # busy, or its disk is gone: the next request says it again

    def reconcile(self) -> None:
        """Look up what is waiting now before it is sent: an outbox that was lost may have delivered it.

        Raises:
            OutboxError: the outbox cannot be used.
        """
        self._outbox.set_counter(LOOKUP_BEFORE, self._clock())

    def summary(self) -> Summary:
        """Return what stands in the outbox.

        Raises:
            OutboxError: it cannot be read.
        """
        return self._outbox.overview.summary()

    def depth(self) -> Backlog | None:
        """Return what waits; None where another process delivers."""
        if not self._lock.held:
            return None
        with contextlib.suppress(LabelStudioOtelError, OSError):
            depth = replace(self._outbox.overview.depth(), outbox_bytes=self._outbox.used_bytes())
            with contextlib.suppress(FileNotFoundError):  # a service that takes calls in by itself has no spool
                depth = replace(depth, spool_bytes=record.size_of(spool_directory(self._directory)))
            return depth
        return None

    def states_of(self, keys: Iterable[str]) -> dict[str, set[str]]:
        """Return the states of the items of each key that is known, also where another process delivers.

        Raises:
            OutboxError: the outbox cannot be read.
        """
        if _inherited:
            return {}
        if self._lock.held:
            return self._outbox.overview.states_of(keys)
        with (
            self._outbox.database.lock,
            contextlib.closing(Outbox.in_file(self._directory / OUTBOX, read_only=True)) as read,
        ):
            return read.overview.states_of(keys)  # opened and closed under the lock that a fork waits for

    def waive(self) -> None:
        """Let what waits, and what comes from now on, be sent at once."""
        self.settle = 0.0
        if not self._lock.held:
            return  # another process delivers, and it alone writes
        with contextlib.suppress(LabelStudioOtelError):
            self._outbox.skip_settling()

    def close(self) -> None:
        """Close the outbox and give the lock back."""
        self._outbox.close()
        self._lock.release()

    def _report(self, destination: str, reason: str | None) -> None:
        topic = f"delivery {self._directory} {destination}"
        if reason is None:
            self._health.delivery_problems.pop(destination, None)
            log.resolved(topic, f"LLM calls are delivered to {destination} again")
        else:
            self._health.delivery_problems[destination] = reason
            said = reason.rstrip(".")
            log.warn_once(topic, f"{said}. LLM calls are kept in {self._directory} and sent when this is mended")

    def _ingest(self) -> bool:
        topic = f"room in {self._directory}"
        if self._is_full():
            log.warn_once(
                topic,
                f"{self._directory / OUTBOX} holds {self._max_bytes} bytes (LABEL_STUDIO_OTEL_MAX_STATE_BYTES): no "
                "more is taken over until some were delivered",
            )
            return False
        log.resolved(topic, f"{self._directory / OUTBOX} has room again")
        return bool(
            ingest(
                self._directory,
                self._outbox,
                self._clock() + self.settle,
                self._pause,
                counts=self.counts,
                limit=PORTION,
            )
        )

    def _is_full(self) -> bool:
        """Tell whether the outbox holds what it may, although it forgot keys earlier than it would like to."""
        while self._max_bytes and self._outbox.used_bytes() >= self._max_bytes:
            if not self._outbox.expire_oldest(KEYS, self._clock() - LEAST_RETENTION):
                return True
            log.warn_once(
                f"keys {self._directory}",
                f"{self._directory / OUTBOX} holds {self._max_bytes} bytes (LABEL_STUDIO_OTEL_MAX_STATE_BYTES), mostly "
                f"of what was delivered: that is remembered for less than {RETENTION / 86400:g} days",
            )
        return False

    def _expire(self) -> None:
        if self._clock() < self._next_expiry:
            return
        self._next_expiry = self._clock() + EXPIRY_INTERVAL
        self._outbox.expire(self._clock() - RETENTION)
        remove_unnamed(spool_directory(self._directory), self._clock())
        self._delivery.forget_gone()
        if self._max_age:
            self._next_expiry = self._clock() + min(EXPIRY_INTERVAL, self._max_age / 10)
            given_up = self._outbox.give_up(self._clock() - self._max_age)
            self.counts.expired += given_up
            if given_up:
                log.warning(
                    f"{given_up} LLM calls were given up: they waited longer than {self._max_age:g} s "
                    "(LABEL_STUDIO_OTEL_MAX_AGE)",
                )

    def _set_aside(self, error: OutboxCorrupt) -> None:
        self._delivery.forget()
        self._interrupted = True
        # Locked: another thread that takes calls in would open the old file, and go on with it under its new name.
        with self._outbox.database.lock, contextlib.suppress(LabelStudioOtelError, OSError):
            self._outbox.close()
            quarantine(self._directory / OUTBOX, self._clock())
            log.warning(f"{error}; it is set aside, and a new one begun")
            self._take_aside_over()

    def _take_aside_over(self) -> None:
        """Take over what can be read of outboxes that were set aside; what was not done is done by the next step."""
        for path in quarantined(self._directory / OUTBOX):
            self.reconcile()
            if was_sending(path):
                self._outbox.set_counter(ABSENT_FROM, self._clock() + self._uncertain_wait)
            saved = salvage(path, self._outbox)
            kept = mark_salvaged(path)
            log.warning(
                f"a damaged outbox was set aside as {kept}; the new one holds the {saved} calls that could be read",
            )

    def _before_fork(self) -> None:
        self._fork.quiet = self._outbox.database.lock.acquire(timeout=FORK_PATIENCE)
        if self._fork.quiet:
            self._outbox.close()

    def _after_fork_in_parent(self) -> None:
        if self._fork.quiet:
            self._fork.quiet = False
            self._outbox.database.lock.release()

    def _after_fork_in_child(self) -> None:
        inherited = self._outbox.database.abandon()
        self._lock.release()
        if inherited is not None:
            _inherited.append(inherited)


#: By their ids. No `WeakSet`: a fork goes through it while another thread may make a deliverer.
_deliverers: weakref.WeakValueDictionary[int, Deliverer] = weakref.WeakValueDictionary()
#: Handles that a child got by a fork in the middle of a transaction: it must neither use nor close them, and as long
#: as there is one this process must not open the same database.
_inherited: list[Any] = []


def _each(method: Callable[[Deliverer], None]) -> Callable[[], None]:
    def hook() -> None:
        for reference in _deliverers.valuerefs():  # a list made at once
            deliverer = reference()
            if deliverer is not None:
                method(deliverer)

    return hook


if hasattr(os, "register_at_fork"):
    os.register_at_fork(
        before=_each(Deliverer._before_fork),
        after_in_parent=_each(Deliverer._after_fork_in_parent),
        after_in_child=_each(Deliverer._after_fork_in_child),
    )
