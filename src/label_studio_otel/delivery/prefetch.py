"""The next batch, prepared while Label Studio works on the last one."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from label_studio_otel.delivery.batch_size import Pace
    from label_studio_otel.delivery.merging import Merging
    from label_studio_otel.delivery.rendering import Preparation, Preparing
    from label_studio_otel.outbox.items import DestinationRow, Item
    from label_studio_otel.outbox.outbox import Outbox
    from label_studio_otel.tasks.labeling_config import LabelConfig

__all__ = ["Ahead"]

#: Records read at once.
PAGE = 25


class Ahead:
    """Prepares batches, one for each destination before it is needed.

    Args:
        meanwhile: called while Label Studio works on an import.
    """

    def __init__(
        self, outbox: Outbox, preparation: Preparation, merging: Merging, meanwhile: Callable[[], object]
    ) -> None:
        self._outbox = outbox
        self._preparation = preparation
        self._merging = merging
        self._meanwhile = meanwhile
        #: By destination: the next batch, and for which labeling config it was rendered.
        self._batches: dict[int, tuple[Preparing, LabelConfig]] = {}
        #: By destination: whether the last batch that was taken needed fingerprints.
        self._fingerprints: dict[int, bool] = {}

    def forget(self, target: int | None = None) -> None:
        """Drop what was prepared for a destination, by default for all."""
        if target is None:
            self._batches.clear()
        else:
            self._batches.pop(target, None)

    def take(self, target: DestinationRow, config: LabelConfig, pace: Pace) -> Preparing:
        """Return the next batch: that prepared before, if it still fits and all of it may still be sent.

        Raises:
            DestinationBlocked: the labeling config wants what no call has.
        """
        fingerprints = self._fingerprints[target.id] = self._merging.needed(target)
        preparing, rendered_for = self._batches.pop(target.id, (None, None))
        if preparing is not None and rendered_for == config and preparing.fingerprints == fingerprints:
            fits = len(preparing.tasks) <= pace.tasks and preparing.size <= pace.bytes
            if fits and self._outbox.are_pending([one.item for one in preparing.tasks]):
                return preparing
        return self._prepared(target, config, pace, fingerprints=fingerprints)

    def prepare(self, target: DestinationRow, config: LabelConfig, pace: Pace) -> None:
        """Use the time in which Label Studio works; whatever goes wrong here is met again by the next step."""
        with contextlib.suppress(Exception):
            self._meanwhile()
            # Whether fingerprints are needed is asked anew when the batch is taken.
            fingerprints = self._fingerprints.get(target.id, True)
            preparing = self._prepared(target, config, pace, fingerprints=fingerprints)
            if preparing.tasks:
                self._batches[target.id] = preparing, config

    def _prepared(self, target: DestinationRow, config: LabelConfig, pace: Pace, *, fingerprints: bool) -> Preparing:
        return self._preparation.prepare(self._due(target, pace.tasks), config, pace, fingerprints=fingerprints)

    def _due(self, target: DestinationRow, number: int) -> Iterator[Item]:
        """Yield what may go into one batch, page by page: 500 records can be large."""
        left, after = number, 0
        while left > 0:
            page = self._outbox.due_items(target.id, min(left, PAGE), after)
            yield from page
            if len(page) < PAGE:
                return
            left, after = left - len(page), page[-1].id
