"""Keeps the LLM calls of an application's process for one Label Studio server.

All processors and exporters of the process that have the same server and state directory share one recorder. Making one
does nothing; the first call opens the spool file and starts the delivery thread.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

from label_studio_otel import log, process
from label_studio_otel.delivery.hooks import Health
from label_studio_otel.metrics.counts import Counts
from label_studio_otel.metrics.server_metrics import ServerMetrics
from label_studio_otel.sdk.delivery_thread import DeliveryThread
from label_studio_otel.sdk.delivery_waiter import DeliveryWaiter
from label_studio_otel.settings import Settings
from label_studio_otel.spool.writer import SpoolFull, SpoolWriter


class Recorder(process.ForkPart):
    """Writes LLM calls to this process's spool file, and delivers them in a daemon thread."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self._directory = settings.directory
        self._writer = SpoolWriter(
            self._directory / "spool", on_refused=self._on_refused, max_bytes=settings.max_state_bytes
        )
        self._metrics = ServerMetrics(settings.url, writer=self._writer)
        self._begin()
        process.register(self, process.ForkOrder.RECORDERS)

    def reset_in_child(self) -> None:
        """Begin anew: threads, counts and problems are the parent's."""
        self._begin()

    def _begin(self) -> None:
        #: What processors and exporters did.
        self.counts = Counts()
        self._metrics.counts, self._metrics.backlog = (self.counts,), None
        self._flush_thread: threading.Thread | None = None
        self._waiter = DeliveryWaiter(self.settings.max_age)
        #: Shared with the deliverer: one cause is one warning.
        self._health = Health()
        self._delivery = DeliveryThread(self.settings, self._writer, self._waiter, self._metrics, self._health)

    def use_token(self, api_key: str | None) -> None:
        """Deliver with this token from now on, if there is none yet."""
        if self.settings.api_key is None:
            self.settings = self._delivery.settings = replace(self.settings, api_key=api_key)

    def append(self, buffers: Sequence[bytes], key: str | None = None, *, calls: int = 1) -> None:
        """Keep one record. Returns within microseconds, and never raises for a disk that refuses.

        Args:
            key: of the call, if `flush` is to wait for its delivery.
            calls: LLM calls in the record.
        """
        lost = self._writer.lost
        written = self._writer.append(buffers, calls)
        if key is not None and (written or self._writer.lost == lost):
            self._waiter.track(key)
        if not self._delivery.is_started:
            self._delivery.start()

    def flush(self, timeout: float, *, delivered: bool = False) -> bool:
        """Return True when every record is on the disk; False after `timeout` seconds, even if the disk hangs.

        Args:
            delivered: wait until the calls whose keys were given have become tasks.
        """
        end = time.monotonic() + timeout
        if not self._flush_writer(max(0.0, timeout)):
            return False
        return not delivered or self._waiter.wait(max(0.0, end - time.monotonic()), self._delivery.answer_waiters)

    def shutdown(self, timeout: float) -> bool:
        """Deliver the calls that wait, for at most `timeout` seconds; True when none is left.

        Calls that are left are kept, and the log says where, unless a warning has said why.
        """
        end = time.monotonic() + timeout
        durable = self._flush_writer(timeout)
        self._writer.close(timeout=max(0.0, end - time.monotonic()))
        if not durable and (lost := self._writer.backlog + self._writer.lost):
            log.info(f"{lost} LLM calls could not be written below {self._directory} and are lost")
        delivered = self._delivery.finish(end - time.monotonic())
        if not delivered and not self._health.has_problem:
            log.warn_once(
                f"left {self._directory}",
                f"not all LLM calls were delivered within {timeout:g} s; they are kept in {self._directory} and sent "
                "by the next process that uses it, or now by `label-studio-otel deliver`",
            )
        return durable and delivered

    def _flush_writer(self, timeout: float) -> bool:
        """Write the records that wait in memory; return True when none is left, False after `timeout` seconds."""
        end = time.monotonic() + timeout
        if self._writer.is_flushed(timeout):
            return True
        if not self._writer.backlog:
            return False  # a thread has been writing a record all the time
        thread = self._flush_thread  # a write to a disk that hangs has no time-out, but waiting for a thread has one
        if thread is None or not thread.is_alive():
            try:
                thread = process.start_thread(partial(self._writer.flush, now=True), "LabelStudioFlush")
            except RuntimeError:  # the interpreter is ending: there are no more threads, and this is the last attempt
                return self._writer.flush(now=True)
            self._flush_thread = thread
        thread.join(max(0.0, end - time.monotonic()))
        return not thread.is_alive() and self._writer.is_flushed(max(0.0, end - time.monotonic()))

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


_by_directory: dict[Path, Recorder] = {}


def recorder_for(settings: Settings) -> Recorder:
    """Return the process's recorder for the server and state directory of these settings; give it a token it lacks."""
    with process.lock:
        directory = settings.directory
        # Not assigned: a signal handler may have come here in the meantime, and there must not be two.
        recorder = _by_directory.get(directory) or _by_directory.setdefault(directory, Recorder(settings))
        recorder.use_token(settings.api_key)
        return recorder
