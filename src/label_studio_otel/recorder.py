"""What an application's process holds for one Label Studio server: its spool file and, on demand, a deliverer.

Shared by all processors and exporters of the process that have the same server and state directory. Making one does
nothing; the first LLM call opens the file and starts the thread.
"""

from __future__ import annotations

import os
import threading
import time
from typing import TYPE_CHECKING

from label_studio_otel import late_import, log
from label_studio_otel.errors import OutboxError
from label_studio_otel.spool.writer import SpoolWriter
from label_studio_otel.suppression import suppressed

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from label_studio_otel.deliverer import Deliverer
    from label_studio_otel.settings import Settings

__all__ = ["Recorder", "recorder_for"]

#: Seconds that an item waits in the process before it is delivered: calls come in groups, and tasks in batches.
SETTLE = 2.0
#: Seconds between two looks at the spool, and at a lock that another process holds.
POLL = 1.0
#: Seconds that the delivering thread stands aside after each item; it keeps the interpreter's lock from being held
#: longer than one item takes while a thread of the application waits for it. Without, one span in ten waits 5 ms; more
#: than this wins nothing, and not to sleep at all leaves it to chance who gets the lock.
STAND_ASIDE = 0.00005


class Recorder:
    """Keeps this process's LLM calls and delivers them in a daemon thread.

    Args:
        settings: of the first processor or exporter that asked.
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._directory = settings.directory
        self._writer = SpoolWriter(self._directory / "spool", on_refused=self._on_refused)
        self._begin()
        _live.append(self)

    def _begin(self) -> None:
        self._lock = threading.RLock()
        self._thread: threading.Thread | None = None
        self._finish = threading.Event()
        #: Items that the deliverer knows not to have arrived; None where it never ran.
        self._left: int | None = None

    def append(self, buffers: Sequence[bytes]) -> None:
        """Keep one record. Returns within microseconds, and never raises for a disk that refuses."""
        self._writer.append(buffers)
        if self._thread is None and self._settings.delivery == "thread":
            self._start()

    def flush(self) -> bool:
        """Return True when every record is on the disk."""
        return self._writer.flush(now=True)

    def shutdown(self, timeout: float) -> bool:
        """Deliver what is there, for at most `timeout` seconds; True when nothing is left.

        Whatever is left is kept, and the log says where, unless it already said why.
        """
        end = time.monotonic() + timeout
        durable = self._writer.flush(now=True)
        self._writer.close()
        if not durable:
            lost = self._writer.backlog + self._writer.lost
            log.info(f"{lost} LLM calls could not be written below {self._directory} and are lost")
        thread = self._thread
        if thread is not None and thread.is_alive():
            self._finish.set()
            thread.join(max(0.0, end - time.monotonic()))
            if thread.is_alive():
                self._left = self._left or 1
        with self._lock:
            if thread is None or not thread.is_alive():
                self._thread, self._finish = None, threading.Event()
        known = any(log.said(f"{topic} {self._directory}*") for topic in ("delivery", "state", "spool"))
        if self._left and not known:
            log.warn_once(
                "left",
                f"not all LLM calls were delivered within {timeout:g} s; they are kept in {self._directory} and sent "
                "by the next process that uses it, or now by `label-studio-otel deliver`",
            )
        return durable and not self._left

    def _start(self) -> None:
        with self._lock:
            if self._thread is None:
                thread = threading.Thread(target=self._run, name="LabelStudioDelivery", daemon=True)
                try:
                    thread.start()
                except RuntimeError:
                    return  # the interpreter is ending; the record is in the spool
                self._thread = thread

    def _run(self) -> None:
        with suppressed():
            try:
                self._deliver()
            except Exception as error:  # calls are kept, and delivered by whoever comes next
                log.warn_once("thread", f"delivery ended with {log.kind(error)}; LLM calls are kept")

    def _deliver(self) -> None:
        finish = self._finish

        def stand_aside() -> None:
            time.sleep(0.0 if finish.is_set() else STAND_ASIDE)  # an application that ends waits for this thread alone

        deliverer = late_import.deliverer()(self._settings, settle=SETTLE, pause=stand_aside)
        try:
            while not finish.is_set():
                self._writer.flush()
                finish.wait(0.0 if _step(deliverer) else POLL)
            deliverer.waive()
            while _step(deliverer):
                pass
            self._left = _left(deliverer) if deliverer.holding else 0
        finally:
            deliverer.close()

    def _on_refused(self, error: OSError | None) -> None:
        topic = f"spool {self._directory}"
        if error is None:
            log.resolved(topic)
        elif not log.said(f"state {self._directory}"):  # the deliverer met the same disk
            log.warn_once(
                topic,
                f"{self._directory} cannot be written ({error.strerror or error}); LLM calls wait in memory, and are "
                "lost with this process. Make room, or set LABEL_STUDIO_OTEL_STATE_DIR to a directory that it may "
                "write",
            )


def _step(deliverer: Deliverer) -> bool:
    try:
        return deliverer.step()
    except Exception as error:  # an error of ours must not end delivery for as long as the application runs
        log.warn_once("step", f"delivery failed with {log.kind(error)}; LLM calls are kept")
        return False


def _left(deliverer: Deliverer) -> int:
    try:
        states = deliverer.summary().states
    except OutboxError:
        return 1  # the step before met it, and said so
    return int(states["pending"] + states["leased"] + states["uncertain"])


_live: list[Recorder] = []
_by_directory: dict[Path, Recorder] = {}
_registry_lock = threading.Lock()


def recorder_for(settings: Settings) -> Recorder:
    """Return the process's recorder for the server and state directory of these settings."""
    with _registry_lock:
        recorder = _by_directory.get(settings.directory)
        if recorder is None:
            recorder = _by_directory[settings.directory] = Recorder(settings)
        return recorder


def _after_fork_in_child() -> None:
    global _registry_lock  # noqa: PLW0603
    _registry_lock = threading.Lock()
    for recorder in _live:
        recorder._begin()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork_in_child)
