"""The fakes do what they promise: faults of `FakeLabelStudio`, the span builder, the clock."""

from __future__ import annotations

import http.client
import json
import ssl
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import pytest
import trustme

from label_studio_otel.testing import AsynchronousImport, FakeClock, FakeLabelStudio, Fault, span

if TYPE_CHECKING:
    from email.message import Message

CONFIG = '<View><Text name="prompt" value="$prompt"/><TextArea name="response" toName="prompt"/></View>'
TASK = {"data": {"prompt": "hi"}, "predictions": [{"result": [], "model_version": "label-studio-otel"}]}


@dataclass(frozen=True)
class Answer:
    status: int
    headers: Message
    body: bytes

    def json(self) -> Any:
        return json.loads(self.body)


def send(
    fake: FakeLabelStudio,
    method: str,
    path: str,
    body: Any = None,
    *,
    timeout: float = 10,
    authorization: str = f"Token {FakeLabelStudio.token}",
    tls: ssl.SSLContext | None = None,
) -> Answer:
    host, payload = urlsplit(fake.url).netloc, None if body is None else json.dumps(body)
    if tls is None:
        connection = http.client.HTTPConnection(host, timeout=timeout)
    else:
        connection = http.client.HTTPSConnection(host, timeout=timeout, context=tls)
    try:
        connection.request(method, fake.path + path, payload, {"Authorization": authorization})
        answer = connection.getresponse()
        return Answer(answer.status, answer.headers, answer.read())
    finally:
        connection.close()


def project(fake: FakeLabelStudio) -> int:
    answer = send(fake, "POST", "/api/projects/", {"title": "t", "label_config": CONFIG}).json()
    number: int = answer["id"]
    return number


def import_task(fake: FakeLabelStudio, number: int, *, timeout: float = 10) -> Answer:
    return send(fake, "POST", f"/api/projects/{number}/import?return_task_ids=true", [TASK], timeout=timeout)


def test_a_status_is_answered_once_with_its_headers_and_nothing_is_imported() -> None:
    with FakeLabelStudio() as fake:
        number = project(fake)
        fake.fail(Fault(status=429, headers={"Retry-After": "7"}, body=b"slow down"))
        answer = import_task(fake, number)
        assert (answer.status, answer.headers["Retry-After"], answer.body) == (429, "7", b"slow down")
        assert fake.tasks(number) == []
        assert import_task(fake, number).status == 201
        assert len(fake.tasks(number)) == 1


def test_a_status_can_hide_an_import_that_was_carried_out() -> None:
    with FakeLabelStudio() as fake:
        number = project(fake)
        fake.fail(Fault(status=504, carried_out=True))
        assert import_task(fake, number).status == 504
        assert len(fake.tasks(number)) == 1


@pytest.mark.parametrize(("drop", "taken"), [("before", 0), ("after", 1)])
def test_a_connection_can_end_without_an_answer(drop: str, taken: int) -> None:
    with FakeLabelStudio() as fake:
        number = project(fake)
        fake.fail(Fault(drop=drop))
        with pytest.raises(http.client.RemoteDisconnected):
            import_task(fake, number)
        assert len(fake.tasks(number)) == taken


@pytest.mark.parametrize(("fault", "taken"), [(Fault(wait=60), 0), (Fault(wait_after=60), 1)])
def test_silence_ends_when_the_server_closes(fault: Fault, taken: int) -> None:
    with FakeLabelStudio() as fake:
        number = project(fake)
        fake.fail(fault)
        with pytest.raises(TimeoutError):
            import_task(fake, number, timeout=0.2)
        assert len(fake.tasks(number)) == taken
        before = time.monotonic()
    assert time.monotonic() - before < 5


def test_an_answer_can_lack_its_counts() -> None:
    with FakeLabelStudio() as fake:
        number = project(fake)
        fake.fail(Fault(without_counts=True))
        answer = import_task(fake, number)
        assert answer.status == 201
        assert list(answer.json()) == ["import"]
        assert len(fake.tasks(number)) == 1


def test_an_import_can_be_carried_out_twice_and_answered_once() -> None:
    with FakeLabelStudio() as fake:
        number = project(fake)
        fake.fail(Fault(twice=True))
        answer = import_task(fake, number).json()
        assert (answer["task_count"], answer["task_ids"]) == (1, [2])
        assert [task["id"] for task in fake.tasks(number)] == [1, 2]


@pytest.mark.parametrize(
    ("fault", "told"),
    [
        (Fault(held=True, status=504), 504),
        (Fault(held=True, drop="before"), "RemoteDisconnected"),
        (Fault(held=True, drop="after"), "RemoteDisconnected"),
        (Fault(held=True), "TimeoutError"),
    ],
)
def test_an_import_can_arrive_after_its_client_gave_up(fault: Fault, told: Any) -> None:
    with FakeLabelStudio() as fake:
        number = project(fake)
        fake.fail(fault)
        try:
            answer: Any = import_task(fake, number, timeout=0.2).status
        except (http.client.RemoteDisconnected, TimeoutError) as error:
            answer = type(error).__name__
        assert answer == told
        assert fake.tasks(number) == []
        fake.release()
        fake.release()
        assert len(fake.tasks(number)) == 1


def test_a_poisoned_import_is_a_500_that_cites_it_and_nothing_is_taken() -> None:
    with FakeLabelStudio() as fake:
        number = project(fake)
        fake.poison = "hell"
        poisoned = {"data": {"prompt": "hello", "key": "b"}}
        answer = send(fake, "POST", f"/api/projects/{number}/import", [TASK, poisoned, TASK])
        said = answer.json()
        assert (answer.status, said["status_code"]) == (500, 500)
        assert said["detail"] == (
            'unsupported Unicode escape sequence\nLINE 1: ... VALUES ( E\'{"data": {"prompt": "hello", "key": "b"}}'
        )
        assert fake.tasks(number) == []
        assert import_task(fake, number).status == 201


def polled(fake: FakeLabelStudio, number: int, answer: Answer, times: int = 1) -> list[dict[str, Any]]:
    assert (answer.status, list(answer.json())) == (201, ["import"])
    path = f"/api/projects/{number}/imports/{answer.json()['import']}/"
    return [send(fake, "GET", path).json() for _ in range(times)]


def test_an_asynchronous_import_is_polled_until_its_tasks_are_there() -> None:
    with FakeLabelStudio() as fake:
        number = project(fake)
        fake.asynchronous_import = AsynchronousImport(polls=2)
        answer = import_task(fake, number)
        first, second = polled(fake, number, answer, 2)
        assert [first["status"], second["status"]] == ["in_progress", "in_progress"]
        assert fake.tasks(number) == []
        (last,) = polled(fake, number, answer)
        assert [task["id"] for task in fake.tasks(number)] == [1]
        # What a Label Studio 1.23.2 shows whose asynchronous import is switched on, without the fields of one value.
        assert last == {
            "id": 1,
            "project": number,
            "return_task_ids": True,
            "status": "completed",
            "error": None,
            "task_count": 1,
            "annotation_count": 0,
            "prediction_count": 1,
            "tasks": [TASK],
            "task_ids": [1],
        }


def test_an_asynchronous_import_shows_task_ids_only_where_they_were_asked_for() -> None:
    with FakeLabelStudio() as fake:
        number = project(fake)
        fake.asynchronous_import = AsynchronousImport(polls=0)
        answer = send(fake, "POST", f"/api/projects/{number}/import", [TASK, TASK])
        assert len(fake.tasks(number)) == 2
        (shown,) = polled(fake, number, answer)
        assert (shown["status"], shown["task_count"], shown["task_ids"]) == ("completed", 2, [])


@pytest.mark.parametrize("taken", [0, 2])
def test_an_asynchronous_import_can_fail_with_nothing_or_a_part_of_it_taken(taken: int) -> None:
    with FakeLabelStudio() as fake:
        number = project(fake)
        fake.asynchronous_import = AsynchronousImport(status="failed", error="out of memory", taken=taken)
        answer = send(fake, "POST", f"/api/projects/{number}/import", [TASK, TASK, TASK])
        _, shown, again = polled(fake, number, answer, 3)
        assert shown == again
        assert (shown["status"], shown["error"], shown["task_count"]) == ("failed", "out of memory", 0)
        assert len(fake.tasks(number)) == taken


@pytest.mark.parametrize("status", ["created", "in_progress"])
def test_an_asynchronous_import_can_stay_unfinished_for_ever(status: str) -> None:
    with FakeLabelStudio() as fake:
        number = project(fake)
        fake.asynchronous_import = AsynchronousImport(polls=1, status=status)
        answer = import_task(fake, number)
        assert [shown["status"] for shown in polled(fake, number, answer, 5)] == [status] * 5
        fake.end_imports()
        assert fake.tasks(number) == []


def test_an_asynchronous_import_ends_without_a_poll_when_told() -> None:
    with FakeLabelStudio() as fake:
        number = project(fake)
        fake.asynchronous_import = AsynchronousImport(polls=9)
        answer = import_task(fake, number)
        fake.end_imports()
        fake.end_imports()
        assert len(fake.tasks(number)) == 1
        assert polled(fake, number, answer)[0]["status"] == "completed"


def test_an_asynchronous_import_says_what_is_wrong_only_when_it_is_polled() -> None:
    with FakeLabelStudio() as fake:
        number = project(fake)
        fake.asynchronous_import = AsynchronousImport(polls=0)
        answer = send(fake, "POST", f"/api/projects/{number}/import", [TASK, {"data": {"key": "b"}}, TASK])
        (shown,) = polled(fake, number, answer)
        assert shown["status"] == "failed"
        assert shown["error"].startswith('[{}, ErrorDetail(string=\'Error at item 1: "prompt" key is expected')
        assert shown["error"].endswith("{\\'data\\': {\\'key\\': \\'b\\'}}', code='invalid')]")
        fake.poison = "hi"
        (shown,) = polled(fake, number, import_task(fake, number))
        assert (shown["status"], shown["error"][:19]) == ("failed", "unsupported Unicode")
        assert fake.tasks(number) == []


def test_an_import_of_a_deleted_project_is_gone() -> None:
    with FakeLabelStudio() as fake:
        number = project(fake)
        fake.asynchronous_import = AsynchronousImport()
        made = import_task(fake, number).json()["import"]
        send(fake, "DELETE", f"/api/projects/{number}/")
        assert send(fake, "GET", f"/api/projects/{number}/imports/{made}/").status == 404
        fake.end_imports()


def test_a_restored_backup_repeats_ids_and_forgets_what_came_since() -> None:
    with FakeLabelStudio() as fake:
        number = project(fake)
        kept = import_task(fake, number).json()["task_ids"]
        fake.asynchronous_import = AsynchronousImport(polls=0)
        backup = fake.backup()
        import_task(fake, number)
        (other, lost) = (project(fake), fake.store.projects[2]["created_at"])
        for _ in range(2):
            fake.restore(backup)
            assert [task["id"] for task in fake.tasks(number)] == kept
            assert project(fake) == other
            assert fake.store.projects[other]["created_at"] > lost
            assert import_task(fake, number).json() == {"import": 1}
            assert [task["id"] for task in fake.tasks(number)] == [1, 2]


def test_a_restored_backup_goes_on_with_the_imports_that_it_held() -> None:
    with FakeLabelStudio() as fake:
        number = project(fake)
        fake.asynchronous_import = AsynchronousImport()
        import_task(fake, number)
        fake.restore(fake.backup())
        fake.end_imports()
        assert [task["id"] for task in fake.tasks(number)] == [1]


def test_a_replaced_server_is_empty_and_counts_from_1() -> None:
    with FakeLabelStudio() as fake:
        numbers = [project(fake), project(fake)]
        created = fake.store.projects[1]["created_at"]
        import_task(fake, 1)
        fake.replace()
        assert send(fake, "GET", "/api/projects/").json()["count"] == 0
        assert (numbers, project(fake)) == ([1, 2], 1)
        assert fake.tasks(1) == []
        assert fake.store.projects[1]["created_at"] > created


def test_predictions_can_get_lost() -> None:
    with FakeLabelStudio() as fake:
        number = project(fake)
        fake.fail(Fault(lose_predictions=True))
        answer = import_task(fake, number).json()
        assert (answer["task_count"], answer["prediction_count"]) == (1, 0)
        assert [task["predictions"] for task in fake.tasks(number)] == [[]]


def test_positions_can_be_refused_and_nothing_is_taken() -> None:
    with FakeLabelStudio() as fake:
        number = project(fake)
        fake.fail(Fault(reject=(1,)))
        answer = send(fake, "POST", f"/api/projects/{number}/import", [TASK, TASK, TASK])
        errors = answer.json()["validation_errors"]["non_field_errors"]
        assert (answer.status, len(errors), errors[0]) == (400, 2, {})
        assert errors[1].startswith("Error at item 1: ")
        assert fake.tasks(number) == []


def test_faults_hit_only_the_requests_that_they_are_about_and_in_their_order() -> None:
    with FakeLabelStudio() as fake:
        fake.fail(
            Fault(method="GET", path="/whoami", status=502),
            Fault(status=500),
            Fault(method="GET", path="/who", drop="before"),
        )
        number = project(fake)
        assert send(fake, "GET", "/api/current-user/whoami").status == 502
        assert import_task(fake, number).status == 500
        with pytest.raises(http.client.RemoteDisconnected):
            send(fake, "GET", "/api/current-user/whoami")
        assert not fake.faults


def test_requests_are_recorded_below_the_servers_own_path() -> None:
    with FakeLabelStudio(path="/label-studio") as fake:
        assert send(fake, "GET", "/health").status == 200
        assert fake.url.endswith("/label-studio")
        (request,) = fake.requests
        assert (request.method, request.path) == ("GET", "/health")


def test_an_access_token_ends() -> None:
    with FakeLabelStudio(access_lifetime=0) as fake:
        answer = send(fake, "POST", "/api/token/refresh/", {"refresh": fake.personal_access_token}).json()
        bearer = f"Bearer {answer['access']}"
        assert send(fake, "GET", "/api/projects/", authorization=bearer).status == 401


def test_it_speaks_https() -> None:
    authority = trustme.CA()
    server, client = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER), ssl.create_default_context()
    authority.issue_cert("127.0.0.1").configure_cert(server)
    authority.configure_trust(client)
    with FakeLabelStudio(tls=server) as fake:
        assert send(fake, "GET", "/health", tls=client).status == 200


def test_a_span_is_one_of_the_langchain_instrumentation() -> None:
    made = span("Why?", ["Because.", ""], number=2, system="Be brief.", attributes={"gen_ai.usage.input_tokens": 5})
    assert made.key == "00000000000000000000000000000002:0000000000000002:1767225600000000000"
    assert made.name == "ChatOpenAI.chat"
    assert json.loads(made.attributes["gen_ai.input.messages"]) == [
        {"role": "user", "parts": [{"type": "text", "content": "Why?"}]}
    ]
    assert json.loads(made.attributes["gen_ai.output.messages"]) == [
        {"role": "assistant", "parts": [{"type": "text", "content": "Because."}], "finish_reason": "stop"},
        {"role": "assistant", "parts": [], "finish_reason": "stop"},
    ]
    assert json.loads(made.attributes["gen_ai.system_instructions"]) == [{"type": "text", "content": "Be brief."}]
    assert made.attributes["gen_ai.response.model"] == "gpt-4o-mini-2026-01-15"
    assert made.attributes["gen_ai.usage.input_tokens"] == 5


def test_a_completion_has_no_response_id_and_the_model_as_asked_for() -> None:
    made = span(operation="text_completion", model="davinci", status_code="ERROR")
    assert made.name == "OpenAI.completion"
    assert made.attributes["gen_ai.response.model"] == "davinci"
    assert "gen_ai.response.id" not in made.attributes
    assert made.status_code == "ERROR"


def test_the_clock_goes_on_only_when_told() -> None:
    clock = FakeClock(100)
    clock.sleep(2.5)
    assert clock() == 102.5
