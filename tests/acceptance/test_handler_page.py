"""The documentation page of LangChain's callback handler, step by step, with us in the handler's place.

Label Studio is started on its default port, the token copied from its account page, the projects made in its forms with
the page's labeling configs, and one program asks a completion model and a chat model.
"""

from __future__ import annotations

import http.client
import json
import re
from datetime import datetime
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode

import pytest
from inline_snapshot import snapshot

from label_studio_otel.cli.demo.label_studio_server import LabelStudioServer, is_taken
from support.applications import Deployment
from support.handler_configs import HANDLER_CHAT, HANDLER_CUSTOM, HANDLER_PROMPT
from support.openai_server import OpenAIServer
from support.servers import Api

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

DEFAULT_PORT = 8080
COMPLETIONS, CHATS = {"operations": ["text_completion"]}, {"operations": ["chat"]}


class Browser:
    """What a person does in Label Studio's pages: one session with its cookies."""

    def __init__(self, server: LabelStudioServer) -> None:
        self.server = server
        self.cookies: dict[str, str] = {}
        page = self.open("GET", "/user/login/")
        form = {
            "csrfmiddlewaretoken": re.search(r'csrfmiddlewaretoken" value="([^"]+)', page)[1],
            "email": server.username,
            "password": server.password,
        }
        self.open("POST", "/user/login/", urlencode(form), "application/x-www-form-urlencoded")
        assert "sessionid" in self.cookies

    def open(self, method: str, path: str, body: str | None = None, kind: str = "application/json") -> str:
        connection = http.client.HTTPConnection("127.0.0.1", self.server.port, timeout=60)
        headers = {
            "Cookie": "; ".join(f"{name}={value}" for name, value in self.cookies.items()),
            "Content-Type": kind,
            "X-CSRFToken": self.cookies.get("csrftoken", ""),
        }
        connection.request(method, path, body, headers)
        answer = connection.getresponse()
        text = answer.read().decode()
        for cookie in answer.headers.get_all("Set-Cookie") or ():
            name, _, value = cookie.partition(";")[0].partition("=")
            self.cookies[name] = value
        connection.close()
        assert answer.status < 400, f"{method} {path} -> {answer.status} {text[:300]}"
        return text

    def legacy_token(self) -> str:
        """Return the token that the account page shows under Legacy Token."""
        return json.loads(self.open("GET", "/api/current-user/token"))["token"]

    def personal_access_token(self) -> str:
        """Press Create New Token on the account page and copy it."""
        return json.loads(self.open("POST", "/api/token/", "{}"))["token"]

    def create_project(self, title: str, label_config: str) -> int:
        """Make a project as its form does: name it, then paste the code of the labeling interface and save."""
        project = json.loads(self.open("POST", "/api/projects", json.dumps({"title": title})))["id"]
        self.open("PATCH", f"/api/projects/{project}", json.dumps({"label_config": label_config}))
        return int(project)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LabelStudioServer]:
    """A Label Studio on its default port, on another one where somebody has that."""
    port = None if is_taken(DEFAULT_PORT) else DEFAULT_PORT
    with LabelStudioServer(tmp_path_factory.mktemp("by-hand"), port=port) as server:
        yield server


@pytest.fixture(scope="module")
def browser(server: LabelStudioServer) -> Browser:
    return Browser(server)


@pytest.fixture(scope="module")
def token(browser: Browser) -> str:
    return browser.personal_access_token()


@pytest.fixture(scope="module")
def openai() -> Iterator[OpenAIServer]:
    with OpenAIServer() as openai:
        yield openai


class Page:
    """One walk along the page, with a state directory of its own."""

    def __init__(self, server: LabelStudioServer, openai: OpenAIServer, token: str, state: Path) -> None:
        self.api = Api(server)
        self.token = token
        self.deployment = Deployment(
            self.api,
            "",
            state,
            # Label Studio's default address is our default.
            "" if server.port == DEFAULT_PORT else server.url,
            {"OPENAI_API_KEY": "sk-test", "OPENAI_BASE_URL": openai.url, "LABEL_STUDIO_API_KEY": token},
        )

    def run(self, *processors: dict[str, Any], instrumented: bool = True, **variables: str) -> None:
        """Run the program, then send what its end left; it says nothing on standard error."""
        arguments = [json.dumps(processor) for processor in processors]
        variables = {"OTEL_TRACES_EXPORTER": "none", **variables}
        ran = self.deployment.run("handler_page.py", *arguments, instrumented=instrumented, **variables)
        assert (ran.code, ran.stderr) == (0, "")
        self.deployment.deliver(**variables)

    def tasks(self, project: int) -> list[dict[str, Any]]:
        return self.api.tasks(project)

    def seen(self, project: int) -> list[tuple[Any, str, list[tuple[str, str, str]]]]:
        """Return what the labeler sees of each task: prompt, model and predictions."""
        return [(task["data"]["prompt"], task["data"]["model"], predicted(task)) for task in self.tasks(project)]


def predicted(task: dict[str, Any]) -> list[tuple[str, str, str]]:
    results = [result for prediction in task["predictions"] for result in prediction["result"]]
    return [(result["from_name"], result["to_name"], *result["value"]["text"]) for result in results]


@pytest.fixture
def page(server: LabelStudioServer, openai: OpenAIServer, token: str, tmp_path: Path) -> Page:
    return Page(server, openai, token, tmp_path / "state")


#: What the page's projects show after its program.
JOKE = [
    (
        "Tell me a joke",
        "gpt-3.5-turbo-instruct",
        [("response", "prompt", "You said: Tell me a joke")],
    )
]
DAY = [
    (
        [
            {"role": "system", "content": "Always use emojis in your responses."},
            {"role": "user", "content": "Hey AI, how's your day going?"},
        ],
        "gpt-4o-mini-2026-01-15",
        [("response", "dialogue", "You said: Hey AI, how's your day going?")],
    )
]


def test_by_name_with_the_variables_for_prompts_and_one_line_of_code_for_chats(page: Page, browser: Browser) -> None:
    prompts = browser.create_project("My Project", HANDLER_PROMPT)
    chats = browser.create_project("My Project 2", HANDLER_CHAT)

    page.run(
        {"project_name": "My Project 2", "mode": "chat", **CHATS},
        OTEL_TRACES_EXPORTER="label_studio",
        LABEL_STUDIO_OTEL_OPERATIONS="text_completion",
        LABEL_STUDIO_OTEL_PROJECT_NAME="My Project",
    )

    assert (page.seen(prompts), page.seen(chats)) == (JOKE, DAY)
    assert page.api.project("My Project")["label_config"] == HANDLER_PROMPT
    assert page.api.project("My Project 2")["label_config"] == HANDLER_CHAT


def test_by_id(page: Page, browser: Browser) -> None:
    prompts = browser.create_project("Prompts by id", HANDLER_PROMPT)
    chats = browser.create_project("Chats by id", HANDLER_CHAT)

    page.run({"project_id": chats, **CHATS}, {"project_id": str(prompts), **COMPLETIONS}, instrumented=False)

    assert (page.seen(prompts), page.seen(chats)) == (JOKE, DAY)


def test_by_the_default_name_each_mode_finds_the_project_that_fits_it(page: Page, browser: Browser) -> None:
    title = f"{datetime.now():LangChain-%Y-%m-%d}"
    chats = browser.create_project(title, HANDLER_CHAT)
    prompts = browser.create_project(title, HANDLER_PROMPT)

    page.run({"mode": "prompt", **COMPLETIONS}, {"mode": "chat", **CHATS})

    assert (page.seen(prompts), page.seen(chats)) == (JOKE, DAY)
    assert len(page.api.projects_titled(title)) == 2


def test_by_the_variables_alone_all_calls_go_into_one_project(page: Page, browser: Browser) -> None:
    chats = browser.create_project("All of them", HANDLER_CHAT)

    page.run(OTEL_TRACES_EXPORTER="label_studio", LABEL_STUDIO_PROJECT_ID=str(chats))

    assert page.seen(chats) == [
        (
            [{"role": "user", "content": "Tell me a joke"}],
            "gpt-3.5-turbo-instruct",
            [("response", "dialogue", "You said: Tell me a joke")],
        ),
        *DAY,
    ]


@pytest.mark.parametrize("kind", ["legacy token", "personal access token"])
def test_every_parameter_of_the_handler(
    page: Page, browser: Browser, server: LabelStudioServer, token: str, kind: str
) -> None:
    """The handler's signature: api_key, url, project_id, project_name, project_config, mode."""
    api_key = browser.legacy_token() if kind == "legacy token" else token
    account = {"api_key": api_key, "url": server.url}
    by_id = browser.create_project(f"By id, {kind}", HANDLER_PROMPT)

    page.run(
        {**account, "project_id": by_id, "project_name": "Not this one", "mode": "prompt", **COMPLETIONS},
        {**account, "project_name": f"Made, {kind}", "project_config": HANDLER_CHAT, "mode": "chat", **CHATS},
        # The parameters win over the variables.
        LABEL_STUDIO_PROJECT_ID="",
        LABEL_STUDIO_OTEL_MODE="prompt",
    )

    made = page.api.project(f"Made, {kind}")
    assert (page.seen(by_id), page.seen(made["id"])) == (JOKE, DAY)
    assert made["label_config"] == HANDLER_CHAT
    assert page.api.projects_titled("Not this one") == []


def test_the_page_s_config_of_one_s_own_for_a_project_that_does_not_exist_yet(page: Page) -> None:
    page.run({"project_name": "Of one's own", "project_config": HANDLER_CUSTOM, **COMPLETIONS})

    project = page.api.project("Of one's own")
    assert page.seen(project["id"]) == JOKE
    assert set(project["parsed_label_config"]) == {"response", "user_feedback", "rating", "sentiment"}


def test_the_model_and_the_rest_of_the_metadata_are_columns_to_filter_by(page: Page, browser: Browser) -> None:
    chats = browser.create_project("Metadata", HANDLER_CHAT)

    page.run({"project_id": chats, **CHATS}, OTEL_SERVICE_NAME="joker")

    columns = page.api.call("GET", f"/api/dm/columns?project={chats}")["columns"]
    shown = {column["id"] for column in columns if column.get("parent") == "data"}
    assert shown == snapshot(
        {
            "finish_reason",
            "input_tokens",
            "key",
            "latency_ms",
            "model",
            "operation",
            "output_tokens",
            "prompt",
            "provider",
            "response",
            "service",
            "span_id",
            "start_time",
            "trace_id",
        }
    )
    query = {
        "filters": {
            "conjunction": "and",
            "items": [
                {
                    "filter": "filter:tasks:data.model",
                    "operator": "contains",
                    "type": "String",
                    "value": "gpt-4o-mini",
                }
            ],
        }
    }
    found = page.api.call("GET", f"/api/tasks?{urlencode({'project': chats, 'query': json.dumps(query)})}")
    assert found["total"] == 1


def test_a_labeler_opens_the_task_and_finds_the_response_to_correct(page: Page, browser: Browser) -> None:
    prompts = browser.create_project("To correct", HANDLER_PROMPT)
    page.run({"project_id": prompts, **COMPLETIONS})

    (task,) = page.tasks(prompts)
    project = page.api.call("GET", f"/api/projects/{prompts}")

    assert (project["show_collab_predictions"], project["model_version"]) == (True, "label-studio-otel")
    assert [one["model_version"] for one in task["predictions"]] == ["label-studio-otel"]
    stream = json.loads(browser.open("GET", f"/api/projects/{prompts}/next"))
    assert (stream["id"], len(stream["predictions"])) == (task["id"], 1)
