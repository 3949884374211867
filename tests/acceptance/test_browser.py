"""What a labeler sees and does: a headless Chromium on the label stream of a real Label Studio.

With LABEL_STUDIO_OTEL_UPDATE_SCREENSHOT=1 the test of chat mode writes docs/labeling.png, the picture of README.md.
"""

from __future__ import annotations

import base64
import json
import os
import re
import shutil
import struct
import subprocess
import threading
import zlib
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from selenium import webdriver
from selenium.common.exceptions import NoSuchElementException, StaleElementReferenceException, TimeoutException
from selenium.webdriver.common.action_chains import ActionChains
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.support.ui import WebDriverWait

from label_studio_otel import reading
from label_studio_otel.tasks.labeling_config import parse, template
from label_studio_otel.tasks.task import render
from label_studio_otel.testing import span

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from label_studio_otel.cli.demo.label_studio_server import LabelStudioServer
    from label_studio_otel.spans import Span
    from support.servers import Api

SCREENSHOT = Path(__file__).parents[2] / "docs" / "labeling.png"
FLAGS = (
    "--headless=new",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)
# Whatever a task says, a labeler's browser has no reason to look up another host.
ONLY_LOOPBACK = "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1"

BOX = "[data-testid=htx-textbox-content]"
PENCIL = "[data-testid=htx-textbox-edit-button]"
EDITOR = "textarea[data-testid=htx-textbox-input]"
SUBMIT = "[data-testid=bottombar-submit-button]"
OTHER_ANSWER = ".lso-other h4:last-child"
#: What some calls have and others have not.
NOTES = ".lso-note h4, .lso-tools h4"
IMAGE_TITLE = ".lso-image h4"
TRACE = ".lso-trace a"
IMAGE = ".lso-image img"

CODE = """\
def mean(values):
    if not values:
        return None

    return sum(values) / len(values)"""


def part(kind: str, **fields: Any) -> dict[str, Any]:
    return {"type": kind, **fields}


ORDER = [
    {
        "role": "user",
        "parts": [part("text", content="Hello! Where is my order 4711?\nI need the bicycle for the weekend.")],
    },
    {"role": "assistant", "parts": [part("tool_call", id="call_1", name="find_order", arguments={"number": 4711})]},
    {
        "role": "tool",
        "parts": [
            part(
                "tool_call_response",
                id="call_1",
                response='{"status": "shipped", "on": "2026-03-02", "due": "2026-03-05"}',
            )
        ],
    },
]


def png(width: int, height: int) -> str:
    """Return a picture in one colour, base64."""
    rows = b"".join(b"\0" + b"\xdc\x3c\x3c" * width for _ in range(height))
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    chunks = ((b"IHDR", header), (b"IDAT", zlib.compress(rows)), (b"IEND", b""))
    framed = (
        struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data)) for kind, data in chunks
    )
    return base64.b64encode(b"\x89PNG\r\n\x1a\n" + b"".join(framed)).decode()


def picture(width: int, height: int) -> dict[str, Any]:
    return part("blob", modality="image", mime_type="image/png", content=png(width, height))


DAMAGE = [
    {
        "role": "user",
        "parts": [
            part("text", content="Which of these is mine?"),
            picture(300, 160),
            picture(80, 120),
            part("uri", modality="image", uri="http://stranger.example.com/a.png"),
        ],
    },
    {
        "role": "assistant",
        "parts": [
            part("reasoning", content="There is a tool for it."),
            part("tool_call", id="call_1", name="compare", arguments={"pictures": 2}),
        ],
    },
    {
        "role": "tool",
        "parts": [
            part(
                "tool_call_response",
                id="call_1",
                response=[
                    {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": png(1600, 400)}}
                ],
            )
        ],
    },
    {"role": "user", "parts": [part("blob", modality="audio", mime_type="audio/wav", content="UklGRg==")]},
    {"role": "user", "parts": [part("file", modality="file", file_id="file-7")]},
]


def program(*names: str) -> str:
    """Return the path of the first of these programs; as root on Debian, install them where there is none."""
    found = next(filter(None, map(shutil.which, names)), None)
    if found is None and shutil.which("apt-get") and os.geteuid() == 0:
        subprocess.run(["apt-get", "-qq", "update"], check=True)
        subprocess.run(["apt-get", "-qq", "install", "-y", "chromium", "chromium-driver"], check=True)
        found = next(filter(None, map(shutil.which, names)), None)
    if found is None:
        pytest.fail(f"no {' or '.join(names)} on PATH: install Debian's chromium and chromium-driver, or their like")
    return found


class Labeler:
    """A labeler's browser, logged in."""

    def __init__(self, driver: webdriver.Chrome, server: LabelStudioServer) -> None:
        self.driver, self.url = driver, server.url
        driver.get(f"{self.url}/user/login/")
        driver.find_element(By.NAME, "email").send_keys(server.username)
        driver.find_element(By.NAME, "password").send_keys(server.password)
        driver.find_element(By.CSS_SELECTOR, "button[type=submit]").click()
        self.wait(lambda: "/user/login" not in driver.current_url)

    def wait(self, question: Callable[[], Any]) -> Any:
        """Ask until the answer is true, and return it."""
        passing = (NoSuchElementException, StaleElementReferenceException)
        return WebDriverWait(self.driver, 60, 0.1, passing).until(lambda _: question())

    def texts(self, css: str) -> list[str]:
        return [element.text for element in self.driver.find_elements(By.CSS_SELECTOR, css)]

    def seen(self, css: str) -> list[str]:
        """Return the texts of what is displayed."""
        return [one.text for one in self.driver.find_elements(By.CSS_SELECTOR, css) if one.is_displayed()]

    def pictures(self) -> list[tuple[int, int]]:
        """Return the sizes in which pictures are displayed."""
        shown = [one for one in self.driver.find_elements(By.CSS_SELECTOR, IMAGE) if one.is_displayed()]
        return [(one.size["width"], one.size["height"]) for one in shown]

    def looked_up(self, host: str) -> list[str]:
        """Return what the page asked of a host, or of one whose name begins so."""
        entries = self.driver.execute_script("return performance.getEntriesByType('resource').map(one => one.name)")
        return [url for url in entries if url.startswith(f"http://{host}")]

    def open_task(self, project_id: int, task_id: int) -> None:
        self.driver.get(f"{self.url}/projects/{project_id}/data?task={task_id}")

    def open_label_stream(self, project_id: int) -> None:
        self.driver.get(f"{self.url}/projects/{project_id}/data?labeling=1")

    def sees(self, *answers: str) -> bool:
        """Wait for the task with these answers: the first in the box, the others below in their order."""
        seen: list[str] = []

        def there() -> bool:
            seen[:] = self.texts(BOX) + self.texts(OTHER_ANSWER)
            return seen == list(answers)

        try:
            return bool(self.wait(there))
        except TimeoutException:
            pytest.fail(f"the labeler sees {seen}, not {list(answers)}")

    def edit(self, more: str) -> None:
        """Write more at the end of the response."""
        box = self.driver.find_element(By.CSS_SELECTOR, BOX)
        self.driver.execute_script("arguments[0].scrollIntoView({block: 'center'})", box)
        ActionChains(self.driver).move_to_element(box).perform()
        self.driver.find_element(By.CSS_SELECTOR, PENCIL).click()
        editor = self.wait(lambda: self.driver.find_element(By.CSS_SELECTOR, EDITOR))
        editor.send_keys(Keys.CONTROL, Keys.END)
        editor.send_keys(more)

    def submit(self) -> None:
        self.driver.find_element(By.CSS_SELECTOR, SUBMIT).click()

    def photograph(self, path: Path) -> None:
        self.driver.execute_async_script("document.fonts.ready.then(arguments[0])")
        size = {"width": 1280, "height": 900, "deviceScaleFactor": 1, "mobile": False}
        self.driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
        picture = self.driver.execute_cdp_cmd("Page.captureScreenshot", {"format": "png"})["data"]
        path.write_bytes(base64.b64decode(picture))


@pytest.fixture(scope="module")
def labeler(label_studio: LabelStudioServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Labeler]:
    options = webdriver.ChromeOptions()
    options.binary_location = program("chromium", "chromium-browser", "google-chrome")
    profile = tmp_path_factory.mktemp("chromium")
    for flag in (*FLAGS, ONLY_LOOPBACK, "--window-size=1280,1040", f"--user-data-dir={profile}"):
        options.add_argument(flag)
    driver = webdriver.Chrome(options, webdriver.ChromeService(program("chromedriver")))
    try:
        yield Labeler(driver, label_studio)
    finally:
        driver.quit()


def imported(api: Api, mode: str, *calls: Span, trace_link: str | None = None) -> tuple[int, list[int]]:
    """Import the tasks of these calls into a project of the mode's template; return its id and theirs."""
    config = template(mode)
    project_id = api.create_project(f"Labeling in {mode} mode", config)["id"]
    tasks = [render(call, reading.read(call), parse(config), trace_link=trace_link) for call in calls]
    return project_id, api.import_tasks(project_id, tasks)["task_ids"]


def annotated(api: Api, task_id: int) -> tuple[str, list[str], list[str]]:
    """Return what the one annotation of a task says: origin and text, and the text of the prediction it began as."""
    task = api.task(task_id)
    (annotation,) = task["annotations"]
    (result,) = (one for one in annotation["result"] if one["from_name"] == "response")
    predictions = {one["id"]: one["result"][0]["value"]["text"] for one in task["predictions"]}
    return result["origin"], result["value"]["text"], predictions[annotation["parent_prediction"]]


def test_in_prompt_mode_each_answer_stands_in_its_box_and_an_edit_is_kept(labeler: Labeler, api: Api) -> None:
    project_id, task_ids = imported(
        api,
        "prompt",
        span("Name a colour.", "Blue.", number=1, operation="text_completion", model="gpt-3.5-turbo-instruct"),
        span(
            f"Explain:\n\n{CODE}", [CODE, "A mean.\n  Or None."], number=2, operation="text_completion", model="llama"
        ),
        span("Say <b>nothing</b>.", "<script>alert(1)</script>", number=3, system="Be brief.", model="gpt-4o-mini"),
    )
    labeler.open_label_stream(project_id)

    assert labeler.sees("Blue.")
    assert labeler.texts(".lsf-richtext__line") == ["Name a colour."]
    labeler.submit()
    assert labeler.sees(CODE, "A mean.\n  Or None.")
    assert "\n".join(labeler.texts(".lsf-richtext__line")) == f"Explain:\n\n{CODE}"
    labeler.edit("\n    # done")
    labeler.submit()
    assert labeler.sees("<script>alert(1)</script>")
    labeler.submit()

    labeler.wait(lambda: api.task(task_ids[2])["annotations"])
    assert [annotated(api, task_id) for task_id in task_ids] == [
        ("prediction", ["Blue."], ["Blue."]),
        ("prediction-changed", [f"{CODE}\n    # done"], [CODE]),
        ("prediction", ["<script>alert(1)</script>"], ["<script>alert(1)</script>"]),
    ]


def test_in_chat_mode_each_answer_stands_in_its_box_and_an_edit_is_kept(labeler: Labeler, api: Api) -> None:
    first = (
        "Your order left our warehouse on Monday and arrives on Thursday, 5 March.\n\nShall I tell you when it does?"
    )
    second = "It was shipped on Monday. Expected: Thursday, 5 March."
    project_id, task_ids = imported(
        api,
        "chat",
        span(
            ORDER,
            [first, second],
            number=4,
            system="You are the assistant of a bicycle shop. Be friendly.",
            model="gpt-4o-mini",
        ),
        span(f"What is wrong?\n\n{CODE}", "Nothing.", number=5, model="claude-sonnet-4-5"),
        span("Bonjour !", "Bonjour !\n\n- un\n  - deux", number=6, model="mistral-large"),
    )
    labeler.open_label_stream(project_id)

    assert labeler.sees(first, second)
    assert labeler.texts("[class*=dialoguename]") == ["system", "user", "assistant", "tool"]
    if os.environ.get("LABEL_STUDIO_OTEL_UPDATE_SCREENSHOT") == "1":
        labeler.photograph(SCREENSHOT)
    labeler.edit(" Just say yes.")
    labeler.submit()
    assert labeler.sees("Nothing.")
    assert labeler.texts("[class*=dialoguetext]") == [f"What is wrong?\n\n{CODE}"]
    labeler.submit()
    assert labeler.sees("Bonjour !\n\n- un\n  - deux")
    labeler.submit()

    labeler.wait(lambda: api.task(task_ids[2])["annotations"])
    assert [annotated(api, task_id) for task_id in task_ids] == [
        ("prediction-changed", [f"{first} Just say yes."], [first]),
        ("prediction", ["Nothing."], ["Nothing."]),
        ("prediction", ["Bonjour !\n\n- un\n  - deux"], ["Bonjour !\n\n- un\n  - deux"]),
    ]


@pytest.mark.parametrize("mode", ["prompt", "chat"])
@pytest.mark.parametrize("way", ["label stream", "link"])
def test_images_thoughts_and_what_is_missing_are_seen_where_they_are(
    labeler: Labeler, api: Api, mode: str, way: str
) -> None:
    thoughts = [
        {"role": "assistant", "parts": [part("reasoning", content="Hm:\n  red."), part("text", content="Red.")]}
    ]
    call = span(
        DAMAGE,
        number=7,
        dropped_attributes=12,
        status_code="ERROR",
        status_message="the <b>line</b> broke",
        attributes={
            "gen_ai.output.messages": json.dumps(thoughts),
            "gen_ai.tool.definitions": json.dumps([{"name": "compare"}, {"name": "paint"}]),
        },
    )
    project_id, (task_id,) = imported(api, mode, call)
    if way == "link":
        labeler.open_task(project_id, task_id)
    else:
        labeler.open_label_stream(project_id)

    labeler.wait(lambda: len(labeler.pictures()) == 3)

    assert labeler.seen(NOTES) == [
        "12 attributes of the span were dropped by the application's OpenTelemetry SDK "
        "(OTEL_SPAN_ATTRIBUTE_COUNT_LIMIT).",
        "compare, paint",
        "the <b>line</b> broke",
        "Hm:\n  red.",
    ]
    assert [title.partition(":")[0] for title in labeler.seen(IMAGE_TITLE)] == [
        "Image 1 of 2 in message 1 (user)",
        "Image 2 of 2 in message 1 (user)",
        "Image in message 3 (tool)",
    ]
    assert labeler.pictures()[:2] == [(300, 160), (80, 120)]
    assert labeler.pictures()[2][0] in range(500, 961)
    assert labeler.looked_up("stranger") == []
    if way == "label stream":  # the first opening by a link is known to miss the prediction at times
        labeler.sees("Red.")
        labeler.submit()
        labeler.wait(lambda: api.task(task_id)["annotations"])
        assert annotated(api, task_id) == ("prediction", ["Red."], ["Red."])


@pytest.mark.parametrize("mode", ["prompt", "chat"])
@pytest.mark.parametrize("way", ["label stream", "link"])
def test_of_what_a_call_has_not_nothing_is_seen(labeler: Labeler, api: Api, mode: str, way: str) -> None:
    project_id, (task_id,) = imported(api, mode, span("Hello", "Hi", number=8))
    if way == "link":
        labeler.open_task(project_id, task_id)
    else:
        labeler.open_label_stream(project_id)

    labeler.wait(lambda: labeler.texts(".lso-tools h4"))

    assert labeler.texts(TRACE) == [""]
    assert labeler.seen(f"{NOTES}, {IMAGE_TITLE}, {TRACE}") == []
    assert labeler.pictures() == []


@pytest.mark.parametrize("mode", ["prompt", "chat"])
def test_a_click_on_the_link_opens_the_trace_beside_what_is_being_edited(labeler: Labeler, api: Api, mode: str) -> None:
    visited: list[tuple[str, str | None]] = []

    class Backend(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            visited.append((self.path, self.headers["Referer"]))
            self.send_response(200)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            """Keep the tests' output quiet."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Backend) as backend:
        threading.Thread(target=backend.serve_forever, daemon=True).start()
        address = f"http://127.0.0.1:{backend.server_address[1]}"
        link = f"{address}/trace/{{trace_id}}?a=b&copy=$&'1'&uiFind={{span_id}}#{{span_id}}"
        call = span("Hello", "Hi", number=10)
        project_id, _ = imported(api, mode, call, trace_link=link)
        labeler.open_label_stream(project_id)
        labeler.sees("Hi")
        labeler.edit(" there")
        own = labeler.driver.current_window_handle

        labeler.driver.find_element(By.CSS_SELECTOR, TRACE).click()

        labeler.wait(lambda: visited)
        (opened,) = set(labeler.driver.window_handles) - {own}
        labeler.driver.switch_to.window(opened)
        assert labeler.driver.execute_script("return window.opener") is None
        labeler.driver.close()
        labeler.driver.switch_to.window(own)
        assert labeler.texts(TRACE) == ["Open the trace"]
        assert labeler.sees("Hi there")
        backend.shutdown()
    assert visited[0] == (f"/trace/{call.trace_id}?a=b&copy=$&%271%27&uiFind={call.span_id}", None)


def test_in_chat_mode_each_message_is_an_entry_with_all_that_it_holds(labeler: Labeler, api: Api) -> None:
    project_id, _ = imported(api, "chat", span(DAMAGE, "Red.", number=9))
    labeler.open_label_stream(project_id)
    labeler.sees("Red.")

    entries = zip(labeler.texts("[class*=dialoguename]"), labeler.texts("[class*=dialoguetext]"), strict=True)

    assert [(role, re.sub(r"\d+ bytes, sha256 \w+|iVBOR[^ ]+ \(.* KB\)", "…", text)) for role, text in entries] == [
        (
            "user",
            "Which of these is mine?\n\n[image: image/png, ……]\n\n[image: image/png, ……]\n\n"
            "[image: http://stranger.example.com/a.png]",
        ),
        (
            "assistant",
            '[reasoning]\nThere is a tool for it.\n\n[tool call: compare, id call_1]\n{\n  "pictures": 2\n}',
        ),
        (
            "tool",
            "[tool response, id call_1]\n"
            '[\n  {\n    "type": "image",\n    "source": {\n      "type": "base64",\n      "media_type": "image/png",\n'
            '      "data": "…"\n    }\n  }\n]',
        ),
        ("user", "[audio: audio/wav, ……]"),
        ("user", "[file: file-7]"),
    ]
