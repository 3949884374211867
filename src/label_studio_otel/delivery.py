"""From pending items to tasks that are known to be there: prepare, lease, import, compare the counts, look up.

The one rule: after a request whose answer does not prove what happened, its items are *looked up* by their keys
before any of them is sent again. Presence is believed at once, absence only after `uncertain_wait` of looking.
"""

from __future__ import annotations

import contextlib
import json
import re
from dataclasses import dataclass
from functools import partial
from itertools import chain
from typing import TYPE_CHECKING, Any

from label_studio_otel import dialects, spool, task
from label_studio_otel.errors import (
    BatchTooLarge,
    DeliveryError,
    DestinationBlocked,
    DialectError,
    ItemRejected,
    Retryable,
    SpoolError,
    Uncertain,
)
from label_studio_otel.projects import Projects
from label_studio_otel.retry import delay, lookup_delay
from label_studio_otel.spans import Span

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from label_studio_otel.label_config import LabelConfig
    from label_studio_otel.label_studio import Found, LabelStudio
    from label_studio_otel.outbox import Batch, Item, Outbox, Target
    from label_studio_otel.projects import Resolved

__all__ = ["Delivery"]

#: Above 500 tasks a request gets no faster per task, only longer, and so does the time in doubt.
MAX_BATCH_TASKS = 500
MAX_BATCH_BYTES = 8 << 20
#: Records read at once.
PAGE = 25

_WANTED = re.compile(r'"([^"]*)" key is expected in task data')


@dataclass(frozen=True, slots=True)
class Prepared:
    """A task as it is sent."""

    item: int
    body: bytes
    predictions: int


class Delivery:
    """Delivers what is due in an outbox to one Label Studio server. One thread calls.

    Args:
        clock: seconds since the epoch.
        uncertain_wait: seconds of unchanged absence before a batch in doubt counts as not arrived.
        max_task_bytes: of a rendered task's JSON.
        max_image_bytes: of an inline image for an <Image> tag.
        report: called with a destination and what blocks it, or None when it is open again.
        pause: called between two tasks, to let the application's threads run.
    """

    def __init__(
        self,
        outbox: Outbox,
        client: LabelStudio,
        *,
        clock: Callable[[], float],
        uncertain_wait: float = 900.0,
        max_task_bytes: int = task.MAX_BYTES,
        max_image_bytes: int = task.MAX_IMAGE_BYTES,
        report: Callable[[str, str | None], None] = lambda _, __: None,
        pause: Callable[[], None] = lambda: None,
    ) -> None:
        self._outbox = outbox
        self._client = client
        self._clock = clock
        self._uncertain_wait = uncertain_wait
        self._report = report
        self._pause = pause
        self._projects = Projects(client, outbox, clock)
        self._limits: dict[int, int] = {}
        self._render = partial(task.render, max_bytes=max_task_bytes, max_image_bytes=max_image_bytes)

    def step(self) -> bool:
        """Look up what is in doubt, then send one batch per destination; True when anything moved."""
        moved = False
        for batch in self._outbox.uncertain():
            moved |= self._reconcile(batch)
        for target in self._outbox.targets():
            if not target.blocked or target.retry_at <= self._clock():
                moved |= self._deliver(target)
        return moved

    def next_at(self) -> float | None:
        """Return when the next step may have something to do, seconds since the epoch; None when nothing waits."""
        times = [self._next_lookup(batch) for batch in self._outbox.uncertain()]
        for target in self._outbox.targets():
            due = self._outbox.next_due(target.id)
            if due is not None:
                times.append(max(due, target.retry_at if target.blocked else 0.0))
        return min(times, default=None)

    def _deliver(self, target: Target) -> bool:
        items = self._due(target)
        first = next(items, None)
        if first is None:
            return False
        try:
            project = self._projects.resolve(target)
            prepared = self._prepare(chain([first], items), project.config)
            if prepared:
                self._send(target, project, prepared)
        except (DestinationBlocked, Retryable) as error:
            self._block(target, error)
            return False
        if target.blocked:
            self._outbox.unblock(target.id)
            self._report(str(target.destination), None)
        return True

    def _due(self, target: Target) -> Iterator[Item]:
        """Yield what may go into one batch, page by page: 500 records can be large."""
        left, after = self._limits.get(target.id, MAX_BATCH_TASKS), 0
        while left > 0:
            page = self._outbox.due(target.id, min(left, PAGE), after)
            yield from page
            if len(page) < PAGE:
                return
            left, after = left - len(page), page[-1].id

    def _block(self, target: Target, error: DestinationBlocked | Retryable) -> None:
        self._projects.forget(target.id)
        asked = error.retry_after if isinstance(error, Retryable) else None
        retry_at = self._clock() + delay(target.failures + 1, retry_after=asked)
        passing = isinstance(error, Retryable) or error.passing
        self._outbox.block(target.id, str(error), retry_at, passing=passing)
        self._report(str(target.destination), str(error))

    def _prepare(self, items: Iterable[Item], config: LabelConfig) -> list[Prepared]:
        """Render items until the batch is full; park those that cannot be read."""
        prepared: list[Prepared] = []
        unreadable: dict[int, str] = {}
        size = 0
        for item in items:
            self._pause()
            try:
                rendered = self._rendered(item.record, config)
            except (SpoolError, DialectError) as error:
                unreadable[item.id] = str(error)
                continue
            body = json.dumps(rendered, ensure_ascii=False, separators=(",", ":")).encode()
            size += len(body)
            if prepared and size > MAX_BATCH_BYTES:
                break
            prepared.append(Prepared(item.id, body, len(rendered.get("predictions", ()))))
        if unreadable:
            self._outbox.park(unreadable)
        return prepared

    def _send(self, target: Target, project: Resolved, prepared: Sequence[Prepared]) -> None:
        batch: list[int] = []

        def lease() -> None:
            if not batch:  # a request is begun twice where an access token had ended
                predictions = {one.item: one.predictions for one in prepared}
                batch.append(self._outbox.lease(target.id, project.id, project.watermark, predictions))

        try:
            imported = self._client.import_tasks(project.id, [one.body for one in prepared], lease)
        except Uncertain as error:
            self._outbox.doubt(batch[0], str(error))
        except DeliveryError as error:
            if batch:
                self._outbox.release(batch[0], self._clock(), None)
            self._refused(target, project, prepared, error)
        else:
            counts = (imported.task_count, imported.prediction_count, len(imported.task_ids))
            sent = (len(prepared), sum(one.predictions for one in prepared), len(prepared))
            if counts == sent:
                tasks = dict(zip((one.item for one in prepared), imported.task_ids, strict=True))
                self._outbox.deliver(batch[0], tasks)
            else:
                said = f"Label Studio counted {counts[0]} tasks and {counts[1]} predictions of {sent[0]} and {sent[1]}"
                self._outbox.doubt(batch[0], said)
            self._limits[target.id] = min(MAX_BATCH_TASKS, 2 * max(len(prepared), self._limits.get(target.id, 0)))

    def _refused(self, target: Target, project: Resolved, prepared: Sequence[Prepared], error: DeliveryError) -> None:
        """Park what was named, else try halves; what concerns the whole destination goes on up."""
        if not isinstance(error, (ItemRejected, BatchTooLarge)):
            raise error
        reasons = error.reasons if isinstance(error, ItemRejected) else {}
        if isinstance(error, ItemRejected):
            self._projects.forget(target.id)
            if self._projects.resolve(target).config != project.config:
                return  # somebody changed the labeling config since it was read: the items are rendered anew
            _blame_config(reasons.values())
        named = {prepared[at].item: reason for at, reason in reasons.items() if at < len(prepared)}
        if not named and len(prepared) == 1:
            named = {prepared[0].item: str(error)}
        if named:
            self._outbox.park(named)
        else:
            self._limits[target.id] = len(prepared) // 2

    def _next_lookup(self, batch: Batch) -> float:
        return (batch.looked_at or batch.sent_at) + lookup_delay(batch.lookups)

    def _reconcile(self, batch: Batch) -> bool:
        if self._next_lookup(batch) > self._clock():
            return False
        items = self._outbox.items(batch.id)
        try:
            found = self._found(batch, items)
            tasks = {item.id: self._verified(batch, item, found[item.key]) for item in items if item.key in found}
        except DeliveryError:
            self._outbox.looked(batch.id)
            return False
        if tasks:
            self._outbox.deliver(batch.id, tasks)
        self._outbox.looked(batch.id)
        if len(tasks) < len(items) and self._clock() >= batch.sent_at + self._uncertain_wait:
            self._outbox.absent(batch.id, "it had not arrived")
            return True
        return bool(tasks)

    def _found(self, batch: Batch, items: Sequence[Item]) -> dict[str, list[Found]]:
        try:
            return self._client.find(batch.project, [item.key for item in items], batch.watermark)
        except DestinationBlocked as error:
            if error.missing:
                return {}  # the project was deleted, or another token may see it: believed as any absence
            raise

    def _verified(self, batch: Batch, item: Item, found: Sequence[Found]) -> int:
        """Return the task of an item, its predictions complete, its surplus copies gone."""
        kept = next((one for one in found if one.annotations), found[0])
        for surplus in found:
            if surplus is not kept and not surplus.annotations:
                self._client.delete_task(surplus.id)
        if kept.predictions < item.predictions:
            with contextlib.suppress(SpoolError, DialectError):  # the task is there, only its answers cannot be read
                self._repair(kept.id, self._rendered(item.record, self._projects.config(batch.project)))
        return kept.id

    def _repair(self, task_id: int, rendered: dict[str, Any]) -> None:
        present = [prediction["result"] for prediction in self._client.predictions(task_id)]
        for prediction in rendered.get("predictions", ()):
            if prediction["result"] not in present:
                self._client.add_prediction(task_id, prediction)

    def _rendered(self, record: bytes, config: LabelConfig) -> dict[str, Any]:
        """Return the task of a record.

        Raises:
            SpoolError, DialectError: it cannot be read; the message holds no content.
            DestinationBlocked: the labeling config wants what no call has.
        """
        fields = spool.decode(record).span
        if fields is None:
            raise SpoolError("the record holds no span")
        try:
            span = Span.from_fields(fields)
            return self._render(span, dialects.read(span), config)
        except (DialectError, DestinationBlocked):
            raise
        except Exception as error:  # whatever a span holds, the others of its batch go on
            raise DialectError(f"span {fields.get('spanId')} cannot be rendered: {type(error).__name__}") from error


def _blame_config(reasons: Iterable[str]) -> None:
    """Raise where the project wants a variable that no task brings: that is nothing to park a single call for."""
    for reason in reasons:
        if wanted := _WANTED.match(reason):
            raise DestinationBlocked(
                f"Label Studio wants ${wanted[1]} in each task of the project, which no LLM call can fill; look for "
                f"it in the labeling config. {task.FILLABLE}"
            )
