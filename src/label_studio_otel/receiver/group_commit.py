"""`GroupCommit` writes the records of requests to the outbox. All requests that wait share one commit.

A commit waits for the disk. With one commit for each request, ten clients would wait ten times as long as one.
"""

from __future__ import annotations

import itertools
import math
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future, InvalidStateError
from contextlib import suppress
from dataclasses import dataclass, field

from label_studio_otel import log
from label_studio_otel.errors import OutboxCorrupt, OutboxError, OutboxFull
from label_studio_otel.metrics.counts import Counts
from label_studio_otel.outbox.items import NewEvent, NewItem
from label_studio_otel.outbox.outbox import Outbox
from label_studio_otel.pipeline import accept

#: A single request may have more than this.
MAX_COMMIT_BYTES = 32 << 20
#: The records that may wait for a slow disk; a single request may have more.
MAX_WAITING_BYTES = 256 << 20
#: How long a commit proves that the outbox can be written and has room.
PROOF_S = 10.0
_THREAD_ENDED = "the thread that takes calls in has ended by an error of ours: start the service again"


@dataclass(frozen=True, slots=True)
class _Waiting:
    """The records of one request, and the future that its receiver waits for."""

    records: Sequence[NewItem | NewEvent]
    committed: Future[None] = field(default_factory=Future)

    @property
    def size(self) -> int:
        return sum(len(record.payload) for record in self.records)

    def end(self, error: Exception | None = None) -> None:
        """End the future; do nothing if it has ended already or was cancelled."""
        with suppress(InvalidStateError):
            if error is None:
                self.committed.set_result(None)
            else:
                self.committed.set_exception(error)


class GroupCommit:
    """Commits in a thread of its own, from `start` to `close`.

    Args:
        outbox: opened with `synchronous=FULL`.
        holds_lock: returns whether this process may write to the outbox.
        due_at: returns when records of now may be delivered, in seconds since the epoch.
        max_state_bytes: the size that the outbox may have; 0 for no limit.
        counts: the results of commits are added to these.
        on_commit: called with the seconds and the number of records of each commit.
        on_damage: called when a commit finds that the outbox is damaged.
        monotonic: returns seconds of a clock that is never set.
    """

    def __init__(
        self,
        outbox: Outbox,
        *,
        holds_lock: Callable[[], bool],
        due_at: Callable[[], float],
        max_state_bytes: int,
        counts: Counts,
        on_commit: Callable[[float, int], None] = lambda _, __: None,
        on_damage: Callable[[], None] = lambda: None,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._outbox = outbox
        self._on_commit = on_commit
        self._on_damage = on_damage
        self._holds_lock = holds_lock
        self._due_at = due_at
        self._max_state_bytes = max_state_bytes
        self._counts = counts
        self._waiting: deque[_Waiting] = deque()
        self._waiting_bytes = 0
        self._changed = threading.Condition()
        self._closed = False
        self._monotonic = monotonic
        #: Until this time `check` need not write anything.
        self._proven_until = -math.inf
        #: Whether the thread has ended without `close`.
        self._thread_ended = False
        self._thread = threading.Thread(target=self._run, name="LabelStudioGroupCommit", daemon=True)

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()

    def submit(self, records: Sequence[NewItem | NewEvent]) -> Future[None]:
        """Put the records of one request into the next commit, all or none.

        Returns a future. It has a result when the records are on the disk, or an OutboxError when none was written.
        """
        one = _Waiting(records)
        with self._changed:
            if self._closed:
                one.end(OutboxError("the bridge is ending"))
            elif self._thread_ended:
                one.end(OutboxError(_THREAD_ENDED))
            elif self._waiting and self._waiting_bytes + one.size > MAX_WAITING_BYTES:
                message = f"more than {MAX_WAITING_BYTES} bytes wait for the disk"
                log.warn_once("taking calls in", f"{message}; requests are answered 503 until they are written")
                one.end(OutboxError(message))
            else:
                self._waiting.append(one)
                self._waiting_bytes += one.size
                self._changed.notify()
        return one.committed

    def check(self) -> None:
        """Check that a commit would succeed, with a small write unless a commit of the last seconds has proved it.

        Raises:
            OutboxError: a commit would fail.
        """
        if self._thread_ended:
            raise OutboxError(_THREAD_ENDED)
        self._check_outbox()
        if self._monotonic() < self._proven_until:
            return
        if self._max_state_bytes and self._outbox.used_bytes() >= self._max_state_bytes:
            raise OutboxFull("the outbox is full")
        self._outbox.set_counter("ready_at", self._due_at())
        self._proven_until = self._monotonic() + PROOF_S

    def close(self, timeout: float | None = None) -> None:
        """Refuse new records, and wait at most `timeout` seconds for the commit of those that wait."""
        with self._changed:
            self._closed = True
            self._changed.notify()
        self._thread.join(timeout)

    def _run(self) -> None:
        try:
            while group := self._next_group():
                self._commit_guarded(group)
        finally:
            with self._changed:
                self._thread_ended = not self._closed
                left, self._waiting = list(self._waiting), deque()
            for one in left:
                one.end(OutboxError(_THREAD_ENDED))

    def _next_group(self) -> list[_Waiting]:
        """Wait for requests; return those of one commit, none after `close`."""
        with self._changed:
            self._changed.wait_for(lambda: self._waiting or self._closed)
            group: list[_Waiting] = []
            size = 0
            while self._waiting and (not group or size + self._waiting[0].size <= MAX_COMMIT_BYTES):
                size += self._waiting[0].size
                group.append(self._waiting.popleft())
            self._waiting_bytes -= size
            return group

    def _commit_guarded(self, group: list[_Waiting]) -> None:
        try:
            self._commit(group)
        except Exception as error:  # an error of ours must not end the thread
            for one in group:
                one.end(error)
            log.warn_once("intake", f"an error while calls were taken in: {log.kind(error)}")

    def _commit(self, group: list[_Waiting]) -> None:
        records = itertools.chain.from_iterable(one.records for one in group)
        limit = self._max_state_bytes
        began = time.monotonic()
        try:
            self._check_outbox()
            accept(self._outbox, records, self._due_at(), counts=self._counts, max_state_bytes=limit, whole=True)
        except OutboxError as error:
            self._proven_until = -math.inf
            try:
                if isinstance(error, OutboxCorrupt):
                    self._on_damage()
            finally:  # after `on_damage`, so that the damage is known when the responses are sent
                for one in group:
                    one.end(error)
            log.warn_once("taking calls in", f"{error}; requests are answered 503 until this is mended")
        except Exception as error:  # one request must not make the others fail
            if len(group) > 1:
                for one in group:
                    self._commit([one])
            else:
                group[0].end(error)
        else:
            self._proven_until = self._monotonic() + PROOF_S
            # The futures end first: an error in what follows does not change that the records are on the disk.
            for one in group:
                one.end()
            self._on_commit(time.monotonic() - began, sum(len(one.records) for one in group))
            log.resolved("taking calls in", "requests are taken in again")

    def _check_outbox(self) -> None:
        """Raise an OutboxError unless this process may write to the outbox and its file exists."""
        if not self._holds_lock():
            raise OutboxError("another process delivers from this state directory")
        try:
            is_removed = self._outbox.database.is_removed()
        except OSError as error:
            # Clients send again what was answered 503, which this becomes, but not what was answered 500.
            raise OutboxError(f"the state directory cannot be read: {error.strerror}") from error
        if is_removed:
            raise OutboxError("the state directory was removed while it was in use: start the service again")
