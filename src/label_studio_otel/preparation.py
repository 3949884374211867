"""From items to tasks ready to be sent: decode, read, render; what cannot be read is set apart."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any

from label_studio_otel import dialects, spool, task
from label_studio_otel.errors import DestinationBlocked, DialectError, SpoolError
from label_studio_otel.spans import Span

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from label_studio_otel.label_config import LabelConfig
    from label_studio_otel.outbox import Item, Outbox
    from label_studio_otel.pace import Pace

__all__ = ["Preparation", "Prepared", "Preparing"]


@dataclass(frozen=True, slots=True)
class Prepared:
    """A task as it is sent."""

    item: Item
    body: bytes
    predictions: int


@dataclass(slots=True)
class Preparing:
    """What became of the items of one batch."""

    tasks: list[Prepared] = field(default_factory=list)
    size: int = 0
    #: Why, by item.
    unreadable: dict[int, str] = field(default_factory=dict)


class Preparation:
    """Renders items for a project's labeling config.

    Args:
        max_task_bytes: of a rendered task's JSON.
        max_image_bytes: of an inline image for an <Image> tag.
        pause: called between two tasks, to let the application's threads run.
    """

    def __init__(self, outbox: Outbox, *, max_task_bytes: int, max_image_bytes: int, pause: Callable[[], None]) -> None:
        self._outbox = outbox
        self._pause = pause
        self._render = partial(task.render, max_bytes=max_task_bytes, max_image_bytes=max_image_bytes)

    def prepare(self, items: Iterable[Item], config: LabelConfig, pace: Pace) -> Preparing:
        """Render items until the batch is full.

        Raises:
            DestinationBlocked: the labeling config wants what no call has.
        """
        preparing = Preparing()
        most = pace.tasks
        for item in items:
            most = min(most, item.at_most or most)
            if len(preparing.tasks) >= most:
                break
            self._pause()
            try:
                rendered = self.rendered(item, config)
            except (SpoolError, DialectError) as error:
                preparing.unreadable[item.id] = str(error)
                continue
            body = json.dumps(rendered, ensure_ascii=False, separators=(",", ":")).encode()
            if preparing.tasks and preparing.size + len(body) > pace.bytes:
                break
            preparing.size += len(body)
            preparing.tasks.append(Prepared(item, body, len(rendered.get("predictions", ()))))
        return preparing

    def rendered(self, item: Item, config: LabelConfig) -> dict[str, Any]:
        """Return the task of an item.

        Raises:
            SpoolError, DialectError: it cannot be read; the message holds no content.
            DestinationBlocked: the labeling config wants what no call has.
        """
        fields = spool.decode(item.record).span
        if fields is None:
            raise SpoolError("the record holds no span")
        try:
            span = Span.from_fields(fields)
            return self._render(span, dialects.read(span), config)
        except (DialectError, DestinationBlocked):
            raise
        except Exception as error:  # whatever a span holds, the others of its batch go on
            raise DialectError(f"span {fields.get('spanId')} cannot be rendered: {type(error).__name__}") from error
