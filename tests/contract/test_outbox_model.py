"""The outbox against a model: methods in any order, also with wrong arguments, and death before any statement.

The model does what each method does, with lists and dictionaries. After each method the file must have the same content
as the model, and each item may have moved only along an arrow of the drawing in `outbox/__init__.py`.
"""

from __future__ import annotations

import shutil
import sqlite3
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import count
from operator import attrgetter
from pathlib import Path
from typing import Any

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from label_studio_otel.outbox.database import Database, Transaction
from label_studio_otel.outbox.items import NewItem
from label_studio_otel.outbox.outbox import Outbox
from label_studio_otel.settings import Destination
from label_studio_otel.testing import FakeClock
from support.outbox_file import OutboxFile

ARROWS = {
    (None, "pending"),
    ("pending", "leased"),
    ("pending", "parked"),
    ("pending", "delivered"),
    ("pending", "doubled"),
    ("pending", None),
    ("leased", "pending"),
    ("leased", "uncertain"),
    ("leased", "parked"),
    ("leased", "delivered"),
    ("uncertain", "delivered"),
    ("uncertain", "pending"),
    ("parked", "pending"),
    ("parked", None),
    ("delivered", None),
    ("doubled", None),
}
DESTINATIONS = [Destination("Prompts"), Destination("Chats", mode="chat")]
KEYS = st.lists(st.sampled_from("abcdefgh"), max_size=5)
SECONDS = st.integers(-500, 1000).map(float)


class Killed(BaseException):
    """The process ends here."""


class MortalDatabase(Database):
    """Its process dies before a statement, within a transaction, when the fuse is at its end."""

    def __init__(self, directory: Path) -> None:
        super().__init__(directory / "outbox.db")
        self.directory = directory
        self.fuse: int | None = None
        self.left: Path | None = None

    @contextmanager
    def transaction(self) -> Iterator[Transaction]:
        with super().transaction() as transaction:
            yield MortalTransaction(transaction.connection, self.burn)

    def burn(self) -> None:
        if self.fuse is not None:
            if self.fuse == 0:
                self.left = self.remains()
                raise Killed
            self.fuse -= 1

    def remains(self) -> Path:
        """Return a copy of what a process that ended now would leave on the disk."""
        copy = self.directory.with_name(f"{int(self.directory.name) + 1}")
        shutil.copytree(self.directory, copy, ignore=shutil.ignore_patterns("*-shm"))
        return copy


class MortalTransaction(Transaction):
    def __init__(self, connection: sqlite3.Connection, burn: Callable[[], None]) -> None:
        super().__init__(connection)
        self._burn = burn

    def _run(self, query: str, values: dict[str, Any]) -> sqlite3.Cursor:
        self._burn()
        return super()._run(query, values)


@dataclass
class Entry:
    """An item as the model has it."""

    id: int
    target: int
    key: str
    due_at: float
    state: str = "pending"
    batch: int | None = None
    attempts: int = 0
    predictions: int | None = None
    reason: str | None = None
    task: int | None = None
    delivered_at: float | None = None
    at_most: int | None = None
    taken_at: float = 1000.0


@dataclass
class Lot:
    """A batch as the model has it."""

    id: int
    target: int
    project: int
    watermark: int
    sent_at: float
    looked_at: float | None = None
    lookups: int = 0
    reason: str | None = None
    answer: int | None = None
    import_id: int | None = None


@dataclass
class Model:
    """All that is durable."""

    items: list[Entry] = field(default_factory=list)
    lots: dict[int, Lot] = field(default_factory=dict)
    targets: dict[int, list[Any]] = field(default_factory=dict)
    positions: dict[str, int] = field(default_factory=dict)
    rechecks: dict[int, float] = field(default_factory=dict)
    counters: dict[str, float] = field(default_factory=dict)

    def of(self, batch: int, *states: str) -> list[Entry]:
        return [one for one in self.items if one.batch == batch and one.state in states]

    def end(self, batch: int) -> None:
        if not any(one.batch == batch for one in self.items):
            del self.lots[batch]


class OutboxModel(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.scratch = Path(tempfile.mkdtemp())
        self.clock = FakeClock(1000.0)
        (self.scratch / "0").mkdir()
        self._open(self.scratch / "0")
        self.outbox_file = OutboxFile()
        self.fuse: int | None = None
        self.model = Model()
        self.before: dict[tuple[int, str], str] = {}
        self.tasks = count(1)

    @initialize(data=st.data(), uncertain=st.booleans())
    def begin(self, data: st.DataObject, uncertain: bool) -> None:
        """Begin with items of one destination, some of them under way."""
        self.accept(0, [*"abcd"], "1.spool", 7)
        self.lease(data, 1, 0, 1)
        if uncertain:
            self.mark_uncertain(data)

    @rule(to=st.integers(0, 1), keys=KEYS, file=st.sampled_from(["1.spool", "2.spool"]), at=st.integers(0, 99))
    def accept(self, to: int, keys: list[str], file: str, at: int) -> None:
        due_at = self.clock() + 2
        records = [NewItem(DESTINATIONS[to], key, key.encode()) for key in keys]
        new = self._call("accept", records, file, at, due_at)
        if new is None:
            return
        target = self._target(to) if keys else 0
        known = {one.key for one in self.model.items if one.target == target}
        fresh = [key for key in dict.fromkeys(keys) if key not in known]
        for key in fresh:
            number = max((one.id for one in self.model.items), default=0) + 1
            self.model.items.append(Entry(number, target, key, due_at, taken_at=self.clock()))
        self.model.positions[file] = at
        assert new == (len(fresh),)

    @rule(file=st.sampled_from(["1.spool", "2.spool"]))
    def forget_spool(self, file: str) -> None:
        if self._call("forget_spool", file):
            self.model.positions.pop(file, None)

    @precondition(lambda self: self.model.targets)
    @rule(data=st.data(), project=st.integers(1, 9), watermark=st.integers(0, 99), number=st.integers(0, 3))
    def lease(self, data: st.DataObject, project: int, watermark: int, number: int) -> None:
        """Lease items of one destination, also some that are not pending."""
        target = data.draw(st.sampled_from(sorted(self.model.targets)))
        chosen = self._chosen(data, [one for one in self.model.items if one.target == target])
        done = self._call("batches.lease", target, project, watermark, {one.id: number for one in chosen})
        if done is None:
            return
        batch = max(self.model.lots, default=0) + 1
        assert done == (batch,)
        self.model.lots[batch] = Lot(batch, target, project, watermark, self.clock())
        for one in chosen:
            if one.state == "pending":
                one.state, one.batch, one.predictions, one.reason = "leased", batch, number, None
                one.attempts += 1

    @precondition(lambda self: self.model.lots)
    @rule(data=st.data(), recheck_in=st.none() | st.integers(0, 300))
    def mark_delivered(self, data: st.DataObject, recheck_in: int | None) -> None:
        """Mark items as delivered, also some that are neither leased nor uncertain."""
        lot, look_at = self._lot(data), None if recheck_in is None else self.clock() + recheck_in
        theirs = [one for one in self.model.items if one.batch in (None, lot.id)]
        tasks = {one.id: next(self.tasks) for one in self._chosen(data, theirs)}
        if self._call("batches.mark_delivered", lot.id, tasks, recheck_at=look_at) is None:
            return
        if look_at is not None:
            self.model.rechecks[max(self.model.rechecks, default=0) + 1] = look_at
        if tasks:
            target = self.model.targets[lot.target]
            target[5] = max(target[5] or 0, *tasks.values())
        for one in self.model.items:
            if one.id in tasks and one.state in ("leased", "uncertain"):
                one.state, one.task, one.delivered_at = "delivered", tasks[one.id], self.clock()
                one.batch = one.reason = None
        self.model.end(lot.id)

    @precondition(lambda self: self.model.lots)
    @rule(data=st.data(), seconds=SECONDS)
    def release(self, data: st.DataObject, seconds: float) -> None:
        lot, due_at = self._lot(data), self.clock() + seconds
        if self._call("batches.release", lot.id, due_at, "refused"):
            for one in self.model.of(lot.id, "leased"):
                one.state, one.batch, one.due_at, one.reason = "pending", None, due_at, "refused"
            self.model.end(lot.id)

    @precondition(lambda self: self.model.lots)
    @rule(data=st.data(), answer=st.sampled_from([None, 500]), later=st.sampled_from([None, 12]))
    def mark_uncertain(self, data: st.DataObject, answer: int | None = None, later: int | None = None) -> None:
        lot = self._lot(data)
        if self._call("batches.mark_uncertain", lot.id, "no answer", answer=answer, import_id=later):
            lot.reason, lot.answer, lot.import_id = "no answer", answer, later
            for one in self.model.of(lot.id, "leased"):
                one.state, one.reason = "uncertain", "no answer"

    @precondition(lambda self: self.model.lots)
    @rule(data=st.data())
    def look(self, data: st.DataObject) -> None:
        lot = self._lot(data)
        if self._call("batches.note_lookup", lot.id):
            lot.looked_at, lot.lookups = self.clock(), lot.lookups + 1

    @precondition(lambda self: self.model.lots)
    @rule(data=st.data(), at_most=st.sampled_from([None, 1]), suspect=st.booleans())
    def mark_not_arrived(self, data: st.DataObject, at_most: int | None, suspect: bool) -> None:
        lot = self._lot(data)
        if self._call("batches.mark_not_arrived", lot.id, "not there", at_most=at_most, suspect=suspect):
            for one in self.model.of(lot.id, "uncertain"):
                one.at_most = at_most or one.at_most
                one.attempts = one.attempts if suspect else 0
                one.state, one.batch, one.due_at, one.reason = "pending", None, self.clock(), "not there"
            self.model.end(lot.id)

    @precondition(lambda self: self.model.items)
    @rule(data=st.data())
    def park(self, data: st.DataObject) -> None:
        chosen = self._chosen(data, self.model.items)
        if self._call("park", {one.id: "unreadable" for one in chosen}):
            for one in chosen:
                if one.state in ("pending", "leased"):
                    one.state, one.batch, one.reason = "parked", None, "unreadable"

    @precondition(lambda self: self.model.items)
    @rule(data=st.data())
    def drop(self, data: st.DataObject) -> None:
        chosen = self._chosen(data, self.model.items)
        if self._call("drop", [one.id for one in chosen]):
            gone = [one for one in chosen if one.state in ("pending", "parked")]
            self.model.items = [one for one in self.model.items if one not in gone]

    @precondition(lambda self: self.model.items)
    @rule(data=st.data())
    def mark_found(self, data: st.DataObject) -> None:
        """A look-up before sending found them, or some of them."""
        tasks = {one.id: next(self.tasks) for one in self._chosen(data, self.model.items)}
        if self._call("mark_found", tasks):
            for one in self.model.items:
                if one.id in tasks and one.state == "pending":
                    one.state, one.task, one.delivered_at, one.reason = "delivered", tasks[one.id], self.clock(), None

    @precondition(lambda self: self.model.items)
    @rule(data=st.data())
    def mark_merged(self, data: st.DataObject) -> None:
        chosen = self._chosen(data, self.model.items)
        if self._call("mark_merged", {one.id: "another key" for one in chosen}):
            for one in chosen:
                if one.state == "pending":
                    one.state, one.delivered_at, one.reason = "doubled", self.clock(), "another key"

    @rule(seconds=st.integers(0, 300))
    def give_up(self, seconds: int) -> None:
        before = self.clock() - seconds
        gone = [one for one in self.model.items if one.state in ("pending", "parked") and one.taken_at < before]
        if done := self._call("give_up", before):
            assert done == (len(gone),)
            self.model.items = [one for one in self.model.items if one not in gone]
            if gone:
                self.model.counters["given_up"] = self.model.counters.get("given_up", 0) + len(gone)

    @precondition(lambda self: self.model.rechecks)
    @rule(data=st.data(), again=st.booleans())
    def postpone_or_finish_a_recheck(self, data: st.DataObject, again: bool) -> None:
        number = data.draw(st.sampled_from(sorted(self.model.rechecks)))
        if again and self._call("batches.postpone_recheck", number, self.clock() + 60):
            self.model.rechecks[number] = self.clock() + 60
        if not again and self._call("batches.finish_recheck", number):
            del self.model.rechecks[number]

    @rule()
    def retry(self) -> None:
        parked = [one for one in self.model.items if one.state == "parked"]
        if done := self._call("retry"):
            assert done == (len(parked),)
            for one in parked:
                one.state, one.due_at, one.attempts, one.reason = "pending", self.clock(), 0, None
                one.at_most = None
            for target in self.model.targets.values():
                target[1:4] = [None, 0, 0.0]

    @rule()
    def skip_settling(self) -> None:
        if self._call("skip_settling"):
            for one in self.model.items:
                if one.state == "pending" and one.attempts == 0:
                    one.due_at = min(one.due_at, self.clock())

    @rule(seconds=st.integers(0, 300))
    def expire(self, seconds: int) -> None:
        before = self.clock() - seconds
        gone = [one for one in self.model.items if one.delivered_at is not None and one.delivered_at < before]
        if done := self._call("expire", before):
            assert done == (len(gone),)
            self.model.items = [one for one in self.model.items if one not in gone]
            kept = {one.target for one in self.model.items} | {lot.target for lot in self.model.lots.values()}
            kept.add(max(self.model.targets, default=0))
            self.model.targets = {number: one for number, one in self.model.targets.items() if number in kept}
            self.model.counters["fingerprints_forgotten_to"] = self.clock() - 3600

    @precondition(lambda self: self.model.targets)
    @rule(
        data=st.data(), what=st.sampled_from(["block", "unblock", "resolve"]), watermark=st.none() | st.integers(0, 9)
    )
    def change_target(self, data: st.DataObject, what: str, watermark: int | None) -> None:
        number = data.draw(st.sampled_from(sorted(self.model.targets)))
        target = self.model.targets[number]
        if what == "block" and self._call("destinations.block", number, "401", self.clock() + 60, passing=True):
            target[1:4] = ["401", target[2] + 1, self.clock() + 60]
        if what == "unblock" and self._call("destinations.unblock", number):
            target[1:4] = [None, 0, 0.0]
        if what == "resolve" and self._call("destinations.set_project", number, 7, watermark):
            target[4:6] = [7, watermark]

    @rule(seconds=SECONDS)
    def the_clock_jumps(self, seconds: float) -> None:
        self.clock.sleep(seconds)

    @rule()
    def crash_and_take_over(self) -> None:
        """Killed between two calls, and another process goes on with what is on the disk."""
        self._reopen(self.database.remains())
        leased = [one for one in self.model.items if one.state == "leased"]
        if done := self._call("take_over", "its process ended"):
            assert done == (len({one.batch for one in leased}),)
            for one in leased:
                one.state, one.reason = "uncertain", "its process ended"
            for target in self.model.targets.values():
                target[3] = 0.0 if target[1] else target[3]
            now = self.clock()
            for one in self.model.items:
                if one.state == "pending" and one.due_at > now + 3000:
                    one.due_at = now + 900
            for lot in self.model.lots.values():
                lot.sent_at = min(lot.sent_at, now)
                lot.looked_at = None if lot.looked_at is None else min(lot.looked_at, now)
            self.model.rechecks = {
                number: now + 900 if at > now + 86400 else at for number, at in self.model.rechecks.items()
            }

    @rule(seconds=SECONDS)
    def shift_times(self, seconds: float) -> None:
        if self._call("shift_times", seconds):
            for one in self.model.items:
                if one.state not in ("delivered", "doubled"):
                    one.due_at, one.taken_at = one.due_at + seconds, one.taken_at + seconds
            for lot in self.model.lots.values():
                lot.sent_at += seconds
                lot.looked_at = None if lot.looked_at is None else lot.looked_at + seconds
            for number in self.model.rechecks:
                self.model.rechecks[number] += seconds
            for target in self.model.targets.values():
                target[3] = target[3] + seconds if target[1] else target[3]

    @rule(statements=st.integers(0, 6))
    def die_soon(self, statements: int) -> None:
        self.fuse = statements

    @rule()
    def close(self) -> None:
        self.outbox_file.close()
        self.outbox.close()

    @invariant()
    def the_disk_is_the_models(self) -> None:
        rows = self._rows(
            "SELECT id, destination, key, due_at, state, batch, attempts, predictions, reason, task,"
            " delivered_at, at_most, taken_at FROM item ORDER BY id"
        )
        assert [Entry(*row) for row in rows] == sorted(self.model.items, key=lambda one: one.id)
        lots = self._rows(
            "SELECT id, destination, project, watermark, sent_at, looked_at, lookups, reason, answer, import_id"
            " FROM batch"
        )
        assert [Lot(*row) for row in lots] == sorted(self.model.lots.values(), key=lambda lot: lot.id)

    @invariant()
    def answers_are_the_models(self) -> None:
        assert self.outbox.spool_positions() == self.model.positions
        assert self.outbox.counters() == self.model.counters
        due_rechecks = {number for number, look_at in self.model.rechecks.items() if look_at <= self.clock()}
        assert {one.id for one in self.outbox.batches.due_rechecks(self.clock())} == due_rechecks
        for number in self.model.targets:
            pending = [one for one in self.model.items if (one.target, one.state) == (number, "pending")]
            due = [(one.id, one.key, one.key.encode(), one.attempts) for one in pending if one.due_at <= self.clock()]
            found = [(one.id, one.key, one.record, one.attempts) for one in self.outbox.due_items(number, 3)]
            assert found == sorted(due)[:3]
            assert self.outbox.next_due(number) == min((one.due_at for one in pending), default=None)
        first_due: dict[int, float] = {}
        for one in self.model.items:
            if one.state == "pending":
                first_due[one.target] = min(one.due_at, first_due.get(one.target, one.due_at))
        assert {target.id: due_at for target, due_at in self.outbox.destinations.with_pending()} == first_due
        uncertain = {one.batch for one in self.model.items if one.state == "uncertain"}
        assert [lot.id for lot in self.outbox.batches.uncertain()] == sorted(filter(None, uncertain))
        for batch in self.model.lots:
            assert {one.key for one in self.outbox.batches.items(batch)} == {
                one.key for one in self.model.of(batch, "leased", "uncertain")
            }
        assert {one.id for one in self.outbox.movable(99)} == {
            one.id for one in self.model.items if one.state in ("pending", "parked")
        }
        counted = {state: number for state, number in self.outbox.overview.summary().states.items() if number}
        states = [one.state for one in self.model.items]
        assert counted == {state: states.count(state) for state in set(states)}
        targets = {
            one.id: [one.destination.project_name, one.blocked, one.failures, one.retry_at, one.project, one.watermark]
            for one in self.outbox.destinations.all()
        }
        assert targets == self.model.targets

    def teardown(self) -> None:
        self.close()
        shutil.rmtree(self.scratch)

    def _call(self, method: str, /, *arguments: Any, **options: Any) -> tuple[Any] | None:
        """Return the answer, None where the process died in it: then nothing may have happened."""
        database = self.database
        database.fuse, self.fuse = self.fuse, None
        try:
            answer = attrgetter(method)(self.outbox)(*arguments, **options)
            database.fuse = None
            self._moved_along_arrows()
            return (answer,)
        except Killed:
            assert database.left is not None
            self._reopen(database.left)
            return None

    def _moved_along_arrows(self) -> None:
        now = {(target, key): state for target, key, state in self._rows("SELECT destination, key, state FROM item")}
        moved = {(self.before.get(one), now.get(one)) for one in {*self.before, *now}}
        assert {(old, new) for old, new in moved if old != new} <= ARROWS
        self.before = now

    def _reopen(self, directory: Path) -> None:
        self.close()
        self._open(directory)

    def _open(self, directory: Path) -> None:
        self.database = MortalDatabase(directory)
        self.outbox = Outbox(self.database, clock=self.clock)

    def _rows(self, query: str) -> list[Any]:
        self.outbox.spool_positions()  # makes the file where there is none
        return self.outbox_file.rows(self.database.directory / "outbox.db", query)

    def _target(self, to: int) -> int:
        name = DESTINATIONS[to].project_name
        for number, target in self.model.targets.items():
            if target[0] == name:
                return number
        number = max(self.model.targets, default=0) + 1
        self.model.targets[number] = [name, None, 0, 0.0, None, None]
        return number

    def _lot(self, data: st.DataObject) -> Lot:
        return self.model.lots[data.draw(st.sampled_from(sorted(self.model.lots)))]

    def _chosen(self, data: st.DataObject, entries: list[Entry]) -> list[Entry]:
        chosen = data.draw(st.sets(st.sampled_from([one.id for one in entries]))) if entries else set()
        return [one for one in entries if one.id in chosen]


TestOutboxModel = OutboxModel.TestCase
TestOutboxModel.settings = settings(max_examples=100, stateful_step_count=40, derandomize=True, database=None)
