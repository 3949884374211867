"""Resolves the uncertain batches of an outbox: looks up their keys in Label Studio until it is known what arrived.

A task that is found has arrived. A missing task has not arrived when it stays missing for `uncertain_wait` seconds, or
when the server is known not to work on the batch any more, and only after a look-up without the watermark: a server
that was restored from a backup gives lower ids again. A batch that arrived is looked up once more after that time, as
Label Studio on SQLite can carry a request out a second time, long after the first.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

from label_studio_otel import log
from label_studio_otel.delivery.backoff import lookup_delay
from label_studio_otel.delivery.hooks import Hooks
from label_studio_otel.delivery.rendering import Renderer
from label_studio_otel.errors import DeliveryError, DestinationBlocked, DialectError, LabelStudioOtelError, SpoolError
from label_studio_otel.label_studio.client import FoundTask, ImportJob, LabelStudio
from label_studio_otel.label_studio.projects import usable_config
from label_studio_otel.outbox.items import Batch, Item, Recheck
from label_studio_otel.outbox.outbox import Outbox
from label_studio_otel.settings import Settings
from label_studio_otel.tasks.labeling_config import LabelConfig

#: The status with which Label Studio itself fails, as at a task that it cannot store; other statuses are a proxy's.
HTTP_INTERNAL_ERROR = 500
#: Times that a call which is alone in its batch does not arrive before it is parked, where each response was a 500.
MAX_ATTEMPTS_AFTER_500 = 3
#: The same where there was no response, as from a server whose process a task made run out of memory.
MAX_ATTEMPTS_WITHOUT_RESPONSE = 12
#: Seconds for which such a call makes way for others: whether these arrive tells whether it is at fault.
REQUEUE_DELAY_S = 5.0
#: Seconds that an import may take which Label Studio carries out later: it does not tell that its queue lost one.
IMPORT_JOB_TIMEOUT_S = 86400.0
#: Seconds until a recheck is tried again where Label Studio did not respond.
RECHECK_RETRY_DELAY_S = 60.0


class Reconciliation:
    """Resolves the uncertain batches of one outbox."""

    def __init__(
        self, outbox: Outbox, client: LabelStudio, renderer: Renderer, settings: Settings, hooks: Hooks
    ) -> None:
        self._outbox = outbox
        self._client = client
        self._renderer = renderer
        self._counts = hooks.counts
        self._clock = hooks.clock
        #: Seconds for which a task must be missing before it counts as not arrived.
        self._uncertain_wait = settings.uncertain_wait
        self._restarted_at = hooks.restarted_at

    def step(self) -> bool:
        """Look up the batches that are due; return whether the state of an item changed."""
        changed = False
        for batch in self._outbox.batches.uncertain():
            if (batch.looked_at or batch.sent_at) + lookup_delay(batch.lookups) <= self._clock():
                try:
                    changed |= self._resolve(batch)
                except LabelStudioOtelError:
                    raise
                except Exception as error:  # of ours, as of a response in another form: other batches go on
                    log.warn_once("look-up", f"a batch in doubt was not settled: {log.kind(error)}; it is tried again")
                    self._outbox.batches.note_lookup(batch.id)
        for recheck in self._outbox.batches.due_rechecks(self._clock()):
            self._recheck(recheck)
        return changed

    def _resolve(self, batch: Batch) -> bool:
        """Look up a batch; return whether the state of an item changed."""
        items = self._outbox.batches.items(batch.id)
        try:
            job = self._import_job(batch)
            found, is_final = self._look_up(batch, items, job)
            tasks = self._repaired(batch, items, found)
        except DeliveryError:
            self._outbox.batches.note_lookup(batch.id)
            return False
        if tasks:
            self._mark_delivered(batch, tasks)
        self._outbox.batches.note_lookup(batch.id)
        if not is_final or len(tasks) == len(items):
            return bool(tasks)
        self._mark_not_arrived(batch, [item for item in items if item.id not in tasks], job.error)
        return True

    def _import_job(self, batch: Batch) -> ImportJob:
        if batch.sent_at < self._restarted_at:
            return ImportJob(ended=True)
        if batch.import_id is None or self._clock() >= batch.sent_at + IMPORT_JOB_TIMEOUT_S:
            return ImportJob()
        try:
            return self._client.import_job(batch.project, batch.import_id)
        except DestinationBlocked as error:
            if error.missing or error.refused:
                return ImportJob(is_hidden=error.refused)
            raise

    def _look_up(self, batch: Batch, items: Sequence[Item], job: ImportJob) -> tuple[dict[str, list[FoundTask]], bool]:
        """Return the tasks that are there by their keys, and whether the others count as not arrived."""
        if job.ended is False:
            return {}, False
        found = self._find(batch, items, batch.watermark)
        wait = IMPORT_JOB_TIMEOUT_S if job.is_hidden else self._uncertain_wait
        is_final = job.ended or self._clock() >= batch.sent_at + wait
        if is_final and len(found) < len(items):
            found = self._find(batch, items, 0)
        return found, is_final

    def _find(self, batch: Batch, items: Sequence[Item], watermark: int) -> dict[str, list[FoundTask]]:
        try:
            return self._client.find(batch.project, [item.key for item in items], watermark)
        except DestinationBlocked as error:
            if error.missing:
                return {}  # the project was deleted, or is hidden from this token: the tasks count as missing
            raise

    def _repaired(
        self, batch: Batch, items: Sequence[Item], found: Mapping[str, Sequence[FoundTask]]
    ) -> dict[int, int]:
        """Return the task of each item that was found, after surplus tasks were deleted and predictions completed.

        Where Label Studio refuses to change a task, the task counts as it is once it is late.
        """
        late = self._clock() >= batch.sent_at + self._uncertain_wait
        tasks: dict[int, int] = {}
        config: LabelConfig | None = None
        for item in items:
            if item.key not in found:
                continue
            kept = _kept(found[item.key])
            with _tolerate_refusal(late):
                kept = self._without_surplus(found[item.key])
            tasks[item.id] = kept.id
            if kept.predictions < item.predictions:
                with _tolerate_refusal(late):
                    config = config or usable_config(self._client.project(batch.project))
                    self._add_missing_predictions(kept.id, item, config)
        return tasks

    def _without_surplus(self, found: Sequence[FoundTask]) -> FoundTask:
        """Delete the surplus tasks of an item on which nobody worked, the newest first; return the one that stays.

        Each is read by itself, and again before it is deleted: the counters that a look-up shows can lag behind the
        annotations, and somebody may have begun to work on it.
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

    def _add_missing_predictions(self, task_id: int, item: Item, config: LabelConfig) -> None:
        """Add the predictions of an item that its task lacks; leave the task as it is where the item is unreadable."""
        with contextlib.suppress(SpoolError, DialectError):
            predictions = self._renderer.render(item, config).get("predictions", ())
            present = [prediction["result"] for prediction in self._client.predictions(task_id)]
            for prediction in predictions:
                if prediction["result"] not in present:
                    self._client.add_prediction(task_id, prediction)
                    self._counts.repaired_predictions += 1

    def _mark_delivered(self, batch: Batch, tasks: Mapping[int, int]) -> None:
        may_come_twice = batch.sent_at >= self._restarted_at and batch.import_id is None
        recheck_at = batch.sent_at + self._uncertain_wait if may_come_twice else None
        self._outbox.batches.mark_delivered(batch.id, tasks, recheck_at=recheck_at)
        self._outbox.destinations.unblock(batch.destination_id)
        self._counts.delivered += len(tasks)
        self._counts.reconciled_batches += 1

    def _mark_not_arrived(self, batch: Batch, items: Sequence[Item], failure: str | None) -> None:
        """Let items be sent again in batches of half the size, so that one at fault ends up alone; park that one."""
        reason = failure or batch.reason or "it had not arrived"
        alone = items[0] if len(items) == 1 else None
        others_wait = self._outbox.next_due(batch.destination_id) is not None
        suspect = alone is not None and self._is_suspect(batch)
        self._outbox.batches.mark_not_arrived(batch.id, reason, at_most=max(1, len(items) // 2), suspect=suspect)
        if alone is None:
            return
        has_failed = batch.answer == HTTP_INTERNAL_ERROR
        max_attempts = MAX_ATTEMPTS_AFTER_500 if has_failed else MAX_ATTEMPTS_WITHOUT_RESPONSE
        if failure or (suspect and alone.attempts >= max_attempts):
            self._outbox.park({alone.id: reason})
            self._counts.parked += 1
        elif others_wait:
            self._outbox.postpone({alone.id: self._clock() + REQUEUE_DELAY_S})

    def _is_suspect(self, batch: Batch) -> bool:
        """Return whether the only call of a batch may be at fault, and not the server.

        It may be where other calls arrived meanwhile, or where no others wait. Where others wait and do not arrive, the
        server is at fault.
        """
        if self._outbox.destinations.has_delivered(batch.destination_id, batch.sent_at):
            return True
        uncertain = [one for one in self._outbox.batches.uncertain() if one.destination_id == batch.destination_id]
        return len(uncertain) == 1 and self._outbox.next_due(batch.destination_id) is None

    def _recheck(self, recheck: Recheck) -> None:
        """Look up once more what had arrived, and delete surplus tasks that have come since."""
        try:
            found = self._client.find(recheck.project, recheck.keys, recheck.watermark)
            for copies in found.values():
                with _tolerate_refusal(late=True):
                    self._without_surplus(copies)
        except DeliveryError as error:
            is_project_gone = isinstance(error, DestinationBlocked) and error.missing
            if not is_project_gone:
                self._outbox.batches.postpone_recheck(recheck.id, self._clock() + RECHECK_RETRY_DELAY_S)
                return
        self._outbox.batches.finish_recheck(recheck.id)


def _kept(found: Sequence[FoundTask]) -> FoundTask:
    """Return the task of an item that stays: the first on which somebody worked, else the oldest."""
    return next((one for one in found if one.touched), found[0])


@contextlib.contextmanager
def _tolerate_refusal(late: bool) -> Iterator[None]:
    """Run a block in which Label Studio may refuse a change.

    If it does, raise, so that the change is tried again; if it is `late`, log the refusal instead and go on.
    """
    try:
        yield
    except DestinationBlocked as error:
        if not (late and error.refused):
            raise
        log.warn_once("left as it is", f"{error}; what is there is left as it is")
