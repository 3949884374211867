"""Delivery with damaged files, clocks that are set, and servers that fail: no call is lost or sent twice."""

from __future__ import annotations

import contextlib
import errno
import json
import os
import socket
import threading
from typing import TYPE_CHECKING, Any

import pytest

from label_studio_otel.delivery.deliverer import Deliverer
from label_studio_otel.errors import OutboxCorrupt, OutboxError, Uncertain
from label_studio_otel.label_studio import client
from label_studio_otel.label_studio.projects import Projects
from label_studio_otel.label_studio.transport import Response, Transport
from label_studio_otel.outbox.items import NewItem
from label_studio_otel.outbox.outbox import Outbox
from label_studio_otel.settings import Destination
from label_studio_otel.testing import AsynchronousImport, FakeClock, FakeLabelStudio, Fault, span
from support.delivering import CHATS, PROMPTS, Bench, Direct, State, all_tasks, copies, imports, payload, run, states_of

if TYPE_CHECKING:
    from pathlib import Path


def corrupt(state: State) -> None:
    """Damage a page in the middle of the outbox, all of which is in its one file."""
    path = state.directory / "outbox.db"
    content = bytearray(path.read_bytes())
    leaves = [page for page in range(8192, len(content), 4096) if content[page] == 0x0D]
    middle = leaves[len(leaves) // 2]
    content[middle : middle + 4096] = b"\xff" * 4096
    path.write_bytes(content)


class TestAPrefetchedBatch:
    def test_it_is_not_sent_after_its_items_were_given_up(self, state: State, fake: FakeLabelStudio) -> None:
        deliverer = state.deliverer(max_age=3600.0)
        state.put(*(span(number=number) for number in range(1, 601)))
        deliverer.step()
        assert states_of(deliverer) == {"delivered": 500, "pending": 100}
        state.clock.sleep(4000)
        deliverer._expire()
        state.put(span(number=700))
        run(deliverer)
        assert len(copies(fake)) == 501
        deliverer.close()

    def test_it_is_not_sent_for_items_of_a_new_outbox_that_have_the_same_ids(
        self, state: State, fake: FakeLabelStudio
    ) -> None:
        deliverer = state.deliverer()
        state.put(*(span(number=number) for number in range(2001, 2051)), destination=CHATS)
        run(deliverer)
        deliverer.outbox.expire(1e12)
        state.put(*(span(number=number) for number in range(1, 701)))
        deliverer.step()
        assert states_of(deliverer) == {"delivered": 500, "pending": 200}
        deliverer._replace_outbox(OutboxCorrupt("outbox.db: malformed"))
        for _ in range(3):
            state.clock.sleep(61)
            run(deliverer)
        assert len(copies(fake)) == 750
        assert set(copies(fake).values()) == {1}


class TestADamagedOutbox:
    @pytest.fixture
    def first(self, state: State, fake: FakeLabelStudio) -> Deliverer:
        deliverer = state.deliverer()
        fake.fail(*(Fault(method="GET", path="/api/", status=502) for _ in range(9)))
        state.put(*(span("x" * 3000, number=number) for number in range(1, 91)))
        run(deliverer)
        assert states_of(deliverer) == {"pending": 90}
        deliverer.close()
        fake.faults.clear()
        state.writer.close()
        for path in (state.directory / "spool").iterdir():
            path.unlink()
        return deliverer

    def test_calls_that_a_full_disk_did_not_take_are_taken_over_later(
        self, state: State, fake: FakeLabelStudio, first: Deliverer, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        corrupt(state)
        second = state.deliverer()
        with monkeypatch.context() as full_disk:
            full_disk.setattr(Outbox, "restore", _refuse)
            run(second)
            run(second)
        for _ in range(10):
            state.clock.sleep(61)
            run(second)
        assert len(copies(fake)) >= 80

    def test_calls_that_a_process_did_not_take_over_are_taken_over_by_the_next_process(
        self, state: State, fake: FakeLabelStudio, first: Deliverer, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        corrupt(state)
        second = state.deliverer()
        with monkeypatch.context() as killed:
            killed.setattr(Outbox, "restore", _refuse)
            run(second)
        second.close()
        third = state.deliverer()
        for _ in range(10):
            state.clock.sleep(61)
            run(third)
        assert len(copies(fake)) >= 80

    def test_several_damaged_outboxes_of_one_second_are_several_files(
        self, state: State, fake: FakeLabelStudio
    ) -> None:
        deliverer = state.deliverer()
        state.put(span(number=1))
        run(deliverer)
        for _ in range(3):
            deliverer.outbox.close()
            (state.directory / "outbox.db").write_bytes(b"\xff" * 8192)
            deliverer.step()
        assert len(list(state.directory.glob("outbox.db.corrupt-*"))) == 3

    def test_a_batch_that_was_uncertain_is_not_sent_again_before_its_time(
        self, state: State, fake: FakeLabelStudio
    ) -> None:
        deliverer = state.deliverer()
        fake.fail(Fault(held=True, status=504))
        state.put(*(span("x" * 3000, number=number) for number in range(1, 91)))
        run(deliverer)
        assert states_of(deliverer) == {"uncertain": 90}
        deliverer.close()
        corrupt(state)
        second = state.deliverer()
        run(second)
        state.clock.sleep(60)
        run(second)
        fake.release()
        for _ in range(60):
            state.clock.sleep(61)
            run(second)
        assert set(copies(fake).values()) == {1}
        assert len(copies(fake)) == 90

    def test_an_empty_outbox_file_causes_no_task_twice(self, state: State, fake: FakeLabelStudio) -> None:
        deliverer = state.deliverer()
        state.put(span(number=1), span(number=2))
        run(deliverer)
        deliverer.close()
        os.truncate(state.directory / "outbox.db", 0)
        run(state.deliverer())
        assert copies(fake) == {"1": 1, "2": 1}


def _refuse(*_: object) -> None:
    raise OutboxError("outbox.db: database or disk is full")


class TestSpoolFiles:
    def test_a_file_that_cannot_be_opened_does_not_stop_the_others(
        self, state: State, fake: FakeLabelStudio, caplog: pytest.LogCaptureFixture
    ) -> None:
        spool = state.directory / "spool"
        spool.mkdir(parents=True)
        (spool / "0-of-another-user.spool").symlink_to(spool / "0-of-another-user.spool")  # root opens anything else
        state.put(span(number=1))
        deliverer = state.deliverer()
        run(deliverer)
        assert copies(fake) == {"1": 1}
        assert "0-of-another-user.spool" in caplog.text

    @pytest.mark.parametrize("name", [None, 7, ["a"], "caf\udce9"])
    def test_a_span_with_an_unusual_scope_does_not_stop_the_others(
        self, state: State, fake: FakeLabelStudio, name: Any
    ) -> None:
        state.put(span(number=1, scope_name=name), span(number=2))
        run(state.deliverer())
        assert copies(fake)["2"] == 1

    def test_a_call_with_an_unusual_project_title_does_not_stop_the_others(
        self, state: State, fake: FakeLabelStudio
    ) -> None:
        state.put(span(number=1), destination=Destination("caf\udce9"))
        state.put(span(number=2))
        run(state.deliverer())
        assert copies(fake)["2"] == 1


class TestSurplusTasks:
    @pytest.mark.parametrize(
        "work", [{"total_annotations": 1}, {"cancelled_annotations": 1}, {"drafts": [{"id": 1}]}, {"comment_count": 1}]
    )
    def test_a_task_that_somebody_worked_on_is_never_deleted(
        self, bench: Bench, fake: FakeLabelStudio, work: dict[str, Any]
    ) -> None:
        fake.fail(Fault(drop="after"))
        bench.put(span(number=1))
        bench.run()
        (task,) = all_tasks(fake)
        fake.store.tasks[77] = {**task, "id": 77, **work}
        bench.run_later(1)
        assert 77 in [one["id"] for one in all_tasks(fake)]
        assert bench.states == {"delivered": 1}

    def test_a_task_that_is_annotated_after_the_look_up_stays(
        self, bench: Bench, fake: FakeLabelStudio, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        fake.fail(Fault(drop="after"))
        bench.put(span(number=1))
        bench.run()
        (task,) = all_tasks(fake)
        fake.store.tasks[77] = {**task, "id": 77}
        find = client.LabelStudio.find

        def then_annotated(*arguments: Any) -> Any:
            found = find(*arguments)
            fake.store.tasks[77]["total_annotations"] = 1
            return found

        monkeypatch.setattr(client.LabelStudio, "find", then_annotated)
        bench.run_later(1)
        assert [one["id"] for one in all_tasks(fake)] == [77]

    def test_a_task_whose_annotation_is_not_counted_yet_stays(self, bench: Bench, fake: FakeLabelStudio) -> None:
        fake.fail(Fault(drop="after"))
        bench.put(span(number=1))
        bench.run()
        (task,) = all_tasks(fake)
        fake.store.tasks[77] = {**task, "id": 77, "annotations": [{"id": 1}], "total_annotations": 0}
        bench.run_later(1)
        assert [one["id"] for one in all_tasks(fake)] == [77]

    def test_items_do_not_stay_uncertain_where_the_token_may_not_delete(
        self, bench: Bench, fake: FakeLabelStudio, caplog: pytest.LogCaptureFixture
    ) -> None:
        fake.fail(Fault(drop="after"))
        bench.put(span(number=1))
        bench.run()
        (task,) = all_tasks(fake)
        fake.store.tasks[77] = {**task, "id": 77}
        fake.fail(
            *(Fault(method="DELETE", path="/api/tasks/", status=403, body=b'{"detail": "no"}') for _ in range(99))
        )
        for _ in range(40):
            bench.run_later(61)
        assert bench.states == {"delivered": 1}
        assert "77" in caplog.text


class TestARefusedPrediction:
    def test_its_item_does_not_stay_uncertain(self, bench: Bench, fake: FakeLabelStudio) -> None:
        fake.fail(Fault(lose_predictions=True))
        fake.fail(*(Fault(path="/api/predictions/", status=400, body=b'{"detail": "no"}') for _ in range(99)))
        bench.put(span(number=1))
        for _ in range(40):
            bench.run_later(61)
        assert bench.states == {"delivered": 1}


class TestATaskThatCannotBeStored:
    def test_a_task_that_ends_the_servers_process_is_found_by_halving_batches(
        self, bench: Bench, fake: FakeLabelStudio
    ) -> None:
        deadly(fake, "poison")
        bench.put(*(span("poison" if number == 3 else "good", number=number) for number in range(1, 9)))
        for number in range(200):
            bench.put(span(number=1000 + number))
            bench.run_later(60)
        assert {str(number) for number in (1, 2, 4, 5, 6, 7, 8)} <= set(copies(fake))
        assert bench.states["delivered"] >= 200

    def test_a_temporary_error_500_parks_nothing(self, bench: Bench, fake: FakeLabelStudio) -> None:
        fake.fail(Fault(status=500, body=b'{"detail": "database is locked"}'))
        bench.put(span(number=1))
        bench.run()
        bench.put(span(number=2))
        for _ in range(40):
            bench.run_later(60)
        assert bench.states == {"delivered": 2}

    def test_a_server_that_stores_nothing_for_half_a_day_causes_hardly_any_parked_items(
        self, bench: Bench, fake: FakeLabelStudio
    ) -> None:
        fake.poison = "key"
        bench.client._session._transport = Direct(fake)  # type: ignore[assignment]
        bench.put(*(span(number=number) for number in range(1, 65)))
        for _ in range(12 * 60):
            bench.run_later(60)
        assert bench.states.get("parked", 0) <= 4
        fake.poison = ""
        for _ in range(60):
            bench.run_later(60)
        assert bench.states["delivered"] >= 60


def deadly(fake: FakeLabelStudio, text: str) -> None:
    """Let an import that contains this text end the connection, as a worker that runs out of memory does."""
    received = fake.received

    def ends(request: Any) -> Fault:
        fault = received(request)
        return Fault(drop="before") if text.encode() in request.body else fault

    fake.received = ends  # type: ignore[method-assign]


class TestResponses:
    @pytest.mark.parametrize("value", ["9" * 400, "86400000", "Fri, 31 Dec 9999 23:59:59 GMT"])
    def test_retry_after_is_followed_for_at_most_an_hour(self, bench: Bench, fake: FakeLabelStudio, value: str) -> None:
        fake.fail(Fault(status=429, headers={"Retry-After": value}))
        bench.put(span(number=1))
        bench.run()
        bench.run_later(3601)
        assert copies(fake) == {"1": 1}

    def test_retry_after_with_an_impossible_date_is_none(self) -> None:
        assert Response(429, {"retry-after": "Fri, 31 Dec 99999999999 23:59:59 GMT"}, b"").retry_after(0.0) is None

    def test_a_response_that_comes_byte_by_byte_times_out(self) -> None:
        with dripping() as url, pytest.raises(Uncertain):
            Transport(url, read_timeout=0.2, total_timeout=0.5).send("POST", "/import", b"", "", lambda: None)

    @pytest.mark.parametrize(
        "body",
        [
            {"tasks": []},
            {"tasks": None, "total": 1},
            {"tasks": [{"id": 1}], "total": 1},
            {"tasks": [{"id": "a", "data": {"key": 1}}], "total": 1},
        ],
    )
    def test_a_look_up_response_of_another_form_does_not_stop_other_destinations(
        self, bench: Bench, fake: FakeLabelStudio, body: Any
    ) -> None:
        bench.put(span(number=9))
        bench.run()
        fake.fail(Fault(drop="after"))
        bench.put(span(number=1))
        bench.run()
        fake.fail(Fault(method="GET", path="in_list", status=200, body=json.dumps(body).encode()))
        bench.put(span(number=2))
        bench.run_later(2)
        assert copies(fake) == {"9": 1, "1": 1, "2": 1}
        bench.run_later(2)
        assert bench.states == {"delivered": 3}

    @pytest.mark.parametrize("body", [{"id": 1}, {"id": "a", "title": None, "label_config": 7}])
    def test_a_project_response_of_another_form_blocks_only_its_destination(
        self, bench: Bench, fake: FakeLabelStudio, body: Any
    ) -> None:
        answer = json.dumps(body).encode()
        fake.fail(*(Fault(method="GET", path="/api/projects/77/", status=200, body=answer) for _ in range(9)))
        bench.put(span(number=1), destination=Destination("", project_id=77))
        bench.put(span(number=2))
        bench.run()
        assert copies(fake) == {"2": 1}

    def test_a_look_up_whose_url_is_too_long_is_split(self, bench: Bench, fake: FakeLabelStudio) -> None:
        received = fake.received

        def short(request: Any) -> Fault:
            fault = received(request)
            return Fault(method="GET", path="", status=414) if len(request.path) > 2000 else fault

        fake.received = short  # type: ignore[method-assign]
        fake.fail(Fault(drop="after"))
        bench.put(*(span(number=number) for number in range(1, 101)))
        bench.run()
        bench.run_later(2)
        assert bench.states == {"delivered": 100}

    def test_an_import_whose_state_the_token_may_not_read_is_looked_up(
        self, bench: Bench, fake: FakeLabelStudio
    ) -> None:
        fake.asynchronous_import = AsynchronousImport(polls=9)
        fake.fail(*(Fault(method="GET", path="/imports/", status=403, body=b'{"detail": "no"}') for _ in range(99)))
        bench.put(span(number=1))
        bench.run()
        fake.end_imports()
        bench.run_later(2)
        assert bench.states == {"delivered": 1}

    def test_a_missing_task_of_such_an_import_does_not_count_as_not_arrived(
        self, bench: Bench, fake: FakeLabelStudio
    ) -> None:
        fake.asynchronous_import = AsynchronousImport(polls=9)
        fake.fail(*(Fault(method="GET", path="/imports/", status=403, body=b'{"detail": "no"}') for _ in range(999)))
        bench.put(span(number=1))
        for _ in range(40):
            bench.run_later(61)
        assert len(imports(fake)) == 1

    def test_a_batch_that_breaks_the_connection_is_sent_in_smaller_batches(
        self, bench: Bench, fake: FakeLabelStudio, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        transmit = Transport._transmit

        def slow_line(self: Transport, connection: Any, *request: Any) -> Any:
            if len(request[2] or b"") > 20_000:
                connection.sock.shutdown(socket.SHUT_RDWR)
                return OSError(errno.EPIPE, "broken pipe")
            return transmit(self, connection, *request)

        monkeypatch.setattr(Transport, "_transmit", slow_line)
        bench.put(*(span("x" * 900, number=number) for number in range(1, 101)))
        for _ in range(40):
            bench.run_later(61)
        assert bench.states == {"delivered": 100}


class _Dripping:
    def __enter__(self) -> str:
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._end = threading.Event()
        self._thread = threading.Thread(target=self._drip, daemon=True)
        self._thread.start()
        return f"http://127.0.0.1:{self._listener.getsockname()[1]}"

    def __exit__(self, *_: object) -> None:
        self._end.set()
        self._thread.join()
        self._listener.close()

    def _drip(self) -> None:
        connection, _ = self._listener.accept()
        with connection, contextlib.suppress(OSError):
            connection.sendall(b"HTTP/1.1 201 Created\r\nX-Slow: ")
            for _ in range(60):
                if self._end.wait(0.05):
                    return
                connection.sendall(b"x")


dripping = _Dripping


class TestClocks:
    @pytest.mark.parametrize("seconds", [3600, 86400])
    def test_a_clock_that_was_set_back_delays_nothing(self, state: State, fake: FakeLabelStudio, seconds: int) -> None:
        first = state.deliverer(settle_delay=2.0)
        fake.fail(Fault(drop="before"))
        state.put(span(number=1))
        first.step()
        state.clock.sleep(3)
        first.step()
        assert states_of(first) == {"uncertain": 1}
        state.put(span(number=2))
        first.step()
        first.close()
        state.clock.sleep(-seconds)
        second = state.deliverer()
        for _ in range(40):
            state.clock.sleep(61)
            run(second)
        assert states_of(second) == {"delivered": 2}
        assert copies(fake) == {"1": 1, "2": 1}

    @pytest.mark.parametrize("seconds", [7200, -7200])
    def test_a_clock_that_is_set_during_delivery_does_not_change_the_uncertain_wait(
        self, state: State, fake: FakeLabelStudio, seconds: int
    ) -> None:
        steady = FakeClock(0.0)
        deliverer = state.deliverer(steady_clock=steady)
        fake.fail(Fault(held=True, status=504))
        state.put(span(number=1))
        run(deliverer)
        state.clock.sleep(seconds)
        for _ in range(14):
            state.clock.sleep(60)
            steady.sleep(60)
            run(deliverer)
        assert len(imports(fake)) == 1
        for _ in range(3):
            state.clock.sleep(60)
            steady.sleep(60)
            run(deliverer)
        assert len(imports(fake)) == 2

    def test_a_clock_that_is_set_forward_gives_no_call_up(self, state: State, fake: FakeLabelStudio) -> None:
        steady = FakeClock(0.0)
        deliverer = state.deliverer(steady_clock=steady, max_age=86400.0)
        fake.fail(*(Fault(method="GET", path="/api/", status=502) for _ in range(9)))
        state.put(span(number=1))
        run(deliverer)
        fake.faults.clear()
        state.clock.sleep(30 * 86400)
        for _ in range(3):
            state.clock.sleep(60)
            steady.sleep(60)
            run(deliverer)
        assert copies(fake) == {"1": 1}
        deliverer.close()


def test_a_full_outbox_deletes_delivered_keys_for_new_calls(state: State, fake: FakeLabelStudio) -> None:
    deliverer = state.deliverer(max_state_bytes=400_000)
    for first in range(1, 3001, 100):
        state.put(*(span(number=number) for number in range(first, first + 100)))
        state.clock.sleep(3601)
        for _ in range(5):
            deliverer.step()
    assert len(copies(fake)) == 3000
    deliverer.close()


def test_an_error_of_ours_at_one_destination_does_not_stop_the_others(
    bench: Bench, fake: FakeLabelStudio, monkeypatch: pytest.MonkeyPatch
) -> None:
    resolve = Projects.resolve

    def fails(self: Any, target: Any) -> Any:
        if target.destination.mode == "chat":
            raise KeyError("something that somebody said")
        return resolve(self, target)

    monkeypatch.setattr(Projects, "resolve", fails)
    bench.put(span(number=1), destination=CHATS)
    bench.put(span(number=2))
    bench.run()
    assert copies(fake) == {"2": 1}
    assert "somebody said" not in str(bench.said)


@pytest.mark.parametrize("key", ["a:b", "a:b:", "ü:'\"%,&:1", "a:b:1e9"])
def test_unusual_keys_are_looked_up(bench: Bench, fake: FakeLabelStudio, key: str) -> None:
    bench.outbox.set_counter("lookup_before", 1e12)
    bench.outbox.accept([NewItem(PROMPTS, key, payload(span(number=1)))], "1.spool", 0, bench.clock())
    bench.run()
    assert copies(fake) == {"1": 1}


def test_overlapping_records_are_read_one_by_one(tmp_path: Path) -> None:
    clock = FakeClock()
    outbox = Outbox.in_file(tmp_path / "outbox.db", clock=clock)
    outbox.accept([NewItem(PROMPTS, f"a:{n}:1", b"x" * 1000, "scope", 1, 2) for n in range(9)], "1.spool", 0, 0.0)
    assert max(len(repr(other)) for other in outbox.overlapping(1, 0, 10)) < 500
    assert [outbox.record(other.id) for other in outbox.overlapping(1, 0, 10)] == [b"x" * 1000] * 9
    outbox.close()


def test_an_error_quotes_neither_a_response_nor_a_proxys_password(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("http_proxy", "http://somebody:the/password@127.0.0.1:3128")
    monkeypatch.setenv("no_proxy", "")
    bench.put(span(number=1))
    bench.run()
    assert "cannot be reached (ValueError)" in str(bench.target.blocked)


def test_an_error_does_not_quote_a_refused_prediction(bench: Bench, fake: FakeLabelStudio) -> None:
    text = "Prediction validation failed (1 errors):\n- Task 0, prediction 0: Got: {'text': 'a secret'}. Valid"
    body = {"detail": "Validation error", "validation_errors": {"predictions": [text]}}
    fake.fail(Fault(status=400, body=json.dumps(body).encode()))
    bench.put(span(number=1))
    bench.run()
    (reason,) = bench.parked
    assert "Prediction validation failed" in reason
    assert "a secret" not in reason
