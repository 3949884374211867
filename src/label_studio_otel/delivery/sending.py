"""From pending items to tasks that are known to be there: prepare, lease, import, compare the counts, look up.

The one rule: after a request whose answer does not prove what happened, its items are *looked up* by their keys
before any of them is sent again. Presence is believed at once, absence only after `uncertain_wait` of looking.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from label_studio_otel import log
from label_studio_otel.delivery.backoff import delay
from label_studio_otel.delivery.batch_size import Pace
from label_studio_otel.delivery.merging import Merging
from label_studio_otel.delivery.prefetch import Ahead
from label_studio_otel.delivery.reconciliation import Reconciliation
from label_studio_otel.delivery.rendering import Preparation
from label_studio_otel.errors import (
    BatchTooLarge,
    DeliveryError,
    DestinationBlocked,
    ItemRejected,
    LabelStudioOtelError,
    Retryable,
    Uncertain,
)
from label_studio_otel.label_studio.projects import Projects
from label_studio_otel.metrics.counts import Counts
from label_studio_otel.tasks import task

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from label_studio_otel.delivery.rendering import Prepared
    from label_studio_otel.label_studio.client import LabelStudio
    from label_studio_otel.label_studio.projects import ResolvedProject
    from label_studio_otel.label_studio.resources import ImportResult
    from label_studio_otel.outbox.items import DestinationRow, Item
    from label_studio_otel.outbox.outbox import Outbox

__all__ = ["ABSENT_FROM", "LOOKUP_BEFORE", "Delivery"]

#: A number kept in the outbox: calls that began before then may have been delivered by an outbox that was lost.
LOOKUP_BEFORE = "lookup_before"
#: Another: from then on it is believed that they are not there; a request may have been under way.
ABSENT_FROM = "absent_from"

_WANTED = re.compile(r'"([^"]*)" key is expected in task data')


class Delivery:
    """Delivers what is due in an outbox to one Label Studio server. One thread calls.

    Args:
        clock: seconds since the epoch.
        uncertain_wait: seconds of unchanged absence before a batch in doubt counts as not arrived.
        restarted_at: the server's process is known to have begun then; what was sent before is not being worked on.
        patient: let a call that has only begun wait for the rest of it.
        max_task_bytes: of a rendered task's JSON.
        max_image_bytes: of an inline image for an <Image> tag.
        trace_link: template of a URL that each task gets, None for none.
        report: called with a destination and what blocks it, or None when it is open again.
        observe: called with the seconds between a call's arrival and its task's.
        pause: called between two tasks, to let the application's threads run.
        meanwhile: called while Label Studio works on an import.
    """

    def __init__(
        self,
        outbox: Outbox,
        client: LabelStudio,
        *,
        clock: Callable[[], float],
        uncertain_wait: float = 900.0,
        restarted_at: float = 0.0,
        patient: bool = False,
        max_task_bytes: int = task.MAX_BYTES,
        max_image_bytes: int = task.MAX_IMAGE_BYTES,
        trace_link: str | None = None,
        counts: Counts | None = None,
        report: Callable[[str, str | None], None] = lambda _, __: None,
        observe: Callable[[float], None] = lambda _: None,
        pause: Callable[[], None] = lambda: None,
        meanwhile: Callable[[], object] = lambda: None,
    ) -> None:
        self._outbox = outbox
        self._client = client
        self._clock = clock
        self._report = report
        self._observe = observe
        self._counts = counts or Counts()
        self._projects = Projects(client, outbox, clock)
        #: False where nothing more can come for what waits.
        self.patient = patient
        self._paces: dict[int, Pace] = {}
        self._preparation = Preparation(
            outbox,
            max_task_bytes=max_task_bytes,
            max_image_bytes=max_image_bytes,
            trace_link=trace_link,
            pause=pause,
        )
        self._merging = Merging(outbox, self._preparation, self._counts, clock)
        self._ahead = Ahead(outbox, self._preparation, self._merging, meanwhile)
        self._reconciliation = Reconciliation(
            outbox,
            client,
            self._projects,
            self._preparation,
            self._counts,
            uncertain_wait=uncertain_wait,
            restarted_at=restarted_at,
            clock=clock,
        )

    def step(self) -> bool:
        """Look up what is in doubt, then send one batch per destination; True when anything moved."""
        moved = self._reconciliation.step()
        importing = {batch.destination_id for batch in self._outbox.batches.uncertain() if batch.import_id is not None}
        for target, due_at in self._outbox.destinations.with_pending():
            if target.id not in importing and _next_at(target, due_at) <= self._clock():
                moved |= self._deliver_alone(target)
        return moved

    def forget(self) -> None:
        """Keep nothing in mind of an outbox that is another one now."""
        self._ahead.forget()
        self._paces.clear()
        self._projects.invalidate_all()

    def forget_gone(self) -> None:
        """Keep nothing in mind of destinations that the outbox forgot."""
        kept = {target.id for target in self._outbox.destinations.all()}
        for target in self._paces.keys() - kept:
            del self._paces[target]
            self._projects.invalidate(target)
            self._ahead.forget(target)

    def next_at(self) -> float | None:
        """Return when the next step may have something to do, seconds since the epoch; None when nothing waits."""
        lookup = self._reconciliation.next_at()
        times = [] if lookup is None else [lookup]
        times += [_next_at(target, due_at) for target, due_at in self._outbox.destinations.with_pending()]
        return min(times, default=None)

    def _deliver_alone(self, target: DestinationRow) -> bool:
        """Deliver to one destination; an error that nobody thought of stops no other one."""
        try:
            return self._deliver(target)
        except LabelStudioOtelError:
            raise
        except Exception as error:  # also of an answer that has another shape than Label Studio's
            said = f"delivery failed with {log.kind(error)}"
            self._outbox.batches.mark_all_uncertain(target.id, said)
            self._block(target, Retryable(said))
            return False

    def _deliver(self, target: DestinationRow) -> bool:
        pace = self._paces.setdefault(target.id, Pace())
        try:
            project = self._projects.resolve(target)
            preparing = self._ahead.take(target, project.config, pace)
            self._park(preparing.unreadable)
            tasks = self._merging.merge(target, preparing.tasks, project.config, patient=self.patient)
            if unsent := self._not_there(project, tasks):
                self._send(target, project, unsent, pace)
        except DeliveryError as error:
            self._block(target, error)
            return False
        if target.blocked:
            self._outbox.destinations.unblock(target.id)
            self._report(str(target.destination), None)
        return True

    def _block(self, target: DestinationRow, error: DeliveryError) -> None:
        self._projects.invalidate(target.id)
        self._ahead.forget(target.id)
        asked = error.retry_after if isinstance(error, Retryable) else None
        retry_at = self._clock() + delay(target.failures + 1, retry_after=asked)
        passing = isinstance(error, Retryable) or (isinstance(error, DestinationBlocked) and error.passing)
        self._outbox.destinations.block(target.id, str(error), retry_at, passing=passing)
        self._report(str(target.destination), str(error))

    def _park(self, reasons: dict[int, str]) -> None:
        if reasons:
            self._outbox.park(reasons)
            self._counts.parked += len(reasons)

    def _not_there(self, project: ResolvedProject, prepared: list[Prepared]) -> list[Prepared]:
        """Return what is to be sent: what an outbox that was lost may have delivered is looked up before."""
        facts = self._outbox.counters()
        before, believed_from = facts.get(LOOKUP_BEFORE, 0.0), facts.get(ABSENT_FROM, 0.0)
        doubtful = [one.item for one in prepared if _started(one.item) <= before]
        if not doubtful:
            return prepared
        found = self._client.find(project.id, [item.key for item in doubtful], 0)
        there = {item.id: found[item.key][0].id for item in doubtful if item.key in found}
        self._outbox.mark_found(there)
        self._counts.add(duplicates=len(there))
        waiting: dict[int, float] = {}
        if believed_from > self._clock():
            waiting = {item.id: believed_from for item in doubtful if item.id not in there}
            self._outbox.postpone(waiting)
        return [one for one in prepared if one.item.id not in there and one.item.id not in waiting]

    def _send(self, target: DestinationRow, project: ResolvedProject, prepared: list[Prepared], pace: Pace) -> None:
        batch: list[int] = []

        def lease() -> None:
            if not batch:  # a request is begun twice where an access token had ended
                predictions = {one.item.id: one.predictions for one in prepared}
                batch.append(self._outbox.batches.lease(target.id, project.id, project.watermark, predictions))

        begun = self._clock()
        try:
            imported = self._client.import_tasks(
                project.id,
                [one.body for one in prepared],
                lease,
                lambda: self._ahead.prepare(target, project.config, pace),
            )
        except Uncertain as error:
            self._outbox.batches.mark_uncertain(batch[0], str(error), answer=error.status, import_id=error.import_id)
            if error.import_id is None:
                pace.doubted(len(prepared))
                raise Retryable(str(error)) from error  # what cannot be told apart from an outage is waited out as one
        except DeliveryError as error:
            if batch:
                self._outbox.batches.release(batch[0], self._clock(), None)
            self._refused(target, project, prepared, error, pace)
        else:
            pace.arrived(len(prepared), self._clock() - begun)
            self._arrived(batch[0], project, prepared, imported)

    def _arrived(self, batch: int, project: ResolvedProject, prepared: list[Prepared], imported: ImportResult) -> None:
        counts = (imported.task_count, imported.prediction_count, len(imported.task_ids))
        sent = (len(prepared), sum(one.predictions for one in prepared), len(prepared))
        if counts != sent:
            said = f"Label Studio counted {counts[0]} tasks and {counts[1]} predictions of {sent[0]} and {sent[1]}"
            self._outbox.batches.mark_uncertain(batch, said)
        elif self._copied(project, imported):
            self._outbox.batches.mark_uncertain(batch, "Label Studio has more new tasks than were sent")
        else:
            tasks = dict(zip((one.item.id for one in prepared), imported.task_ids, strict=True))
            self._outbox.batches.mark_delivered(batch, tasks)
            self._counts.delivered += len(tasks)
            for one in prepared:
                self._observe(self._clock() - one.item.taken_at)

    def _copied(self, project: ResolvedProject, imported: ImportResult) -> bool:
        """Tell whether the request was carried out twice, as Label Studio on SQLite does with one that met a lock.

        Then ids are missing before the first that was answered. They are too where others import: only then it is
        worth a request of its own.
        """
        if not imported.task_ids or min(imported.task_ids) <= project.watermark + 1:
            return False
        try:
            return self._client.newer_tasks(project.id, project.watermark) > imported.task_count
        except DeliveryError:
            return True

    def _refused(
        self,
        target: DestinationRow,
        project: ResolvedProject,
        prepared: list[Prepared],
        error: DeliveryError,
        pace: Pace,
    ) -> None:
        """Park what was named, else try halves; what concerns the whole destination goes on up."""
        if isinstance(error, BatchTooLarge):
            if len(prepared) > 1:
                pace.too_large(sum(len(one.body) for one in prepared))
            else:
                self._park({prepared[0].item.id: str(error)})
            return
        if not isinstance(error, ItemRejected):
            if isinstance(error, Retryable) and error.cut_off:
                pace.refused(len(prepared))
            raise error
        self._projects.invalidate(target.id)
        if self._projects.resolve(target).config != project.config:
            return  # somebody changed the labeling config since it was read: the items are rendered anew
        _blame_config(error.reasons.values())
        named = {prepared[at].item.id: reason for at, reason in error.reasons.items() if at < len(prepared)}
        if not named and len(prepared) == 1:
            named = {prepared[0].item.id: str(error)}
        if not named:
            pace.refused(len(prepared))
        self._park(named)


def _next_at(target: DestinationRow, due_at: float) -> float:
    """Return when a destination may be sent to whose first item is due then."""
    return max(due_at, target.retry_at) if target.blocked else due_at


def _started(item: Item) -> float:
    """Return when a call began, seconds since the epoch: a spool that is read anew is taken anew."""
    try:
        return int(item.key.rpartition(":")[2]) / 1e9
    except (ValueError, OverflowError):
        return 0.0


def _blame_config(reasons: Iterable[str]) -> None:
    """Raise where the project wants a variable that no task brings: that is nothing to park a single call for."""
    for reason in reasons:
        if wanted := _WANTED.match(reason):
            raise DestinationBlocked(
                f"Label Studio wants ${wanted[1]} in each task of the project, which no LLM call can fill; look for "
                f"it in the labeling config. {task.FILLABLE}"
            )
