"""What the outbox knows of batches in doubt, and of what is looked up once more."""

from __future__ import annotations

import json

from label_studio_otel.outbox.items import Batch, Item, Watch
from label_studio_otel.outbox.kinship import Kinship

__all__ = ["Doubts"]


class Doubts(Kinship):
    """The part of `SqliteOutbox` that is about what may have arrived."""

    def doubt(self, batch: int, reason: str, *, answer: int | None = None, import_id: int | None = None) -> None:
        """See `Outbox.doubt`."""
        with self._transaction() as run:
            self._run(run, "doubt", batch=batch, reason=reason)
            self._run(run, "doubt_batch", batch=batch, reason=reason, answer=answer, import_id=import_id)

    def take_over(self, reason: str) -> int:
        """See `Outbox.take_over`."""
        with self._transaction() as run:
            self._run(run, "probe")
            now = self._clock()
            for query in ("correct_items", "correct_events", "correct_batches", "correct_watches"):
                self._run(run, query, now=now)
            batches = [row["batch"] for row in self._run(run, "leased_batches")]
            for batch in batches:
                self._run(run, "doubt", batch=batch, reason=reason)
        return len(batches)

    def interrupt(self, target: int, reason: str) -> None:
        """See `Outbox.interrupt`."""
        self._change("interrupt", destination=target, reason=reason)

    def shift(self, seconds: float) -> None:
        """See `Outbox.shift`."""
        with self._transaction() as run:
            for query in ("shift_items", "shift_events", "shift_batches", "shift_watches", "shift_destinations"):
                self._run(run, query, by=seconds)

    def uncertain(self) -> list[Batch]:
        """See `Outbox.uncertain`."""
        return [Batch(*row) for row in self._rows("uncertain_batches")]

    def items(self, batch: int) -> list[Item]:
        """See `Outbox.items`."""
        rows = self._rows("batch_items", batch=batch)
        return [Item(row["id"], row["key"], row["record"], row["attempts"], row["predictions"]) for row in rows]

    def watches(self, now: float) -> list[Watch]:
        """See `Outbox.watches`."""
        rows = self._rows("watches", now=now)
        return [Watch(row["id"], row["project"], row["watermark"], tuple(json.loads(row["keys"]))) for row in rows]

    def rewatch(self, watch: int, look_at: float) -> None:
        """See `Outbox.rewatch`."""
        self._change("rewatch", watch=watch, look_at=look_at)

    def unwatch(self, watch: int) -> None:
        """See `Outbox.unwatch`."""
        self._change("unwatch", watch=watch)

    def looked(self, batch: int) -> None:
        """See `Outbox.looked`."""
        self._change("looked", batch=batch, now=self._clock())

    def absent(self, batch: int, reason: str, *, at_most: int | None = None, suspect: bool = False) -> None:
        """See `Outbox.absent`."""
        with self._transaction() as run:
            values = {"reason": reason, "at_most": at_most, "suspect": int(suspect)}
            self._run(run, "absent", batch=batch, now=self._clock(), **values)
            self._run(run, "end_batch", batch=batch)
