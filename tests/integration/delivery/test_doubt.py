"""Uncertain batches are looked up before anything is sent again, so that no call becomes two tasks."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any
from unittest.mock import patch

import pytest

from label_studio_otel import reading
from label_studio_otel.settings import Destination
from label_studio_otel.testing import FakeLabelStudio, Fault, span
from support.delivering import Bench, all_tasks, copies, imports
from support.servers import wait_for

if TYPE_CHECKING:
    from pathlib import Path

ARRIVED = {
    "the connection breaks after the import": Fault(drop="after"),
    "a proxy gives up": Fault(status=504, carried_out=True),
    "an error after the commit": Fault(status=500, carried_out=True),
    "Label Studio imports later and counts nothing": Fault(without_counts=True),
    "an answer that is no JSON": Fault(status=201, body=b"<html>", carried_out=True),
}
LOST = {
    "the connection breaks before the import": Fault(drop="before"),
    "an error before the commit": Fault(status=500),
    "an answer without counts, and nothing behind it": Fault(status=201, body=b"{}"),
}


@pytest.mark.parametrize("fault", ARRIVED.values(), ids=ARRIVED.keys())
def test_a_batch_that_arrived_without_a_response_is_found_and_not_sent_again(
    bench: Bench, fake: FakeLabelStudio, fault: Fault
) -> None:
    fake.fail(fault)
    bench.put(span(number=1), span(number=2))
    bench.run()
    assert bench.states == {"uncertain": 2}
    bench.run_later(1)
    assert bench.states == {"delivered": 2}
    assert copies(fake) == {"1": 1, "2": 1}
    assert len(imports(fake)) == 1


@pytest.mark.parametrize("fault", LOST.values(), ids=LOST.keys())
def test_a_missing_batch_is_sent_again_only_after_the_uncertain_wait(
    bench: Bench, fake: FakeLabelStudio, fault: Fault
) -> None:
    fake.fail(fault)
    bench.put(span(number=1))
    bench.run()
    for _ in range(14):
        bench.run_later(60)
        assert bench.states == {"uncertain": 1}
    assert len(imports(fake)) == 1
    bench.run_later(61)
    assert copies(fake) == {"1": 1}
    assert len(imports(fake)) == 2


def test_the_delay_between_look_ups_grows(bench: Bench, fake: FakeLabelStudio) -> None:
    fake.fail(Fault(drop="before"))
    bench.put(span(number=1))
    bench.run()
    before = len(fake.requests)
    for _ in range(600):
        bench.run_later(1)
    assert len(fake.requests) - before == 24  # after 0.5, 1, 2, 4, 8, 16, then every 30 s


def test_the_delay_grows_too_where_a_look_up_fails_unexpectedly(bench: Bench, fake: FakeLabelStudio) -> None:
    fake.fail(Fault(drop="after"))
    bench.put(span(number=1))
    bench.run()
    with patch.object(bench.client, "find", side_effect=KeyError("a field")) as find:
        for _ in range(600):
            bench.run_later(1)
    assert find.call_count == 24
    bench.run_later(30)
    assert bench.states == {"delivered": 1}
    assert copies(fake) == {"1": 1}


def test_an_import_that_ends_after_the_read_timeout_is_found(tmp_path: Path, fake: FakeLabelStudio) -> None:
    bench = Bench(tmp_path, fake.url, read_timeout=0.1)
    fake.fail(Fault(wait=0.4))
    bench.put(span(number=1))
    bench.run()
    assert bench.states == {"uncertain": 1}
    bench.run_later(1)
    assert bench.states == {"uncertain": 1}
    wait_for(lambda: all_tasks(fake), timeout=10)
    bench.run_later(1)
    assert bench.states == {"delivered": 1}
    assert copies(fake) == {"1": 1}
    bench.outbox.close()


def test_other_batches_are_sent_while_one_is_uncertain(bench: Bench, fake: FakeLabelStudio) -> None:
    fake.fail(Fault(drop="before"))
    bench.put(span(number=1))
    bench.run()
    bench.put(span(number=2))
    bench.run_later(2)
    assert bench.states == {"uncertain": 1, "delivered": 1}
    assert copies(fake) == {"2": 1}


def test_the_items_that_are_found_are_delivered_and_the_others_stay_uncertain(
    bench: Bench, fake: FakeLabelStudio
) -> None:
    fake.fail(Fault(drop="after"))
    bench.put(span(number=1), span(number=2))
    bench.run()
    (first, _) = all_tasks(fake)
    del fake.store.tasks[first["id"]]
    bench.run_later(1)
    assert bench.states == {"delivered": 1, "uncertain": 1}
    bench.run_later(900)
    assert copies(fake) == {"1": 1, "2": 1}


def test_missing_predictions_are_added(bench: Bench, fake: FakeLabelStudio) -> None:
    fake.fail(Fault(lose_predictions=True))
    bench.put(span("Say hello.", ["Hello!", "Hi!"]))
    bench.run()
    assert bench.states == {"uncertain": 1}
    bench.run_later(1)
    (task,) = all_tasks(fake)
    assert [one["result"][0]["value"]["text"] for one in task["predictions"]] == [["Hi!"], ["Hello!"]]
    assert bench.states == {"delivered": 1}


def test_an_interrupted_repair_is_completed_without_a_second_prediction(bench: Bench, fake: FakeLabelStudio) -> None:
    fake.fail(Fault(lose_predictions=True), Fault(path="/api/predictions/", drop="after"))
    bench.put(span("Say hello.", ["Hello!", "Hi!"]))
    bench.run()
    bench.run_later(1)
    assert bench.states == {"uncertain": 1}
    bench.run_later(2)
    (task,) = all_tasks(fake)
    assert sorted(one["result"][0]["value"]["text"] for one in task["predictions"]) == [["Hello!"], ["Hi!"]]


def test_surplus_tasks_are_deleted_but_never_an_annotated_one(bench: Bench, fake: FakeLabelStudio) -> None:
    fake.fail(Fault(drop="after"))
    bench.put(span(number=1))
    bench.run()
    (task,) = all_tasks(fake)
    fake.store.tasks[900] = {**task, "id": 900, "total_annotations": 1}
    fake.store.tasks[901] = {**task, "id": 901}
    bench.run_later(1)
    assert [task["id"] for task in all_tasks(fake)] == [900]
    assert bench.states == {"delivered": 1}


def test_a_task_with_the_key_that_is_older_than_the_batch_is_not_found(bench: Bench, fake: FakeLabelStudio) -> None:
    bench.put(span(number=1))
    bench.run()
    (old,) = all_tasks(fake)
    old["data"]["key"] = span(number=2).key  # as people copy tasks
    fake.fail(Fault(drop="after"))
    bench.put(span(number=2))
    bench.run()
    bench.run_later(1)
    assert len(all_tasks(fake)) == 2
    assert bench.states == {"delivered": 2}


def test_a_batch_with_more_keys_than_a_look_up_has_is_found(bench: Bench, fake: FakeLabelStudio) -> None:
    fake.fail(Fault(drop="after"))
    bench.put(*(span(number=number) for number in range(1, 251)))
    bench.run()
    bench.run_later(1)
    assert bench.states == {"delivered": 250}
    lookups = [request for request in fake.requests if "in_list" in request.path]
    assert len(lookups) == 4
    assert max(len(request.path) for request in lookups) < 8000


@pytest.mark.parametrize(
    "fault",
    [
        {"drop": "after"},
        *({"status": status} for status in (302, 401, 403, 429, 500)),
        {"status": 200, "body": b"<html>"},
        {"status": 200, "body": b'{"tasks": [], "total": 1}'},
    ],
    ids=str,
)
def test_a_failed_look_up_changes_no_state(bench: Bench, fake: FakeLabelStudio, fault: dict[str, Any]) -> None:
    fake.fail(Fault(drop="after"))
    bench.put(span(number=1))
    bench.run()
    fake.fail(Fault(method="GET", path="/api/tasks", **fault))
    bench.run_later(901)
    assert bench.states == {"uncertain": 1}
    bench.run_later(2)
    assert bench.states == {"delivered": 1}
    assert copies(fake) == {"1": 1}


def test_items_that_another_deliverer_had_leased_are_looked_up(bench: Bench, fake: FakeLabelStudio) -> None:
    bench.put(span(number=1))
    bench.run()
    project = bench.target.project
    assert project is not None
    bench.put(span(number=2))
    (item,) = bench.outbox.due_items(bench.target.id, 10)
    bench.outbox.batches.lease(bench.target.id, project, bench.target.watermark or 0, {item.id: 1})
    assert bench.outbox.take_over("died") == 1
    bench.run_later(1)
    assert bench.states == {"delivered": 1, "uncertain": 1}
    bench.run_later(900)
    assert copies(fake) == {"1": 1, "2": 1}


@pytest.mark.parametrize(
    ("destination", "states", "projects"),
    [(Destination("Prompts"), {"delivered": 1}, ["Prompts"]), (Destination("", project_id=1), {"pending": 1}, [])],
    ids=["named", "by id"],
)
def test_the_items_of_a_deleted_project_count_as_not_arrived(
    bench: Bench, fake: FakeLabelStudio, destination: Destination, states: dict[str, int], projects: list[str]
) -> None:
    fake.store.projects[1] = {"id": 1, "title": "Prompts", "label_config": CONFIG, "model_version": ""}
    fake.fail(Fault(drop="before"))
    bench.put(span(number=1), destination=destination)
    bench.run()
    del fake.store.projects[1]
    bench.run_later(1)
    assert bench.states == {"uncertain": 1}
    bench.run_later(900)
    bench.run_later(2)
    assert bench.states == states
    assert [project["title"] for project in fake.store.projects.values()] == projects


CONFIG = '<View><Text name="prompt" value="$prompt"/><TextArea name="response" toName="prompt"/></View>'


def test_a_task_that_cannot_be_repaired_counts_as_delivered(
    bench: Bench, fake: FakeLabelStudio, monkeypatch: pytest.MonkeyPatch
) -> None:
    fake.fail(Fault(lose_predictions=True))
    bench.put(span(number=1))
    bench.run()
    monkeypatch.setattr(reading, "_known", lambda: (frozenset(), ()))  # as an older version after a step back
    bench.put(span(number=2))
    bench.run_later(1)
    assert bench.states == {"delivered": 1, "parked": 1}
    assert copies(fake) == {"1": 1}


def test_a_surplus_task_that_people_deleted_causes_no_task_twice(bench: Bench, fake: FakeLabelStudio) -> None:
    fake.fail(Fault(drop="after"))
    bench.put(span(number=1))
    bench.run()
    (task,) = all_tasks(fake)
    fake.store.tasks[900] = {**task, "id": 900}
    fake.fail(Fault(method="DELETE", path="/api/tasks/900/", status=404, body=b'{"detail": "Not found."}'))
    bench.run_later(1)
    assert bench.states == {"uncertain": 1}
    bench.run_later(2)
    assert bench.states == {"delivered": 1}
    assert copies(fake) == {"1": 1}
    assert len(imports(fake)) == 1


def test_the_batch_after_a_lost_response_is_half_as_large(bench: Bench, fake: FakeLabelStudio) -> None:
    fake.fail(Fault(drop="before"))
    bench.put(*(span(number=number) for number in range(1, 21)))
    bench.run()
    bench.put(*(span(number=number) for number in range(21, 61)))
    bench.run_later(2)
    sent = [len(json.loads(request.body)) for request in imports(fake)]
    assert sent == [20, 10, 10, 20]


def test_a_process_that_ends_after_a_batch_was_found_leaves_its_recheck(
    bench: Bench, fake: FakeLabelStudio, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Killed(BaseException):
        pass

    def deliver_and_die(*arguments: Any, **options: Any) -> None:
        deliver(*arguments, **options)
        raise Killed

    deliver = bench.outbox.batches.mark_delivered
    monkeypatch.setattr(bench.outbox.batches, "mark_delivered", deliver_and_die)
    fake.fail(Fault(drop="after"))
    bench.put(span(number=1))
    bench.run()
    with pytest.raises(Killed):
        bench.run_later(1)
    (watch,) = bench.outbox.batches.due_rechecks(bench.clock() + 900)
    assert watch.keys == (span(number=1).key,)
