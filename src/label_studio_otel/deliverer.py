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
from typing import TYPE_CHECKING, Any

from label_studio_otel import log
from label_studio_otel.delivery import Delivery
from label_studio_otel.errors import LabelStudioOtelError, OutboxCorrupt
from label_studio_otel.label_studio import LabelStudio
from label_studio_otel.lock import DirectoryLock
from label_studio_otel.outbox.sqlite import SqliteOutbox
from label_studio_otel.pipeline import ingest

if TYPE_CHECKING:
    from collections.abc import Callable

    from label_studio_otel.outbox import Summary
    from label_studio_otel.settings import Settings

__all__ = ["OUTBOX", "Deliverer"]

OUTBOX = "outbox.db"
#: Seconds that delivered keys are kept: within them nothing is sent twice.
RETENTION = 30 * 86400.0
#: Seconds between two looks for keys that have been kept long enough.
EXPIRY_INTERVAL = 3600.0
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
        pause: called between two items, to let the application's threads run.
        clock: seconds since the epoch.
    """

    def __init__(
        self,
        settings: Settings,
        *,
        settle: float = 0.0,
        pause: Callable[[], None] = lambda: None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._directory = settings.directory
        self._settle = settle
        self._pause = pause
        self._clock = clock
        self._lock = DirectoryLock(self._directory)
        self._next_expiry = 0.0
        self._outbox = SqliteOutbox(self._directory / OUTBOX, clock=clock)
        self._delivery = Delivery(
            self._outbox,
            LabelStudio(settings.url, settings.api_key, clock=clock),
            clock=clock,
            uncertain_wait=settings.uncertain_wait,
            max_task_bytes=settings.max_task_bytes,
            max_image_bytes=settings.max_image_bytes,
            report=self._report,
            pause=pause,
        )
        self._fork = _Fork()
        _deliverers.add(self)

    @property
    def holding(self) -> bool:
        """True while this one delivers."""
        return self._lock.held

    def step(self) -> bool:
        """Ingest and deliver what is due; True when anything moved. Never raises for what can go wrong outside."""
        try:
            if not self.take_lock():
                return False
            moved = bool(ingest(self._directory, self._outbox, self._clock() + self._settle, self._pause))
            moved |= self._delivery.step()
            self._expire()
        except OutboxCorrupt as error:
            self._set_aside(error)
            return False
        except (LabelStudioOtelError, OSError) as error:
            if not log.said(f"spool {self._directory}"):  # the application met the same disk
                log.warn_once(
                    f"state {self._directory}",
                    f"{error}; LLM calls wait in {self._directory} until this is mended, or "
                    "LABEL_STUDIO_OTEL_STATE_DIR names another directory",
                )
            return False
        log.resolved(f"state {self._directory}")
        return moved

    def take_lock(self) -> bool:
        """Become the deliverer of this directory if there is none; True when this is it.

        Raises:
            OSError: the directory cannot be written.
            OutboxError: the outbox cannot be used.
        """
        if _inherited:
            return False
        if self._lock.held:
            return True
        if not self._lock.acquire():
            return False
        # Whoever had it died in the middle of these, or was cut off at its process's end.
        self._outbox.take_over("the process that sent it ended before the answer")
        return True

    def summary(self) -> Summary:
        """Return what stands in the outbox.

        Raises:
            OutboxError: it cannot be read.
        """
        return self._outbox.summary()

    def waive(self) -> None:
        """Let what waits be sent now."""
        self._settle = 0.0
        with contextlib.suppress(LabelStudioOtelError):
            self._outbox.waive()

    def close(self) -> None:
        """Close the outbox and give the lock back."""
        self._outbox.close()
        self._lock.release()

    def _report(self, destination: str, reason: str | None) -> None:
        topic = f"delivery {self._directory} {destination}"
        if reason is None:
            log.resolved(topic)
        else:
            said = reason.rstrip(".")
            log.warn_once(topic, f"{said}. LLM calls are kept in {self._directory} and sent when this is mended")

    def _expire(self) -> None:
        if self._clock() >= self._next_expiry:
            self._next_expiry = self._clock() + EXPIRY_INTERVAL
            self._outbox.expire(self._clock() - RETENTION)

    def _set_aside(self, error: OutboxCorrupt) -> None:
        aside = f"{OUTBOX}.corrupt-{time.strftime('%Y%m%dT%H%M%S', time.localtime(self._clock()))}"
        self._outbox.close()
        for suffix in ("", "-wal", "-shm"):
            path = self._directory / f"{OUTBOX}{suffix}"
            with contextlib.suppress(FileNotFoundError):
                path.rename(self._directory / f"{aside}{suffix}")
        log.warn_once(f"corrupt {aside}", f"{error}; it was set aside as {self._directory / aside}, a new one is begun")

    def _before_fork(self) -> None:
        self._fork.quiet = self._outbox.lock.acquire(timeout=FORK_PATIENCE)
        if self._fork.quiet:
            self._outbox.close()

    def _after_fork_in_parent(self) -> None:
        if self._fork.quiet:
            self._fork.quiet = False
            self._outbox.lock.release()

    def _after_fork_in_child(self) -> None:
        inherited = self._outbox.abandon()
        self._lock.release()
        if inherited is not None:
            _inherited.append(inherited)


_deliverers: weakref.WeakSet[Deliverer] = weakref.WeakSet()
#: Handles that a child got by a fork in the middle of a transaction: it must neither use nor close them, and as long
#: as there is one this process must not open the same database.
_inherited: list[Any] = []


def _each(method: Callable[[Deliverer], None]) -> Callable[[], None]:
    def hook() -> None:
        for deliverer in list(_deliverers):
            method(deliverer)

    return hook


if hasattr(os, "register_at_fork"):
    os.register_at_fork(
        before=_each(Deliverer._before_fork),
        after_in_parent=_each(Deliverer._after_fork_in_parent),
        after_in_child=_each(Deliverer._after_fork_in_child),
    )
