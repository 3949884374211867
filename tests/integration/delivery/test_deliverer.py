"""The deliverer makes tasks of spool files while it holds the lock of the directory."""

from __future__ import annotations

import errno
import fcntl
import sqlite3
from typing import TYPE_CHECKING

import pytest

from label_studio_otel.cli import deliver
from label_studio_otel.delivery.deliverer import Deliverer
from label_studio_otel.delivery.hooks import Health
from label_studio_otel.outbox import database
from label_studio_otel.outbox.overview import Overview
from label_studio_otel.settings import Destination
from label_studio_otel.spool import record
from label_studio_otel.testing import FakeLabelStudio, Fault, span
from support.delivering import CHATS, State, copies, imports, run, states_of

if TYPE_CHECKING:
    from pathlib import Path

    from label_studio_otel.outbox.items import Summary


def test_the_calls_of_the_spool_become_tasks(state: State, fake: FakeLabelStudio) -> None:
    state.put(span(number=1), span(number=2))
    state.put(span(number=3), destination=CHATS)
    run(state.deliverer())
    assert copies(fake) == {"1": 1, "2": 1, "3": 1}


def test_a_spool_file_that_is_still_written_stays_and_is_read_further(state: State, fake: FakeLabelStudio) -> None:
    deliverer = state.deliverer()
    state.put(span(number=1))
    run(deliverer)
    state.put(span(number=2))
    run(deliverer)
    assert len(list((state.directory / "spool").iterdir())) == 1
    assert copies(fake) == {"1": 1, "2": 1}


def test_a_spool_file_is_removed_after_its_writer_has_ended(state: State, fake: FakeLabelStudio) -> None:
    state.put(span(number=1))
    deliverer = state.deliverer()
    run(deliverer)
    state.writer.close()
    run(deliverer)
    assert list((state.directory / "spool").iterdir()) == []
    assert copies(fake) == {"1": 1}


def test_a_spool_file_that_is_read_again_causes_no_task_twice(
    state: State, fake: FakeLabelStudio, tmp_path: Path
) -> None:
    state.put(span(number=1))
    state.writer.close()
    (file,) = (state.directory / "spool").iterdir()
    copy = file.read_bytes()
    run(state.deliverer())
    file.with_name("again.spool").write_bytes(copy)
    run(state._made[0])
    assert copies(fake) == {"1": 1}


def test_an_item_settles_before_it_is_sent_unless_settling_is_skipped(state: State, fake: FakeLabelStudio) -> None:
    deliverer = state.deliverer(settle_delay=2.0)
    state.put(span(number=1))
    run(deliverer)
    assert imports(fake) == []
    state.clock.sleep(1.9)
    run(deliverer)
    assert imports(fake) == []
    state.clock.sleep(0.1)
    run(deliverer)
    assert copies(fake) == {"1": 1}
    state.put(span(number=2))
    deliverer.skip_settling()
    run(deliverer)
    assert copies(fake) == {"1": 1, "2": 1}


def test_one_of_two_deliverers_delivers(state: State, fake: FakeLabelStudio) -> None:
    first, second = state.deliverer(), state.deliverer()
    run(first)
    state.put(span(number=1))
    run(second)
    assert (first.holding, second.holding, copies(fake)) == (True, False, {})
    run(first)
    assert copies(fake) == {"1": 1}


def test_the_next_deliverer_looks_up_what_the_last_one_had_sent(state: State, fake: FakeLabelStudio) -> None:
    first = state.deliverer()
    state.put(span(number=1))
    run(first)
    state.put(span(number=2))
    _die_during_the_import(first, state)
    assert copies(fake) == {"1": 1, "2": 1}
    second = state.deliverer()
    run(second)
    assert states_of(second) == {"delivered": 1, "uncertain": 1}
    state.clock.sleep(1)
    run(second)
    assert states_of(second) == {"delivered": 2}
    assert copies(fake) == {"1": 1, "2": 1}


def _die_during_the_import(deliverer: Deliverer, state: State) -> None:
    """Leave the state as a process does that is killed between the import and its answer."""

    def die(*_: object) -> None:
        raise KeyboardInterrupt

    deliverer.outbox.batches.mark_delivered = die  # type: ignore[method-assign]
    with pytest.raises(KeyboardInterrupt):
        deliverer.step()
    deliverer.close()


def test_the_next_deliverer_tries_blocked_destinations_at_once(state: State, fake: FakeLabelStudio) -> None:
    fake.fail(Fault(method="GET", path="/api/projects/", status=403))
    state.put(span(number=1))
    first = state.deliverer()
    run(first)
    first.close()
    run(state.deliverer())
    assert copies(fake) == {"1": 1}


def test_a_retry_record_in_the_spool_sends_parked_items_again(state: State, fake: FakeLabelStudio) -> None:
    deliverer = state.deliverer()
    fake.fail(Fault(reject=(0,)))
    state.put(span(number=1))
    run(deliverer)
    assert states_of(deliverer) == {"parked": 1}
    state.writer.append(record.encode_retry())
    run(deliverer)
    run(deliverer)
    assert copies(fake) == {"1": 1}


@pytest.mark.parametrize("damage", ["no database", "a page"])
def test_a_corrupt_outbox_is_set_aside_and_a_new_one_begun(
    state: State, fake: FakeLabelStudio, caplog: pytest.LogCaptureFixture, damage: str
) -> None:
    first = state.deliverer()
    state.put(*(span("x" * 3000, number=number) for number in range(1, 30)))
    run(first)
    first.close()
    path = state.directory / "outbox.db"
    content = path.read_bytes()
    kept = 4096 if damage == "a page" else 0
    path.write_bytes(content[:kept] + b"\xff" * (len(content) - kept))
    state.writer.close()
    state.put(span(number=99))
    second = state.deliverer()
    for _ in range(4):
        run(second)
        state.clock.sleep(301)  # what cannot be read may have been under way
    assert copies(fake)[hex(99)[2:]] == 1
    (aside,) = (file for file in state.directory.iterdir() if ".corrupt-" in file.name and file.suffix != ".db-wal")
    assert aside.read_bytes()[-1:] == b"\xff"
    assert "was set aside" in caplog.text


def test_the_outbox_of_a_newer_version_is_not_changed_and_a_warning_is_logged(
    state: State, fake: FakeLabelStudio, caplog: pytest.LogCaptureFixture
) -> None:
    first = state.deliverer()
    run(first)
    first.close()
    path = state.directory / "outbox.db"
    connection = sqlite3.connect(path)
    connection.execute("PRAGMA user_version = 99")
    connection.close()
    state.put(span(number=1))
    run(state.deliverer())
    assert "upgrade this installation" in caplog.text
    assert len(caplog.records) == 1
    assert [file.name for file in state.directory.glob("*corrupt*")] == []
    assert len(list((state.directory / "spool").iterdir())) == 1


def test_an_outbox_that_cannot_be_written_keeps_the_spool_and_resumes(
    state: State, fake: FakeLabelStudio, caplog: pytest.LogCaptureFixture
) -> None:
    state.put(span(number=1))
    (state.directory / "outbox.db").mkdir()
    deliverer = state.deliverer()
    for _ in range(3):
        run(deliverer)
    assert len(caplog.records) == 1
    assert f"LLM calls wait in {state.directory} until this is mended" in caplog.text
    (state.directory / "outbox.db").rmdir()
    run(deliverer)
    assert copies(fake) == {"1": 1}


def test_a_disk_problem_that_the_recorder_has_warned_of_is_not_logged_again(
    state: State, caplog: pytest.LogCaptureFixture
) -> None:
    health = Health(spool_problem="No space left on device")
    deliverer = state.deliverer(health=health)
    (state.directory / "outbox.db").mkdir(parents=True)
    deliverer.step()
    assert "outbox.db" in (health.outbox_problem or "")
    assert caplog.records == []
    health.spool_problem = None
    deliverer.step()
    assert len(caplog.records) == 1
    (state.directory / "outbox.db").rmdir()
    deliverer.step()
    assert health == Health()


def test_the_problem_of_a_blocked_destination_is_in_health_until_it_opens(state: State, fake: FakeLabelStudio) -> None:
    health = Health()
    deliverer = state.deliverer(health=health)
    fake.fail(Fault(method="GET", path="/api/projects/", status=403))
    state.put(span(number=1))
    run(deliverer)
    (problem,) = health.delivery_problems.values()
    assert problem.startswith(f"{fake.url} answered 403")
    assert health.has_problem
    state.clock.sleep(2)
    run(deliverer)
    assert copies(fake) == {"1": 1}
    assert not health.has_problem


def test_a_file_system_without_locks_is_logged_with_what_to_do(
    state: State, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def refuse(*_: object) -> None:
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(fcntl, "flock", refuse)
    assert not state.deliverer().step()
    (entry,) = caplog.records
    assert "No locks available: this file system cannot lock the file, a local disk can" in entry.getMessage()
    assert entry.getMessage().endswith("or LABEL_STUDIO_OTEL_STATE_DIR names another directory")


def test_delivery_goes_on_after_another_process_locked_the_database(
    state: State, fake: FakeLabelStudio, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(database, "BUSY_TIMEOUT_S", 0.05)
    deliverer = state.deliverer()
    run(deliverer)
    other = sqlite3.connect(state.directory / "outbox.db", isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    state.put(span(number=1))
    run(deliverer)
    assert copies(fake) == {}
    other.close()
    run(deliverer)
    assert copies(fake) == {"1": 1}


def test_delivered_keys_are_forgotten_after_30_days(state: State, fake: FakeLabelStudio) -> None:
    deliverer = state.deliverer()
    state.put(span(number=1))
    run(deliverer)
    state.clock.sleep(29 * 86400)
    run(deliverer)
    assert states_of(deliverer) == {"delivered": 1}
    state.clock.sleep(2 * 86400)
    run(deliverer)
    assert states_of(deliverer) == {}


def test_deliver_counts_the_whole_outbox_once_and_not_after_each_batch(
    state: State, fake: FakeLabelStudio, monkeypatch: pytest.MonkeyPatch
) -> None:
    counted: list[bool] = []
    summary = Overview.summary

    def counting(outbox: Overview) -> Summary:
        counted.append(True)
        return summary(outbox)

    monkeypatch.setattr(Overview, "summary", counting)
    state.put(span(number=1), span(number=2))
    deliver._steps(state.deliverer(), state.settings, 5.0, lambda **_: None)
    assert copies(fake) == {"1": 1, "2": 1}
    assert len(counted) == 1


def test_the_log_events_of_a_call_that_settings_leave_out_are_deleted_after_an_hour(state: State) -> None:
    said = {
        "traceId": "1" * 32,
        "spanId": "2" * 16,
        "eventName": "gen_ai.user.message",
        "body": {"content": "a secret"},
    }
    assert state.writer.append(record.encode_log("{}", {**said, "timeUnixNano": 1, "scope": {}, "attributes": {}}))
    deliverer = state.deliverer()
    run(deliverer)
    state.clock.sleep(3599)
    run(deliverer)
    assert b"a secret" in deliverer.outbox.events(f"{'1' * 32}:{'2' * 16}")[0]
    state.clock.sleep(901)
    run(deliverer)
    assert deliverer.outbox.events(f"{'1' * 32}:{'2' * 16}") == []


def test_destinations_without_calls_are_forgotten_after_30_days(state: State, fake: FakeLabelStudio) -> None:
    deliverer = state.deliverer()
    for day in range(1, 36):
        state.put(span(number=day), destination=Destination(f"Prompts of day {day}"))
        run(deliverer)
        state.clock.sleep(86400)
    run(deliverer)
    assert len(copies(fake)) == 35
    delivery = deliverer._delivery
    names = [target.destination.project_name for target, _, _ in deliverer.outbox.overview.summary().destinations]
    assert names == [f"Prompts of day {day}" for day in range(6, 36)]
    assert len(delivery._batch_sizes) == len(delivery._projects._read) == 30
    state.put(span(number=1), span(number=99), destination=Destination("Prompts of day 99"))
    run(deliverer)
    assert len(fake.store.projects) == 36
