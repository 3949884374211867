"""`Outbox` holds the items and changes their states; `outbox/__init__.py` draws the states."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from label_studio_otel.outbox.batches import Batches
from label_studio_otel.outbox.database import Database
from label_studio_otel.outbox.destinations import Destinations, destination_id
from label_studio_otel.outbox.items import Item, NewEvent, NewItem, Overlap, RestoredItem
from label_studio_otel.outbox.overview import Overview

#: Seconds after its delivery that a call keeps its fingerprint, by which another span of the same call is recognized.
FINGERPRINT_RETENTION_S = 3600.0
#: Seconds that log events are kept while no call in the outbox needs them: their call may still be going on.
UNCLAIMED_EVENT_RETENTION_S = 3600.0
#: Longest call that `overlapping` finds, in nanoseconds, and the largest number of items that it returns.
LONGEST_CALL_NS = 3600 * 10**9
MAX_OVERLAPPING = 5000


class Outbox:
    """The items, with their destinations and batches. Each method is one transaction, durable when it returns.

    Every method raises OutboxError when the database cannot be used. The clock returns seconds since the epoch.
    """

    def __init__(self, database: Database, *, clock: Callable[[], float] = time.time) -> None:
        self.database = database
        self.destinations = Destinations(database)
        self.batches = Batches(database, clock)
        self.overview = Overview(database)
        self._clock = clock

    @classmethod
    def in_file(
        cls, path: Path, *, read_only: bool = False, clock: Callable[[], float] = time.time, synchronous: str = "NORMAL"
    ) -> Outbox:
        """Return the outbox in an SQLite file; see `Database`."""
        return cls(Database(path, read_only=read_only, synchronous=synchronous), clock=clock)

    def close(self) -> None:
        """Close the database; the next call opens it again."""
        self.database.close()

    def used_bytes(self) -> int:
        """Return how many bytes of the storage are in use."""
        return self.database.used_bytes()

    # What comes in

    def accept(
        self, items: Sequence[NewItem], spool: str, position: int, due_at: float, events: Sequence[NewEvent] = ()
    ) -> int:
        """Add calls and log events; return how many of the calls are new. One with a known key changes nothing.

        Args:
            spool: name of the spool file that was read up to `position`, empty where they come from elsewhere.
        """
        now = self._clock()
        with self.database.transaction() as run:
            ids = {each: destination_id(run, each) for each in {item.destination for item in items}}
            new = 0
            for item in items:
                times = {"now": now, "due_at": due_at, "started": item.started, "ended": item.ended}
                row = run.insert("accept", destination=ids[item.destination], key=item.key, **times)
                if row is not None:
                    run.change("add_record", item=row, record=item.payload)
                    new += 1
            for destination, scope in {(item.destination, item.scope) for item in items}:
                run.change("add_scope", destination=ids[destination], name=scope)
            for span, record in events:
                digest = hashlib.sha256(record).hexdigest()[:32]
                run.change("add_event", span=span, digest=digest, record=record, now=now)
            if spool:
                run.change("set_spool_position", name=spool, position=position)
        return new

    def restore(self, items: Sequence[RestoredItem]) -> None:
        """Add calls of a damaged outbox; what was leased or uncertain becomes pending."""
        with self.database.transaction() as run:
            for destination, key, payload, state, reason in items:
                # An item without its record too: rendering parks it with a reason; as `uncertain` it would never end.
                kept = state if state in ("delivered", "doubled", "parked") else "pending"
                values = {"destination": destination_id(run, destination), "key": key, "state": kept}
                row = run.insert("restore", **values, reason=reason, now=self._clock())
                if row is not None and payload is not None and kept not in ("delivered", "doubled"):
                    run.change("add_record", item=row, record=payload)

    def spool_positions(self) -> dict[str, int]:
        """Return up to which position each spool file was read, by its name."""
        return {row["name"]: row["position"] for row in self.database.rows("spool_positions")}

    def forget_spool(self, name: str) -> None:
        """Delete the position of a spool file that is removed."""
        self.database.change("forget_spool", name=name)

    # Pending items

    def due_items(self, destination_id: int, limit: int, after: int = 0) -> list[Item]:
        """Return pending items that are due and have an id above `after`, the oldest first."""
        values = {"now": self._clock(), "limit": limit, "after": after}
        return [Item(*row) for row in self.database.rows("due_items", destination=destination_id, **values)]

    def next_due(self, destination_id: int) -> float | None:
        """Return when the next pending item of a destination is due, None where none is pending."""
        ((at,),) = self.database.rows("next_due", destination=destination_id)
        return at if at is None else float(at)

    def are_pending(self, items: Sequence[Item]) -> bool:
        """Return whether all of these items are pending."""
        with self.database.transaction() as run:
            return all(run.rows("is_pending", id=item.id, key=item.key) for item in items)

    def skip_settling(self) -> None:
        """Make every pending item that was never sent due now."""
        self.database.change("skip_settling", now=self._clock())

    def postpone(self, due_at: Mapping[int, float]) -> None:
        """Set when pending items (id: time) are due."""
        self.database.change_each("postpone", "due_at", due_at)

    def mark_found(self, tasks: Mapping[int, int]) -> None:
        """Mark pending items (id: task id) as delivered: Label Studio has their tasks already."""
        self.database.change_each("mark_found", "task", tasks, now=self._clock())

    def mark_merged(self, winners: Mapping[int, str]) -> None:
        """Mark pending items (id: key of the other item) as the same call as another item; they are not sent."""
        self.database.change_each("mark_merged", "winner", winners, now=self._clock())

    def park(self, reasons: Mapping[int, str]) -> None:
        """Keep pending or leased items (id: reason) out of delivery until `retry`."""
        self.database.change_each("park", "reason", reasons)

    def retry(self) -> int:
        """Make parked items pending and open all destinations; return how many items."""
        with self.database.transaction() as run:
            number = run.change("retry", now=self._clock())
            run.change("unblock", destination=None)
        return number

    def movable(self, limit: int) -> list[Item]:
        """Return pending and parked items, which were never delivered to this server, the oldest first."""
        return [Item(*row) for row in self.database.rows("movable", limit=limit)]

    def drop(self, items: Sequence[int]) -> None:
        """Delete pending and parked items that are stored elsewhere now."""
        with self.database.transaction() as run:
            for item in items:
                run.change("drop", id=item)

    # Merging of spans

    def overlapping(self, destination_id: int, started: int, ended: int) -> list[Overlap]:
        """Return pending items, and others with a fingerprint, whose calls ran between these times (nanoseconds)."""
        times = {"earliest": started - LONGEST_CALL_NS, "started": started, "ended": ended}
        rows = self.database.rows("overlapping", destination=destination_id, **times, limit=MAX_OVERLAPPING)
        return [Overlap(*row) for row in rows]

    def record(self, item: int) -> bytes:
        """Return the record of an item, empty if it was deleted because the item is done."""
        return next((row["record"] for row in self.database.rows("record", id=item)), b"")

    def note_fingerprints(self, fingerprints: Mapping[int, str]) -> None:
        """Store fingerprints (item id: fingerprint), by which another span of the same call is recognized."""
        self.database.change_each("note_fingerprint", "fingerprint", fingerprints)

    def has_events(self) -> bool:
        """Return whether there are any log events."""
        return bool(self.database.rows("has_events"))

    def events(self, span: str) -> list[bytes]:
        """Return the log events of a span (trace_id:span_id), as they came."""
        return [row["record"] for row in self.database.rows("events", span=span)]

    # Time and process

    def take_over(self, reason: str) -> int:
        """Mark as uncertain what another process had leased when it died; return how many batches.

        Blocked destinations may be tried at once. Times too far in the future are corrected: a clock was wrong.
        """
        with self.database.transaction() as run:
            run.change("take_over", now=self._clock())
            batches = [row["batch"] for row in run.rows("leased_batches")]
            for batch in batches:
                run.change("mark_uncertain", batch=batch, reason=reason)
        return len(batches)

    def shift_times(self, seconds: float) -> None:
        """Add to all times of what is not delivered: the clock was set by so many seconds."""
        self.database.change("shift_times", by=seconds)

    def expire(self, before: float) -> int:
        """Delete the keys of items that were delivered or merged before then; return how many.

        Also delete destinations without items, log events that no call claimed for an hour, and old fingerprints.
        """
        now = self._clock()
        with self.database.transaction() as run:
            run.change("expire_unclaimed_events", before=now - UNCLAIMED_EVENT_RETENTION_S, limit=-1)
            run.change("forget_fingerprints", before=now - FINGERPRINT_RETENTION_S)
            run.change("set_counter", name="fingerprints_forgotten_to", value=now - FINGERPRINT_RETENTION_S)
            number = run.change("expire", limit=-1, before=before)
            run.change("forget_destinations")
        return number

    def expire_oldest(self, limit: int, before: float) -> int:
        """Make room: delete the oldest keys of done items and log events that no call waits for, all before then.

        At most `limit` of each; return how many.
        """
        with self.database.transaction() as run:
            events = run.change("expire_unclaimed_events", limit=limit, before=before)
            return events + run.change("expire", limit=limit, before=before)

    def give_up(self, before: float) -> int:
        """Delete pending and parked items that were taken before then, and count them; return how many."""
        with self.database.transaction() as run:
            number = run.change("give_up", before=before)
            if number:
                run.change("add_to_counter", name="given_up", value=number)
        return number

    def counters(self) -> dict[str, float]:
        """Return the stored numbers by name."""
        return {row["name"]: row["value"] for row in self.database.rows("counters")}

    def set_counter(self, name: str, value: float) -> None:
        """Store a number."""
        self.database.change("set_counter", name=name, value=value)

    def add_to_counter(self, name: str, number: int) -> None:
        """Add to a stored number."""
        self.database.change("add_to_counter", name=name, value=number)

    def is_unused(self) -> bool:
        """Return whether nothing was ever added or stored."""
        return not self.database.rows("is_used")
