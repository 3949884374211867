"""What Label Studio answers: one suite for the real server and for the fake that other tests rely on."""

from __future__ import annotations

import http.client
import json
import re
import uuid
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode, urlsplit

import pytest

from label_studio_otel.testing import FakeLabelStudio
from support.servers import wait_for

if TYPE_CHECKING:
    from collections.abc import Iterator

CONFIG = """<View>
  <Text name="prompt" value="$prompt"/>
  <TextArea name="response" toName="prompt" rows="8"/>
  <Rating name="rating" toName="prompt"/>
</View>"""


class Client:
    """Sends requests and returns status and answer, decoded where it is JSON."""

    def __init__(self, url: str, token: str, personal_access_token: str) -> None:
        self.url, self.token, self.personal_access_token = url, token, personal_access_token

    def send(self, method: str, path: str, body: Any = None, *, authorization: str | None = None) -> tuple[int, Any]:
        value = f"Token {self.token}" if authorization is None else authorization
        headers = {"Content-Type": "application/json", **({"Authorization": value} if value else {})}
        connection = http.client.HTTPConnection(urlsplit(self.url).netloc, timeout=60)
        try:
            connection.request(method, path, None if body is None else json.dumps(body), headers)
            answer = connection.getresponse()
            payload = answer.read().decode()
            return answer.status, json.loads(payload) if payload[:1] in ("{", "[") else payload
        finally:
            connection.close()

    def get(self, path: str, **query: Any) -> tuple[int, Any]:
        return self.send("GET", f"{path}?{urlencode(query)}" if query else path)

    def project(self, title: str | None = None) -> int:
        body = {"title": title or uuid.uuid4().hex, "label_config": CONFIG}
        status, answer = self.send("POST", "/api/projects/", body)
        assert status == 201
        return answer["id"]

    def import_tasks(self, project: int, *tasks: dict[str, Any]) -> list[int]:
        status, answer = self.send("POST", f"/api/projects/{project}/import?return_task_ids=true", tasks)
        assert status == 201
        return answer["task_ids"]


@pytest.fixture(scope="module", params=["fake", "real"])
def server(request: pytest.FixtureRequest) -> Iterator[Client]:
    if request.param == "real":
        real = request.getfixturevalue("label_studio")
        yield Client(real.url, real.token, request.getfixturevalue("api").personal_access_token())
        return
    with FakeLabelStudio() as fake:
        yield Client(fake.url, fake.token, fake.personal_access_token)


def task(key: str, *responses: str) -> dict[str, Any]:
    return {"data": {"prompt": f"prompt of {key}", "key": key}, "predictions": [prediction(text) for text in responses]}


def prediction(text: str) -> dict[str, Any]:
    result = {"from_name": "response", "to_name": "prompt", "type": "textarea", "value": {"text": [text]}}
    return {"model_version": "label-studio-otel", "result": [result]}


def refusal(answer: Any) -> dict[str, Any]:
    """Return an error's answer without what differs each time."""
    assert set(answer) >= {"id", "status_code", "version", "detail", "exc_info"}
    return {key: answer[key] for key in ("status_code", "detail", "validation_errors") if key in answer}


def filters(*items: dict[str, Any], **more: Any) -> str:
    return json.dumps({"filters": {"conjunction": "and", "items": list(items)}, **more})


def above(task_id: int) -> dict[str, Any]:
    return {"filter": "filter:tasks:id", "operator": "greater", "type": "Number", "value": task_id}


def with_keys(*keys: str) -> dict[str, Any]:
    return {"filter": "filter:tasks:data.key", "operator": "in_list", "type": "String", "value": keys}


def test_health_needs_no_token(server: Client) -> None:
    assert server.send("GET", "/health", authorization="") == (200, {"status": "UP"})


def test_a_legacy_token_is_accepted(server: Client) -> None:
    status, answer = server.get("/api/current-user/whoami")
    assert status == 200
    assert {"id", "email", "active_organization"} <= set(answer)


@pytest.mark.parametrize(
    ("authorization", "detail"),
    [
        ("Token 0000", "Invalid token."),
        ("", "Authentication credentials were not provided."),
        ("Bearer 0000", "Authentication credentials were not provided."),
    ],
)
def test_another_token_is_refused(server: Client, authorization: str, detail: str) -> None:
    status, answer = server.send("GET", "/api/current-user/whoami", authorization=authorization)
    assert status == 401
    assert refusal(answer) == {"status_code": 401, "detail": detail}


def test_a_personal_access_token_is_good_for_access_tokens_only(server: Client) -> None:
    personal = server.personal_access_token
    status, _ = server.send("GET", "/api/current-user/whoami", authorization=f"Bearer {personal}")
    assert status == 401
    status, answer = server.send("POST", "/api/token/refresh/", {"refresh": personal}, authorization="")
    assert (status, set(answer)) == (200, {"access"})
    status, _ = server.send("GET", "/api/current-user/whoami", authorization=f"Bearer {answer['access']}")
    assert status == 200


def test_another_personal_access_token_is_refused(server: Client) -> None:
    status, answer = server.send("POST", "/api/token/refresh/", {"refresh": "eyJ0.e30.x"}, authorization="")
    assert status == 401
    assert refusal(answer) == {"status_code": 401, "detail": "Token is invalid"}


def test_projects_are_filtered_by_a_part_of_their_title_in_any_case(server: Client) -> None:
    name = uuid.uuid4().hex
    ids = [server.project(name), server.project(f"{name} 2")]
    status, answer = server.get("/api/projects/", title=name.upper(), include="id,title", ordering="id")
    assert status == 200
    assert answer == {
        "count": 2,
        "next": None,
        "previous": None,
        "results": [{"id": ids[0], "title": name}, {"id": ids[1], "title": f"{name} 2"}],
    }


def test_projects_come_in_pages_the_newest_first(server: Client) -> None:
    name = uuid.uuid4().hex
    ids = [server.project(name) for _ in range(3)]
    _, first = server.get("/api/projects/", title=name, page=1, page_size=2)
    _, second = server.get("/api/projects/", title=name, page=2, page_size=2)
    status, beyond = server.get("/api/projects/", title=name, page=3, page_size=2)
    assert [project["id"] for project in first["results"] + second["results"]] == ids[::-1]
    assert "page=2" in first["next"]
    assert second["next"] is None
    assert second["previous"] is not None
    assert status == 404
    assert refusal(beyond) == {"status_code": 404, "detail": "Invalid page."}


def test_a_project_can_be_read_changed_and_deleted(server: Client) -> None:
    number = server.project("before")
    path = f"/api/projects/{number}/"
    status, project = server.get(path)
    assert status == 200
    assert project["id"] == number
    assert project["label_config"] == CONFIG
    assert project["model_version"] == ""
    assert server.send("PATCH", path, {"title": "after"})[0] == 200
    assert server.get(path)[1]["title"] == "after"
    assert server.send("DELETE", path) == (204, "")
    for method in ("GET", "DELETE"):
        status, answer = server.send(method, path)
        assert refusal(answer) == {"status_code": 404, "detail": "No Project matches the given query."}


def test_no_two_projects_were_created_at_the_same_time(server: Client) -> None:
    created = [server.get(f"/api/projects/{server.project()}/")[1]["created_at"] for _ in range(3)]
    assert all(re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z", moment) for moment in created)
    assert created == sorted(set(created))


def test_a_title_of_51_characters_is_refused(server: Client) -> None:
    status, answer = server.send("POST", "/api/projects/", {"title": "t" * 51, "label_config": CONFIG})
    assert status == 400
    assert refusal(answer) == {
        "status_code": 400,
        "detail": "Validation error",
        "validation_errors": {"title": ["Ensure this field has no more than 50 characters."]},
    }


def test_a_config_that_is_no_xml_is_refused(server: Client) -> None:
    status, answer = server.send("POST", "/api/projects/", {"title": uuid.uuid4().hex, "label_config": "<View"})
    assert status == 400
    assert list(answer["validation_errors"]) == ["label_config"]


def test_an_import_counts_tasks_and_predictions_and_gives_ids_in_the_order_sent(server: Client) -> None:
    project = server.project()
    tasks = [task("a", "one", "two"), task("b"), task("c", "three")]
    status, answer = server.send("POST", f"/api/projects/{project}/import?return_task_ids=true", tasks)
    assert status == 201
    ids, _ = answer.pop("task_ids"), answer.pop("duration")
    assert answer == {
        "task_count": 3,
        "annotation_count": 0,
        "prediction_count": 3,
        "file_upload_ids": [],
        "could_be_tasks_list": False,
        "found_formats": [],
        "data_columns": [],
    }
    assert [server.get(f"/api/tasks/{number}/")[1]["data"]["key"] for number in ids] == ["a", "b", "c"]


def test_an_import_gives_ids_only_when_asked(server: Client) -> None:
    status, answer = server.send("POST", f"/api/projects/{server.project()}/import", [task("a")])
    assert status == 201
    assert "task_ids" not in answer


def test_the_first_import_sets_the_model_version_of_the_project(server: Client) -> None:
    project = server.project()
    server.import_tasks(project, task("a", "one"))
    server.import_tasks(project, {**task("b"), "predictions": [{**prediction("two"), "model_version": "other"}]})
    assert server.get(f"/api/projects/{project}/")[1]["model_version"] == "label-studio-otel"


def test_an_import_with_a_bad_task_takes_none_and_names_it_by_its_position(server: Client) -> None:
    project = server.project()
    tasks = [task("a", "one"), {"data": {"key": "b"}}, task("c"), {"data": {"prompt": "d"}, "predictions": [{}]}]
    status, answer = server.send("POST", f"/api/projects/{project}/import?return_task_ids=true", tasks)
    assert status == 400
    assert answer["detail"] == "Validation error"
    errors = answer["validation_errors"]["non_field_errors"]
    assert [errors[0], errors[2]] == [{}, {}]
    said = [text.partition(" :: ")[0] for text in (errors[1], errors[3])]
    assert said == [
        'Error at item 1: "prompt" key is expected in task data [assume: item["data"] = task root with values]',
        'Error at item 3: Prediction must have "result" fields',
    ]
    assert server.get("/api/tasks", project=project)[1]["total"] == 0


def test_a_task_that_makes_the_server_stumble_is_a_500_and_none_is_taken(server: Client) -> None:
    project = server.project()
    status, answer = server.send("POST", f"/api/projects/{project}/import", [task("a", "one"), None])
    assert status == 500
    assert refusal(answer) == {"status_code": 500, "detail": "argument of type 'NoneType' is not iterable"}
    assert server.get("/api/tasks", project=project)[1]["total"] == 0


def test_an_asynchronous_import_that_is_not_there_is_404(server: Client) -> None:
    status, answer = server.get(f"/api/projects/{server.project()}/imports/99999999/")
    assert status == 404
    assert refusal(answer) == {"status_code": 404, "detail": "No ProjectImport matches the given query."}


def test_an_import_into_a_project_that_is_not_there_answers_html(server: Client) -> None:
    status, answer = server.send("POST", "/api/projects/99999999/import", [task("a")])
    assert status == 404
    assert "<!doctype html>" in answer


def test_the_highest_task_id_needs_the_ordering_inside_the_query(server: Client) -> None:
    project = server.project()
    ids = server.import_tasks(project, *(task(f"k{number}") for number in range(3)))
    newest = json.dumps({"ordering": ["-tasks:id"]})
    _, answer = server.get("/api/tasks", project=project, query=newest, page=1, page_size=1, include="id")
    assert answer == {"total_annotations": 0, "total_predictions": 0, "total": 3, "tasks": [{"id": ids[-1]}]}
    _, answer = server.get("/api/tasks", project=project, ordering="-tasks:id", page_size=1, include="id")
    assert answer["tasks"] == [{"id": ids[0]}]


def test_a_project_without_tasks_lists_none(server: Client) -> None:
    assert server.get("/api/tasks", project=server.project()) == (
        200,
        {"total_annotations": 0, "total_predictions": 0, "total": 0, "tasks": []},
    )


def test_a_list_of_tasks_ends_at_the_hundredth_unless_a_page_size_is_given(server: Client) -> None:
    project = server.project()
    ids = server.import_tasks(project, *(task(f"k{number}") for number in range(130)))
    query = filters(with_keys(*(f"k{number}" for number in range(130))))
    _, answer = server.get("/api/tasks", project=project, query=query)
    assert (answer["total"], len(answer["tasks"])) == (130, 100)
    _, answer = server.get("/api/tasks", project=project, query=query, page_size=200)
    assert [one["id"] for one in answer["tasks"]] == ids
    status, answer = server.get("/api/tasks", project=project, query=query, page_size=200, page=2)
    assert status == 404
    assert refusal(answer) == {"status_code": 404, "detail": "Invalid page."}


def test_a_look_up_finds_keys_above_an_id_with_their_counts(server: Client) -> None:
    project, other = server.project(), server.project()
    ids = server.import_tasks(project, task("x:1:1"), task("x:1:2", "one"), task("x:1:3", "one", "two"), task("x:1:4"))
    server.import_tasks(other, task("x:1:2"))
    query = filters(above(ids[0]), with_keys("x:1:1", "x:1:2", "x:1:3", "x:1:9"))
    include = "id,data,total_predictions,total_annotations"
    _, answer = server.get("/api/tasks", project=project, query=query, page_size=100, include=include)
    assert (answer["total"], answer["total_predictions"]) == (2, 3)
    assert answer["tasks"] == [
        {
            "id": ids[number],
            "data": {"prompt": f"prompt of {key}", "key": key},
            "total_predictions": predictions,
            "total_annotations": 0,
        }
        for number, key, predictions in [(1, "x:1:2", 1), (2, "x:1:3", 2)]
    ]


def test_tasks_of_a_project_that_is_not_there_are_404(server: Client) -> None:
    status, answer = server.get("/api/tasks", project=99999999)
    assert status == 404
    assert refusal(answer) == {"status_code": 404, "detail": "No Project matches the given query."}


def test_a_list_of_tasks_holds_predictions_only_with_all_fields(server: Client) -> None:
    project = server.project()
    (number,) = server.import_tasks(project, task("a", "one", "two"))
    _, answer = server.get("/api/tasks", project=project, include="id,predictions")
    assert answer["tasks"] == [{"id": number}]
    _, answer = server.get("/api/tasks", project=project, include="id,predictions", fields="all")
    (one,) = answer["tasks"]
    assert [made["result"][0]["value"]["text"] for made in one["predictions"]] == [["one"], ["two"]]


def test_the_tasks_of_the_list_have_the_fields_of_the_fake(server: Client) -> None:
    project = server.project()
    server.import_tasks(project, task("a", "one"))
    _, answer = server.get("/api/tasks", project=project, fields="all")
    assert set(answer["tasks"][0]) >= {
        *("id", "inner_id", "project", "data", "meta", "predictions", "annotations"),
        *("total_predictions", "total_annotations"),
    }
    assert answer["tasks"][0]["inner_id"] == 1
    (made,) = answer["tasks"][0]["predictions"]
    assert set(made) >= {"id", "task", "project", "result", "model_version", "score"}


def test_a_prediction_can_be_added_and_counts(server: Client) -> None:
    project = server.project()
    (number,) = server.import_tasks(project, task("a", "one"))
    status, made = server.send("POST", "/api/predictions/", {**prediction("two"), "task": number})
    assert status == 201
    assert (made["task"], made["project"], made["model_version"]) == (number, project, "label-studio-otel")
    status, listed = server.get("/api/predictions/", task=number)
    assert status == 200
    assert [one["result"][0]["value"]["text"] for one in listed] == [["one"], ["two"]]
    # The real server counts them in a job of its own: its number may come a moment later.
    wait_for(lambda: server.get(f"/api/tasks/{number}/")[1]["total_predictions"] == 2, timeout=10, what="count of 2")


def test_a_prediction_for_a_task_that_is_not_there_is_refused(server: Client) -> None:
    status, answer = server.send("POST", "/api/predictions/", {**prediction("two"), "task": 99999999})
    assert status == 400
    assert answer["validation_errors"] == {"task": ['Invalid pk "99999999" - object does not exist.']}


def test_a_task_can_be_deleted_once(server: Client) -> None:
    (number,) = server.import_tasks(server.project(), task("a", "one"))
    assert server.send("DELETE", f"/api/tasks/{number}/") == (204, "")
    status, answer = server.send("DELETE", f"/api/tasks/{number}/")
    assert status == 404
    assert refusal(answer) == {"status_code": 404, "detail": "No Task matches the given query."}
