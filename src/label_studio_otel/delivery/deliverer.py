"""Delivers from one state directory: holds its lock, ingests the spool, and sends what the outbox holds.

Runs in a thread of the application, in a command, or in the bridge. A fork of the process waits until no transaction
runs, and the outbox is closed before it: see `Outbox`.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from typing import Any

from label_studio_otel import log, process
from label_studio_otel.delivery import recovery
from label_studio_otel.delivery.destinations import Delivery
from label_studio_otel.delivery.hooks import Hooks
from label_studio_otel.delivery.lock import DirectoryLock
from label_studio_otel.delivery.retention import Retention
from label_studio_otel.errors import LabelStudioOtelError, OutboxCorrupt, OutboxError
from label_studio_otel.label_studio.client import LabelStudio
from label_studio_otel.metrics.counts import Backlog
from label_studio_otel.outbox.outbox import Outbox
from label_studio_otel.outbox.salvage import quarantine
from label_studio_otel.pipeline import ingest, spool_directory
from label_studio_otel.settings import Settings
from label_studio_otel.spool import record
from label_studio_otel.spool.reader import remove_unnamed

OUTBOX = "outbox.db"
#: Calls of the spool after which a step goes on to deliver.
INGEST_LIMIT = 500
#: Seconds by which the system's clock must be set for the times in the outbox to be changed with it.
CLOCK_JUMP_S = 30.0
#: Seconds for which a fork waits for a transaction to end. The child of a fork that waited in vain never delivers.
FORK_TIMEOUT_S = 0.25

#: Database handles that this process inherited by a fork in the middle of a transaction. It must neither use nor close
#: them, and must not open the same database while it has them.
_inherited: list[Any] = []


class Deliverer(process.ForkPart):
    """Delivers from the directory of one server, while it holds that directory's lock.

    Args:
        settle_delay: seconds between the arrival of a call and its delivery.
        outbox: of this directory, where the caller has opened it; a process opens it once.
        hooks: their `report` and `meanwhile` are replaced by those of this object.
    """

    def __init__(
        self,
        settings: Settings,
        *,
        settle_delay: float = 0.0,
        outbox: Outbox | None = None,
        hooks: Hooks | None = None,
    ) -> None:
        self._hooks = hooks = replace(hooks or Hooks(), report=self._report, meanwhile=self._ingest)
        self._directory = settings.directory
        self._uncertain_wait = settings.uncertain_wait
        self._health = hooks.health
        self.settle_delay = settle_delay
        self.counts = hooks.counts
        self._lock = DirectoryLock(self._directory)
        self._outbox_path = self._directory / OUTBOX
        self.outbox = outbox or Outbox.in_file(self._outbox_path, clock=hooks.clock)
        self._client = LabelStudio(settings.url, settings.api_key, clock=hooks.clock)
        self._delivery = Delivery(self.outbox, self._client, settings, hooks)
        self._retention = Retention(self.outbox, self._outbox_path, settings, hooks)
        #: False where items may still be leased which nobody is sending: of another process, or of a broken-off step.
        self._has_taken_over = False
        self._clock_difference = hooks.clock() - hooks.steady_clock()
        process.register(self, process.ForkOrder.OUTBOXES)

    @property
    def holding(self) -> bool:
        """True while this deliverer has the lock."""
        return self._lock.held

    @property
    def problem(self) -> str | None:
        """Why the last step could not use the directory or its outbox; None where it could."""
        return self._health.outbox_problem

    def authorize(self, api_key: str | None) -> None:
        """Use this token from the next request on. A blocked destination is tried again when that is due."""
        self._client.authorize(api_key)

    def step(self) -> bool:
        """Ingest the spool and deliver what is due; return whether anything changed. Errors are logged, not raised."""
        try:
            was_held, jump = self._lock.held, self._clock_jump()
            if not self.take_lock():
                return False
            with self._taking_over_after_an_error():
                if was_held and jump:
                    self.outbox.shift_times(jump)
                    self._delivery.reset()
                    self._retention.expire_now()
                self._delivery.patient = self.settle_delay > 0
                changed = self._ingest() | self._delivery.step()
                self._expire()
        except OutboxCorrupt as error:
            self._replace_outbox(error)
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
        return changed

    def take_lock(self) -> bool:
        """Take the lock if no process has it, and take over the items that another process left.

        Return whether this process has the lock now.

        Raises:
            OSError: the directory cannot be written, or its file system has no locks.
            OutboxError: the outbox cannot be used.
        """
        if _inherited:
            return False
        if self._lock.held and self._has_taken_over:
            return True
        used_before = self._lock.was_used()
        if not self._lock.acquire():
            return False
        with self._taking_over_after_an_error():
            # An outbox was lost, and may have delivered what the spool still has. Its file proves nothing: a process
            # that was killed may have created it anew, without a note in it.
            if used_before and self.outbox.is_unused():
                self.reconcile()
            self._take_over_quarantined()
            self.outbox.take_over("the process that sent it ended before the answer")
        if not self.settle_delay:
            self.outbox.skip_settling()
        return True

    def examine(self) -> None:
        """Look for damage of the outbox, and replace a damaged one: another thread met an error of the database."""
        try:
            if self._lock.held:
                self.outbox.database.check()
        except OutboxCorrupt as error:
            self._replace_outbox(error)
        except OutboxError:
            return  # it is busy or its disk is gone, of which the next step warns

    def reconcile(self) -> None:
        """Let the calls that began until now be looked up before they are sent: a lost outbox may have sent them.

        Raises:
            OutboxError: the outbox cannot be used.
        """
        self.outbox.set_counter(recovery.LOOKUP_BEFORE, self._hooks.clock())

    def backlog(self) -> Backlog | None:
        """Return the numbers of what waits; None if another process delivers, or the outbox cannot be read."""
        if not self._lock.held:
            return None
        with contextlib.suppress(LabelStudioOtelError, OSError):
            backlog = replace(self.outbox.overview.backlog(), outbox_bytes=self.outbox.used_bytes())
            # A bridge has this directory only after `label-studio-otel retry`.
            with contextlib.suppress(FileNotFoundError):
                backlog = replace(backlog, spool_bytes=record.size_of(spool_directory(self._directory)))
            return backlog
        return None

    def states_of(self, keys: Iterable[str]) -> dict[str, set[str]]:
        """Return the states of the items of each known key, also where another process delivers.

        Raises:
            OutboxError: the outbox cannot be read.
        """
        if _inherited:
            return {}
        if self._lock.held:
            return self.outbox.overview.states_of(keys)
        # A fork waits for this lock, so a child inherits no open handle.
        with self.outbox.database.lock, contextlib.closing(Outbox.in_file(self._outbox_path, read_only=True)) as read:
            return read.overview.states_of(keys)

    def skip_settling(self) -> None:
        """Make due at once all items that wait for the settle delay, and those that arrive from now on."""
        self.settle_delay = 0.0
        if self._lock.held:  # else another process delivers, and it alone writes
            with contextlib.suppress(LabelStudioOtelError):
                self.outbox.skip_settling()

    def close(self) -> None:
        """Close the outbox and release the lock."""
        self.outbox.close()
        self._lock.release()

    @contextlib.contextmanager
    def _taking_over_after_an_error(self) -> Iterator[None]:
        """Run a block. If it raises, the next `take_lock` takes over the items that it left leased."""
        self._has_taken_over = False
        yield
        self._has_taken_over = True

    def _clock_jump(self) -> float:
        """Return the seconds by which the clock was set since the last call, 0 below `CLOCK_JUMP_S`."""
        before, self._clock_difference = self._clock_difference, self._hooks.clock() - self._hooks.steady_clock()
        jump = self._clock_difference - before
        return jump if abs(jump) > CLOCK_JUMP_S else 0.0

    def _ingest(self) -> bool:
        if not self._retention.has_room():
            return False
        due_at = self._hooks.clock() + self.settle_delay
        return bool(
            ingest(self._directory, self.outbox, due_at, self._hooks.pause, counts=self.counts, limit=INGEST_LIMIT)
        )

    def _expire(self) -> None:
        if self._retention.expire():
            remove_unnamed(spool_directory(self._directory), self._hooks.clock())
            self._delivery.drop_expired()

    def _replace_outbox(self, error: OutboxCorrupt) -> None:
        self._delivery.reset()
        self._has_taken_over = False
        # Under the lock: a thread that takes calls in would open the old file, and use it on under its new name.
        with self.outbox.database.lock, contextlib.suppress(LabelStudioOtelError, OSError):
            self.outbox.close()
            quarantine(self._outbox_path, self._hooks.clock())
            log.warning(f"{error}; it is set aside, and a new one begun")
            self._take_over_quarantined()

    def _take_over_quarantined(self) -> None:
        recovery.take_over_quarantined(self._outbox_path, self.outbox, self._hooks.clock(), self._uncertain_wait)

    def _report(self, destination: str, reason: str | None) -> None:
        topic = f"delivery {self._directory} {destination}"
        if reason is None:
            self._health.delivery_problems.pop(destination, None)
            log.resolved(topic, f"LLM calls are delivered to {destination} again")
        else:
            self._health.delivery_problems[destination] = reason
            kept = f"LLM calls are kept in {self._directory} and sent when this is mended"
            log.warn_once(topic, f"{reason.rstrip('.')}. {kept}")

    def before_fork(self) -> Callable[[], None] | None:
        """Close the outbox when no transaction runs; return what lets it open again, None if the wait was too long."""
        lock = self.outbox.database.lock
        if not lock.acquire(timeout=FORK_TIMEOUT_S):
            return None
        self.outbox.close()
        return lock.release

    def reset_in_child(self) -> None:
        """Give up the parent's outbox and lock."""
        handle = self.outbox.database.abandon()
        self._lock.release()
        if handle is not None:
            _inherited.append(handle)
