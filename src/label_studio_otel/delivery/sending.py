"""Sends one batch: lease its items, import its tasks, compare what arrived.

Read `BatchSender.send` from top to bottom: each way in which an import can end is one branch.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

from label_studio_otel.delivery.hooks import Hooks
from label_studio_otel.delivery.rendering import MAX_TASKS, BatchSize, RenderedTask
from label_studio_otel.errors import (
    BatchTooLarge,
    DeliveryError,
    DestinationBlocked,
    ItemRejected,
    Retryable,
    Uncertain,
)
from label_studio_otel.label_studio.client import ImportResult, LabelStudio
from label_studio_otel.label_studio.projects import Projects, ResolvedProject
from label_studio_otel.outbox.items import DestinationRow
from label_studio_otel.outbox.outbox import Outbox
from label_studio_otel.tasks import tags

_MISSING_VARIABLE = re.compile(r'"([^"]*)" key is expected in task data')
#: Seconds of an import above which the next one is half as large: a third of what clients and proxies wait for.
SLOW_IMPORT_S = 20.0


@dataclass(slots=True)
class OutgoingBatch:
    """Tasks for one import."""

    row: DestinationRow
    project: ResolvedProject
    tasks: list[RenderedTask]
    size: BatchSize
    #: Id of the batch in the outbox, 0 until its items are leased.
    id: int = 0

    def halve(self) -> None:
        """Let the next batch have half as many tasks as this one."""
        self.size.tasks = max(1, len(self.tasks) // 2)


class BatchSender:
    """Sends batches to one Label Studio server."""

    def __init__(self, outbox: Outbox, client: LabelStudio, projects: Projects, hooks: Hooks) -> None:
        self._outbox = outbox
        self._client = client
        self._projects = projects
        self._hooks = hooks

    def send(self, batch: OutgoingBatch, on_sent: Callable[[], None]) -> None:
        """Import a batch and store in the outbox what became of it; `on_sent` is that of `Transport.send`.

        Raises:
            DeliveryError: nothing more can be sent to the destination now.
        """
        began = self._hooks.steady_clock()
        try:
            bodies = [one.body for one in batch.tasks]
            result = self._client.import_tasks(batch.project.id, bodies, partial(self._lease, batch), on_sent)
        except Uncertain as error:
            is_queued = error.import_id is not None  # Label Studio carries the import out later
            self._observe(began, None if is_queued else error)
            self._outbox.batches.mark_uncertain(batch.id, str(error), answer=error.status, import_id=error.import_id)
            if not is_queued:
                batch.halve()
                # It can be an outage, so the destination is blocked. The items stay uncertain: they are not sent again.
                raise Retryable(str(error)) from error
        except DeliveryError as error:  # nothing arrived
            self._observe(began, error)
            if batch.id:
                self._outbox.batches.release(batch.id, self._hooks.clock(), None)
            self._adapt_to(error, batch)
        else:
            if self._observe(began, None) > SLOW_IMPORT_S:
                batch.halve()
            else:
                batch.size.tasks = min(MAX_TASKS, max(batch.size.tasks, 2 * len(batch.tasks)))
            if doubt := self._doubt(batch, result):
                self._outbox.batches.mark_uncertain(batch.id, doubt)
            else:
                self._mark_delivered(batch, result)

    def park(self, reasons: dict[int, str]) -> None:
        """Park items, by their ids: they are not sent until somebody runs `retry`."""
        if reasons:
            self._outbox.park(reasons)
            self._hooks.counts.parked += len(reasons)

    def _lease(self, batch: OutgoingBatch) -> None:
        """Lease the items of a batch, when the connection stands; if this process ends, the next one looks them up."""
        if not batch.id:  # else it is the second request, as an access token had ended
            predictions = {one.item.id: one.predictions for one in batch.tasks}
            batch.id = self._outbox.batches.lease(batch.row.id, batch.project.id, batch.project.watermark, predictions)

    def _observe(self, began: float, error: DeliveryError | None) -> float:
        """Report an import that ends now; return the seconds that it took."""
        seconds = self._hooks.steady_clock() - began
        self._hooks.observe_import(seconds, type(error).__name__ if error else None)
        return seconds

    def _mark_delivered(self, batch: OutgoingBatch, result: ImportResult) -> None:
        task_ids = zip((one.item.id for one in batch.tasks), result.task_ids, strict=True)
        self._outbox.batches.mark_delivered(batch.id, dict(task_ids))
        self._hooks.counts.delivered += len(batch.tasks)
        for one in batch.tasks:
            self._hooks.observe_latency(self._hooks.clock() - one.item.taken_at)

    def _doubt(self, batch: OutgoingBatch, result: ImportResult) -> str | None:
        """Return why a response does not prove that each task arrived once; None where it does."""
        sent, predictions = len(batch.tasks), sum(one.predictions for one in batch.tasks)
        if (result.task_count, result.prediction_count, len(result.task_ids)) != (sent, predictions, sent):
            counted = f"{result.task_count} tasks and {result.prediction_count} predictions"
            return f"Label Studio counted {counted} of {sent} and {predictions}"
        if self._has_surplus_tasks(batch.project, result):
            return "Label Studio has more new tasks than were sent"
        return None

    def _has_surplus_tasks(self, project: ResolvedProject, result: ImportResult) -> bool:
        """Return whether the request may have been carried out twice, as Label Studio on SQLite can do after a lock.

        Then there are newer tasks with ids below the first that was returned. Ids are missing there too where others
        import, so the tasks are counted only if ids are missing.
        """
        if not result.task_ids or min(result.task_ids) <= project.watermark + 1:
            return False
        try:
            return self._client.newer_tasks(project.id, project.watermark) > result.task_count
        except DeliveryError:
            return True

    def _adapt_to(self, error: DeliveryError, batch: OutgoingBatch) -> None:
        """Park the refused items, or let the next batch be smaller; raise what concerns the whole destination."""
        if isinstance(error, ItemRejected):
            self._adapt_to_rejected(error, batch)
        elif isinstance(error, BatchTooLarge) and len(batch.tasks) == 1:
            self.park({batch.tasks[0].item.id: str(error)})
        elif isinstance(error, BatchTooLarge):
            batch.size.bytes = max(1, sum(len(one.body) for one in batch.tasks) // 2)  # and stays so
        else:
            if isinstance(error, Retryable) and error.cut_off:
                batch.halve()
            raise error

    def _adapt_to_rejected(self, error: ItemRejected, batch: OutgoingBatch) -> None:
        self._projects.invalidate(batch.row.id)
        if self._projects.resolve(batch.row).config != batch.project.config:
            return  # the labeling config was changed after it was read: the items are rendered again for the new one
        for reason in error.reasons.values():
            if missing := _MISSING_VARIABLE.match(reason):  # no single call is at fault
                raise DestinationBlocked(
                    f"Label Studio wants ${missing[1]} in each task of the project, which no LLM call can fill; look "
                    f"for it in the labeling config. {tags.FILLABLE}"
                )
        tasks = batch.tasks
        reasons = {tasks[at].item.id: reason for at, reason in error.reasons.items() if at < len(tasks)}
        if not reasons and len(tasks) == 1:
            reasons = {tasks[0].item.id: str(error)}
        if not reasons:
            batch.halve()
        self.park(reasons)
