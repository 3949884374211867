"""Renders the next batch of a destination while Label Studio works on an import."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator

from label_studio_otel.delivery.merging import Merging
from label_studio_otel.delivery.rendering import BatchSize, RenderedBatch, Renderer
from label_studio_otel.outbox.items import DestinationRow, Item
from label_studio_otel.outbox.outbox import Outbox
from label_studio_otel.tasks.labeling_config import LabelConfig

#: Items that are read from the outbox at once: 500 records can be large.
PAGE_SIZE = 25


class BatchPrefetcher:
    """The next batch of each destination.

    Args:
        meanwhile: called while Label Studio works on an import.
    """

    def __init__(self, outbox: Outbox, renderer: Renderer, merging: Merging, meanwhile: Callable[[], object]) -> None:
        self._outbox = outbox
        self._renderer = renderer
        self._merging = merging
        self._meanwhile = meanwhile
        #: By destination: its next batch, and the labeling config for which that was rendered.
        self._batches: dict[int, tuple[RenderedBatch, LabelConfig]] = {}
        #: By destination: whether its last batch needed fingerprints. The outbox is asked once for each batch.
        self._fingerprints: dict[int, bool] = {}

    def drop(self, destination_id: int) -> None:
        """Drop all that is kept of a destination: its rendered batch, and whether it needs fingerprints."""
        self._batches.pop(destination_id, None)
        self._fingerprints.pop(destination_id, None)

    def next_batch(self, row: DestinationRow, config: LabelConfig, size: BatchSize) -> RenderedBatch:
        """Return the next batch: the prefetched one where it still fits and all its items are still pending.

        Raises:
            DestinationBlocked: the labeling config has a variable that no call can fill.
        """
        fingerprints = self._fingerprints[row.id] = self._merging.is_needed(row)
        batch, rendered_for = self._batches.pop(row.id, (None, None))
        if batch is not None and rendered_for == config and batch.has_fingerprints == fingerprints:
            fits = len(batch.tasks) <= size.tasks and batch.size <= size.bytes
            if fits and self._outbox.are_pending([one.item for one in batch.tasks]):
                return batch
        return self._render(row, config, size, fingerprints)

    def prefetch(self, row: DestinationRow, config: LabelConfig, size: BatchSize) -> None:
        """Render the next batch of a destination. An error here is met again, and raised, by `next_batch`."""
        with contextlib.suppress(Exception):
            self._meanwhile()
            # Whether fingerprints are needed can change until `next_batch`, which checks it.
            batch = self._render(row, config, size, self._fingerprints.get(row.id, True))
            if batch.tasks:
                self._batches[row.id] = batch, config

    def _render(self, row: DestinationRow, config: LabelConfig, size: BatchSize, fingerprints: bool) -> RenderedBatch:
        return self._renderer.render_batch(self._due_items(row, size.tasks), config, size, fingerprints=fingerprints)

    def _due_items(self, row: DestinationRow, limit: int) -> Iterator[Item]:
        after = 0
        for left in range(limit, 0, -PAGE_SIZE):
            page = self._outbox.due_items(row.id, min(left, PAGE_SIZE), after)
            yield from page
            if len(page) < PAGE_SIZE:
                return
            after = page[-1].id
