"""`label-studio-otel demo` as a person runs it: a process, its signals, and the Label Studio that it leaves."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from label_studio_otel.cli.demo.environment import cache_directory, uv
from label_studio_otel.cli.demo.example import example_environment
from label_studio_otel.cli.demo.label_studio_installation import LabelStudioInstallation
from label_studio_otel.cli.demo.label_studio_server import LabelStudioServer
from support.processes import processes_mentioning
from support.servers import Api, wait_for

DESCRIPTION = (
    "The Fjord 2 folds in ten seconds and weighs 10.5 kg, so it goes under the seat of any train. "
    "Unfold it on the platform and be at work before the bus leaves."
)
TRACKED = "Yes: order 20417 left our warehouse on Monday and comes on Thursday between 9 and 12."


class Demo:
    """A running demo whose whole output is read."""

    def __init__(self, directory: Path, *arguments: str, **variables: str) -> None:
        self.directory = directory
        self.output = directory.with_name("output.txt")
        with self.output.open("w") as output:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "label_studio_otel", "demo", "--directory", str(directory), *arguments],
                env={**environment_without_openai(), **variables},
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
            )

    def said(self) -> str:
        return self.output.read_text()

    def wait_until_it_says(self, text: str) -> None:
        wait_for(lambda: text in self.said() or self.process.poll() is not None, timeout=600, what=text)
        assert text in self.said(), self.said()

    def wait(self, timeout: float = 600) -> int:
        return self.process.wait(timeout)


def environment_without_openai() -> dict[str, str]:
    foreign = ("OPENAI_", "OTEL_", "LABEL_STUDIO_")
    return {name: value for name, value in os.environ.items() if not name.startswith(foreign)}


@contextlib.contextmanager
def demo(directory: Path, *arguments: str, **variables: str) -> Iterator[Demo]:
    running = Demo(directory, *arguments, **variables)
    try:
        yield running
    finally:
        if running.process.poll() is None:
            running.process.kill()
            running.process.wait()


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Demo:
    """A first run in a fresh directory, ended by itself."""
    with demo(tmp_path_factory.mktemp("demo") / "data", "--exit") as first:
        assert first.wait() == 0, first.said()
    return first


@pytest.fixture
def parts(finished: Demo) -> Path:
    """The cache directory with all that a demo needs, so that a start takes seconds."""
    return cache_directory()


def test_prints_the_label_stream_of_both_projects_and_how_to_log_in(finished: Demo) -> None:
    said = finished.said()
    links = re.findall(r"^  (.+), (\d+) tasks: http://127\.0\.0\.1:\d+/projects/(\d+)/data\?labeling=1$", said, re.M)
    assert links == [("LangChain demo, prompt mode", "4", "1"), ("LangChain demo, chat mode", "4", "2")]
    assert re.search(r"^Log in as admin@example\.com with the password \S{12}$", said, re.M)
    assert str(finished.directory) in said.splitlines()[0]


def test_fills_both_projects_and_starts_again_in_seconds(finished: Demo) -> None:
    with LabelStudioServer(finished.directory / "label-studio") as server:
        api = Api(server)
        prompt_tasks = api.tasks(api.project("LangChain demo, prompt mode")["id"])
        chat_tasks = api.tasks(api.project("LangChain demo, chat mode")["id"])
    texts = [task["predictions"][0]["result"][0]["value"]["text"][0] for task in prompt_tasks]
    assert texts[0] == DESCRIPTION
    assert texts[3] == TRACKED
    assert "Northwind Bikes" in prompt_tasks[1]["data"]["prompt"]
    assert [message["role"] for message in chat_tasks[0]["data"]["prompt"]] == ["user"]
    assert [message["role"] for message in chat_tasks[3]["data"]["prompt"]] == ["system", "user", "assistant", "tool"]
    assert [len(task["predictions"]) for task in prompt_tasks + chat_tasks] == [1] * 8

    began = time.monotonic()
    with demo(finished.directory, "--exit") as second:
        second.wait_until_it_says("running langchain_app.py")
        seconds = time.monotonic() - began
        assert second.wait() == 0, second.said()
    assert seconds < 30
    assert "installing" not in second.said()
    assert "preparing" not in second.said()
    assert second.said().count(", 8 tasks: ") == 2


def test_leaves_no_process_when_it_ends_by_itself(finished: Demo) -> None:
    assert processes_mentioning(str(finished.directory)) == []


@pytest.mark.parametrize(
    ("phase", "number"),
    [
        ("starting Label Studio", signal.SIGINT),
        ("running langchain_app.py, prompt mode", signal.SIGINT),
        ("running langchain_app.py, chat mode", signal.SIGTERM),
        ("delivering", signal.SIGHUP),
    ],
)
def test_told_to_end_before_the_tasks_are_there_it_leaves_no_process(
    parts: Path, phase: str, number: signal.Signals, tmp_path: Path
) -> None:
    with demo(tmp_path / "data") as running:
        running.wait_until_it_says(phase)
        wait_for(lambda: len(processes_mentioning(str(tmp_path / "data"))) > 1, what="process beside the demo's own")
        running.process.send_signal(number)
        assert running.wait(30) == 130
    assert processes_mentioning(str(tmp_path)) == []
    assert running.said().endswith("Stopped.\n")
    assert "Traceback" not in running.said()


def test_stays_until_ctrl_c_and_leaves_no_process(parts: Path, tmp_path: Path) -> None:
    with demo(tmp_path / "data") as running:
        running.wait_until_it_says("Ctrl-C stops Label Studio")
        running.process.send_signal(signal.SIGINT)
        assert running.wait(30) == 0
    assert processes_mentioning(str(tmp_path)) == []


def test_killed_it_takes_label_studio_with_it(parts: Path, tmp_path: Path) -> None:
    with demo(tmp_path / "data") as running:
        running.wait_until_it_says("running langchain_app.py, prompt mode")
        running.process.kill()
    wait_for(lambda: not processes_mentioning(str(tmp_path / "data")), timeout=30, what="end of all processes")


@pytest.mark.parametrize("phase", ["installing Label Studio", "preparing Label Studio's database"])
def test_ctrl_c_during_the_installation_leaves_no_process_and_nothing_half_made(
    parts: Path, phase: str, tmp_path: Path
) -> None:
    cache = tmp_path / "cache" / "label-studio-otel"
    cache.mkdir(parents=True)
    installation, complete = LabelStudioInstallation(cache), LabelStudioInstallation(parts)
    reused = [example_environment().path]
    if phase.startswith("preparing"):
        reused.append(complete.environment.path)
    for path in reused:
        (cache / path.name).symlink_to(path)
    with demo(tmp_path / "data", XDG_CACHE_HOME=str(tmp_path / "cache"), UV_CACHE_DIR=uv_cache()) as running:
        running.wait_until_it_says(phase)
        wait_for(lambda: processes_mentioning(str(cache)), what="process of the installation")
        running.process.send_signal(signal.SIGINT)
        assert running.wait(30) == 130
    assert processes_mentioning(str(tmp_path)) == []
    assert installation.environment.path.exists() == phase.startswith("preparing")
    assert not installation.database.exists()


def test_a_second_demo_in_the_same_directory_is_refused(parts: Path, tmp_path: Path) -> None:
    with demo(tmp_path / "data") as first:
        first.wait_until_it_says("starting Label Studio")
        other = subprocess.run(
            [sys.executable, "-m", "label_studio_otel", "demo", "--directory", str(first.directory)],
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        first.process.send_signal(signal.SIGINT)
        first.wait(30)
    assert other.returncode == 1
    assert other.stdout == f"a demo is running in {first.directory} already; --directory takes another one\n"


def uv_cache() -> str:
    """Return uv's own cache, which would move with XDG_CACHE_HOME and be filled again."""
    return subprocess.run([*uv(), "cache", "dir"], capture_output=True, text=True, check=True).stdout.strip()
