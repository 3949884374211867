"""Batches in doubt: looked up by their keys until it is known what arrived.

Presence is believed at once. Absence is believed after `uncertain_wait` of unchanged answers, or when the server is
known not to work on the batch any more, and then only after a look without the watermark: a server restored from a
backup counts its tasks' ids from a lower number again. What arrived is looked up once more at the end of that time:
Label Studio on SQLite may carry a request out a second time, long after the first.
"""

from __future__ import annotations

import contextlib
from dataclasses import replace
from typing import TYPE_CHECKING, Any, NamedTuple

from label_studio_otel import log
from label_studio_otel.delivery.backoff import lookup_delay
from label_studio_otel.errors import DeliveryError, DestinationBlocked, DialectError, LabelStudioOtelError, SpoolError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from label_studio_otel.delivery.rendering import Preparation
    from label_studio_otel.label_studio.client import LabelStudio
    from label_studio_otel.label_studio.projects import Projects
    from label_studio_otel.label_studio.resources import FoundTask
    from label_studio_otel.metrics.counts import Counts
    from label_studio_otel.outbox.items import Batch, Item, Recheck
    from label_studio_otel.outbox.outbox import Outbox

__all__ = ["Reconciliation"]

#: A server's own error, as a task makes it that it cannot store; the others are a proxy's.
OWN_ERROR = 500
#: Times that a call alone does not arrive before it is parked: where the server says that it failed,
SAID = 3
#: and where it says nothing, as a process that a task made run out of memory.
SILENT = 12
#: Seconds that a call which did not arrive alone leaves to others: whether they pass tells whose fault it is.
BEHIND = 5.0
#: Seconds that an import which Label Studio carries out later may take: a queue that lost it says so to nobody.
JOB_PATIENCE = 86400.0
#: Seconds until the last look is tried again where Label Studio did not answer.
WATCH_AGAIN = 60.0


class _State(NamedTuple):
    """What the server says of a batch."""

    #: None where it does not say whether it is done.
    ended: bool | None
    #: Why it failed.
    failure: str | None = None
    #: It is being carried out later, and how it goes may not be asked.
    secret: bool = False


class Reconciliation:
    """Settles the batches in doubt of one outbox.

    Args:
        uncertain_wait: seconds of unchanged absence before a batch counts as not arrived.
        restarted_at: what was sent before then is not being worked on any more: the server's process is a new one.
        clock: seconds since the epoch.
    """

    def __init__(
        self,
        outbox: Outbox,
        client: LabelStudio,
        projects: Projects,
        preparation: Preparation,
        counts: Counts,
        *,
        uncertain_wait: float,
        restarted_at: float,
        clock: Callable[[], float],
    ) -> None:
        self._outbox = outbox
        self._client = client
        self._projects = projects
        self._preparation = preparation
        self._counts = counts
        self._uncertain_wait = uncertain_wait
        self._restarted_at = restarted_at
        self._clock = clock

    def step(self) -> bool:
        """Look up what is due for it; True when anything was settled."""
        moved = False
        for batch in self._outbox.batches.uncertain():
            if self._next_lookup(batch) <= self._clock():
                try:
                    moved |= self._settle(batch)
                except LabelStudioOtelError:
                    raise
                except Exception as error:  # as of an answer of another shape; other batches and destinations go on
                    log.warn_once("look-up", f"a batch in doubt was not settled: {log.kind(error)}; it is tried again")
                    self._outbox.batches.note_lookup(batch.id)
        for watch in self._outbox.batches.due_rechecks(self._clock()):
            self._look_again(watch)
        return moved

    def next_at(self) -> float | None:
        """Return when the next look-up is due, None where there is none."""
        return min(map(self._next_lookup, self._outbox.batches.uncertain()), default=None)

    def _next_lookup(self, batch: Batch) -> float:
        return (batch.looked_at or batch.sent_at) + lookup_delay(batch.lookups)

    def _settle(self, batch: Batch) -> bool:
        items = self._outbox.batches.items(batch.id)
        try:
            ended, failure, secret = self._ended(batch)
            found = self._found(batch, items, batch.watermark) if ended is not False else {}
            wait = JOB_PATIENCE if secret else self._uncertain_wait
            believed = ended or self._clock() >= batch.sent_at + wait
            if ended is not False and believed and len(found) < len(items):
                found = self._found(batch, items, 0)
            tasks = {item.id: self._verified(batch, item, found[item.key]) for item in items if item.key in found}
        except DeliveryError:
            self._outbox.batches.note_lookup(batch.id)
            return False
        if tasks:
            self._arrived(batch, tasks)
        self._outbox.batches.note_lookup(batch.id)
        if ended is False or not believed or len(tasks) == len(items):
            return bool(tasks)
        self._absent(batch, [item for item in items if item.id not in tasks], failure)
        return True

    def _ended(self, batch: Batch) -> _State:
        if batch.sent_at < self._restarted_at:
            return _State(True)
        if batch.import_id is None or self._clock() >= batch.sent_at + JOB_PATIENCE:
            return _State(None)
        try:
            job = self._client.import_job(batch.project, batch.import_id)
        except DestinationBlocked as error:
            if error.missing or error.refused:
                return _State(None, secret=error.refused)
            raise
        return _State(job.ended, job.error)

    def _arrived(self, batch: Batch, tasks: Mapping[int, int]) -> None:
        once_more = batch.sent_at >= self._restarted_at and batch.import_id is None
        self._outbox.batches.mark_delivered(
            batch.id, tasks, recheck_at=batch.sent_at + self._uncertain_wait if once_more else None
        )
        self._outbox.destinations.unblock(batch.destination_id)
        self._counts.delivered += len(tasks)
        self._counts.reconciled_batches += 1

    def _absent(self, batch: Batch, items: Sequence[Item], failure: str | None) -> None:
        """Give items back; the next batches are half as large, until what may be the cause is alone."""
        reason = failure or batch.reason or "it had not arrived"
        alone = items[0] if len(items) == 1 else None
        others_wait = self._outbox.next_due(batch.destination_id) is not None
        suspect = alone is not None and self._is_suspect(batch)
        self._outbox.batches.mark_not_arrived(batch.id, reason, at_most=max(1, len(items) // 2), suspect=suspect)
        times = SAID if batch.answer == OWN_ERROR else SILENT
        if alone is not None and (failure or (suspect and alone.attempts >= times)):
            self._outbox.park({alone.id: reason})
            self._counts.parked += 1
        elif alone is not None and others_wait:
            self._outbox.postpone({alone.id: self._clock() + BEHIND})

    def _is_suspect(self, batch: Batch) -> bool:
        """Tell a call that cannot be stored from a server that can store nothing: others passed meanwhile.

        Others are sent all the while. Where they wait too and do not pass, it is the server.
        """
        if self._outbox.destinations.has_delivered(batch.destination_id, batch.sent_at):
            return True
        doubted = [other for other in self._outbox.batches.uncertain() if other.destination_id == batch.destination_id]
        return len(doubted) == 1 and self._outbox.next_due(batch.destination_id) is None

    def _found(self, batch: Batch, items: Sequence[Item], watermark: int) -> dict[str, list[FoundTask]]:
        try:
            return self._client.find(batch.project, [item.key for item in items], watermark)
        except DestinationBlocked as error:
            if error.missing:
                return {}  # the project was deleted, or another token may see it: believed as any absence
            raise

    def _verified(self, batch: Batch, item: Item, found: Sequence[FoundTask]) -> int:
        """Return the task of an item, its predictions complete, its surplus copies gone."""
        late = self._clock() >= batch.sent_at + self._uncertain_wait
        kept = _kept(found)
        with _left_as_it_is(late):
            kept = self._without_copies(found)
        if kept.predictions < item.predictions:
            # The task is there, only its answers cannot be read, or are refused.
            with contextlib.suppress(SpoolError, DialectError), _left_as_it_is(late):
                rendered = self._preparation.rendered(item, self._projects.config(batch.project))
                self._repair(kept.id, rendered)
        return kept.id

    def _without_copies(self, found: Sequence[FoundTask]) -> FoundTask:
        """Remove the surplus copies that nobody worked on, the newest first; return the one that stays.

        Each is asked for by itself, and once more before it goes: the counters that a look-up shows can lag behind the
        annotations, and somebody may have begun meanwhile.
        """
        if len(found) == 1:
            return found[0]
        copies = [one if one.touched else replace(one, touched=not self._client.is_untouched(one.id)) for one in found]
        kept = _kept(copies)
        for surplus in reversed(copies):
            if surplus is not kept and not surplus.touched and self._client.is_untouched(surplus.id):
                self._client.delete_task(surplus.id)
                self._counts.removed_copies += 1
        return kept

    def _repair(self, task_id: int, rendered: dict[str, Any]) -> None:
        present = [prediction["result"] for prediction in self._client.predictions(task_id)]
        for prediction in rendered.get("predictions", ()):
            if prediction["result"] not in present:
                self._client.add_prediction(task_id, prediction)
                self._counts.repaired_predictions += 1

    def _look_again(self, watch: Recheck) -> None:
        try:
            for found in self._client.find(watch.project, watch.keys, watch.watermark).values():
                with _left_as_it_is(True):
                    self._without_copies(found)
        except DestinationBlocked as error:
            if not error.missing:
                self._outbox.batches.postpone_recheck(watch.id, self._clock() + WATCH_AGAIN)
                return
        except DeliveryError:
            self._outbox.batches.postpone_recheck(watch.id, self._clock() + WATCH_AGAIN)
            return
        self._outbox.batches.finish_recheck(watch.id)


def _kept(found: Sequence[FoundTask]) -> FoundTask:
    return next((one for one in found if one.touched), found[0])


@contextlib.contextmanager
def _left_as_it_is(late: bool) -> Iterator[None]:
    """Go on where Label Studio refuses to change what is there; before it is late, that is tried again."""
    try:
        yield
    except DestinationBlocked as error:
        if not (late and error.refused):
            raise
        log.warn_once("left as it is", f"{error}; what is there is left as it is")
