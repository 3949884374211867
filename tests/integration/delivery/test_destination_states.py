"""Delivery to a project that is deleted, to a server that is restored or replaced, and tasks that fail their import."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from label_studio_otel.settings import Destination
from label_studio_otel.testing import FakeLabelStudio, Fault, span
from label_studio_otel.testing.imports import AsynchronousImport
from support.delivering import Bench, all_tasks, copies, imports

if TYPE_CHECKING:
    from pathlib import Path


class TestAServerRestoredFromABackup:
    def test_calls_delivered_after_the_backup_are_not_sent_again(
        self, bench: Bench, fake: FakeLabelStudio, caplog: pytest.LogCaptureFixture
    ) -> None:
        bench.put(span(number=1))
        bench.run()
        backup = fake.backup()
        bench.put(*(span(number=number) for number in range(2, 6)))
        bench.run()
        fake.restore(backup)
        bench.put(span(number=6))
        bench.run_later(31)
        assert copies(fake) == {"1": 1, "6": 1}
        assert bench.states == {"delivered": 6}
        (said,) = [record.getMessage() for record in caplog.records if "restored from a backup" in record.getMessage()]
        assert "the newest task of project 1" in said

    def test_an_uncertain_batch_is_found_although_its_tasks_have_lower_ids(
        self, bench: Bench, fake: FakeLabelStudio
    ) -> None:
        bench.put(span(number=1))
        bench.run()
        backup = fake.backup()
        bench.put(*(span(number=number) for number in range(2, 6)))
        bench.run()
        fake.restore(backup)
        fake.fail(Fault(drop="after"))
        bench.put(span(number=7))
        bench.run()
        for _ in range(16):
            bench.run_later(60)
        assert copies(fake) == {"1": 1, "7": 1}
        assert bench.states == {"delivered": 6}

    def test_a_project_that_the_backup_lacks_is_created_again_by_its_title(
        self, bench: Bench, fake: FakeLabelStudio
    ) -> None:
        backup = fake.backup()
        bench.put(span(number=1))
        bench.run()
        fake.restore(backup)
        bench.put(span(number=2))
        bench.run_later(31)
        assert copies(fake) == {"2": 1}


class TestAReplacedServer:
    def test_another_project_that_has_the_same_id_gets_no_task(self, bench: Bench, fake: FakeLabelStudio) -> None:
        bench.put(span(number=1))
        bench.run()
        fake.replace()
        config = '<View><Text name="t" value="$text"/></View>'
        body = {"title": "Cats", "label_config": config}
        fake.store.carry_out(_call("POST", "/api/projects/", body))
        bench.put(span(number=2))
        bench.run_later(31)
        assert fake.tasks(1) == []
        assert fake.store.projects[2]["title"] == "Prompts"
        assert copies(fake) == {"2": 1}

    def test_a_project_that_is_configured_by_its_id_is_used_on_the_new_server_too(
        self, bench: Bench, fake: FakeLabelStudio
    ) -> None:
        by_id = Destination("", project_id=1)
        config = '<View><Text name="p" value="$prompt"/><TextArea name="response" toName="p"/></View>'
        fake.store.carry_out(_call("POST", "/api/projects/", {"title": "Mine", "label_config": config}))
        bench.put(*(span(number=number) for number in range(1, 4)), destination=by_id)
        bench.run()
        fake.replace()
        bench.put(span(number=5), destination=by_id)
        bench.run_later(31)
        assert "there is no such project" in str(bench.target.blocked)
        fake.store.carry_out(_call("POST", "/api/projects/", {"title": "Mine", "label_config": config}))
        bench.run_later(120)
        assert copies(fake) == {"5": 1}
        assert bench.target.watermark == 1


class TestATaskThatFailsItsImport:
    @pytest.fixture(autouse=True)
    def _poisoned(self, fake: FakeLabelStudio) -> None:
        fake.poison = "poison"

    def test_it_is_found_by_halving_batches_and_parked_and_the_others_arrive(
        self, bench: Bench, fake: FakeLabelStudio
    ) -> None:
        bench.put(*(span("poison" if number == 5 else "good", number=number) for number in range(1, 9)))
        for _ in range(100):
            bench.run_later(60)
        assert bench.states == {"delivered": 7, "parked": 1}
        assert copies(fake) == {"1": 1, "2": 1, "3": 1, "4": 1, "6": 1, "7": 1, "8": 1}
        (reason,) = bench.parked
        assert reason.startswith(f"{fake.url} answered 500 to POST /api/projects/1/import: ")
        assert "poison" not in reason

    def test_it_is_found_with_few_requests(self, bench: Bench, fake: FakeLabelStudio) -> None:
        bench.put(*(span("poison" if number == 100 else "good", number=number) for number in range(1, 201)))
        for _ in range(200):
            bench.run_later(60)
        assert bench.states == {"delivered": 199, "parked": 1}
        assert len(imports(fake)) <= 20

    def test_it_is_parked_after_three_attempts_where_no_other_call_waits(
        self, bench: Bench, fake: FakeLabelStudio
    ) -> None:
        bench.put(span("poison", number=1))
        for _ in range(44):
            bench.run_later(60)
        assert bench.states in ({"uncertain": 1}, {"pending": 1})
        for _ in range(10):
            bench.run_later(60)
        assert bench.states == {"parked": 1}
        assert len(imports(fake)) == 3

    def test_after_retry_it_is_sent_with_others_again(self, bench: Bench, fake: FakeLabelStudio) -> None:
        bench.put(*(span("poison" if number == 1 else "good", number=number) for number in range(1, 3)))
        for _ in range(80):
            bench.run_later(60)
        assert bench.states == {"delivered": 1, "parked": 1}
        fake.poison = ""
        assert bench.outbox.retry() == 1
        bench.run()
        assert bench.states == {"delivered": 2}


class TestImportsThatAreCarriedOutLater:
    def test_their_state_is_read_until_they_end_and_then_their_keys_are_looked_up(
        self, bench: Bench, fake: FakeLabelStudio
    ) -> None:
        fake.asynchronous_import = AsynchronousImport(polls=3)
        bench.put(span(number=1), span(number=2))
        bench.run()
        assert bench.states == {"uncertain": 2}
        for _ in range(4):
            bench.run_later(10)
        assert bench.states == {"delivered": 2}
        assert copies(fake) == {"1": 1, "2": 1}
        assert len(imports(fake)) == 1

    def test_the_next_batch_waits_until_the_import_has_ended(self, bench: Bench, fake: FakeLabelStudio) -> None:
        fake.asynchronous_import = AsynchronousImport(polls=2)
        bench.put(span(number=1))
        bench.run()
        bench.put(span(number=2))
        bench.run_later(1)
        assert bench.states == {"uncertain": 1, "pending": 1}
        for _ in range(8):
            bench.run_later(10)
        assert bench.states == {"delivered": 2}

    def test_an_import_that_takes_hours_is_not_sent_again(self, bench: Bench, fake: FakeLabelStudio) -> None:
        fake.asynchronous_import = AsynchronousImport(status="in_progress")
        bench.put(span(number=1))
        bench.run()
        for _ in range(20):
            bench.run_later(3600)
        assert bench.states == {"uncertain": 1}
        assert len(imports(fake)) == 1

    def test_tasks_of_a_failed_import_are_kept_and_the_rest_is_sent_in_halves(
        self, bench: Bench, fake: FakeLabelStudio
    ) -> None:
        fake.asynchronous_import = AsynchronousImport(status="failed", taken=1)
        bench.put(*(span(number=number) for number in range(1, 4)))
        bench.run()
        bench.run_later(1)
        bench.run_later(1)
        fake.asynchronous_import = AsynchronousImport(polls=0)
        for _ in range(10):
            bench.run_later(5)
        assert bench.states == {"delivered": 3}
        assert copies(fake) == {"1": 1, "2": 1, "3": 1}

    def test_a_call_whose_import_fails_is_parked_with_the_reason(self, bench: Bench, fake: FakeLabelStudio) -> None:
        fake.asynchronous_import = AsynchronousImport(status="failed", error="no room")
        bench.put(span(number=1))
        for _ in range(5):
            bench.run_later(5)
        assert bench.parked == {"no room": 1}


class TestSurplusTasks:
    def test_a_request_that_was_carried_out_twice_leaves_one_task(self, bench: Bench, fake: FakeLabelStudio) -> None:
        fake.fail(Fault(twice=True))
        bench.put(span(number=1), span(number=2))
        bench.run()
        bench.run_later(1)
        assert bench.states == {"delivered": 2}
        assert copies(fake) == {"1": 1, "2": 1}

    def test_a_surplus_task_that_appears_late_is_deleted(self, bench: Bench, fake: FakeLabelStudio) -> None:
        fake.fail(Fault(drop="after", carried_out=True), Fault(path="/nothing"))
        bench.put(span(number=1))
        bench.run()
        bench.run_later(1)
        assert bench.states == {"delivered": 1}
        (task,) = all_tasks(fake)
        fake.store.tasks[77] = {**task, "id": 77}
        bench.run_later(300)
        assert copies(fake) == {"1": 2}
        bench.run_later(900)
        assert copies(fake) == {"1": 1}
        assert [one["id"] for one in all_tasks(fake)] == [task["id"]]

    def test_the_annotated_task_stays(self, bench: Bench, fake: FakeLabelStudio) -> None:
        fake.fail(Fault(drop="after"))
        bench.put(span(number=1))
        bench.run()
        (task,) = all_tasks(fake)
        fake.store.tasks[77] = {**task, "id": 77, "total_annotations": 1}
        fake.store.tasks[78] = {**task, "id": 78}
        bench.run_later(1)
        assert [one["id"] for one in all_tasks(fake)] == [77]
        deleted = [request.path for request in fake.requests if request.method == "DELETE"]
        assert deleted == ["/api/tasks/78/", f"/api/tasks/{task['id']}/"]


class TestAnOutage:
    def test_after_a_lost_response_no_batch_is_sent_until_the_server_responds_again(
        self, bench: Bench, fake: FakeLabelStudio
    ) -> None:
        fake.fail(Fault(drop="after"))
        bench.put(*(span(number=number) for number in range(1, 1001)))
        bench.run()
        fake.fail(*(Fault(method="GET", path="/api/", status=502) for _ in range(20)))
        for _ in range(10):
            bench.run_later(1)
        assert len(imports(fake)) == 1
        assert bench.states == {"uncertain": 500, "pending": 500}
        for _ in range(20):
            bench.run_later(61)
        assert bench.states == {"delivered": 1000}
        assert set(copies(fake).values()) == {1}

    def test_a_missing_batch_sent_before_the_servers_restart_is_sent_again_at_once(
        self, tmp_path: Path, fake: FakeLabelStudio
    ) -> None:
        before = Bench(tmp_path, fake.url)
        fake.fail(Fault(drop="before"))
        before.put(span(number=1))
        before.run()
        before.outbox.close()
        after = Bench(tmp_path, fake.url, clock=before.clock, restarted_at=before.clock() + 1)
        after.run_later(2)
        assert after.states == {"delivered": 1}
        assert copies(fake) == {"1": 1}
        after.outbox.close()


def _call(method: str, path: str, body: object) -> object:
    from label_studio_otel.testing.store import Call

    return Call(method, path, {}, body)
