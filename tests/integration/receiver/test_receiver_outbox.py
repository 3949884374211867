"""What of requests reaches the disk, and how much memory, when a request, the disk or the outbox is not sound."""

from __future__ import annotations

import json
import sqlite3
import threading
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from label_studio_otel import log
from label_studio_otel.delivery import deliverer as delivering
from label_studio_otel.delivery.deliverer import Deliverer
from label_studio_otel.errors import OutboxCorrupt, OutboxError, RequestTooLarge
from label_studio_otel.metrics.counts import Counts
from label_studio_otel.otlp import protobuf, wire
from label_studio_otel.otlp import request as requests
from label_studio_otel.outbox.items import NewEvent, NewItem
from label_studio_otel.outbox.outbox import Outbox
from label_studio_otel.outbox.salvage import salvage
from label_studio_otel.receiver import decoding, group_commit
from label_studio_otel.receiver.group_commit import GroupCommit
from label_studio_otel.receiver.service import Bridge
from label_studio_otel.receiver.settings import ServeSettings
from label_studio_otel.settings import Destination, load
from support.receiving import PROTOBUF, Receiver, span, traces, traces_in_protobuf

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from label_studio_otel.settings import Settings

KEYS = frozenset({"gen_ai.operation.name"})


def with_resource(value: str, *spans: int) -> bytes:
    """Return a request of one resource, with a scope for each span."""
    request = ExportTraceServiceRequest.FromString(traces_in_protobuf(*((b"t" * 16, bytes([n]) * 8) for n in spans)))
    (group,) = request.resource_spans
    group.resource.attributes.add(key="service.name").value.string_value = value
    calls = list(group.scope_spans[0].spans)
    del group.scope_spans[:]
    for call in calls:
        group.scope_spans.add().spans.append(call)
    body: bytes = request.SerializeToString()
    return body


class TestARequestThatCostsMoreThanItSends:
    def test_calls_whose_records_exceed_the_limit_are_refused(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Each call is kept with its resource, of which a request has but one."""
        monkeypatch.setattr(decoding, "MAX_RECORDS_BYTES", 50_000)
        with Receiver(tmp_path) as receiver:
            body = with_resource("x" * 10_000, 1, 2, 3, 4, 5)

            assert receiver.post(body, content_type=PROTOBUF).status == 413
            assert receiver.kept == 0
            assert receiver.post(with_resource("x" * 10_000, 1, 2, 3), content_type=PROTOBUF).status == 200

    def test_the_scopes_of_a_resource_share_one_copy_of_it(self) -> None:
        found = list(wire.groups("traces", with_resource("x" * 10_000, 1, 2, 3), KEYS, 100))

        assert len(found) == 3
        assert len({id(group.resource) for group in found}) == 1

    def test_a_large_resource_is_not_cached_across_requests(self) -> None:
        protobuf._read_cached.cache_clear()
        for size in (100, 20_000):
            spans, _, _ = requests.select("traces", with_resource("x" * size, 1), KEYS, is_json=False)
            assert spans[0]["resource"] == {"service.name": "x" * size}

        assert protobuf._read_cached.cache_info().currsize == 2  # the small one, and the scope of both

    def test_json_with_too_many_parts_is_refused_before_it_is_parsed(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(requests, "MAX_JSON_PARTS", 1000)

        with pytest.raises(RequestTooLarge, match="more than 1000 parts"):
            requests.select("traces", b'{"unknown": [' + b"[]," * 600 + b"[]]}", KEYS, is_json=True)

    def test_the_bytes_that_wait_for_a_slow_disk_are_limited(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(group_commit, "MAX_WAITING_BYTES", 1000)
        outbox = SlowOutbox()
        commits = a_group_commit(outbox)
        first = commits.submit([NewEvent("span", b"x" * 2000)])
        outbox.begun.wait(10)
        second, third, fourth = (commits.submit([NewEvent("span", b"x" * 600)]) for _ in range(3))

        for refused in (third, fourth):
            with pytest.raises(OutboxError, match="wait for the disk"):
                refused.result(10)
        outbox.go_on.set()
        assert (first.result(10), second.result(10)) == (None, None)
        assert commits.submit([NewEvent("span", b"x" * 600)]).result(10) is None
        commits.close()


class SlowOutbox:
    """Accepts nothing until the test lets it go on."""

    def __init__(self) -> None:
        self.database = SimpleNamespace(is_removed=lambda: False)
        self.begun = threading.Event()
        self.go_on = threading.Event()

    def accept(self, *_: Any) -> int:
        self.begun.set()
        assert self.go_on.wait(10)
        return 0


class DamagedOutbox(SlowOutbox):
    """Takes nothing."""

    def accept(self, *_: Any) -> int:
        raise OutboxCorrupt("outbox.db: malformed")


@pytest.mark.parametrize("name", [["acme"], {"a": 1}, 5, None, "\ud800"])
def test_a_scope_whose_name_is_not_text_does_not_hide_its_spans(tmp_path: Path, name: Any) -> None:
    request = json.loads(traces(span()))
    request["resourceSpans"][0]["scopeSpans"][0]["scope"]["name"] = name
    body = json.dumps(request).encode()
    with Receiver(tmp_path) as receiver:
        assert receiver.post(body).status == 200
        assert receiver.kept == 1


def test_the_request_that_fills_the_outbox_is_a_success(tmp_path: Path) -> None:
    outbox = Outbox.in_file(tmp_path / "outbox.db", synchronous="FULL")
    limit = outbox.used_bytes() + 10_000
    with Receiver(tmp_path, outbox=outbox, max_state_bytes=limit) as receiver:
        answers = [receiver.post(traces(span(number, "x" * 8000))).status for number in range(1, 5)]

        assert answers == [200] * receiver.kept + [503] * (4 - receiver.kept)


def calls(*numbers: int) -> list[NewItem]:
    return [NewItem(Destination("Prompts"), f"{'0' * 32}:{number:016x}:1", b"payload") for number in numbers]


def fill(outbox: Outbox, numbers: Iterable[int]) -> None:
    outbox.accept(calls(*numbers), "", 0, 0.0)


def break_page(path: Path, name: str) -> None:
    """Damage the first page of a table or an index."""
    connection = sqlite3.connect(path)
    connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    (page,) = connection.execute("SELECT rootpage FROM sqlite_master WHERE name = ?", (name,)).fetchone()
    (size,) = connection.execute("PRAGMA page_size").fetchone()
    connection.close()
    content = bytearray(path.read_bytes())
    content[(page - 1) * size : page * size] = b"\xff" * size
    path.write_bytes(content)


class TestADamagedOutbox:
    @pytest.fixture
    def settings(self, tmp_path: Path) -> Settings:
        return load({"state_dir": tmp_path, "url": "http://127.0.0.1:1"}, {})

    def test_damage_that_only_a_commit_finds_is_repaired_while_the_bridge_serves(self, settings: Settings) -> None:
        """The index of keys: delivery does not look there."""
        outbox = Outbox.in_file(settings.directory / "outbox.db")
        fill(outbox, range(2000))
        outbox.close()
        break_page(settings.directory / "outbox.db", "sqlite_autoindex_item_1")
        bridge = Bridge(settings, ServeSettings(settle=100))
        bridge._group_commit.start()
        bridge._step()

        with pytest.raises(OutboxCorrupt):
            bridge._group_commit.submit(calls(5000)).result(10)
        bridge._step()

        assert bridge._group_commit.submit(calls(5000)).result(10) is None
        assert bridge._deliverer.outbox.overview.summary().states["pending"] == 2001
        bridge._group_commit.close()
        bridge._deliverer.close()

    def test_calls_that_come_during_the_replacement_go_into_the_new_outbox(
        self, settings: Settings, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        outbox = Outbox.in_file(settings.directory / "outbox.db")
        deliverer = Deliverer(settings, outbox=outbox, settle_delay=100)
        deliverer.take_lock()
        fill(outbox, range(3))
        coming = threading.Thread(target=fill, args=(outbox, [3]))

        def put(path: Path, now: float) -> str:
            coming.start()
            coming.join(0.2)
            return put_aside(path, now)

        put_aside = delivering.quarantine
        monkeypatch.setattr(delivering, "quarantine", put)
        deliverer._replace_outbox(OutboxCorrupt("outbox.db: malformed"))
        coming.join(10)
        deliverer.close()

        with sqlite3.connect(settings.directory / "outbox.db") as new:
            assert new.execute("SELECT COUNT(*) FROM item").fetchone() == (4,)
        new.close()

    def test_log_events_are_taken_over_with_their_calls(self, settings: Settings) -> None:
        outbox = Outbox.in_file(settings.directory / "outbox.db")
        deliverer = Deliverer(settings, outbox=outbox, settle_delay=100)
        deliverer.take_lock()
        outbox.accept(calls(1), "", 0, 0.0, [NewEvent("span", b"first"), NewEvent("span", b"second")])
        deliverer._replace_outbox(OutboxCorrupt("outbox.db: malformed"))

        assert outbox.events("span") == [b"first", b"second"]
        deliverer.close()

    def test_delivered_keys_are_salvaged_although_no_record_can_be_read(self, settings: Settings) -> None:
        outbox = Outbox.in_file(settings.directory / "outbox.db")
        fill(outbox, range(1000))
        items = {item.id: 1 for item in outbox.due_items(1, 600)}
        outbox.batches.mark_delivered(outbox.batches.lease(1, 7, 0, items), dict.fromkeys(items, 70))
        outbox.close()
        break_page(settings.directory / "outbox.db", "payload")
        new = Outbox.in_file(settings.directory / "new.db")

        assert salvage(settings.directory / "outbox.db", new) == 600
        assert new.overview.summary().states["delivered"] == 600
        new.close()

    def test_an_undamaged_outbox_is_not_replaced(self, settings: Settings) -> None:
        bridge = Bridge(settings, ServeSettings(settle=100))
        bridge._step()
        bridge._damaged.set()
        bridge._step()

        assert [path.name for path in settings.directory.glob("*corrupt*")] == []
        bridge._deliverer.close()


def test_every_stored_call_was_answered_200(tmp_path: Path) -> None:
    with Receiver(tmp_path, max_state_bytes=300_000) as receiver:
        taken = 0
        while receiver.post(traces(span(taken + 1, "x" * 50_000))).status == 200:
            taken += 1
        assert taken > 1
        assert receiver.kept == taken


def test_requests_are_503_after_the_state_directory_was_removed(tmp_path: Path) -> None:
    with Receiver(tmp_path) as receiver:
        assert receiver.post(traces(span(1))).status == 200
        (tmp_path / "outbox.db").unlink()

        assert receiver.post(traces(span(2))).status == 503
        got = receiver.send("GET", "/readyz")
        assert (got.status, b"start the service again" in got.body) == (503, True)


def test_a_state_directory_that_cannot_be_read_is_503_and_not_500(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The clients of OTLP send again after 503, and drop what was answered 500."""

    def is_removed() -> bool:
        raise PermissionError(13, "Permission denied", "/var/lib/secret/outbox.db")

    with Receiver(tmp_path, token="s3cret") as receiver:
        monkeypatch.setattr(receiver.outbox.database, "is_removed", is_removed)

        assert receiver.post(traces(span()), authorization="Bearer s3cret").status == 503
        ready = receiver.send("GET", "/readyz", authorization="Bearer s3cret")
        assert (ready.status, ready.body) == (503, b"the state directory cannot be read: Permission denied\n")


class BrokenGroup(BaseException):
    """What nothing in a thread guards against."""


def a_group_commit(outbox: Any, **options: Any) -> GroupCommit:
    commits = GroupCommit(
        outbox, holds_lock=lambda: True, due_at=lambda: 0.0, max_state_bytes=0, counts=Counts(), **options
    )
    commits.start()
    return commits


class TestTheThreadThatCommits:
    def test_an_error_after_the_commit_changes_no_response_and_the_thread_goes_on(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
    ) -> None:
        monkeypatch.setattr(log, "_said", set())
        outbox = Outbox.in_file(tmp_path / "outbox.db")

        def committed(_seconds: float, _records: int) -> None:
            raise RuntimeError("secret")

        commits = a_group_commit(outbox, on_commit=committed)
        for number in (1, 2):
            assert commits.submit(calls(number)).result(10) is None
        commits.check()
        commits.close()

        assert outbox.overview.summary().states["pending"] == 2
        (message,) = [record.getMessage() for record in caplog.records]
        assert "an error while calls were taken in: RuntimeError in committed, line " in message
        assert "secret" not in message

    def test_an_error_in_on_damage_does_not_end_the_thread(self, monkeypatch: pytest.MonkeyPatch) -> None:
        def damaged() -> None:
            raise RuntimeError

        commits = a_group_commit(DamagedOutbox(), on_damage=damaged)
        for number in (1, 2):
            with pytest.raises(OutboxCorrupt):
                commits.submit(calls(number)).result(10)
        commits.close()

    def test_on_damage_is_called_before_the_requests_fail(self) -> None:
        events: list[str] = []
        commits = GroupCommit(
            DamagedOutbox(),  # type: ignore[arg-type]
            holds_lock=lambda: True,
            due_at=lambda: 0.0,
            max_state_bytes=0,
            counts=Counts(),
            on_damage=lambda: events.append("damage"),
        )
        commits.submit(calls(1)).add_done_callback(lambda _: events.append("failed"))
        commits.start()
        commits.close()

        assert events == ["damage", "failed"]

    def test_a_cancelled_request_does_not_affect_others_of_its_commit(self, tmp_path: Path) -> None:
        outbox = Outbox.in_file(tmp_path / "outbox.db")
        commits = GroupCommit(outbox, holds_lock=lambda: True, due_at=lambda: 0.0, max_state_bytes=0, counts=Counts())
        gone, there = commits.submit(calls(1)), commits.submit(calls(2))
        assert gone.cancel()
        commits.start()

        assert there.result(10) is None
        commits.close()

    def test_readyz_and_requests_are_503_when_the_thread_has_ended(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(threading, "excepthook", lambda _: None)

        def committed(_seconds: float, _records: int) -> None:
            raise BrokenGroup

        with Receiver(tmp_path) as receiver:
            commits = receiver._group_commit
            commits._on_commit = committed
            assert receiver.post(traces(span())).status == 200
            commits._thread.join(10)

            assert receiver.post(traces(span(2))).status == 503
            ready = receiver.send("GET", "/readyz")
            assert (ready.status, ready.body) == (
                503,
                b"the thread that takes calls in has ended by an error of ours: start the service again\n",
            )

    def test_waiting_requests_are_answered_at_once_when_the_thread_ends(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(threading, "excepthook", lambda _: None)
        outbox = SlowOutbox()

        def committed(_seconds: float, _records: int) -> None:
            raise BrokenGroup

        commits = a_group_commit(outbox, on_commit=committed)
        first = commits.submit(calls(1))
        assert outbox.begun.wait(10)
        second = commits.submit(calls(2))
        outbox.go_on.set()

        assert first.result(10) is None
        with pytest.raises(OutboxError, match="has ended by an error of ours"):
            second.result(10)


def test_an_error_while_memory_is_returned_does_not_end_delivery(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = load({"state_dir": tmp_path, "url": "http://127.0.0.1:9", "api_key": "key"}, {})
    bridge = Bridge(settings, ServeSettings())
    steps: list[bool] = []

    def step() -> bool:
        steps.append(True)
        if len(steps) == 2:
            bridge._ending.set()
        return True

    def give_back() -> None:
        raise MemoryError

    monkeypatch.setattr("label_studio_otel.receiver.service.TRIM_INTERVAL_S", -1.0)
    monkeypatch.setattr("label_studio_otel.receiver.service._return_free_memory", give_back)
    monkeypatch.setattr(bridge, "_step", step)
    bridge._deliver()

    assert steps == [True, True]
