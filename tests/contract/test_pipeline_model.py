"""From `append` to Label Studio against a model: processes die at any moment, answers get lost, and each call that was
taken becomes one task with its prediction.

The server is the fake's store behind a wire in memory. It fails an assertion as soon as a task is sent that is already
there, or on its way there, or whose lease is not yet durable.
"""

from __future__ import annotations

import json
import shutil
import tempfile
from collections import Counter, deque
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl, urlsplit

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from label_studio_otel.delivery import backoff
from label_studio_otel.delivery.destinations import Delivery
from label_studio_otel.delivery.hooks import Hooks
from label_studio_otel.errors import DestinationBlocked, Retryable, Uncertain
from label_studio_otel.label_studio.client import LabelStudio
from label_studio_otel.label_studio.transport import Response
from label_studio_otel.outbox.database import Database
from label_studio_otel.outbox.outbox import Outbox
from label_studio_otel.pipeline import ingest, spool_directory
from label_studio_otel.settings import Destination, load
from label_studio_otel.spool import record as spool
from label_studio_otel.spool.reader import SpoolFile, spool_files
from label_studio_otel.spool.writer import SpoolWriter
from label_studio_otel.tasks import labeling_config
from label_studio_otel.testing import START_TIME, span
from label_studio_otel.testing.store import Call, Fault, Store
from support.delivering import record
from support.outbox_file import OutboxFile

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from random import Random

    import pytest

    from label_studio_otel.outbox.database import Transaction

DESTINATIONS = [Destination("Prompts"), Destination("", project_id=2)]
#: Seconds. An import that is carried out late is so within this time: Delivery's promise ends there.
UNCERTAIN_WAIT = 60.0
#: What becomes of an import that is not carried out …
REFUSED = ["unreachable", "cut short", 401, 413, 429, "rejected"]
#: … of one that may have been …
DOUBTFUL = [500, "lost", "unanswered", "late", "twice", "uncounted", "killed"]
#: … and of one whose predictions are lost.
FAULTS = [None, *REFUSED, *DOUBTFUL, *DOUBTFUL, "unpredicted", "unpredicted"]


class Killed(BaseException):
    """The process ends here."""


class Wire:
    """The transport to a Label Studio in memory."""

    def __init__(self, world: PipelineModel) -> None:
        self.world = world

    def send(
        self,
        method: str,
        path: str,
        body: bytes | None,
        _: str,
        on_connected: Callable[[], None],
        *,
        on_sent: Callable[[], None],
    ) -> Response:
        world = self.world
        importing = urlsplit(path).path.endswith("/import")
        fault = world.faults.popleft() if importing and world.faults else None
        world.moment()
        if fault == "unreachable":
            raise DestinationBlocked("no connection", passing=True)
        on_connected()
        world.moment()
        if fault == "cut short":
            raise Retryable("broken off")
        if not importing and world.silent:
            world.silent -= 1
            raise Uncertain("no answer")
        if importing:
            on_sent()
        return self._import(path, body or b"", fault) if importing else world.carry_out(method, path, body)

    def _import(self, path: str, body: bytes, fault: Any) -> Response:
        world = self.world
        world.sent(path, json.loads(body))
        if isinstance(fault, int):
            return Response(fault, {}, b"{}")
        if fault == "late":
            world.late.append((world.real + 50, path, body))
            world.on_their_way.update(world.keys(path, json.loads(body)))
        if fault in ("late", "lost"):
            raise Uncertain("no answer")
        reject = (0,) if fault == "rejected" else ()
        flaws = Fault(without_counts=fault == "uncounted", lose_predictions=fault == "unpredicted", reject=reject)
        answer = world.carry_out("POST", path, body, flaws)
        if fault == "twice":
            world.carry_out("POST", path, body)
        world.moment()
        if fault == "killed":
            raise Killed
        if fault in ("unanswered", "twice"):
            raise Uncertain("no answer")
        return answer


class MortalDatabase(Database):
    """Its process may die before and after each transaction."""

    def __init__(self, path: Path, moment: Callable[[], None]) -> None:
        super().__init__(path)
        self._moment = moment

    @contextmanager
    def transaction(self) -> Iterator[Transaction]:
        self._moment()
        with super().transaction() as transaction:
            yield transaction
        self._moment()


class PipelineModel(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        backoff._random.seed(0)  # else what is due at a time differs from run to run
        self.directory = Path(tempfile.mkdtemp())
        self.outbox_file = OutboxFile()
        self.writers = [self._writer(), self._writer()]
        self.store = Store()
        for title in ("Prompts", "By its id"):
            body = {"title": title, "label_config": labeling_config.template("prompt")}
            self.store.carry_out(Call("POST", "/api/projects/", {}, body))
        #: Seconds that passed for the server, and what our clock says beyond them.
        self.real, self.offset = START_TIME / 1e9, 0.0
        self.fuse: int | None = None
        self.meanwhile: int | None = None
        self.faults: deque[Any] = deque()
        #: So many requests that are no imports get no answer.
        self.silent = 0
        self.late: list[tuple[float, str, bytes | None]] = []
        self.on_their_way: set[tuple[int, str]] = set()
        #: How often each (project, key) was appended.
        self.taken: Counter[tuple[int, str]] = Counter()
        self.deleted: set[tuple[int, str]] = set()
        self.delivered: set[tuple[int, str]] = set()
        #: Files with noise at their end, and those with records behind it.
        self.noisy: set[str] = set()
        self.damaged: set[str] = set()
        self._begin()

    # What happens to the application

    @rule(who=st.integers(0, 1), to=st.integers(0, 1), again=st.booleans(), number=st.integers(1, 9))
    def take(self, who: int, to: int, again: bool, number: int) -> None:
        """Append a call, sometimes one that was appended before, as after a client's retry."""
        self._take(who, to, number if again else len(self.taken) + 10)

    @rule(who=st.integers(0, 1))
    def die(self, who: int) -> None:
        self.writers[who].close()
        self.writers[who] = self._writer()

    @rule(who=st.integers(0, 1))
    def operator_says_retry(self, who: int) -> None:
        assert self._append(who, spool.encode_retry())

    @precondition(lambda self: self._files())
    @rule(data=st.data(), kept=st.integers(1, 900))
    def tear(self, data: st.DataObject, kept: int) -> None:
        """Write a part of a record to the end of a file."""
        path = data.draw(st.sampled_from(self._files()))
        if path.read_bytes().endswith(spool.PREFIX):
            return  # the byte behind it would be believed to be a higher version's number
        with path.open("ab") as file:
            file.write(b"".join(record(span(number=99)))[:kept])
        self.noisy.add(path.name)

    # What happens to the deliverer

    @rule(random=st.randoms(use_true_random=True), settle=st.sampled_from([0.0, 2.0]))
    def ingest(self, random: Random, settle: float) -> None:
        """Ingest while the application appends other calls; the deliverer may die."""
        for _ in range(random.randint(0, 2)):
            self._take(random.choice([0, 1]), 0, len(self.taken) + 10)
        self.fuse = random.choice([None, random.randint(0, 12)])
        self.meanwhile = random.choice([None, random.randint(0, 6), random.randint(0, 6)])
        self._mortally(lambda: ingest(self.directory, self.outbox, self.clock() + settle, self.moment))

    @rule(random=st.randoms(use_true_random=True))
    def deliver(self, random: Random) -> None:
        """Deliver, sometimes calls that were just appended; the first import fails, or lookups get no response."""
        for _ in range(random.choice([0, 1, 2])):
            self._take(0, random.choice([0, 0, 1]), len(self.taken) + 10)
        self.time_passes(random.choice([0.0, 1.0, 5.0, 20.0, 45.0]))
        self._mortally(lambda: ingest(self.directory, self.outbox, self.clock(), self.moment))
        self.fuse = random.choice([None, None, None, random.randint(0, 60)])
        self.silent = random.choice([0, 0, 0, 0, 1, 2])
        self.faults.append(random.choice(FAULTS))
        self._mortally(self.delivery.step)
        self.faults.clear()
        self.silent = 0

    @rule()
    def restart(self) -> None:
        self._begin()

    # What happens to Label Studio

    @precondition(lambda self: self.delivered - self.deleted)
    @rule(data=st.data())
    def people_delete_a_task(self, data: st.DataObject) -> None:
        one = data.draw(st.sampled_from(sorted(self.delivered - self.deleted)))
        self.store.tasks = {number: task for number, task in self.store.tasks.items() if _identity(task) != one}
        self.deleted.add(one)

    # What happens to time

    @rule(seconds=st.sampled_from([0.5, 2, 20, 45, 70]))
    def time_passes(self, seconds: float) -> None:
        self.real += seconds
        for late in [one for one in self.late if one[0] <= self.real]:
            self.late.remove(late)
            self.carry_out("POST", *late[1:])

    @rule(seconds=st.sampled_from([-3600.0, -1.0, 1.0, 3600.0]))
    def somebody_sets_the_clock(self, seconds: float) -> None:
        """Forward only while no import is on its way: absence is told by this clock, which outlives processes."""
        if seconds < 0 or not self.late:
            self.offset += seconds

    # What must be true

    @invariant()
    def each_call_is_in_one_place(self) -> None:
        positions = dict(self._rows_of("spool", "name, position"))
        ahead: Counter[tuple[int, str]] = Counter()
        for path in self._files():
            with SpoolFile(path) as file:
                for read in file.records(positions.get(path.name, 0)):
                    one = spool.decode(read.payload)
                    if one.span is not None and one.destination is not None:
                        ahead[(one.destination.project_id or 1, _key(one.span))] += 1
        states = self._states()
        for one, times in self.taken.items():
            assert one in states or ahead[one]
            assert times > 1 or (one in states) + ahead[one] == 1
        assert set(states) | set(ahead) <= set(self.taken)

    @invariant()
    def what_is_delivered_stays_so_and_is_there(self) -> None:
        delivered = {one for one, state in self._states().items() if state == "delivered"}
        assert self.delivered <= delivered
        self.delivered = delivered
        there = Counter(map(_identity, self.store.tasks.values()))
        assert all(there[one] == (one not in self.deleted) for one in delivered)

    def teardown(self) -> None:
        try:
            self._mend_everything()
            states = self._states()
            assert states == dict.fromkeys(self.taken, "delivered")
            there = Counter(map(_identity, self.store.tasks.values()))
            assert there == dict.fromkeys(set(self.taken) - self.deleted, 1)
            assert all(len(task["predictions"]) == 1 for task in self.store.tasks.values())
            aside = [path.name.partition("-")[2] for path in (self.directory / "damaged").glob("*")]
            assert sorted(aside) == sorted(self.damaged)
        finally:
            for writer in self.writers:
                writer.close()
            self.outbox_file.close()
            self.outbox.close()
            shutil.rmtree(self.directory)

    def _mend_everything(self) -> None:
        self.faults.clear()
        self.silent, self.fuse, self.meanwhile = 0, None, None
        for _ in range(300):  # a clock that was set back prolongs every doubt
            for writer in self.writers:
                writer.close()
            ingest(self.directory, self.outbox, self.clock(), self.moment)
            while self.delivery.step():
                pass
            left = set(self._states().values()) - {"delivered"}
            if not left and not self._files():
                return
            if "parked" in left:
                self.operator_says_retry(0)
            self.time_passes(60.0)
        raise AssertionError(f"still {left} and {self._files()} after 300 rounds")

    # What the fakes ask and tell

    def clock(self) -> float:
        self.moment()
        return self.real + self.offset

    def moment(self) -> None:
        """Die here when the fuse is at its end."""
        if self.meanwhile is not None:
            self.meanwhile -= 1
            if self.meanwhile < 0:
                self.meanwhile = None
                self._take(0, 0, len(self.taken) + 10)
        if self.fuse is not None:
            self.fuse -= 1
            if self.fuse < 0:
                raise Killed

    def sent(self, path: str, tasks: list[Any]) -> None:
        """Check an import when it arrives."""
        keys = self.keys(path, tasks)
        assert len(keys) == len(set(keys))
        there = set(map(_identity, self.store.tasks.values())) | self.on_their_way | self.deleted | self.delivered
        assert not there & set(keys), "sent again"
        states = self._states()
        assert [states[one] for one in keys] == ["leased"] * len(keys)

    def keys(self, path: str, tasks: list[Any]) -> list[tuple[int, str]]:
        return [(int(path.split("/")[3]), task["data"]["key"]) for task in tasks]

    def carry_out(self, method: str, path: str, body: bytes | None, fault: Fault | None = None) -> Response:
        parts = urlsplit(path)
        call = Call(method, parts.path, dict(parse_qsl(parts.query)), json.loads(body or b"null"), fault or Fault())
        status, answer = self.store.carry_out(call)
        return Response(status, {}, answer.encode() if isinstance(answer, str) else json.dumps(answer).encode())

    def _begin(self) -> None:
        """Let another process be the deliverer."""
        if hasattr(self, "outbox"):
            self.outbox_file.close()
            self.outbox.close()
        self.fuse = self.meanwhile = None
        self.outbox = Outbox(MortalDatabase(self.directory / "outbox.db", self.moment), clock=self.clock)
        client = LabelStudio("http://label-studio.test", "token", clock=self.clock)
        client._session._transport = Wire(self)  # type: ignore[assignment]
        settings = load({"state_dir": self.directory, "uncertain_wait": UNCERTAIN_WAIT}, {})
        hooks = Hooks(clock=self.clock, steady_clock=self.clock, pause=self.moment)
        self.delivery = Delivery(self.outbox, client, settings, hooks)
        self.outbox.take_over("its process ended")

    def _mortally(self, work: Callable[[], object]) -> None:
        try:
            work()
        except Killed:
            self._begin()
        self.fuse = self.meanwhile = None

    def _writer(self) -> SpoolWriter:
        return SpoolWriter(spool_directory(self.directory), max_file_bytes=5000)

    def _take(self, who: int, to: int, number: int) -> None:
        one = span(number=number)
        assert self._append(who, record(one, DESTINATIONS[to]))
        self.taken[(to + 1, one.key)] += 1

    def _append(self, who: int, buffers: list[bytes]) -> bool:
        before = {path.name: path.stat().st_size for path in self._files()}
        taken = self.writers[who].append(buffers)
        grown = {path.name for path in self._files() if path.stat().st_size != before.get(path.name)}
        self.damaged |= grown & self.noisy
        return taken

    def _files(self) -> list[Path]:
        return sorted(spool_files(spool_directory(self.directory)))

    def _states(self) -> dict[tuple[int, str], str]:
        found = self._rows_of(
            "item JOIN destination ON destination.id = item.destination",
            "CASE destination.project_id WHEN 0 THEN 1 ELSE destination.project_id END, key, item.state",
        )
        states = {(project, key): state for project, key, state in found}
        assert len(states) == len(found)
        return states

    def _rows_of(self, table: str, columns: str) -> list[Any]:
        return self.outbox_file.rows(self.directory / "outbox.db", f"SELECT {columns} FROM {table}")


def _identity(task: dict[str, Any]) -> tuple[int, str]:
    return task["project"], task["data"]["key"]


def _key(fields: Any) -> str:
    return f"{fields['traceId']}:{fields['spanId']}:{fields['startTimeUnixNano']}"


TestPipelineModel = PipelineModel.TestCase
TestPipelineModel.settings = settings(max_examples=100, stateful_step_count=40, derandomize=True, database=None)


def test_a_damaged_spool_file_is_set_aside_after_its_writer_has_ended(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    writer, outbox = SpoolWriter(spool_directory(tmp_path)), Outbox.in_file(tmp_path / "outbox.db")
    writer.append(record(span(number=1)))
    (path,) = spool_files(spool_directory(tmp_path))
    with path.open("ab") as file:
        file.write(b"noise")
    writer.append(record(span(number=2)))
    assert ingest(tmp_path, outbox, 0.0) == 2
    content = path.read_bytes()
    writer.close()
    assert ingest(tmp_path, outbox, 0.0) == 0
    assert [aside.read_bytes() for aside in (tmp_path / "damaged").iterdir()] == [content]
    assert f"5 bytes of a spool file cannot be read; {path.name} was set aside" in caplog.text
    assert outbox.spool_positions() == {}
    outbox.close()


def test_a_spool_file_with_an_unreadable_record_is_set_aside_after_its_writer_has_ended(tmp_path: Path) -> None:
    writer, outbox = SpoolWriter(spool_directory(tmp_path)), Outbox.in_file(tmp_path / "outbox.db")
    writer.append([spool.frame(b"whole, and no record")])
    writer.append(record(span(number=1)))
    assert ingest(tmp_path, outbox, 0.0) == 1
    writer.close()
    assert ingest(tmp_path, outbox, 0.0) == 0
    assert len(list((tmp_path / "damaged").iterdir())) == 1
    outbox.close()


def test_a_call_for_a_project_id_that_no_database_can_hold_does_not_stop_the_others(tmp_path: Path) -> None:
    writer, outbox = SpoolWriter(spool_directory(tmp_path)), Outbox.in_file(tmp_path / "outbox.db")
    writer.append(record(span(number=1), destination=Destination("", project_id=2**63)))
    writer.append(record(span(number=2)))
    assert ingest(tmp_path, outbox, 0.0) == 1
    writer.close()
    assert ingest(tmp_path, outbox, 0.0) == 0
    assert len(list((tmp_path / "damaged").iterdir())) == 1
    outbox.close()
