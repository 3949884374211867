"""The lowest and the newest supported OpenTelemetry SDK, and every Python that this machine has."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from label_studio_otel.testing import FakeLabelStudio

ROOT = Path(__file__).parents[3]
THIS_PYTHON = f"{sys.version_info.major}.{sys.version_info.minor}"
PYTHONS = ("3.10", "3.11", "3.12", "3.13", "3.14")

#: By the SDK's public interface alone: the instrumentations of these years differ in what they need.
APPLICATION = """
from opentelemetry import trace

tracer = trace.get_tracer("opentelemetry.instrumentation.langchain", "0.62.4")
with tracer.start_as_current_span("FakeListLLM.completion") as span:
    span.set_attribute("gen_ai.operation.name", "text_completion")
    span.set_attribute("gen_ai.input.messages", '[{"role": "user", "parts": [{"type": "text", "content": "2 + 2 ="}]}]')
    span.set_attribute("gen_ai.output.messages", '[{"role": "assistant", "parts": [{"type": "text", "content": "4"}]}]')
with tracer.start_as_current_span("GET /health"):
    pass


def emit(name, body):
    try:
        from opentelemetry._events import Event, get_event_logger
    except ImportError:
        from opentelemetry._logs import LogRecord, get_logger

        get_logger("openai_v2").emit(LogRecord(event_name=name, body=body))
    else:
        get_event_logger("openai_v2").emit(Event(name, body=body))


with trace.get_tracer("openai_v2").start_as_current_span("chat gpt-4o-mini") as span:
    span.set_attribute("gen_ai.operation.name", "chat")
    emit("gen_ai.user.message", {"content": "3 + 3 ="})
    emit("gen_ai.choice", {"index": 0, "finish_reason": "stop", "message": {"content": "6"}})
print("done")
"""


def interpreters() -> dict[str, str]:
    """Return the interpreters of this machine by version: on the PATH, and pyenv's, which may not be on it."""
    pyenv = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv"), "versions")
    found = {THIS_PYTHON: sys.executable}
    for version in PYTHONS:
        candidates = [*sorted(pyenv.glob(f"{version}.*/bin/python")), Path(shutil.which(f"python{version}") or "")]
        if version not in found and candidates[0].is_file():
            found[version] = str(candidates[0])
    return found


def environment(directory: Path, python: str, *requirements: str) -> Path:
    subprocess.run(["uv", "venv", "-q", "--no-python-downloads", "--python", python, str(directory)], check=True)
    install = ["uv", "pip", "install", "-q", "--python", str(directory), str(ROOT), *requirements]
    subprocess.run(install, check=True)
    return directory / "bin"


def run(scripts: Path, tmp_path: Path, server: FakeLabelStudio, *command: str) -> subprocess.CompletedProcess[str]:
    settings = {
        "OTEL_TRACES_EXPORTER": "label_studio",
        "OTEL_METRICS_EXPORTER": "none",
        "OTEL_LOGS_EXPORTER": "none",
        "LABEL_STUDIO_URL": server.url,
        "LABEL_STUDIO_API_KEY": server.token,
        "LABEL_STUDIO_OTEL_STATE_DIR": str(tmp_path / "state"),
        "LABEL_STUDIO_OTEL_PROJECT_NAME": "versions",
        "LABEL_STUDIO_OTEL_SHUTDOWN_TIMEOUT": "20",
        "PATH": f"{scripts}:{os.environ['PATH']}",
    }
    environ = {name: value for name, value in os.environ.items() if not name.startswith(("LABEL_STUDIO", "OTEL_"))}
    return subprocess.run(command, env=environ | settings, capture_output=True, text=True, timeout=120, check=False)


def check(scripts: Path, tmp_path: Path) -> None:
    """Each call of one application becomes a task, whether its messages are on the span or in log events."""
    application = tmp_path / "app.py"
    application.write_text(APPLICATION)
    with FakeLabelStudio() as server:
        ran = run(scripts, tmp_path, server, "opentelemetry-instrument", "python", str(application))
        assert (ran.returncode, ran.stdout, ran.stderr) == (0, "done\n", "")
        said = run(scripts, tmp_path, server, "label-studio-otel", "status", "--json")
        assert json.loads(said.stdout)["delivered"] == 2, said.stderr
        tasks = server.tasks(1)
    assert [(task["data"]["prompt"], _answer(task)) for task in tasks] == [
        ("2 + 2 =", {"text": ["4"]}),
        ("User:\n3 + 3 =", {"text": ["6"]}),
    ]


def _answer(task: dict[str, Any]) -> Any:
    return task["predictions"][0]["result"][0]["value"]


@pytest.mark.parametrize(
    "pins",
    [
        ("opentelemetry-sdk==1.30.0", "opentelemetry-distro==0.51b0", "setuptools<81"),
        ("opentelemetry-sdk", "opentelemetry-distro"),
    ],
    ids=["lowest", "newest"],
)
def test_the_application_of_this_sdk_version_gets_its_task(tmp_path: Path, pins: tuple[str, ...]) -> None:
    assert shutil.which("uv"), "uv makes the environments: pip install uv"

    check(environment(tmp_path / "venv", THIS_PYTHON, *pins), tmp_path)


@pytest.mark.parametrize("version", sorted(interpreters()))
def test_the_application_of_this_python_gets_its_task(tmp_path: Path, version: str) -> None:
    check(environment(tmp_path / "venv", interpreters()[version], "opentelemetry-distro"), tmp_path)
