"""The examples, run by the commands of their page as somebody who copied the folder does."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import urllib.request
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from label_studio_otel.cli.demo.label_studio_server import free_port
from support.openai_server import OpenAIServer
from support.pages import ROOT, commands
from support.servers import wait_for

if TYPE_CHECKING:
    from collections.abc import Iterator

    from support.servers import Api

#: Seconds after which a process is taken for one that hangs.
PATIENCE = 90.0


class Folder:
    """A copy of the examples, with URL and API key entered, and the shell somebody uses them in."""

    def __init__(self, path: Path, api: Api, openai: OpenAIServer) -> None:
        self.path = path
        self.api = api
        self.openai = openai
        foreign = ("OTEL_", "LABEL_STUDIO_", "OPENAI_", "TRACELOOP_")
        self.environ = {name: value for name, value in os.environ.items() if not name.startswith(foreign)} | {
            "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
            "LABEL_STUDIO_OTEL_STATE_DIR": str(path / "state"),
            "OPENAI_API_KEY": "any",
            "OPENAI_BASE_URL": openai.url,
            "OPENAI_MODEL": "scripted",
        }
        shutil.copytree(
            ROOT / "examples", path / "examples", ignore=shutil.ignore_patterns("__pycache__", "celery-queue")
        )
        for file in (path / "examples").glob("*.env"):
            text = re.sub(r"(?m)^LABEL_STUDIO_URL=.*", f"LABEL_STUDIO_URL={api.server.url}", file.read_text())
            file.write_text(re.sub(r"(?m)^LABEL_STUDIO_API_KEY=$", f"LABEL_STUDIO_API_KEY={api.server.token}", text))

    def run(self, *lines: str) -> str:
        """Run lines in one shell; return what they print."""
        with self.started(*lines) as process:
            stdout, stderr = process.communicate(timeout=PATIENCE)
        assert process.returncode == 0, f"{lines}\n{stdout}\n{stderr}"
        return stdout

    @contextmanager
    def started(self, *lines: str) -> Iterator[subprocess.Popen[str]]:
        """Start lines in one shell, whose last one takes its place; nothing of them is left after the context."""
        process = subprocess.Popen(
            ["sh", "-c", "\n".join(lines)],
            cwd=self.path,
            env=self.environ,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )
        try:
            yield process
        finally:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)
                process.communicate()

    def delivered(self, load: str, title: str) -> list[tuple[list[str], str]]:
        """Deliver all, and return what a labeler sees of each task of a project: the messages and the response."""
        self.run(load, "label-studio-otel deliver")
        return [shown(task) for task in self.api.tasks(self.api.project(title)["id"])]


def shown(task: dict[str, Any]) -> tuple[list[str], str]:
    prompt = task["data"]["prompt"]
    messages = [prompt] if isinstance(prompt, str) else [f"{one['role']}: {one['content']}" for one in prompt]
    ((result,),) = [prediction["result"] for prediction in task["predictions"]]
    (text,) = result["value"]["text"]
    return messages, text


@pytest.fixture
def folder(tmp_path: Path, api: Api) -> Iterator[Folder]:
    with OpenAIServer() as openai:
        yield Folder(tmp_path, api, openai)


def test_a_langgraph_agent_with_tools(folder: Folder) -> None:
    load, run = commands("examples/README.md", "## LangGraph agent")
    question = "Where is my order 20417?"
    # The scripted model takes the question for the number.
    call = f'[tool call: order_status, id call_1]\n{{\n  "order_number": "{question}"\n}}'
    result = f"Order {question}: handed to the carrier on Monday, expected on Thursday between 9 and 12."
    asked = ["system: You answer customers of Northwind Bikes. Be friendly and exact.", f"user: {question}"]

    assert folder.run(load, run) == f"The tool said: {result}\n"
    assert folder.delivered(load, "langgraph-agent") == [
        (asked, call),
        ([*asked, f"assistant: {call}", f"tool: [tool response, id call_1]\n{result}"], f"The tool said: {result}"),
    ]
    data = [task["data"] for task in folder.api.tasks(folder.api.project("langgraph-agent")["id"])]
    assert [(one["conversation_id"], one["user_id"]) for one in data] == [("conversation-7", "customer-42")] * 2


def test_a_fastapi_application_under_gunicorn(folder: Folder) -> None:
    load, serve, ask = commands("examples/README.md", "## FastAPI under gunicorn")
    address = f"127.0.0.1:{free_port()}"

    with folder.started(load, f"exec {serve.replace('127.0.0.1:8000', address)}") as server:
        wait_for(lambda: answers(f"http://{address}/docs"), timeout=PATIENCE, what="application")
        said = [json.loads(folder.run(ask.replace("127.0.0.1:8000", address))) for _ in range(4)]
        server.send_signal(signal.SIGTERM)
        server.communicate(timeout=PATIENCE)
    assert said == [{"answer": "You said: Do you repair gears?"}] * 4
    task = (
        ["system: You answer customers of Northwind Bikes. Be friendly and exact.", "user: Do you repair gears?"],
        "You said: Do you repair gears?",
    )
    assert folder.delivered(load, "fastapi-app") == [task] * 4


def answers(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=5):
            return True
    except OSError:
        return False


def test_a_celery_worker_whose_processes_are_replaced(folder: Folder) -> None:
    load, work, queue = commands("examples/README.md", "## Celery worker")
    letters = ["The bell is missing.", "The frame is bent.", "Thank you, all is well."]

    folder.run(queue)
    folder.run(queue)
    with folder.started(load, f"exec {work}") as worker:
        wait_for(lambda: len(folder.openai.requests) >= 6, timeout=PATIENCE, what="6 calls")
        worker.send_signal(signal.SIGTERM)
        _, stderr = worker.communicate(timeout=PATIENCE)
    assert worker.returncode == 0, stderr
    tasks = [(["system: Summarize the letter in one sentence.", f"user: {one}"], f"You said: {one}") for one in letters]
    assert sorted(folder.delivered(load, "celery-worker")) == sorted(tasks * 2)


def test_the_declarative_file(folder: Folder) -> None:
    load, run = commands("examples/README.md", "## Declarative file")
    del folder.environ["OPENAI_API_KEY"]

    folder.run(load, run)
    tasks = folder.delivered(load, "declarative")

    assert len(tasks) == 4
    assert tasks[0][0][0].startswith("user: Write a two-sentence description for an online shop.")


def test_set_up_in_code(folder: Folder) -> None:
    load, run = commands("examples/README.md", "## Set up in code")

    folder.run(load, run)

    question = "Does a folding bicycle fit under the seat of a train?"
    slogan = "Write a slogan for a folding bicycle:"
    assert folder.delivered(load, "In code: completions") == [([slogan], f"You said: {slogan}")]
    assert folder.delivered(load, "In code: conversations") == [([f"user: {question}"], f"You said: {question}")]
