"""The outbox in SQLite: one file, one writing process, every method one transaction.

Never opened in a thread of the application, and closed before its process forks: a handle that is inherited loses
commits silently.
"""

from __future__ import annotations

import hashlib
import json
from typing import TYPE_CHECKING

from label_studio_otel.outbox.doubts import Doubts
from label_studio_otel.outbox.items import STATES, Item, Summary, Taken, Target
from label_studio_otel.settings import Destination

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Mapping, Sequence

__all__ = ["SqliteOutbox"]

#: Seconds after its delivery within which another span of the same call is known for it.
LATE = 3600.0
#: Seconds that log events are kept of which no call waits: it may still go on.
UNCLAIMED = 3600.0
#: A number kept in the outbox: what was done before then has no fingerprint any more.
FORGOTTEN_TO = "fingerprints_forgotten_to"


class SqliteOutbox(Doubts):
    """An `Outbox` in one file."""

    def accept(
        self,
        records: Sequence[tuple[Destination, str, bytes] | Taken],
        spool: str,
        position: int,
        due_at: float,
        events: Sequence[tuple[str, bytes]] = (),
    ) -> int:
        """See `Outbox.accept`."""
        with self._transaction() as run:
            now = self._clock()
            taken = [Taken(*record) for record in records]
            ids = {
                destination: self._destination(run, destination) for destination in {one.destination for one in taken}
            }
            new = 0
            for one in taken:
                values = {"destination": ids[one.destination], "key": one.key, "state": "pending"}
                times = {"now": now, "due_at": due_at, "started": one.started, "ended": one.ended}
                inserted = self._run(run, "accept", **values, **times)
                if inserted.rowcount:
                    self._run(run, "keep", item=inserted.lastrowid, record=one.payload)
                    new += 1
            for destination, scope in {(one.destination, one.scope) for one in taken}:
                self._run(run, "note_scope", destination=ids[destination], name=scope)
            for span, record in events:
                digest = hashlib.sha256(record).hexdigest()[:32]
                self._run(run, "take_event", span=span, digest=digest, record=record, now=now)
            if spool:
                self._run(run, "move_offset", name=spool, position=position)
        return new

    def restore(self, rows: Sequence[tuple[Destination, str, bytes | None, str, str | None]]) -> None:
        """Take items (destination, key, payload, state, reason) over from another outbox."""
        with self._transaction() as run:
            now = self._clock()
            for destination, key, payload, state, reason in rows:
                # Without its record too: who reads it parks it and says why, where `uncertain` would wait for ever.
                kept = state if state in ("delivered", "doubled", "parked") else "pending"
                values = {"destination": self._destination(run, destination), "key": key, "state": kept}
                inserted = self._run(run, "restore", **values, reason=reason, now=now)
                if inserted.rowcount and payload is not None and kept not in ("delivered", "doubled"):
                    self._run(run, "keep", item=inserted.lastrowid, record=payload)

    def positions(self) -> dict[str, int]:
        """See `Outbox.positions`."""
        return {row["name"]: row["position"] for row in self._rows("spools")}

    def forget_spool(self, name: str) -> None:
        """See `Outbox.forget_spool`."""
        self._change("forget_spool", name=name)

    def targets(self) -> list[Target]:
        """See `Outbox.targets`."""
        return [_target(row) for row in self._rows("destinations")]

    def waiting(self) -> list[tuple[Target, float]]:
        """See `Outbox.waiting`."""
        return [(_target(row), row["due_at"]) for row in self._rows("waiting")]

    def due(self, target: int, limit: int, after: int = 0) -> list[Item]:
        """See `Outbox.due`."""
        rows = self._rows("due", destination=target, now=self._clock(), limit=limit, after=after)
        return [
            Item(row["id"], row["key"], row["record"], row["attempts"], 0, row["taken_at"], row["at_most"])
            for row in rows
        ]

    def are_pending(self, items: Sequence[Item]) -> bool:
        """See `Outbox.are_pending`."""
        with self._transaction() as run:
            return all(self._run(run, "is_pending", id=item.id, key=item.key).fetchone() for item in items)

    def next_due(self, target: int) -> float | None:
        """See `Outbox.next_due`."""
        at: float | None = self._rows("next_due", destination=target)[0]["at"]
        return at

    def waive(self) -> None:
        """See `Outbox.waive`."""
        self._change("waive", now=self._clock())

    def resolve(self, target: int, project: int | None, watermark: int | None, created: str = "") -> None:
        """See `Outbox.resolve`."""
        self._change("resolve", destination=target, project=project, watermark=watermark, created=created)

    def block(self, target: int, reason: str, retry_at: float, *, passing: bool) -> None:
        """See `Outbox.block`."""
        self._change("block", destination=target, reason=reason, retry_at=retry_at, passing=int(passing))

    def unblock(self, target: int) -> None:
        """See `Outbox.unblock`."""
        self._change("unblock", destination=target)

    def lease(self, target: int, project: int, watermark: int, predictions: Mapping[int, int]) -> int:
        """See `Outbox.lease`."""
        with self._transaction() as run:
            values = {"destination": target, "project": project, "watermark": watermark, "now": self._clock()}
            batch = self._run(run, "begin_batch", **values).lastrowid
            assert batch is not None
            for item, number in predictions.items():
                self._run(run, "lease", id=item, batch=batch, predictions=number)
        return batch

    def deliver(self, batch: int, tasks: Mapping[int, int | None], *, look_at: float | None = None) -> None:
        """See `Outbox.deliver`."""
        with self._transaction() as run:
            if look_at is not None:
                keys = [row["key"] for item in tasks for row in self._run(run, "key_of", id=item)]
                self._run(run, "watch", batch=batch, look_at=look_at, keys=json.dumps(keys))
            highest = max((task for task in tasks.values() if task), default=None)
            if highest is not None:
                (target,) = run.execute("SELECT destination FROM batch WHERE id = ?", (batch,)).fetchone()
                self._run(run, "raise_watermark", destination=target, watermark=highest)
            for item, task in tasks.items():
                self._run(run, "deliver", id=item, task=task, now=self._clock())
            self._run(run, "end_batch", batch=batch)

    def adopt(self, tasks: Mapping[int, int]) -> None:
        """See `Outbox.adopt`."""
        with self._transaction() as run:
            for item, task in tasks.items():
                self._run(run, "adopt", id=item, task=task, now=self._clock())

    def double(self, winners: Mapping[int, str]) -> None:
        """See `Outbox.double`."""
        with self._transaction() as run:
            for item, winner in winners.items():
                self._run(run, "double", id=item, winner=winner, now=self._clock())

    def release(self, batch: int, due_at: float, reason: str | None) -> None:
        """See `Outbox.release`."""
        with self._transaction() as run:
            self._run(run, "release", batch=batch, due_at=due_at, reason=reason)
            self._run(run, "end_batch", batch=batch)

    def park(self, reasons: Mapping[int, str]) -> None:
        """See `Outbox.park`."""
        with self._transaction() as run:
            for item, reason in reasons.items():
                self._run(run, "park", id=item, reason=reason)

    def retry(self) -> int:
        """See `Outbox.retry`."""
        with self._transaction() as run:
            number = self._run(run, "unpark", now=self._clock()).rowcount
            for row in self._run(run, "destinations").fetchall():
                self._run(run, "unblock", destination=row["id"])
        return number

    def movable(self, limit: int) -> list[Item]:
        """See `Outbox.movable`."""
        rows = self._rows("movable", limit=limit)
        return [Item(row["id"], row["key"], row["record"], row["attempts"]) for row in rows]

    def drop(self, items: Sequence[int]) -> None:
        """See `Outbox.drop`."""
        with self._transaction() as run:
            for item in items:
                self._run(run, "drop", id=item)

    def expire(self, before: float) -> int:
        """See `Outbox.expire`."""
        with self._transaction() as run:
            self._run(run, "expire_unclaimed_events", before=self._clock() - UNCLAIMED, limit=-1)
            self._forget_fingerprints(run, self._clock() - LATE)
            number = self._run(run, "expire", before=before).rowcount
            self._run(run, "forget_destinations")
            self._run(run, "expire_scopes")
        return number

    def expire_oldest(self, limit: int, before: float) -> int:
        """See `Outbox.expire_oldest`."""
        with self._transaction() as run:
            events = self._run(run, "expire_unclaimed_events", limit=limit, before=before).rowcount
            return events + self._run(run, "expire_oldest", limit=limit, before=before).rowcount

    def give_up(self, before: float) -> int:
        """See `Outbox.give_up`."""
        with self._transaction() as run:
            number = self._run(run, "give_up", before=before).rowcount
            if number:
                self._run(run, "add_to_fact", name="given_up", value=number)
        return number

    def has_delivered(self, target: int, since: float) -> bool:
        """See `Outbox.has_delivered`."""
        return bool(self._rows("has_delivered", destination=target, since=since)[0]["some"])

    def facts(self) -> dict[str, float]:
        """See `Outbox.facts`."""
        return {row["name"]: row["value"] for row in self._rows("facts")}

    def note(self, name: str, value: float) -> None:
        """See `Outbox.note`."""
        self._change("set_fact", name=name, value=value)

    def count(self, name: str, number: int) -> None:
        """See `Outbox.count`."""
        self._change("add_to_fact", name=name, value=number)

    def is_unused(self) -> bool:
        """See `Outbox.is_unused`."""
        return not self._rows("is_used")[0]["used"]

    def summary(self) -> Summary:
        """See `Outbox.summary`."""
        summary = Summary(facts=self.facts())
        by_target: dict[int, dict[str, int]] = {}
        for row in self._rows("counts"):
            summary.states[row["state"]] += row["number"]
            by_target.setdefault(row["destination"], dict.fromkeys(STATES, 0))[row["state"]] = row["number"]
            if row["state"] not in ("delivered", "doubled"):
                summary.oldest = min(row["oldest"], summary.oldest or row["oldest"])
        parked: dict[int, dict[str, int]] = {}
        for row in self._rows("parked_reasons"):
            parked.setdefault(row["destination"], {})[row["reason"] or ""] = row["number"]
        for target in self.targets():
            states = by_target.get(target.id, dict.fromkeys(STATES, 0))
            summary.targets.append((target, states, parked.get(target.id, {})))
        return summary

    def _forget_fingerprints(self, run: sqlite3.Connection, before: float) -> None:
        """Forget those of what was done before then; only what was done since the last time is looked at."""
        facts = {row["name"]: row["value"] for row in self._run(run, "facts")}
        self._run(run, "forget_fingerprints", since=min(before, facts.get(FORGOTTEN_TO, 0.0)), before=before)
        self._run(run, "set_fact", name=FORGOTTEN_TO, value=before)

    def _destination(self, run: sqlite3.Connection, destination: Destination) -> int:
        # A project named by its id is the same destination whatever else was said.
        named = not destination.project_id
        identity = {
            "project_id": destination.project_id or 0,
            "project_name": destination.project_name if named else "",
            "mode": destination.mode if named else "",
            "default_name": int(destination.default_name and named),
        }
        self._run(run, "open_destination", **identity, project_config=destination.project_config)
        (target,) = self._run(run, "destination_id", **identity).fetchone()
        return int(target)


def _target(row: sqlite3.Row) -> Target:
    destination = Destination(
        project_name=row["project_name"],
        project_id=row["project_id"] or None,
        mode=row["mode"],
        project_config=row["project_config"],
        default_name=bool(row["default_name"]),
    )
    return Target(
        id=row["id"],
        destination=destination,
        blocked=(row["reason"] or "blocked") if row["state"] == "blocked" else None,
        passing=bool(row["passing"]),
        project=row["project"],
        watermark=row["watermark"],
        failures=row["failures"],
        retry_at=row["retry_at"],
        created=row["created"] or "",
    )
