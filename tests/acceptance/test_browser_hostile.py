"""A call in which everything is HTML, Markdown and links, in a labeler's browser: no script runs, no host is called."""

from __future__ import annotations

import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any

import pytest
from selenium.webdriver.common.by import By
from test_browser import BOX, NOTES, OTHER_ANSWER, imported, labeler

from label_studio_otel.testing import span

if TYPE_CHECKING:
    from collections.abc import Iterator

    from test_browser import Labeler

    from support.servers import Api

__all__ = ["labeler"]


class Home(ThreadingHTTPServer):
    """What a page that was taken in would call."""

    def __init__(self) -> None:
        self.called: list[str] = []
        super().__init__(("127.0.0.1", 0), type("Handler", (_Handler,), {"called": self.called}))
        self.url = f"http://127.0.0.1:{self.server_address[1]}"


class _Handler(BaseHTTPRequestHandler):
    called: list[str]

    def do_GET(self) -> None:
        self.called.append(self.path)
        self.send_response(204)
        self.end_headers()

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the name is the base class's
        """Keep the tests' output quiet."""


@pytest.fixture
def home() -> Iterator[Home]:
    with Home() as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
        thread.start()
        yield server
        server.shutdown()
        thread.join()


def hostile(url: str, place: str) -> str:
    """Return what takes over pages that believe it: as HTML, out of an attribute, as Markdown, as a template."""
    call = f"{url}/{place}"
    return (
        f"<img src={call}/img onerror='window.owned=1'><script>window.owned=1</script>"
        f"\"'><svg onload=window.owned=1><iframe src={call}/frame></iframe>"
        f"![picture]({call}/markdown.png) [link](javascript:window.owned=1) {call}/plain.png "
        "$response {{window.owned=1}} ${window.owned=1}"
    )


@pytest.mark.parametrize("mode", ["chat", "prompt"])
def test_nothing_that_a_call_says_runs_or_calls_home(labeler: Labeler, api: Api, home: Home, mode: str) -> None:
    def bad(place: str) -> str:
        return hostile(home.url, place)

    def part(kind: str, **fields: Any) -> dict[str, Any]:
        return {"type": kind, **fields}

    messages = [
        {"role": bad("role"), "name": bad("name"), "parts": [part("text", content=bad("prompt"))]},
        {
            "role": "assistant",
            "parts": [
                part("reasoning", content=bad("thought")),
                part("tool_call", id=bad("id"), name=bad("tool"), arguments={bad("key"): bad("argument")}),
            ],
        },
        {"role": "tool", "parts": [part("tool_call_response", id=bad("id"), response=bad("response"))]},
        {
            "role": "user",
            "parts": [
                part("uri", modality="image", uri=f"{home.url}/uri.png"),
                part("uri", modality=bad("modality"), uri=bad("uri")),
                part(
                    "blob",
                    modality="image",
                    mime_type="image/svg+xml",
                    content="PHN2ZyBvbmxvYWQ9J3dpbmRvdy5vd25lZD0xJy8+",
                ),
                part("blob", modality="image", mime_type=bad("mime"), content="iVBORw0KGgo="),
                part(bad("kind"), text=bad("unknown")),
            ],
        },
    ]
    call = span(
        messages,
        [bad("answer"), bad("another")],
        model=bad("model"),
        system=bad("system"),
        attributes={
            "error.type": bad("error"),
            "gen_ai.conversation.id": bad("conversation"),
            "gen_ai.tool.definitions": f'[{{"type": "function", "name": "<img src={home.url}/definition onerror=1>"}}]',
        },
        resource={"service.name": bad("service")},
        name=bad("span"),
        status_code="ERROR",
        status_message=bad("status"),
    )
    project_id, (task_id,) = imported(api, mode, call, trace_link=f"{home.url}/trace/{{trace_id}}")
    labeler.open_task(project_id, task_id)

    def as_letters() -> bool:
        answers = [*labeler.texts(BOX), *labeler.seen(OTHER_ANSWER)]
        noted = "\n".join(labeler.seen(NOTES))
        return [one.partition(" onerror=")[0] for one in answers] == [
            f"<img src={home.url}/answer/img",
            f"<img src={home.url}/another/img",
        ] and all(f"<img src={home.url}/{place}" in noted for place in ("status/img", "definition"))

    assert labeler.wait(as_letters)
    assert labeler.driver.execute_script("return window.owned") is None
    labeler.driver.get(f"{labeler.url}/projects/{project_id}/data")  # and the table of tasks
    labeler.wait(lambda: "/prompt/" in labeler.driver.find_element(By.TAG_NAME, "body").text)
    assert labeler.driver.execute_script("return window.owned") is None
    labeler.driver.execute_script("new Image().src = arguments[0]", f"{home.url}/could-have-been-called")
    labeler.wait(lambda: home.called)
    assert home.called == ["/could-have-been-called"]
