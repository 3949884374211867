"""Renders items of the outbox as tasks.

An item's record is decoded, its span is read with its log events, and the labeling config of the project is filled.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

from label_studio_otel import reading
from label_studio_otel.calls.assembly import completed
from label_studio_otel.calls.fingerprint import Fingerprint, fingerprint
from label_studio_otel.calls.log_events import attach
from label_studio_otel.delivery.gap_warnings import GapWarnings
from label_studio_otel.errors import DestinationBlocked, DialectError, SpoolError
from label_studio_otel.generation import Generation
from label_studio_otel.outbox.items import Item
from label_studio_otel.outbox.outbox import Outbox
from label_studio_otel.settings import Settings
from label_studio_otel.spans import LogRecord, Span
from label_studio_otel.spool import record as spool
from label_studio_otel.tasks import task
from label_studio_otel.tasks.labeling_config import LabelConfig

#: With more tasks an import takes no less time per task, and more tasks are uncertain where its response is lost.
MAX_TASKS = 500


@dataclass(slots=True)
class BatchSize:
    """The largest size of the next batch for one destination."""

    tasks: int = MAX_TASKS
    bytes: int = 8 << 20


@dataclass(frozen=True, slots=True)
class RenderedTask:
    """A task as it is sent."""

    item: Item
    #: JSON.
    body: bytes
    #: Number of predictions in it.
    predictions: int
    #: None where the destination gets one span per call.
    fingerprint: Fingerprint | None = None


@dataclass(slots=True)
class RenderedBatch:
    """The tasks of the items that were due."""

    tasks: list[RenderedTask] = field(default_factory=list)
    #: Bytes of all bodies.
    size: int = 0
    has_fingerprints: bool = False
    #: The reasons of the items that cannot be rendered, by id.
    unreadable: dict[int, str] = field(default_factory=dict)


class SpanReader:
    """Reads the records of an outbox. It asks the outbox once whether there are any log events."""

    def __init__(self, outbox: Outbox) -> None:
        self._outbox = outbox
        self._has_events = outbox.has_events()

    def read(self, record: bytes) -> tuple[Span, Generation]:
        """Return the span of a record, with its log events attached, and the call that it tells of.

        Raises:
            SpoolError, DialectError: the record cannot be read. The message holds no content.
        """
        fields = spool.decode(record).span
        if fields is None:
            raise SpoolError("the record holds no span")
        try:
            span = Span.from_fields(fields)
            if self._has_events:
                span = attach(span, self._log_records(span))
            return span, reading.read(span)
        except DialectError:
            raise
        except Exception as error:  # an error of ours: the other items of the batch are delivered nevertheless
            raise DialectError(f"span {fields.get('spanId')} cannot be read: {type(error).__name__}") from error

    def _log_records(self, span: Span) -> list[LogRecord]:
        records = map(spool.decode, self._outbox.events(f"{span.trace_id}:{span.span_id}"))
        return [LogRecord.from_fields(record.log) for record in records if record.log is not None]


def fingerprint_of(span: Span, generation: Generation) -> Fingerprint:
    """Return the fingerprint of a span.

    Raises:
        DialectError: a dialect of another package gave values of other types.
    """
    try:
        return fingerprint(span, generation)
    except Exception as error:
        raise DialectError(f"span {span.span_id} cannot be compared: {type(error).__name__}") from error


class Renderer:
    """Renders items for the labeling config of a project.

    Args:
        settings: how large a task and an image may be, and the link to a trace.
        pause: called between two items, to let the application's threads run.
    """

    def __init__(self, outbox: Outbox, settings: Settings, pause: Callable[[], None]) -> None:
        self._outbox = outbox
        self._pause = pause
        self._gap_warnings = GapWarnings()
        self._encode = partial(
            task.encode,
            max_bytes=settings.max_task_bytes,
            max_image_bytes=settings.max_image_bytes,
            trace_link=settings.trace_link,
        )

    def render_batch(
        self, items: Iterable[Item], config: LabelConfig, size: BatchSize, *, fingerprints: bool
    ) -> RenderedBatch:
        """Return the tasks of the first items, as many as one batch may have.

        Args:
            fingerprints: compute the fingerprints of the spans too.

        Raises:
            DestinationBlocked: the labeling config has a variable that no call can fill.
        """
        batch = RenderedBatch(has_fingerprints=fingerprints)
        reader, max_tasks = SpanReader(self._outbox), size.tasks
        for item in items:
            max_tasks = min(max_tasks, item.at_most or max_tasks)
            if len(batch.tasks) >= max_tasks:
                break
            self._pause()
            try:
                span, generation = reader.read(item.record)
                as_dict, body = self._task(span, generation, config)
                mark = fingerprint_of(span, generation) if fingerprints else None
            except (SpoolError, DialectError) as error:
                batch.unreadable[item.id] = str(error)
                continue
            self._gap_warnings.warn(span.scope_name, generation.incomplete)
            if batch.tasks and batch.size + len(body) > size.bytes:
                break
            batch.size += len(body)
            batch.tasks.append(RenderedTask(item, body, len(as_dict.get("predictions", ())), mark))
        return batch

    def render(self, item: Item, config: LabelConfig) -> dict[str, Any]:
        """Return the task of an item.

        Raises:
            SpoolError, DialectError: the item cannot be read or rendered. The message holds no content.
            DestinationBlocked: the labeling config has a variable that no call can fill.
        """
        return self._task(*SpanReader(self._outbox).read(item.record), config)[0]

    def completed(self, rendered: RenderedTask, supplements: Sequence[Generation], config: LabelConfig) -> RenderedTask:
        """Return a task with the facts of other spans of its call; the task unchanged if that cannot be rendered."""
        if not supplements:
            return rendered
        try:
            span, generation = SpanReader(self._outbox).read(rendered.item.record)
            for supplement in supplements:
                generation = completed(generation, supplement)
            as_dict, body = self._task(span, generation, config)
        except (SpoolError, DialectError):
            return rendered
        return replace(rendered, body=body, predictions=len(as_dict.get("predictions", ())))

    def _task(self, span: Span, generation: Generation, config: LabelConfig) -> tuple[dict[str, Any], bytes]:
        try:
            return self._encode(span, generation, config)
        except DestinationBlocked:
            raise
        except Exception as error:  # an error of ours, as above
            raise DialectError(f"span {span.span_id} cannot be rendered: {type(error).__name__}") from error
