"""From items to tasks ready to be sent: decode, read, render; what cannot be read is set apart."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from functools import partial
from typing import TYPE_CHECKING, Any

from label_studio_otel import reading
from label_studio_otel.calls.assembly import completed
from label_studio_otel.calls.fingerprint import fingerprint
from label_studio_otel.calls.log_events import attach
from label_studio_otel.delivery import gap_warnings
from label_studio_otel.errors import DestinationBlocked, DialectError, SpoolError
from label_studio_otel.spans import LogRecord, Span
from label_studio_otel.spool import record as spool
from label_studio_otel.tasks import task

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from label_studio_otel.calls.fingerprint import Fingerprint
    from label_studio_otel.delivery.batch_size import Pace
    from label_studio_otel.generation import Generation
    from label_studio_otel.outbox.items import Item
    from label_studio_otel.outbox.outbox import Outbox
    from label_studio_otel.tasks.labeling_config import LabelConfig

__all__ = ["Preparation", "Prepared", "Preparing"]


@dataclass(frozen=True, slots=True)
class Prepared:
    """A task as it is sent."""

    item: Item
    body: bytes
    predictions: int
    #: None where there can be no doubles.
    fingerprint: Fingerprint | None = None


@dataclass(slots=True)
class Preparing:
    """What became of the items of one batch."""

    tasks: list[Prepared] = field(default_factory=list)
    size: int = 0
    fingerprints: bool = False
    #: Why, by item.
    unreadable: dict[int, str] = field(default_factory=dict)


class Preparation:
    """Renders items for a project's labeling config.

    Args:
        max_task_bytes: of a rendered task's JSON.
        max_image_bytes: of an inline image for an <Image> tag.
        trace_link: template of a URL; None for no link.
        pause: called between two tasks, to let the application's threads run.
    """

    def __init__(
        self,
        outbox: Outbox,
        *,
        max_task_bytes: int,
        max_image_bytes: int,
        trace_link: str | None = None,
        pause: Callable[[], None],
    ) -> None:
        self._outbox = outbox
        self.pause = pause
        self._events = True
        self._encode = partial(
            task.encode, max_bytes=max_task_bytes, max_image_bytes=max_image_bytes, trace_link=trace_link
        )

    def prepare(self, items: Iterable[Item], config: LabelConfig, pace: Pace, *, fingerprints: bool) -> Preparing:
        """Render items until the batch is full.

        Args:
            fingerprints: make those too.

        Raises:
            DestinationBlocked: the labeling config wants what no call has.
        """
        preparing = Preparing(fingerprints=fingerprints)
        most = pace.tasks
        self._events = self._outbox.has_events()
        for item in items:
            most = min(most, item.at_most or most)
            if len(preparing.tasks) >= most:
                break
            self.pause()
            try:
                prepared = self._prepared(item, config, fingerprints)
            except (SpoolError, DialectError) as error:
                preparing.unreadable[item.id] = str(error)
                continue
            if preparing.tasks and preparing.size + len(prepared.body) > pace.bytes:
                break
            preparing.size += len(prepared.body)
            preparing.tasks.append(prepared)
        return preparing

    def _prepared(self, item: Item, config: LabelConfig, fingerprints: bool) -> Prepared:
        span, generation = self.read(item.record)
        gap_warnings.say(span.scope_name, generation.incomplete)
        rendered, body = self._task(span, generation, config)
        mark = fingerprint(span, generation) if fingerprints else None
        return Prepared(item, body, len(rendered.get("predictions", ())), mark)

    def completed(self, prepared: Prepared, others: Iterable[Generation], config: LabelConfig) -> Prepared:
        """Return a task with the facts that other spans of its call know, as it was where that cannot be rendered."""
        try:
            span, generation = self.read(prepared.item.record)
            for other in others:
                generation = completed(generation, other)
            rendered, body = self._task(span, generation, config)
        except (SpoolError, DialectError):
            return prepared
        return replace(prepared, body=body, predictions=len(rendered.get("predictions", ())))

    def rendered(self, item: Item, config: LabelConfig) -> dict[str, Any]:
        """Return the task of an item.

        Raises:
            SpoolError, DialectError: it cannot be read; the message holds no content.
            DestinationBlocked: the labeling config wants what no call has.
        """
        self._events = self._outbox.has_events()
        return self._task(*self.read(item.record), config)[0]

    def read(self, record: bytes) -> tuple[Span, Generation]:
        """Return the span of a record with its log events, and what it says.

        Raises:
            SpoolError, DialectError: it cannot be read.
        """
        fields = spool.decode(record).span
        if fields is None:
            raise SpoolError("the record holds no span")
        try:
            span = Span.from_fields(fields)
            if self._events:
                span = attach(span, self._logs(span))
            return span, reading.read(span)
        except DialectError:
            raise
        except Exception as error:  # whatever a span holds, the others of its batch go on
            raise DialectError(f"span {fields.get('spanId')} cannot be read: {type(error).__name__}") from error

    def _logs(self, span: Span) -> list[LogRecord]:
        records = map(spool.decode, self._outbox.events(f"{span.trace_id}:{span.span_id}"))
        return [LogRecord.from_fields(record.log) for record in records if record.log is not None]

    def _task(self, span: Span, generation: Generation, config: LabelConfig) -> tuple[dict[str, Any], bytes]:
        try:
            return self._encode(span, generation, config)
        except DestinationBlocked:
            raise
        except Exception as error:
            raise DialectError(f"span {span.span_id} cannot be rendered: {type(error).__name__}") from error
