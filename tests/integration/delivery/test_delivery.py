"""The requests of delivery, and what it does after each kind of response."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from label_studio_otel.outbox.items import NewItem
from label_studio_otel.settings import Destination
from label_studio_otel.testing import FakeLabelStudio, Fault, span
from support.delivering import CHATS, PROMPTS, Bench, all_tasks, copies, imports

if TYPE_CHECKING:
    from pathlib import Path


def test_a_call_becomes_a_task_with_its_prediction(bench: Bench, fake: FakeLabelStudio) -> None:
    bench.put(span("Say hello.", "Hello!"))
    bench.run()
    (task,) = all_tasks(fake)
    (prediction,) = task["predictions"]
    assert task["data"]["prompt"] == "User:\nSay hello."
    assert prediction["result"][0]["value"] == {"text": ["Hello!"]}
    assert prediction["model_version"] == "label-studio-otel"
    assert bench.states == {"delivered": 1}


def test_a_span_that_arrives_twice_is_one_task(bench: Bench, fake: FakeLabelStudio) -> None:
    bench.put(span(number=1), span(number=1))
    bench.run()
    bench.put(span(number=1))
    bench.run()
    assert copies(fake) == {"1": 1}


def test_equal_ids_at_another_time_are_another_call(bench: Bench, fake: FakeLabelStudio) -> None:
    bench.put(span(number=1), span(number=1, start_time_unix_nano=1))
    bench.run()
    assert copies(fake) == {"1": 2}


def test_each_destination_gets_its_own_calls(bench: Bench, fake: FakeLabelStudio) -> None:
    bench.put(span(number=1), span(number=3), destination=PROMPTS)
    bench.put(span(number=2), destination=CHATS)
    bench.run()
    titles = {project["title"]: number for number, project in fake.store.projects.items()}
    assert [task["data"]["span_id"][-1] for task in fake.tasks(titles["Prompts"])] == ["1", "3"]
    assert [task["data"]["span_id"][-1] for task in fake.tasks(titles["Chats"])] == ["2"]


def test_one_call_for_two_destinations_is_a_task_in_each(bench: Bench, fake: FakeLabelStudio) -> None:
    bench.put(span(number=1), destination=PROMPTS)
    bench.put(span(number=1), destination=CHATS)
    bench.run()
    assert [len(fake.tasks(number)) for number in fake.store.projects] == [1, 1]


def test_a_blocked_destination_does_not_hold_up_another(bench: Bench, fake: FakeLabelStudio) -> None:
    bench.put(span(number=1), destination=Destination("", project_id=404))
    bench.put(span(number=2))
    bench.run()
    assert copies(fake) == {"2": 1}


def test_a_request_has_at_most_500_tasks(bench: Bench, fake: FakeLabelStudio) -> None:
    bench.put(*(span(number=number) for number in range(1, 602)))
    bench.run()
    assert [len(json.loads(request.body)) for request in imports(fake)] == [500, 101]
    assert set(copies(fake).values()) == {1}
    assert len(copies(fake)) == 601


def test_a_request_has_at_most_8_mib(bench: Bench, fake: FakeLabelStudio) -> None:
    bench.put(*(span("x" * 300_000, number=number) for number in range(1, 41)))
    bench.run()
    assert [len(request.body) <= 8 * 1024 * 1024 for request in imports(fake)] == [True, True]
    assert bench.states == {"delivered": 40}


def test_refused_items_are_parked_and_the_others_sent(bench: Bench, fake: FakeLabelStudio) -> None:
    fake.fail(Fault(reject=(1, 3)))
    bench.put(*(span(number=number) for number in range(1, 6)))
    bench.run()
    assert copies(fake) == {"1": 1, "3": 1, "5": 1}
    assert bench.states == {"delivered": 3, "parked": 2}
    assert bench.parked == {"rejected on request": 2}


def test_a_refusal_that_names_no_task_is_resolved_by_halving_batches(bench: Bench, fake: FakeLabelStudio) -> None:
    fake.fail(*(Fault(status=400, body=b'{"detail": "no"}') for _ in range(3)))  # of 4, of 2, of 1
    bench.put(*(span(number=number) for number in range(1, 5)))
    bench.run()
    assert [len(json.loads(request.body)) for request in imports(fake)[:3]] == [4, 2, 1]
    assert copies(fake) == {"2": 1, "3": 1, "4": 1}
    assert list(bench.parked) == [f"{fake.url} answered 400 to POST /api/projects/1/import: no"]


def test_a_batch_that_is_too_large_is_halved(bench: Bench, fake: FakeLabelStudio) -> None:
    fake.fail(Fault(status=413), Fault(status=413))
    bench.put(*(span(number=number) for number in range(1, 9)))
    bench.run()
    assert [len(json.loads(request.body)) for request in imports(fake)] == [8, 4, 2, 2, 2, 2]
    assert bench.states == {"delivered": 8}


def test_a_task_that_alone_is_too_large_is_parked(bench: Bench, fake: FakeLabelStudio) -> None:
    fake.fail(Fault(status=413))
    bench.put(span(number=1))
    bench.run()
    assert bench.parked == {f"{fake.url} answered 413 to POST /api/projects/1/import: the request is too large": 1}


def test_a_parked_item_is_sent_again_on_request(bench: Bench, fake: FakeLabelStudio) -> None:
    fake.fail(Fault(reject=(0,)))
    bench.put(span(number=1))
    bench.run()
    assert bench.outbox.retry() == 1
    bench.run()
    assert copies(fake) == {"1": 1}


def test_a_record_that_cannot_be_read_is_parked_with_a_reason_and_without_content(
    bench: Bench, fake: FakeLabelStudio
) -> None:
    bench.outbox.accept([NewItem(PROMPTS, "key", b"no record of ours")], "1.spool", 0, bench.clock())
    bench.put(span("no LLM call", number=1, attributes={"gen_ai.operation.name": "execute_tool"}), span(number=2))
    bench.run()
    assert copies(fake) == {"2": 1}
    unreadable, foreign = sorted(bench.parked)
    assert unreadable.startswith("a record of 17 bytes cannot be read")
    assert foreign == (
        "span 0000000000000001 is no LLM call that a dialect knows (scope 'opentelemetry.instrumentation.langchain')"
    )


def test_a_429_is_retried_after_the_seconds_of_its_header(bench: Bench, fake: FakeLabelStudio) -> None:
    fake.fail(Fault(status=429, headers={"Retry-After": "120"}))
    bench.put(span(number=1))
    bench.run()
    assert bench.states == {"pending": 1}
    assert bench.target.passing
    bench.run_later(119)
    assert len(imports(fake)) == 1
    bench.run_later(2)
    assert copies(fake) == {"1": 1}
    assert bench.target.blocked is None


@pytest.mark.parametrize(
    ("status", "reason"),
    [
        (401, "answered 401 to GET /api/projects/: no; set LABEL_STUDIO_API_KEY to a valid token"),
        (403, "answered 403 to GET /api/projects/: no; the token's user may not do this"),
        (404, "answered 404 to GET /api/projects/: there is no such project, or the token's user may not see it"),
        (302, "answered 302 to GET /api/projects/: it redirects; set LABEL_STUDIO_URL to where it redirects to"),
    ],
)
def test_an_error_that_a_person_must_mend_blocks_until_it_is_mended(
    bench: Bench, fake: FakeLabelStudio, status: int, reason: str
) -> None:
    fake.fail(Fault(method="GET", path="/api/projects/", status=status, body=b'{"detail": "no"}'))
    bench.put(span(number=1))
    bench.run()
    assert bench.target.blocked == f"{fake.url} {reason}"
    assert not bench.target.passing
    assert bench.states == {"pending": 1}
    bench.run_later(2)
    assert bench.states == {"delivered": 1}
    assert bench.said == [("project 'Prompts' (prompt)", f"{fake.url} {reason}"), ("project 'Prompts' (prompt)", None)]


@pytest.mark.parametrize("status", [401, 403, 404])
def test_a_refused_import_blocks_with_nothing_sent(bench: Bench, fake: FakeLabelStudio, status: int) -> None:
    fake.fail(Fault(status=status, body=b"<html>"))
    bench.put(span(number=1))
    bench.run()
    assert bench.states == {"pending": 1}
    assert not bench.target.passing
    bench.run_later(2)
    assert copies(fake) == {"1": 1}


def test_a_server_that_is_down_blocks_and_delivery_resumes(tmp_path: Path) -> None:
    with FakeLabelStudio() as gone:
        port = int(gone.url.rpartition(":")[2])
    bench = Bench(tmp_path, f"http://127.0.0.1:{port}")
    bench.put(span(number=1))
    bench.run()
    assert bench.target.passing
    assert bench.target.blocked == (
        f"http://127.0.0.1:{port} cannot be reached (ConnectionRefusedError: [Errno 111] Connection refused); "
        "check LABEL_STUDIO_URL and that Label Studio runs"
    )
    bench.outbox.close()
    with FakeLabelStudio() as fake:
        later = Bench(tmp_path, fake.url, clock=bench.clock)
        later.run_later(2)
        assert copies(fake) == {"1": 1}
        assert later.target.blocked is None
        later.outbox.close()


def test_the_delay_between_attempts_on_a_blocked_destination_grows(bench: Bench, fake: FakeLabelStudio) -> None:
    fake.fail(*(Fault(method="GET", path="/api/projects/", status=403) for _ in range(50)))
    bench.put(span(number=1))
    for _ in range(600):
        bench.run_later(1)
    # 1, 2, 4, … 60 s with a quarter of jitter: 5 or 6 in the first minute, then one a minute.
    assert 12 <= len(fake.requests) <= 20


@pytest.mark.parametrize("path", ["/a b", "/\u00fc", "/a\x7f"])
def test_a_url_with_invalid_characters_blocks(tmp_path: Path, fake: FakeLabelStudio, path: str) -> None:
    bench = Bench(tmp_path, fake.url + path)
    bench.put(span())
    bench.run()
    assert bench.target.blocked == f"{fake.url + path} cannot be used as a URL; check LABEL_STUDIO_URL"
    bench.outbox.close()


@pytest.mark.parametrize("body", [b"<html>hello</html>", b'{"message": "hello"}', b"[]", b"7", b"null"])
def test_the_response_of_another_service_blocks_with_a_reason(bench: Bench, fake: FakeLabelStudio, body: bytes) -> None:
    fake.fail(Fault(method="GET", path="/api/projects/", status=200, body=body))
    bench.put(span())
    bench.run()
    assert bench.target.blocked is not None
    assert bench.target.blocked.endswith("is LABEL_STUDIO_URL the address of Label Studio?")
    bench.run_later(2)
    assert bench.states == {"delivered": 1}
