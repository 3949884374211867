"""Batches: items that are being sent, that were sent without a proof of arrival, or whose tasks are rechecked."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping

from label_studio_otel.outbox.database import Database
from label_studio_otel.outbox.items import Batch, Item, Recheck


class Batches:
    """The batches of an outbox. Each method is one transaction and raises OutboxError where the database fails."""

    def __init__(self, database: Database, clock: Callable[[], float]) -> None:
        self._database = database
        self._clock = clock

    def lease(self, destination_id: int, project: int, watermark: int, predictions: Mapping[int, int]) -> int:
        """Mark pending items (id: predictions that are sent with it) as being sent; return the id of their batch."""
        with self._database.transaction() as run:
            values = {"project": project, "watermark": watermark, "now": self._clock()}
            batch = run.insert("add_batch", destination=destination_id, **values)
            assert batch is not None
            for item, number in predictions.items():
                run.change("lease", id=item, batch=batch, predictions=number)
        return batch

    def release(self, batch: int, due_at: float, reason: str | None) -> None:
        """Make the leased items of a batch pending: nothing arrived."""
        with self._database.transaction() as run:
            run.change("release", batch=batch, due_at=due_at, reason=reason)
            run.change("end_batch", batch=batch)

    def mark_delivered(self, batch: int, tasks: Mapping[int, int | None], *, recheck_at: float | None = None) -> None:
        """Mark items (id: task id) of a batch as delivered; look them up once more at `recheck_at`, None for never."""
        with self._database.transaction() as run:
            if recheck_at is not None:
                keys = [row["key"] for item in tasks for row in run.rows("key_of", id=item)]
                run.change("schedule_recheck", batch=batch, look_at=recheck_at, keys=json.dumps(keys))
            highest = max((task for task in tasks.values() if task), default=None)
            if highest is not None:
                run.change("raise_watermark", batch=batch, watermark=highest)
            for item, task in tasks.items():
                run.change("mark_delivered", id=item, task=task, now=self._clock())
            run.change("end_batch", batch=batch)

    def mark_uncertain(
        self, batch: int, reason: str, *, answer: int | None = None, import_id: int | None = None
    ) -> None:
        """Mark the leased items of a batch as uncertain: the request may have arrived; `answer` is its HTTP status."""
        with self._database.transaction() as run:
            run.change("mark_uncertain", batch=batch, reason=reason)
            run.change("set_reason", batch=batch, reason=reason, answer=answer, import_id=import_id)

    def mark_all_uncertain(self, destination_id: int, reason: str) -> None:
        """Mark all leased items of a destination as uncertain: an error of ours ended their request."""
        self._database.change("mark_all_uncertain", destination=destination_id, reason=reason)

    def mark_not_arrived(self, batch: int, reason: str, *, at_most: int | None = None, suspect: bool = False) -> None:
        """Make the uncertain items of a batch pending: they did not arrive.

        Args:
            at_most: largest number of items in a batch that contains one of these, None for no change.
            suspect: they may be the cause; else their attempts are counted from 0 again.
        """
        with self._database.transaction() as run:
            values = {"reason": reason, "at_most": at_most, "suspect": int(suspect), "now": self._clock()}
            run.change("mark_not_arrived", batch=batch, **values)
            run.change("end_batch", batch=batch)

    def uncertain(self) -> list[Batch]:
        """Return the batches with uncertain items, the oldest first."""
        return [Batch(*row) for row in self._database.rows("uncertain_batches")]

    def items(self, batch: int) -> list[Item]:
        """Return the items of a batch that are leased or uncertain."""
        return [Item(*row) for row in self._database.rows("batch_items", batch=batch)]

    def note_lookup(self, batch: int) -> None:
        """Store that a batch was looked up now."""
        self._database.change("note_lookup", batch=batch, now=self._clock())

    def due_rechecks(self, now: float) -> list[Recheck]:
        """Return the rechecks that are due."""
        return [
            Recheck(row["id"], row["project"], row["watermark"], tuple(json.loads(row["keys"])))
            for row in self._database.rows("due_rechecks", now=now)
        ]

    def postpone_recheck(self, recheck: int, look_at: float) -> None:
        """Set when a recheck is due."""
        self._database.change("postpone_recheck", recheck=recheck, look_at=look_at)

    def finish_recheck(self, recheck: int) -> None:
        """Delete a recheck."""
        self._database.change("finish_recheck", recheck=recheck)
