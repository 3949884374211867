"""Delivery to a real Label Studio, on SQLite and on PostgreSQL."""

from __future__ import annotations

import http.cookiejar
import json
import urllib.request
import uuid
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode

import pytest

from label_studio_otel.label_studio.client import LabelStudio
from label_studio_otel.settings import Destination
from label_studio_otel.testing import span
from support.delivering import Bench
from support.proxies import RecordingProxy
from support.servers import Api

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from label_studio_otel.cli.demo.label_studio_server import LabelStudioServer
    from support.postgresql import PostgreSQL


@pytest.fixture(params=["label_studio_on_sqlite", "label_studio_on_postgresql"], ids=["SQLite", "PostgreSQL"])
def label_studio(request: pytest.FixtureRequest) -> LabelStudioServer:
    """Each of the two, for every test here."""
    server: LabelStudioServer = request.getfixturevalue(request.param)
    return server


@pytest.fixture
def api(label_studio: LabelStudioServer) -> Api:
    return Api(label_studio)


@pytest.fixture
def title() -> str:
    return f"Project {uuid.uuid4().hex}"


@pytest.fixture
def bench_with(tmp_path: Path, label_studio: LabelStudioServer) -> Iterator[Callable[..., Bench]]:
    made: list[Bench] = []

    def make(key: str = label_studio.token, **options: Any) -> Bench:
        made.append(Bench(tmp_path / str(len(made)), label_studio.url, key, **options))
        return made[-1]

    yield make
    for bench in made:
        bench.outbox.close()


@pytest.fixture
def bench(bench_with: Callable[..., Bench]) -> Bench:
    return bench_with()


def _answers(task: dict[str, Any]) -> list[str]:
    return [prediction["result"][0]["value"]["text"][0] for prediction in task["predictions"]]


def test_a_prompt_project_is_created_and_gets_its_tasks(bench: Bench, api: Api, title: str) -> None:
    bench.put(
        span("Say hello.", "Hello!", number=1, operation="text_completion"),
        span("Say it twice.", ["First", "Second"], number=2),
        destination=Destination(title),
    )
    bench.run()
    first, second = api.tasks(api.project(title)["id"])
    assert first["data"]["prompt"] == "Say hello."
    assert (first["data"]["model"], first["data"]["key"]) == ("gpt-4o-mini", span(number=1).key)
    assert _answers(first) == ["Hello!"]
    assert sorted(_answers(second)) == ["First", "Second"]
    assert api.project(title)["model_version"] == "label-studio-otel"
    assert bench.states == {"delivered": 2}


def test_a_chat_project_is_created_and_gets_its_messages(bench: Bench, api: Api, title: str) -> None:
    bench.put(span("What is 6 times 7?", "42", system="Be brief."), destination=Destination(title, mode="chat"))
    bench.run()
    (task,) = api.tasks(api.project(title)["id"])
    assert [(message["role"], message["content"]) for message in task["data"]["prompt"]] == [
        ("system", "Be brief."),
        ("user", "What is 6 times 7?"),
    ]
    assert _answers(task) == ["42"]


def test_a_project_is_found_by_its_id_whatever_its_config(bench: Bench, api: Api, title: str) -> None:
    project = api.create_project(title)
    bench.put(span("Say hello.", "Hello!"), destination=Destination("ignored", project["id"], "chat"))
    bench.run()
    (task,) = api.tasks(project["id"])
    assert task["data"]["prompt"] == "User:\nSay hello."
    assert _answers(task) == ["Hello!"]


def test_an_id_without_a_project_blocks_until_it_is_there(bench: Bench, title: str) -> None:
    bench.put(span(), destination=Destination("", 999_999_999))
    bench.run()
    assert bench.target.blocked is not None
    assert bench.target.blocked.endswith("there is no such project, or the token's user may not see it")
    assert not bench.target.passing


def test_a_project_with_a_longer_title_is_not_used(bench: Bench, api: Api, title: str) -> None:
    longer, other_case = api.create_project(f"{title} 2"), api.create_project(title.upper())
    bench.put(span(), destination=Destination(title))
    bench.run()
    assert len(api.tasks(api.project(title)["id"])) == 1
    assert api.tasks(longer["id"]) + api.tasks(other_case["id"]) == []


def test_a_deleted_project_is_created_again_for_new_calls_only(bench: Bench, api: Api, title: str) -> None:
    bench.put(span(number=1), destination=Destination(title))
    bench.run()
    api.delete_project(api.project(title)["id"])
    bench.put(span(number=1), span(number=2), destination=Destination(title))
    bench.run()
    bench.run_later(2)
    (task,) = api.tasks(api.project(title)["id"])
    assert task["data"]["key"] == span(number=2).key


def test_a_task_that_people_deleted_stays_deleted(bench: Bench, api: Api, title: str) -> None:
    bench.put(span(number=1), destination=Destination(title))
    bench.run()
    project = api.project(title)["id"]
    api.delete_task(api.tasks(project)[0]["id"])
    bench.put(span(number=1), destination=Destination(title))
    bench.run_later(3600)
    assert api.tasks(project) == []


def test_an_uncertain_import_is_looked_up_and_found(bench: Bench, api: Api, title: str) -> None:
    bench.put(span(number=1), destination=Destination(title))
    bench.run()
    bench.put(*(span(number=number) for number in range(2, 102)), destination=Destination(title))
    bench.outbox.batches.mark_delivered = _lose(bench.outbox.batches.mark_delivered)  # type: ignore[method-assign]
    with pytest.raises(SystemExit):
        bench.run()
    assert bench.outbox.take_over("it died before the answer") == 1
    bench.run_later(1)
    assert bench.states == {"delivered": 101}
    assert len(api.tasks(api.project(title)["id"])) == 101


def _lose(deliver: Callable[..., None]) -> Callable[..., None]:
    """Fail once, as a process does that dies before the answer; then be as before."""
    calls: list[bool] = []

    def once(*arguments: Any, **options: Any) -> None:
        if not calls:
            calls.append(True)
            raise SystemExit
        deliver(*arguments, **options)

    return once


def test_a_missing_prediction_is_added(bench: Bench, api: Api, title: str) -> None:
    bench.put(span(number=1), destination=Destination(title))
    bench.run()
    project = api.project(title)["id"]
    two = span("Say it twice.", ["First", "Second"], number=2)
    bench.put(two, destination=Destination(title))
    (item,) = bench.outbox.due_items(bench.target.id, 1)
    bench.outbox.batches.lease(bench.target.id, project, bench.target.watermark or 0, {item.id: 2})
    api.import_tasks(project, [{"data": {"prompt": "Say it twice.", "key": two.key}}])
    bench.outbox.take_over("it died before the answer")
    bench.run_later(1)
    assert bench.states == {"delivered": 2}
    assert sorted(_answers(api.tasks(project)[1])) == ["First", "Second"]


def test_surplus_tasks_are_deleted_but_never_an_annotated_one(bench: Bench, api: Api, title: str) -> None:
    bench.put(span(number=1), destination=Destination(title))
    bench.run()
    project = api.project(title)["id"]
    plain, annotated = span(number=2), span(number=3)
    bench.put(plain, annotated, destination=Destination(title))
    items = {item.id: 0 for item in bench.outbox.due_items(bench.target.id, 2)}
    bench.outbox.batches.lease(bench.target.id, project, bench.target.watermark or 0, items)
    sent = [{"data": {"prompt": "Say hello.", "key": call.key}} for call in (plain, plain, annotated, annotated)]
    first, _, _, second = api.import_tasks(project, sent)["task_ids"]
    api.annotate(second, "Good day!")
    bench.outbox.take_over("it died before the answer")
    bench.run_later(1)
    assert bench.states == {"delivered": 3}
    assert [task["id"] for task in api.tasks(project)[1:]] == [first, second]


def test_what_the_server_refuses_is_parked_by_position_without_content(
    bench: Bench, api: Api, title: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    send = LabelStudio.import_tasks

    def spoil(client: LabelStudio, project_id: int, tasks: list[bytes], *others: Any) -> Any:
        spoilt = json.dumps({**json.loads(tasks[1]), "predictions": [{"model_version": "what somebody said"}]})
        return send(client, project_id, [tasks[0], spoilt.encode(), *tasks[2:]] if len(tasks) == 3 else tasks, *others)

    monkeypatch.setattr(LabelStudio, "import_tasks", spoil)
    bench.put(*(span(number=number) for number in (1, 2, 3)), destination=Destination(title))
    bench.run()
    assert bench.states == {"delivered": 2, "parked": 1}
    assert bench.parked == {'Prediction must have "result" fields': 1}
    assert [task["data"]["key"] for task in api.tasks(api.project(title)["id"])] == [
        span(number=1).key,
        span(number=3).key,
    ]


def test_a_wrong_token_blocks(bench_with: Callable[..., Bench], title: str) -> None:
    bench = bench_with("0" * 40)
    bench.put(span(), destination=Destination(title))
    bench.run()
    assert bench.target.blocked is not None
    assert bench.target.blocked.endswith("Invalid token.; set LABEL_STUDIO_API_KEY to a valid token")
    assert "0" * 40 not in bench.target.blocked


def test_a_personal_access_token(
    bench_with: Callable[..., Bench], personal_access_token: str, api: Api, title: str
) -> None:
    bench = bench_with(personal_access_token)
    bench.put(span(number=1), destination=Destination(title))
    bench.run()
    bench.clock.sleep(3600)
    bench.put(span(number=2), destination=Destination(title))
    bench.run()
    assert bench.states == {"delivered": 2}
    assert len(api.tasks(api.project(title)["id"])) == 2


@pytest.fixture
def personal_access_token(label_studio: LabelStudioServer) -> Iterator[str]:
    """Make one as people do: log in, then ask for it; a user has one at a time, so any other is revoked."""
    jar = http.cookiejar.CookieJar()
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}), urllib.request.HTTPCookieProcessor(jar))
    with opener.open(f"{label_studio.url}/user/login/") as page:
        page.read()
    form = {"csrfmiddlewaretoken": _csrf(jar), "email": label_studio.username, "password": label_studio.password}
    with opener.open(f"{label_studio.url}/user/login/", urlencode(form).encode()) as page:
        page.read()

    def revoke() -> None:
        for known in _ask(opener, jar, "GET", f"{label_studio.url}/api/token/"):
            _ask(opener, jar, "POST", f"{label_studio.url}/api/token/blacklist/", {"refresh": known["token"]})

    revoke()
    yield _ask(opener, jar, "POST", f"{label_studio.url}/api/token/", {})["token"]
    revoke()


def _ask(
    opener: urllib.request.OpenerDirector, jar: http.cookiejar.CookieJar, method: str, url: str, body: Any = None
) -> Any:
    headers = {"X-CSRFToken": _csrf(jar), "Content-Type": "application/json"}
    request = urllib.request.Request(url, None if body is None else json.dumps(body).encode(), headers, method=method)
    with opener.open(request) as answer:
        content = answer.read()
    return json.loads(content) if content else None


def _csrf(jar: http.cookiejar.CookieJar) -> str:
    (value,) = (cookie.value for cookie in jar if cookie.name == "csrftoken")
    assert value is not None
    return value


def test_characters_that_postgresql_refuses_are_replaced(bench: Bench, api: Api, title: str) -> None:
    odd = "NUL \0, half a pair \ud83d, a whole one \U0001f600"
    bench.put(span(odd, odd), destination=Destination(title))
    bench.run()
    (task,) = api.tasks(api.project(title)["id"])
    assert task["data"]["prompt"] == "User:\nNUL \ufffd, half a pair \ufffd, a whole one \U0001f600"
    assert _answers(task) == ["NUL \ufffd, half a pair \ufffd, a whole one \U0001f600"]
    assert bench.states == {"delivered": 1}


on_postgresql = pytest.mark.parametrize(
    "label_studio", ["label_studio_on_postgresql"], ids=["PostgreSQL"], indirect=True
)


@on_postgresql
def test_an_import_that_postgresql_refused_is_looked_up_and_sent_again_when_it_has_not_arrived(
    bench: Bench, api: Api, title: str, postgresql: PostgreSQL
) -> None:
    bench.put(span(number=1), destination=Destination(title))
    bench.run()
    postgresql.execute("ALTER TABLE task ADD CONSTRAINT none_more CHECK (false) NOT VALID")
    try:
        bench.put(span(number=2), span(number=3), destination=Destination(title))
        bench.run()
    finally:
        postgresql.execute("ALTER TABLE task DROP CONSTRAINT none_more")
    assert bench.states == {"delivered": 1, "uncertain": 2}
    _until_settled(bench)
    assert bench.states == {"delivered": 3}
    assert [task["data"]["key"] for task in api.tasks(api.project(title)["id"])] == [
        span(number=number).key for number in (1, 2, 3)
    ]


@on_postgresql
def test_a_task_that_postgresql_cannot_store_is_found_and_the_others_arrive(
    bench: Bench, api: Api, title: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    send = LabelStudio.import_tasks

    def spoil(client: LabelStudio, project_id: int, tasks: list[bytes], *others: Any) -> Any:
        poisoned = [task.replace(b"the third", b"the third\\u0000") for task in tasks]
        return send(client, project_id, poisoned, *others)

    monkeypatch.setattr(LabelStudio, "import_tasks", spoil)
    questions = ["the first", "the second", "the third", "the fourth", "the fifth"]
    calls = [span(question, number=number) for number, question in enumerate(questions)]
    bench.put(*calls, destination=Destination(title))
    _until_settled(bench)
    assert bench.states == {"delivered": 4, "parked": 1}
    (reason,) = bench.parked
    assert "500" in reason
    assert "the third" not in reason
    delivered = {task["data"]["key"] for task in api.tasks(api.project(title)["id"])}
    assert delivered == {call.key for call in calls} - {calls[2].key}


def _until_settled(bench: Bench) -> None:
    """Deliver until every item is delivered or parked, the time that look-ups take included."""
    for _ in range(50):
        if not bench.states.keys() - {"delivered", "parked"}:
            return
        bench.run_later(900)
    raise AssertionError(bench.states)


def test_a_proxy_between(
    bench: Bench, label_studio: LabelStudioServer, api: Api, title: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with RecordingProxy() as proxy:
        monkeypatch.setenv("HTTP_PROXY", f"http://{proxy.address}")
        monkeypatch.setenv("NO_PROXY", "")
        bench.put(span(), destination=Destination(title))
        bench.run()
    assert len(api.tasks(api.project(title)["id"])) == 1
    assert all(target.startswith(label_studio.url) for _, target in proxy.asked)
