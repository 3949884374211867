"""What requests bring goes into the outbox: all that wait at a time in one commit; each is told when it is durable."""

from __future__ import annotations

import itertools
import math
import threading
import time
from collections import deque
from concurrent.futures import Future, InvalidStateError
from contextlib import suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from label_studio_otel import log
from label_studio_otel.errors import OutboxCorrupt, OutboxError, OutboxFull
from label_studio_otel.pipeline import accept

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from label_studio_otel.metrics.counts import Counts
    from label_studio_otel.outbox.items import NewEvent, NewItem
    from label_studio_otel.outbox.outbox import Outbox

__all__ = ["Intake"]

#: Bytes of records in one commit, unless a single request has more.
MAX_GROUP_BYTES = 32 << 20
#: Bytes of records that may wait for a slow disk, unless a single request has more.
MAX_WAITING_BYTES = 256 << 20
#: Seconds for which a commit shows that the outbox can be written, and is not full.
PROOF = 10.0
_DIED = "the thread that takes calls in has ended by an error of ours: start the service again"


@dataclass(frozen=True, slots=True)
class _Waiting:
    records: Sequence[NewItem | NewEvent]
    done: Future[None] = field(default_factory=Future)

    @property
    def size(self) -> int:
        return sum(len(record.payload) for record in self.records)

    def end(self, error: Exception | None = None) -> None:
        """Tell who waits that the records are durable, or why not; nothing where that was told before."""
        with suppress(InvalidStateError):
            if error is None:
                self.done.set_result(None)
            else:
                self.done.set_exception(error)


class Intake:
    """Commits in a thread of its own, from `start` to `close`.

    Args:
        outbox: written with `synchronous=FULL`.
        holding: whether this process is the one that may write it.
        due_at: when what comes now may be sent, seconds since the epoch.
        max_state_bytes: what the outbox may hold, 0 is without end.
        counts: what came of it is added here.
        committed: called with the seconds and the records of each commit.
        damaged: called when the outbox turned out to be.
        steady: seconds since any moment, which nobody sets.
    """

    def __init__(
        self,
        outbox: Outbox,
        *,
        holding: Callable[[], bool],
        due_at: Callable[[], float],
        max_state_bytes: int,
        counts: Counts,
        committed: Callable[[float, int], None] = lambda _, __: None,
        damaged: Callable[[], None] = lambda: None,
        steady: Callable[[], float] = time.monotonic,
    ) -> None:
        self._outbox = outbox
        self._committed = committed
        self._damaged = damaged
        self._holding = holding
        self._due_at = due_at
        self._max_state_bytes = max_state_bytes
        self._counts = counts
        self._waiting: deque[_Waiting] = deque()
        self._waiting_bytes = 0
        self._changed = threading.Condition()
        self._closed = False
        self._steady = steady
        #: Until then nothing needs to be written to know that it can be.
        self._proven_until = -math.inf
        #: The thread has ended although nobody closed this.
        self._died = False
        self._thread = threading.Thread(target=self._run, name="LabelStudioIntake", daemon=True)

    def start(self) -> None:
        """Begin to commit."""
        self._thread.start()

    def take(self, records: Sequence[NewItem | NewEvent]) -> Future[None]:
        """Take the records of one request, all or none.

        Returns a future that ends when they are durable, or with an OutboxError where none was taken.
        """
        one = _Waiting(records)
        with self._changed:
            if self._closed:
                one.done.set_exception(OutboxError("the bridge is ending"))
            elif self._died:
                one.done.set_exception(OutboxError(_DIED))
            elif self._waiting and self._waiting_bytes + one.size > MAX_WAITING_BYTES:
                message = f"more than {MAX_WAITING_BYTES} bytes wait for the disk"
                log.warn_once("taking calls in", f"{message}; requests are answered 503 until they are written")
                one.done.set_exception(OutboxError(message))
            else:
                self._waiting.append(one)
                self._waiting_bytes += one.size
                self._changed.notify()
        return one.done

    def check(self) -> None:
        """Write a little, unless something was written in the last seconds.

        Raises:
            OutboxError: what comes now would not be taken.
        """
        if self._died:
            raise OutboxError(_DIED)
        self._must_hold()
        if self._steady() < self._proven_until:
            return
        if self._max_state_bytes and self._outbox.used_bytes() >= self._max_state_bytes:
            raise OutboxFull("the outbox is full")
        self._outbox.set_counter("ready_at", self._due_at())
        self._proven_until = self._steady() + PROOF

    def close(self, timeout: float | None = None) -> None:
        """Commit what waits, for at most so many seconds, and take no more."""
        with self._changed:
            self._closed = True
            self._changed.notify()
        self._thread.join(timeout)

    def _run(self) -> None:
        try:
            while group := self._group():
                self._answer(group)
        finally:
            with self._changed:
                self._died = not self._closed
                left, self._waiting = list(self._waiting), deque()
            for one in left:
                one.end(OutboxError(_DIED))

    def _group(self) -> list[_Waiting]:
        """Wait for requests; return as many as go into one commit, none where there will be no more."""
        with self._changed:
            self._changed.wait_for(lambda: self._waiting or self._closed)
            group: list[_Waiting] = []
            size = 0
            while self._waiting and (not group or size + self._waiting[0].size <= MAX_GROUP_BYTES):
                size += self._waiting[0].size
                group.append(self._waiting.popleft())
            self._waiting_bytes -= size
            return group

    def _answer(self, group: list[_Waiting]) -> None:
        try:
            self._commit(group)
        except Exception as error:  # of ours: the next requests are to be taken
            for one in group:
                one.end(error)
            log.warn_once("intake", f"an error while calls were taken in: {log.kind(error)}")

    def _commit(self, group: list[_Waiting]) -> None:
        records = itertools.chain.from_iterable(one.records for one in group)
        limit = self._max_state_bytes
        began = time.monotonic()
        try:
            self._must_hold()
            accept(self._outbox, records, self._due_at(), counts=self._counts, max_state_bytes=limit, whole=True)
        except OutboxError as error:
            self._proven_until = -math.inf
            for one in group:
                one.end(error)
            log.warn_once("taking calls in", f"{error}; requests are answered 503 until this is mended")
            if isinstance(error, OutboxCorrupt):
                self._damaged()
        except Exception as error:  # one request must not take the others' answers with it
            if len(group) > 1:
                for one in group:
                    self._commit([one])
            else:
                group[0].end(error)
        else:
            self._proven_until = self._steady() + PROOF
            # First of all: nothing that comes after it changes that it is durable.
            for one in group:
                one.end()
            self._committed(time.monotonic() - began, sum(len(one.records) for one in group))
            log.resolved("taking calls in", "requests are taken in again")

    def _must_hold(self) -> None:
        if not self._holding():
            raise OutboxError("another process delivers from this state directory")
        if self._outbox.database.is_removed():
            raise OutboxError("the state directory was removed while it was in use: start the service again")
