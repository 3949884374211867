"""Delivers the due items of an outbox, one batch per destination and step, and blocks a destination that refuses."""

from __future__ import annotations

from functools import partial

from label_studio_otel import log
from label_studio_otel.delivery.backoff import delay
from label_studio_otel.delivery.hooks import Hooks
from label_studio_otel.delivery.merging import Merging
from label_studio_otel.delivery.prefetch import BatchPrefetcher
from label_studio_otel.delivery.reconciliation import Reconciliation
from label_studio_otel.delivery.recovery import without_lost_deliveries
from label_studio_otel.delivery.rendering import BatchSize, Renderer
from label_studio_otel.delivery.sending import BatchSender, OutgoingBatch
from label_studio_otel.errors import DeliveryError, DestinationBlocked, LabelStudioOtelError, Retryable
from label_studio_otel.label_studio.client import LabelStudio
from label_studio_otel.label_studio.projects import Projects
from label_studio_otel.outbox.items import DestinationRow
from label_studio_otel.outbox.outbox import Outbox
from label_studio_otel.settings import Settings


class Delivery:
    """Delivers what is due in an outbox to one Label Studio server. One thread calls it."""

    def __init__(self, outbox: Outbox, client: LabelStudio, settings: Settings, hooks: Hooks) -> None:
        self._outbox = outbox
        self._client = client
        self._hooks = hooks
        #: Whether the first span of a streamed call waits for the second; False when no more spans can come.
        self.patient = False
        #: By destination.
        self._batch_sizes: dict[int, BatchSize] = {}
        self._projects = Projects(client, outbox, hooks.clock)
        renderer = Renderer(outbox, settings, hooks.pause)
        self._merging = Merging(outbox, renderer, hooks)
        self._prefetcher = BatchPrefetcher(outbox, renderer, self._merging, hooks.meanwhile)
        self._sender = BatchSender(outbox, client, self._projects, hooks)
        self._reconciliation = Reconciliation(outbox, client, renderer, settings, hooks)

    def step(self) -> bool:
        """Look up uncertain batches, then send one batch per destination; return whether anything changed."""
        changed = self._reconciliation.step()
        # Where Label Studio carries an import out later, the next one waits until that is done.
        importing = {batch.destination_id for batch in self._outbox.batches.uncertain() if batch.import_id is not None}
        for row, due_at in self._outbox.destinations.with_pending():
            next_at = max(due_at, row.retry_at) if row.blocked else due_at
            if row.id not in importing and next_at <= self._hooks.clock():
                changed |= self._deliver_safely(row)
        return changed

    def reset(self) -> None:
        """Drop everything that was read of the outbox: it was replaced by another one, or its times were changed."""
        self._drop(set(self._batch_sizes))

    def drop_expired(self) -> None:
        """Drop the batches, sizes and projects of destinations that the outbox has deleted."""
        self._drop(self._batch_sizes.keys() - {row.id for row in self._outbox.destinations.all()})

    def _drop(self, destination_ids: set[int]) -> None:
        for destination_id in destination_ids:
            del self._batch_sizes[destination_id]
            self._projects.invalidate(destination_id)
            self._prefetcher.drop(destination_id)

    def _deliver_safely(self, row: DestinationRow) -> bool:
        """Deliver to one destination; return whether anything changed. An error of ours does not stop the others."""
        try:
            return self._deliver(row)
        except LabelStudioOtelError:
            raise
        except Exception as error:  # as of a response in another form than Label Studio's
            reason = f"delivery failed with {log.kind(error)}"
            self._outbox.batches.mark_all_uncertain(row.id, reason)
            self._block(row, Retryable(reason))
            return False

    def _deliver(self, row: DestinationRow) -> bool:
        size = self._batch_sizes.setdefault(row.id, BatchSize())
        try:
            project = self._projects.resolve(row)
            batch = self._prefetcher.next_batch(row, project.config, size)
            self._sender.park(batch.unreadable)
            tasks = self._merging.merge(row, batch.tasks, project.config, patient=self.patient)
            if tasks := without_lost_deliveries(self._outbox, self._client, self._hooks, project, tasks):
                prefetch = partial(self._prefetcher.prefetch, row, project.config, size)
                self._sender.send(OutgoingBatch(row, project, tasks, size), prefetch)
        except DeliveryError as error:
            self._block(row, error)
            return False
        if row.blocked:
            self._outbox.destinations.unblock(row.id)
            self._hooks.report(str(row.destination), None)
        return True

    def _block(self, row: DestinationRow, error: DeliveryError) -> None:
        self._projects.invalidate(row.id)
        self._prefetcher.drop(row.id)
        retry_after = error.retry_after if isinstance(error, Retryable) else None
        retry_at = self._hooks.clock() + delay(row.failures + 1, retry_after=retry_after)
        passing = isinstance(error, Retryable) or (isinstance(error, DestinationBlocked) and error.passing)
        self._outbox.destinations.block(row.id, str(error), retry_at, passing=passing)
        self._hooks.report(str(row.destination), str(error))
