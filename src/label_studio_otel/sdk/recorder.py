"""What an application's process holds for one Label Studio server: its spool file and, on demand, a deliverer.

Shared by all processors and exporters of the process that have the same server and state directory. Making one does
nothing; the first LLM call opens the file and starts the thread.
"""

from __future__ import annotations

import contextlib
import threading
import time
from dataclasses import replace
from typing import TYPE_CHECKING

from label_studio_otel import log, process
from label_studio_otel.delivery.health import Health
from label_studio_otel.delivery.hooks import Hooks
from label_studio_otel.errors import OutboxError
from label_studio_otel.label_studio.suppression import suppressed
from label_studio_otel.metrics import instruments
from label_studio_otel.metrics.counts import Counts
from label_studio_otel.metrics.server_metrics import ServerMetrics
from label_studio_otel.sdk import fork_safe_import
from label_studio_otel.sdk.delivery_waiter import DeliveryWaiter, ReentrantEvent
from label_studio_otel.spool.writer import SpoolFull, SpoolWriter

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from label_studio_otel.delivery.deliverer import Deliverer
    from label_studio_otel.settings import Settings

__all__ = ["Recorder", "recorder_for"]

#: Seconds that an item waits in the process before it is delivered: calls come in groups, and tasks in batches.
SETTLE_DELAY_S = 2.0
#: Seconds between two looks at the spool, and at a lock that another process holds.
POLL = 1.0
#: Seconds between two looks while a thread of the application waits for calls to arrive.
ASKED_POLL = 0.05
#: Seconds that the delivering thread sleeps after each item, so that the application's threads get the interpreter's
#: lock. Without, one span in ten waits 5 ms; more wins nothing, and with 0 it is chance who gets the lock.
STAND_ASIDE = 0.00005


class Recorder(process.ForkPart):
    """Keeps this process's LLM calls and delivers them in a daemon thread.

    Args:
        settings: of the first processor or exporter that asked.
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._directory = settings.directory
        spool = self._directory / "spool"
        self._writer = SpoolWriter(spool, on_refused=self._on_refused, max_bytes=settings.max_state_bytes)
        #: What processors and exporters did.
        self.counts = Counts()
        self._source = ServerMetrics(settings.url, self.counts, self._writer)
        self._begin()
        process.register(self, process.ForkOrder.RECORDERS)

    def reset_in_child(self) -> None:
        """Begin anew: threads, requests and counts are the parent's."""
        self._begin()

    def _begin(self) -> None:
        self._lock = threading.RLock()  # reentrant: a signal handler may end a span while its thread is in here
        #: False until the first record, and where the next one begins delivery anew.
        self._begun = False
        self._thread: threading.Thread | None = None
        self._flusher: threading.Thread | None = None
        self._finish = ReentrantEvent()
        self._wake = ReentrantEvent()
        self._waiter = DeliveryWaiter(self._settings.max_age)
        self._source.reset(self.counts)
        #: Shared with the deliverer: one cause is one warning.
        self._health = Health()
        #: Items that the deliverer knows not to have arrived; None where it never ran.
        self._left: int | None = None

    def append(self, buffers: Sequence[bytes], key: str | None = None, *, calls: int = 1) -> None:
        """Keep one record. Returns within microseconds, and never raises for a disk that refuses.

        Args:
            key: of a call whose arrival `flush` is to know of.
            calls: LLM calls in it.
        """
        lost = self._writer.lost
        self._writer.append(buffers, calls)
        if key is not None and self._writer.lost == lost:
            self._waiter.track(key)
        if not self._begun:
            self._start()

    def flush(self, timeout: float, *, delivered: bool = False) -> bool:
        """Return True when every record is on the disk; False at the time-out, whatever the disk does.

        Args:
            timeout: seconds that it may take.
            delivered: wait until the calls whose keys were given have become tasks.
        """
        end = time.monotonic() + timeout
        durable = self._written(max(0.0, timeout))
        return durable and (not delivered or self._waiter.wait(max(0.0, end - time.monotonic()), self._ask))

    def shutdown(self, timeout: float) -> bool:
        """Deliver what is there, for at most `timeout` seconds; True when nothing is left.

        Whatever is left is kept, and the log says where, unless it already said why.
        """
        end = time.monotonic() + timeout
        durable = self._written(timeout)
        self._writer.close(timeout=max(0.0, end - time.monotonic()))
        if not durable and (lost := self._writer.backlog + self._writer.lost):
            log.info(f"{lost} LLM calls could not be written below {self._directory} and are lost")
        thread = self._thread
        if thread is not None:
            self._finish.set()
            self._wake.set()
            thread.join(max(0.0, end - time.monotonic()))
            if thread.is_alive():
                self._left = self._left or 1
            else:
                self._ended(thread)
        if self._left and not self._health.has_problem:
            log.warn_once(
                f"left {self._directory}",
                f"not all LLM calls were delivered within {timeout:g} s; they are kept in {self._directory} and sent "
                "by the next process that uses it, or now by `label-studio-otel deliver`",
            )
        return durable and not self._left

    def _written(self, timeout: float) -> bool:
        """Return True when nothing waits in memory; False at the time-out."""
        end = time.monotonic() + timeout
        if self._writer.is_flushed(timeout):
            return True
        if not self._writer.backlog:
            return False  # a write lasts longer
        thread = self._flusher  # of its own: nothing else bounds a disk that hangs
        if thread is None or not thread.is_alive():
            thread = self._flusher = threading.Thread(
                target=self._writer.flush, kwargs={"now": True}, name="LabelStudioFlush", daemon=True
            )
            try:
                thread.start()
            except RuntimeError:  # the interpreter is ending: there are no more threads, and this is the last attempt
                return self._writer.flush(now=True)
        thread.join(max(0.0, end - time.monotonic()))
        return not thread.is_alive() and self._writer.is_flushed(max(0.0, end - time.monotonic()))

    def _start(self) -> None:
        instruments.register()
        with self._lock:
            if self._begun:
                return
            self._begun = True  # before the thread is: a signal handler that comes here now must not start another
            if self._settings.delivery == "thread":
                try:
                    self._thread = self._in_thread(self._deliver)
                except RuntimeError:
                    self._begun = False  # the interpreter is ending; the record is in the spool

    def _in_thread(self, work: Callable[[], None]) -> threading.Thread:
        thread = threading.Thread(target=self._run, args=(work,), name="LabelStudioDelivery", daemon=True)
        thread.start()
        return thread

    def _ask(self) -> None:
        """Let a thread look what has arrived: the application's must not open an outbox."""
        if self._settings.delivery == "thread":
            self._start()
            self._wake.set()
        else:
            with contextlib.suppress(RuntimeError):  # the interpreter is ending
                self._in_thread(self._look_on)

    def _run(self, work: Callable[[], None]) -> None:
        with suppressed():
            try:
                work()
            except Exception as error:  # calls are kept, and delivered by whoever comes next
                log.warn_once("thread", f"delivery ended with {log.kind(error)}; LLM calls are kept")
        if self._finish.is_set():
            self._ended(threading.current_thread())

    def _ended(self, thread: threading.Thread) -> None:
        """Let the next record begin delivery anew."""
        with self._lock:
            if self._thread is thread:
                self._begun, self._thread, self._finish = False, None, ReentrantEvent()

    def _deliver(self) -> None:
        finish, wake = self._finish, self._wake

        def stand_aside() -> None:
            time.sleep(0.0 if finish.is_set() else STAND_ASIDE)  # an application that ends waits for this thread alone

        deliverer = fork_safe_import.deliverer()(
            self._settings,
            settle_delay=SETTLE_DELAY_S,
            health=self._health,
            hooks=Hooks(
                observe_latency=self._source.record_latency,
                observe_import=self._source.record_import,
                pause=stand_aside,
            ),
        )
        self._source.counts += (deliverer.counts,)
        try:
            while not finish.is_set():
                if not _tried(lambda: self._step(deliverer)):
                    wake.wait(ASKED_POLL if self._waiter.has_waiters else POLL)
                    wake.clear()
            deliverer.skip_settling()
            while _tried(deliverer.step):
                pass
            self._left = _left(deliverer) if deliverer.holding else 0
            self._look(deliverer)
        finally:
            self._source.backlog = None
            deliverer.close()

    def _step(self, deliverer: Deliverer) -> bool:
        self._writer.flush()
        if self._waiter.has_waiters:
            deliverer.skip_settling()
        else:
            deliverer.settle_delay = SETTLE_DELAY_S
        deliverer.authorize(self._settings.api_key)
        moved = _tried(deliverer.step)
        self._source.update_backlog(deliverer.depth)
        self._look(deliverer)
        return moved

    def _look_on(self) -> None:
        """Answer who waits for calls that another process delivers."""
        deliverer = fork_safe_import.deliverer()(self._settings)
        while self._waiter.has_waiters:
            self._look(deliverer)
            time.sleep(ASKED_POLL)

    def _look(self, deliverer: Deliverer) -> None:
        with contextlib.suppress(OutboxError):  # not yet there, or the step before said what is wrong with it
            self._waiter.update(deliverer.states_of)

    def _on_refused(self, error: OSError | None) -> None:
        topic = f"spool {self._directory}"
        self._health.spool_problem = str(error) if error is not None else None
        if error is None:
            log.resolved(topic, f"{self._directory} can be written again")
        elif isinstance(error, SpoolFull):
            log.warn_once(
                topic,
                f"{self._directory}: {error.strerror}; LLM calls wait in memory, and are lost with this process, until "
                "some were delivered. `label-studio-otel status` says what waits, and why",
            )
        elif not self._health.outbox_problem:  # else the deliverer has warned of the same disk
            log.warn_once(
                topic,
                f"{self._directory} cannot be written ({error.strerror or error}); LLM calls wait in memory, and are "
                "lost with this process. Make room, or set LABEL_STUDIO_OTEL_STATE_DIR to a directory that it may "
                "write",
            )


def _tried(step: Callable[[], bool]) -> bool:
    try:
        return step()
    except Exception as error:  # an error of ours must not end delivery for as long as the application runs
        log.warn_once("step", f"delivery failed with {log.kind(error)}; LLM calls are kept")
        return False


def _left(deliverer: Deliverer) -> int:
    depth = deliverer.depth()
    if depth is None:
        return 1  # the step before met what is wrong with the outbox, and said so
    return depth.states["pending"] + depth.states["leased"] + depth.states["uncertain"]


_by_directory: dict[Path, Recorder] = {}


def recorder_for(settings: Settings) -> Recorder:
    """Return the process's recorder for the server and state directory of these settings; give it a token it lacks."""
    with process.lock:
        directory = settings.directory
        # Not assigned: a signal handler may have come here in the meantime, and there must not be two.
        recorder = _by_directory.get(directory) or _by_directory.setdefault(directory, Recorder(settings))
        if recorder._settings.api_key is None:
            recorder._settings = replace(recorder._settings, api_key=settings.api_key)
        return recorder
