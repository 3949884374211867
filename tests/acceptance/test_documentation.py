"""The documentation's commands, run as they stand there."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from label_studio_otel.cli.label_studio_server import LabelStudioServer
from servers import Api

ROOT = Path(__file__).parents[2]
PAGES = ("README.md", "docs/architecture.md", "examples/README.md", "collector/README.md", "benchmarks/README.md")

#: Every command line of the pages, and the test that runs it.
COMMANDS = {
    "pip install uv && uv run --no-dev label-studio-otel demo": "test_the_demo_of_a_fresh_clone",
    "pip install uv && sh tests/run": "test_the_tests_of_a_fresh_clone",
    'pip install "label-studio-otel[auto]" opentelemetry-instrumentation-langchain': "test_use_it",
    "export LABEL_STUDIO_URL=http://localhost:8080": "test_use_it",
    "export LABEL_STUDIO_API_KEY=your-token": "test_use_it",
    "export OTEL_TRACES_EXPORTER=otlp,label_studio": "test_use_it",
    "opentelemetry-instrument python app.py": "test_use_it",
    "label-studio-otel status": "test_use_it",
    "label-studio-otel deliver": "test_use_it",
    "label-studio-otel retry": "test_use_it",
    'pip install "label-studio-otel[auto]" langchain langchain-openai opentelemetry-instrumentation-langchain': (
        "test_the_examples"
    ),
    "set -a; . examples/langchain_app.env; set +a      # enter your URL and API key there first": "test_the_examples",
    "opentelemetry-instrument python examples/langchain_app.py": "test_the_examples",
    "python benchmarks/overhead.py": "test_the_benchmark",
    "python benchmarks/overhead.py --quick": "test_the_benchmark",
}


def commands(page: str) -> list[str]:
    """Return the lines of a page's shell blocks."""
    blocks = re.findall(r"^```sh\n(.*?)^```", (ROOT / page).read_text(), re.MULTILINE | re.DOTALL)
    return [line for block in blocks for line in block.splitlines() if line.strip()]


@pytest.mark.parametrize("page", PAGES)
def test_each_command_of_a_page_is_run_by_a_test_of_this_file(page: str) -> None:
    assert [line for line in commands(page) if COMMANDS.get(line) not in globals()] == []


@pytest.mark.parametrize("page", PAGES)
def test_each_link_of_a_page_leads_to_a_file(page: str) -> None:
    links = re.findall(r"\]\((?!https?:|#)([^)#]+)", (ROOT / page).read_text())

    assert [link for link in links if not (ROOT / page).parent.joinpath(link).exists()] == []


@pytest.fixture
def clone(tmp_path: Path) -> Path:
    """What a clone holds, without what this working tree has installed."""
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        check=True,
        capture_output=True,
        text=True,
    )
    for name in listed.stdout.splitlines():
        if (ROOT / name).is_file():
            (tmp_path / "clone" / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, tmp_path / "clone" / name)
    return tmp_path / "clone"


def shell(line: str, directory: Path, timeout: float = 600, **variables: str) -> str:
    """Run a line in a fresh Python environment of `directory`; return what it printed."""
    if not (directory / "python").exists():
        subprocess.run([sys.executable, "-m", "venv", str(directory / "python")], check=True)
    path = f"{directory / 'python' / 'bin'}:{os.environ['PATH']}"
    foreign = ("OPENAI_", "OTEL_", "LABEL_STUDIO_", "VIRTUAL_ENV", "PYTHON")
    environ = {name: value for name, value in os.environ.items() if not name.startswith(foreign)}
    environ |= {"PATH": path, **variables}
    ran = subprocess.run(
        ["sh", "-c", line], cwd=directory, env=environ, capture_output=True, text=True, timeout=timeout, check=False
    )
    assert ran.returncode == 0, f"{line}\n{ran.stdout}\n{ran.stderr}"
    return ran.stdout


def test_the_demo_of_a_fresh_clone(clone: Path) -> None:
    said = shell(f"{commands('README.md')[0]} --exit --directory {clone / 'demo'}", clone)

    assert said.count("?labeling=1") == 2


def test_the_tests_of_a_fresh_clone(clone: Path) -> None:
    said = shell(f"{commands('README.md')[1]} tests/unit/test_retry.py", clone)

    assert " passed" in said


def installable(line: str) -> str:
    """Let pip take this working tree for the package of the same name."""
    return line.replace('"label-studio-otel[auto]"', f'"{ROOT}[auto]"')


def test_use_it(tmp_path: Path, label_studio: LabelStudioServer, api: Api) -> None:
    shutil.copy(ROOT / "examples/langchain_app.py", tmp_path / "app.py")
    install, *rest = commands("README.md")[2:]
    block, after = rest[:4], rest[4:]
    own = {
        "http://localhost:8080": label_studio.url,
        "your-token": label_studio.token,
        "otlp,label_studio": "label_studio",  # nothing listens for OTLP here
    }
    for theirs, ours in own.items():
        block = [line.replace(theirs, ours) for line in block]
    variables = {
        "OTEL_METRICS_EXPORTER": "none",
        "OTEL_LOGS_EXPORTER": "none",
        "LABEL_STUDIO_OTEL_PROJECT_NAME": "Use it",
        "LABEL_STUDIO_OTEL_STATE_DIR": str(tmp_path / "state"),
    }

    shell(f"{installable(install)} langchain langchain-openai langchain-community", tmp_path)
    said = shell("\n".join([*block, *after]), tmp_path, **variables)

    assert "all delivered (4 LLM calls are tasks)" in said
    assert len(api.tasks(api.project("Use it")["id"])) == 4


def test_the_examples(clone: Path, label_studio: LabelStudioServer, api: Api) -> None:
    install, entered, run = commands("examples/README.md")
    file = clone / "examples/langchain_app.env"
    text = re.sub(r"(?m)^LABEL_STUDIO_URL=.*", f"LABEL_STUDIO_URL={label_studio.url}", file.read_text())
    text = re.sub(r"(?m)^LABEL_STUDIO_API_KEY=.*", f"LABEL_STUDIO_API_KEY={label_studio.token}", text)
    file.write_text(text)

    shell(installable(install), clone)
    shell(f"{entered}\n{run}", clone, LABEL_STUDIO_OTEL_STATE_DIR=str(clone / "state"))
    shell(f"{entered}\nlabel-studio-otel deliver", clone, LABEL_STUDIO_OTEL_STATE_DIR=str(clone / "state"))

    assert len(api.tasks(api.project("langchain-app")["id"])) == 4


def test_the_benchmark() -> None:
    ran = subprocess.run(
        [sys.executable, "benchmarks/overhead.py", "--quick"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=900,
        check=False,
    )

    assert ran.returncode == 0, ran.stderr
    assert "other span" in ran.stdout.lower()
