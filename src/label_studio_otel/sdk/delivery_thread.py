"""The daemon thread that delivers the LLM calls of an application's process.

It alone imports what delivery needs, opens the outbox, and speaks with Label Studio. The application's threads only set
events for it.
"""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable
from typing import TYPE_CHECKING

from label_studio_otel import log, process
from label_studio_otel.delivery.hooks import Health, Hooks
from label_studio_otel.errors import OutboxError
from label_studio_otel.label_studio.suppression import suppressed
from label_studio_otel.metrics import instruments
from label_studio_otel.metrics.server_metrics import ServerMetrics
from label_studio_otel.sdk import fork_safe_import
from label_studio_otel.sdk.delivery_waiter import DeliveryWaiter, ReentrantEvent
from label_studio_otel.settings import Settings
from label_studio_otel.spool.writer import SpoolWriter

if TYPE_CHECKING:
    from label_studio_otel.delivery.deliverer import Deliverer

#: Seconds between the arrival of a call and its delivery: calls come in groups, and tasks are imported in batches.
SETTLE_DELAY_S = 2.0
#: Seconds between two steps where nothing is to be done, or another process holds the lock.
STEP_INTERVAL_S = 1.0
#: The same while a thread of the application waits until its calls are delivered.
STEP_INTERVAL_WITH_WAITERS_S = 0.05
#: Seconds after which delivery begins again that an error of ours has ended.
RESTART_DELAY_S = 10.0
#: Seconds that the thread sleeps after each item, so that the application's threads get the interpreter's lock. Without
#: it, one span in ten waits 5 ms. More gains nothing, and with 0 it is chance who gets the lock.
YIELD_S = 0.00005


class DeliveryThread:
    """Delivers what one recorder keeps, in a thread that begins with the first call.

    Between two steps, the thread writes the records that the writer holds in memory, and answers the waiter.
    """

    def __init__(
        self, settings: Settings, writer: SpoolWriter, waiter: DeliveryWaiter, metrics: ServerMetrics, health: Health
    ) -> None:
        #: Of the first processor or exporter; a token may be added to them.
        self.settings = settings
        self._writer = writer
        self._waiter = waiter
        self._metrics = metrics
        self._health = health
        self._lock = threading.RLock()
        #: False until `start`, and again after `finish`, so that the next call starts another thread.
        self.is_started = False
        self._thread: threading.Thread | None = None
        self._finish = ReentrantEvent()
        self._wake = ReentrantEvent()
        #: Calls were left when the last thread ended.
        self._undelivered = False

    def start(self) -> None:
        """Start the thread, unless it runs or the settings leave delivery to another process."""
        instruments.register()
        with self._lock:
            if self.is_started:
                return
            self.is_started = True  # first: a signal handler that comes here now must not start another thread
            if self.settings.delivery == "thread":
                try:
                    self._thread = self._start_thread(self._run)
                except RuntimeError:
                    self.is_started = False  # the interpreter is ending; the record is in the spool

    def finish(self, timeout: float) -> bool:
        """End the thread once it has tried to deliver all, or stop waiting for it after `timeout` seconds.

        Return whether nothing is left.
        """
        thread = self._thread
        if thread is not None:
            self._finish.set()
            self._wake.set()
            thread.join(max(0.0, timeout))
            if thread.is_alive():
                self._undelivered = True
            else:
                self._forget(thread)
        return not self._undelivered

    def answer_waiters(self) -> None:
        """Let a thread look which calls are delivered: the application's threads must not open an outbox."""
        if self.settings.delivery == "thread":
            self.start()
            self._wake.set()
        else:
            with contextlib.suppress(RuntimeError):  # the interpreter is ending
                self._start_thread(self._watch)

    def _start_thread(self, target: Callable[[], None]) -> threading.Thread:
        return process.start_thread(target, "LabelStudioDelivery")

    def _forget(self, thread: threading.Thread) -> None:
        """Let the next call start another thread."""
        with self._lock:
            if self._thread is thread:
                self.is_started, self._thread, self._finish = False, None, ReentrantEvent()

    def _run(self) -> None:
        finish = self._finish
        with suppressed():
            while not self._deliver_safely(finish) and not finish.is_set():
                self._wake.wait(RESTART_DELAY_S)
                self._writer.flush()
        self._forget(threading.current_thread())

    def _deliver_safely(self, finish: ReentrantEvent) -> bool:
        """Deliver until `finish` is set; return False if an error of ours ended it before."""
        try:
            self._deliver(finish)
        except Exception as error:
            self._undelivered = True
            log.warn_once("thread", f"delivery ended with {log.kind(error)}; LLM calls are kept, and it begins again")
            return False
        return True

    def _deliver(self, finish: ReentrantEvent) -> None:
        deliverer = self._new_deliverer(finish)
        log.resolved("thread", "LLM calls are delivered again")
        try:
            while not finish.is_set():
                if not _tried(lambda: self._step(deliverer)):
                    self._wake.wait(STEP_INTERVAL_WITH_WAITERS_S if self._waiter.waiters else STEP_INTERVAL_S)
            deliverer.skip_settling()
            while _tried(deliverer.step):
                pass
            self._undelivered = deliverer.holding and _has_undelivered(deliverer)
            self._update_waiter(deliverer)
        finally:
            self._metrics.backlog = None
            deliverer.close()

    def _new_deliverer(self, finish: ReentrantEvent) -> Deliverer:
        hooks = Hooks(
            health=self._health,
            observe_latency=self._metrics.record_latency,
            observe_import=self._metrics.record_import,
            # An application that ends waits for this thread alone.
            pause=lambda: time.sleep(0.0 if finish.is_set() else YIELD_S),
        )
        deliverer = fork_safe_import.deliverer()(self.settings, settle_delay=SETTLE_DELAY_S, hooks=hooks)
        self._metrics.counts += (deliverer.counts,)
        return deliverer

    def _step(self, deliverer: Deliverer) -> bool:
        """Deliver what is due, and tell waiter and metrics; return whether anything changed."""
        self._writer.flush()
        if self._waiter.waiters:
            deliverer.skip_settling()
        else:
            deliverer.settle_delay = SETTLE_DELAY_S
        deliverer.authorize(self.settings.api_key)
        changed = _tried(deliverer.step)
        self._metrics.update_backlog(deliverer.backlog)
        self._update_waiter(deliverer)
        return changed

    def _watch(self) -> None:
        """Answer threads that wait for calls which another process delivers."""
        try:
            deliverer = fork_safe_import.deliverer()(self.settings)
            while self._waiter.waiters:
                self._update_waiter(deliverer)
                time.sleep(STEP_INTERVAL_WITH_WAITERS_S)
        except Exception as error:  # the threads that wait get their answer at their time-outs
            log.warn_once("watch", f"it cannot be known which LLM calls are delivered: {log.kind(error)}")

    def _update_waiter(self, deliverer: Deliverer) -> None:
        with contextlib.suppress(OutboxError):  # it does not exist yet, or the step has logged what is wrong with it
            self._waiter.update(deliverer.states_of)


def _tried(step: Callable[[], bool]) -> bool:
    """Return what a step returns, and False for an error of ours: delivery must not end while the application runs."""
    try:
        return step()
    except Exception as error:
        log.warn_once("step", f"delivery failed with {log.kind(error)}; LLM calls are kept")
        return False


def _has_undelivered(deliverer: Deliverer) -> bool:
    backlog = deliverer.backlog()  # None where the step has logged what is wrong with the outbox
    return backlog is None or backlog.oldest is not None
