"""Delivery from a state directory that is damaged, lost, of an older version, or full."""

from __future__ import annotations

import os
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from label_studio_otel import log
from label_studio_otel.cli.status import summary_of
from label_studio_otel.errors import OutboxError
from label_studio_otel.outbox.batches import Batches
from label_studio_otel.outbox.outbox import Outbox
from label_studio_otel.tasks import labeling_config
from label_studio_otel.testing import FakeLabelStudio, Fault, span
from label_studio_otel.testing.store import Call
from support.delivering import State, copies, run, states_of

CASES = Path(__file__).parents[2] / "cases"


def test_readable_calls_of_a_corrupt_outbox_are_restored_and_nothing_is_sent_twice(
    state: State, fake: FakeLabelStudio, caplog: pytest.LogCaptureFixture
) -> None:
    first = state.deliverer()
    state.put(*(span(number=number) for number in range(1, 11)))
    run(first)
    fake.fail(*(Fault(method="GET", path="/api/", status=502) for _ in range(9)))
    state.clock.sleep(31)
    state.put(*(span("x" * 3000, number=number) for number in range(11, 101)))
    run(first)
    assert states_of(first) == {"delivered": 10, "pending": 90}
    first.close()
    fake.faults.clear()
    path = state.directory / "outbox.db"
    content = bytearray(path.read_bytes())
    leaves = [page for page in range(8192, len(content), 4096) if content[page] == 0x0D]
    middle = leaves[len(leaves) // 2]
    content[middle : middle + 4096] = b"\xff" * 4096
    path.write_bytes(content)
    second = state.deliverer()
    for _ in range(10):
        state.clock.sleep(31)
        run(second)
    assert set(copies(fake).values()) == {1}
    assert len(copies(fake)) >= 90
    (said,) = [record.getMessage() for record in caplog.records if "could be read" in record.getMessage()]
    assert "was set aside as" in said


def test_after_the_outbox_was_lost_calls_are_looked_up_before_they_are_sent(
    state: State, fake: FakeLabelStudio
) -> None:
    first = state.deliverer()
    state.put(*(span(number=number) for number in range(1, 6)))
    run(first)
    first.close()
    for path in state.directory.glob("outbox.db*"):
        path.unlink()
    state.put(*(span(number=number) for number in range(4, 9)))
    second = state.deliverer()
    second.take_lock()
    second.reconcile()
    run(second)
    assert states_of(second) == {"delivered": 8}
    assert copies(fake) == dict.fromkeys("12345678", 1)
    assert second.counts.duplicates == 7


def test_calls_are_looked_up_although_a_killed_process_has_created_the_lost_outbox_anew(
    state: State, fake: FakeLabelStudio
) -> None:
    first = state.deliverer()
    state.put(span(number=1))
    run(first)
    first.close()
    for path in state.directory.glob("outbox.db*"):
        path.unlink()
    with closing(Outbox.in_file(state.directory / "outbox.db")) as killed:
        killed.take_over("the process that sent it ended before the answer")
    run(state.deliverer())
    assert copies(fake) == {"1": 1}


def test_delivery_goes_on_from_an_outbox_of_the_first_schema(state: State, fake: FakeLabelStudio) -> None:
    state.directory.mkdir(parents=True)
    connection = sqlite3.connect(state.directory / "outbox.db")
    connection.executescript((CASES / "outbox" / "schema-1.sql").read_text("ascii"))
    connection.close()
    fake.store.carry_out(_project("Prompts"))
    assert summary_of(state.directory).states["parked"] == 1
    deliverer = state.deliverer()
    run(deliverer)
    assert states_of(deliverer) == {"delivered": 3, "uncertain": 2, "parked": 1}
    state.clock.sleep(86400)
    run(deliverer)
    state.clock.sleep(5)  # what did not arrive alone leaves that to others
    run(deliverer)
    assert states_of(deliverer) == {"delivered": 5, "parked": 1}
    assert copies(fake) == {"3": 1, "5": 1, "6": 1}


def test_a_full_outbox_leaves_the_spool_until_something_was_delivered(
    state: State, fake: FakeLabelStudio, caplog: pytest.LogCaptureFixture
) -> None:
    deliverer = state.deliverer(max_state_bytes=300_000)
    fake.fail(*(Fault(method="GET", path="/api/", status=502) for _ in range(50)))
    for number in range(1, 401):
        state.put(span("x" * 3000, number=number))
        if number % 40 == 0:
            state.clock.sleep(1)
            deliverer.step()
    assert 60 <= states_of(deliverer)["pending"] <= 200
    assert "LABEL_STUDIO_OTEL_MAX_STATE_BYTES" in caplog.text
    fake.faults.clear()
    for _ in range(20):
        state.clock.sleep(61)
        run(deliverer)
    assert states_of(deliverer) == {"delivered": 400}
    deliverer.close()


def test_calls_older_than_the_maximum_age_are_given_up_counted_and_logged(
    state: State, fake: FakeLabelStudio, caplog: pytest.LogCaptureFixture
) -> None:
    deliverer = state.deliverer(max_age=3600.0)
    fake.fail(*(Fault(method="GET", path="/api/", status=502) for _ in range(50)))
    state.put(span(number=1), span(number=2))
    run(deliverer)
    state.clock.sleep(3000)
    state.put(span(number=3))
    run(deliverer)
    remembered = set(log._said)
    state.clock.sleep(1000)
    run(deliverer)
    assert states_of(deliverer) == {"pending": 1}
    assert "2 LLM calls were given up" in caplog.text
    assert log._said == remembered
    assert deliverer.outbox.overview.summary().counters["given_up"] == 2
    deliverer.close()


def test_an_unnamed_spool_file_of_a_killed_application_is_removed(state: State) -> None:
    state.put(span(number=1))
    unnamed = state.directory / "spool" / ".17-18c5-0a"
    unnamed.touch()
    os.utime(unnamed, (state.clock() - 3601, state.clock() - 3601))
    deliverer = state.deliverer()
    run(deliverer)
    assert not unnamed.exists()
    deliverer.close()


def test_a_torn_last_record_is_cut_off_and_counted(state: State, fake: FakeLabelStudio) -> None:
    state.put(span(number=1), span(number=2))
    state.writer.close()
    (path,) = (state.directory / "spool").glob("*.spool")
    path.write_bytes(path.read_bytes()[:-100])
    deliverer = state.deliverer()
    run(deliverer)
    assert copies(fake) == {"1": 1}
    assert deliverer.outbox.overview.summary().counters["unreadable_bytes"] == deliverer.counts.damaged_bytes > 100


def _project(title: str) -> Call:
    config = labeling_config.template("prompt")
    return Call("POST", "/api/projects/", {}, {"title": title, "label_config": config})


def test_a_delivery_that_could_not_be_stored_is_looked_up_when_the_disk_has_room_again(
    state: State, fake: FakeLabelStudio, monkeypatch: pytest.MonkeyPatch
) -> None:
    state.put(span(number=1))
    deliverer = state.deliverer()
    with monkeypatch.context() as full_disk:
        full_disk.setattr(Batches, "mark_delivered", _refuse)
        run(deliverer)
    assert states_of(deliverer) == {"leased": 1}
    run(deliverer)
    state.clock.sleep(1)
    run(deliverer)
    assert states_of(deliverer) == {"delivered": 1}
    assert copies(fake) == {"1": 1}


def _refuse(*_: object) -> None:
    raise OutboxError("outbox.db: database or disk is full")
