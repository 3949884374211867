"""The documentation's commands, run as they stand there."""

from __future__ import annotations

import inspect
import json
import os
import re
import shutil
import socket
import subprocess
import sys
from pathlib import Path

import pytest
import test_chaos
import test_collector
import test_examples
import trustme

from label_studio_otel import LabelStudioSpanProcessor, __version__
from label_studio_otel.cli.demo.label_studio_server import LabelStudioServer
from label_studio_otel.reading import DIALECTS
from label_studio_otel.settings import SETTINGS
from support.pages import PAGES, ROOT, commands
from support.servers import Api

#: Every command line of the pages, and the test that runs it.
COMMANDS = {
    "pip install uv && uv run --no-dev label-studio-otel demo": "test_the_demo_of_a_fresh_clone",
    "pip install uv && sh tests/run": "test_the_tests_of_a_fresh_clone",
    'pip install "label-studio-otel[auto]" opentelemetry-instrumentation-langchain': "test_use_it",
    "export LABEL_STUDIO_URL=http://localhost:8080": "test_use_it",
    "export LABEL_STUDIO_API_KEY=your-token": "test_use_it",
    "export OTEL_TRACES_EXPORTER=otlp,label_studio": "test_use_it",
    "opentelemetry-instrument python app.py": "test_use_it",
    "label-studio-otel setup": "test_use_it",
    "label-studio-otel status": "test_use_it",
    "label-studio-otel deliver": "test_use_it",
    "label-studio-otel retry": "test_use_it",
    "label-studio-otel deliver --reconcile": "test_what_an_operator_knows",
    "label-studio-otel deliver --server-restarted": "test_what_an_operator_knows",
    "label-studio-otel convert traces.json": "test_use_it",
    "label-studio-otel backfill traces.json": "test_use_it",
    'pip install "label-studio-otel[serve]"': "test_the_bridge",
    "label-studio-otel serve": "test_the_bridge",
    "export OTEL_EXPORTER_OTLP_ENDPOINT=http://127.0.0.1:4318": "test_the_bridge",
    "export OTEL_EXPORTER_OTLP_PROTOCOL=http/protobuf": "test_the_bridge",
    "label-studio-otel backfill --dry-run traces.json": "test_the_bridge",
    "label-studio-otel serve --config bridge.yaml --check": "test_the_file_of_the_bridge",
    "export LABEL_STUDIO_OTEL_SERVE_TOKEN=a-secret-of-your-own": "test_the_collectors_page",
    "label-studio-otel serve --port 4328 --no-grpc": "test_the_collectors_page",
    "export LABEL_STUDIO_OTEL_ENDPOINT=http://127.0.0.1:4328": "test_the_collectors_page",
    "export JAEGER_ENDPOINT=jaeger:4317": "test_the_collectors_page",
    "export HONEYCOMB_API_KEY=your-key": "test_the_collectors_page",
    "export OTELCOL_STATE_DIR=$HOME/otelcol": "test_the_collectors_page",
    "otelcol-contrib validate --config collector/fan-out.yaml": "test_the_collectors_page",
    "otelcol-contrib --config collector/fan-out.yaml": "test_the_collectors_page",
    "otelcol-contrib validate --config your.yaml --config collector/bridge-only.yaml": "test_the_collectors_page",
    "python3 -m venv app && . app/bin/activate": "test_the_tutorial",
    'pip install "label-studio-otel[auto]" langchain opentelemetry-instrumentation-langchain': "test_the_tutorial",
    "export LABEL_STUDIO_OTEL_PROJECT_NAME=Tutorial": "test_the_tutorial",
    "export LABEL_STUDIO_OTEL_MODE=chat": "test_the_tutorial",
    "export OTEL_TRACES_EXPORTER=label_studio": "test_the_tutorial",
    "export OTEL_METRICS_EXPORTER=none OTEL_LOGS_EXPORTER=none": "test_the_tutorial",
    'export LABEL_STUDIO_OTEL_PROJECT_NAME="My project"': "test_the_migration",
    "label-studio-otel doctor": "test_the_lines_of_a_page",
    "label-studio-otel doctor -- python app.py": "test_the_lines_of_a_page",
    "label-studio-otel doctor --in-code -- python app.py": "test_the_lines_of_a_page",
    'pip install "label-studio-otel[auto]" langchain langchain-openai opentelemetry-instrumentation-langchain': (
        "test_the_examples"
    ),
    "set -a; . examples/langchain_app.env; set +a": "test_the_examples",
    "opentelemetry-instrument python examples/langchain_app.py": "test_the_examples",
    "set -a; . examples/langgraph_agent.env; set +a": "test_a_langgraph_agent_with_tools",
    'opentelemetry-instrument python examples/langgraph_agent.py "Where is my order 20417?"': (
        "test_a_langgraph_agent_with_tools"
    ),
    "set -a; . examples/fastapi_app.env; set +a": "test_a_fastapi_application_under_gunicorn",
    "opentelemetry-instrument gunicorn --chdir examples --workers 2 --worker-class uvicorn_worker.UvicornWorker "
    "--bind 127.0.0.1:8000 fastapi_app:app": "test_a_fastapi_application_under_gunicorn",
    """curl --silent --json '{"text": "Do you repair gears?"}' http://127.0.0.1:8000/answers""": (
        "test_a_fastapi_application_under_gunicorn"
    ),
    "set -a; . examples/celery_worker.env; set +a": "test_a_celery_worker_whose_processes_are_replaced",
    "opentelemetry-instrument celery --app celery_worker --workdir examples worker --concurrency 2 "
    "--max-tasks-per-child 2": "test_a_celery_worker_whose_processes_are_replaced",
    'cd examples && python celery_worker.py "The bell is missing." "The frame is bent." "Thank you, all is well."': (
        "test_a_celery_worker_whose_processes_are_replaced"
    ),
    "set -a; . examples/declarative.env; set +a": "test_the_declarative_file",
    "set -a; . examples/in_code.env; set +a": "test_set_up_in_code",
    "python examples/in_code.py": "test_set_up_in_code",
    "python benchmarks/overhead.py": "test_the_benchmark",
    "python benchmarks/overhead.py --quick": "test_the_benchmark",
    "python benchmarks/read.py": "test_the_benchmark_of_reading",
    "python benchmarks/read.py --quick": "test_the_benchmark_of_reading",
    "python benchmarks/receiver.py": "test_the_benchmark_of_the_receiver",
    "python benchmarks/receiver.py --quick": "test_the_benchmark_of_the_receiver",
    "python benchmarks/delivery.py": "test_the_benchmark_of_delivery",
    "python benchmarks/delivery.py --quick": "test_the_benchmark_of_delivery",
    "python benchmarks/delivery.py --outage 100000": "test_the_benchmark_of_an_outage",
    "sh tests/run": "test_the_commands_of_contributors",
    "sh tests/run tests/unit": "test_the_commands_of_contributors",
    "sh tests/run tests/unit/spool -k damaged": "test_the_commands_of_contributors",
    "sh tests/run tests/unit tests/contract tests/corpus": "test_the_commands_of_contributors",
    ".venv/bin/ruff check .": "test_the_commands_of_contributors",
    ".venv/bin/ruff format src tests benchmarks": "test_the_commands_of_contributors",
    ".venv/bin/mypy": "test_the_commands_of_contributors",
    ".venv/bin/python docs/generate.py": "test_the_commands_of_contributors",
    "python tests/corpus/score.py tests/cases": "test_the_commands_of_contributors",
    "uv build": "test_the_commands_of_contributors",
    "uv venv dist/try": "test_the_commands_of_contributors",
    "uv pip install --python dist/try dist/label_studio_otel-*.whl": "test_the_commands_of_contributors",
    "dist/try/bin/label-studio-otel --version": "test_the_commands_of_contributors",
    "python tests/chaos/harness.py --seed 1 --kills 50": "test_every_call_is_one_task_whatever_dies_when",
}


@pytest.mark.parametrize("page", PAGES)
def test_each_command_of_a_page_is_run_by_a_test(page: str) -> None:
    tests = {*globals(), *vars(test_chaos), *vars(test_collector), *vars(test_examples)}

    assert [line for line in commands(page) if COMMANDS.get(line) not in tests] == []


def test_what_the_pages_have_from_the_code_is_what_stands_there() -> None:
    """Where this fails, `python docs/generate.py` writes them anew."""
    ran = subprocess.run([sys.executable, "docs/generate.py", "--check"], cwd=ROOT, capture_output=True, check=False)

    assert (ran.returncode, ran.stdout.decode()) == (0, "")


def test_the_help_of_the_processor_names_every_setting() -> None:
    documented = inspect.getdoc(LabelStudioSpanProcessor)

    assert [one.key for one in SETTINGS if f"\n    {one.key}: {one.meaning}\n" not in documented] == []
    assert [one.variable for one in SETTINGS if f"`{one.variable}`" not in documented] == []


def test_the_index_names_every_page() -> None:
    index = (ROOT / "docs/README.md").read_text()

    pages = {path.name for path in (ROOT / "docs").glob("*.md")} - {"README.md"}
    assert {page for page in pages if f"]({page})" not in index} == set()


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


def shell(line: str, directory: Path, timeout: float = 600, *, fresh: bool = True, **variables: str) -> str:
    """Run a line with a fresh Python environment of `directory`, or with that of the tests; return what it printed."""
    python = directory / "python" if fresh else Path(sys.prefix)
    if not python.exists():
        subprocess.run([sys.executable, "-m", "venv", str(python)], check=True)
    path = f"{python / 'bin'}:{os.environ['PATH']}"
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
    said = shell(f"{commands('README.md')[1]} tests/unit/delivery/test_backoff.py", clone)

    assert " passed" in said


def test_the_commands_of_contributors(clone: Path) -> None:
    """pytest only collects the tests: most of them run elsewhere in this suite."""
    lines = [line for line in commands("CONTRIBUTING.md") if COMMANDS[line] == "test_the_commands_of_contributors"]

    said = shell("\n".join(["set -e", *lines]), clone, fresh=False, PYTEST_ADDOPTS="--collect-only --quiet")

    assert "test_a_damaged_file_is_set_aside_and_another_is_removed" in said
    assert "All checks passed!" in said
    assert "Success: no issues found" in said
    assert said.endswith(f"label-studio-otel {__version__}\n")


def installable(line: str) -> str:
    """Let pip take this working tree for the package of the same name."""
    return line.replace('"label-studio-otel[auto]"', f'"{ROOT}[auto]"')


def record(path: Path) -> None:
    """Write a trace of one LLM call."""
    call = {"key": "gen_ai.operation.name", "value": {"stringValue": "chat"}}
    span = {"traceId": "a" * 32, "spanId": "b" * 16, "attributes": [call]}
    path.write_text(json.dumps({"resourceSpans": [{"scopeSpans": [{"spans": [span]}]}]}))


def test_use_it(tmp_path: Path, label_studio: LabelStudioServer, api: Api) -> None:
    shutil.copy(ROOT / "examples/langchain_app.py", tmp_path / "app.py")
    record(tmp_path / "traces.json")
    install, *rest = (line for line in commands("README.md") if COMMANDS[line] == "test_use_it")
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
    assert f'{{"trace_id": "{"a" * 32}", "span_id": "{"b" * 16}", "dialect": "gen_ai"' in said
    assert "all delivered (5 LLM calls are tasks)" in said
    assert len(api.tasks(api.project("Use it")["id"])) == 5


def entered(line: str, label_studio: LabelStudioServer) -> str:
    """Return a line with what its reader enters."""
    return line.replace("http://localhost:8080", label_studio.url).replace("your-token", label_studio.token)


def test_the_tutorial(tmp_path: Path, label_studio: LabelStudioServer, api: Api) -> None:
    (program,) = re.findall(r"^```python\n(.*?)^```", (ROOT / "docs/tutorial.md").read_text(), re.MULTILINE | re.DOTALL)
    (tmp_path / "app.py").write_text(program)
    lines = [installable(entered(line, label_studio)) for line in commands("docs/tutorial.md")]

    said = shell(
        "\n".join(["set -e", *lines]), tmp_path, fresh=False, LABEL_STUDIO_OTEL_STATE_DIR=str(tmp_path / "state")
    )

    assert "0 errors" in said
    assert "all delivered (1 LLM calls are tasks)" in said
    (task,) = api.tasks(api.project("Tutorial")["id"])
    assert task["data"]["prompt"] == [
        {"role": "system", "content": "Answer in one sentence."},
        {"role": "user", "content": "What is the capital of France?"},
    ]
    assert task["predictions"][0]["result"][0]["value"]["text"] == ["Paris is the capitol of France."]


def test_what_an_operator_knows(tmp_path: Path, label_studio: LabelStudioServer) -> None:
    lines = [line for line in commands("docs/troubleshooting.md") if line.startswith("label-studio-otel deliver --")]
    variables = {"LABEL_STUDIO_URL": label_studio.url, "LABEL_STUDIO_API_KEY": label_studio.token}

    said = shell("\n".join(lines), tmp_path, fresh=False, LABEL_STUDIO_OTEL_STATE_DIR=str(tmp_path), **variables)

    assert said.count("all delivered (0 LLM calls are tasks)") == 2


def test_the_bridge(tmp_path: Path, label_studio: LabelStudioServer, api: Api) -> None:
    shutil.copy(ROOT / "examples/langchain_app.py", tmp_path / "app.py")
    record(tmp_path / "traces.json")
    install, *run = commands("docs/bridge.md", "## Run it")
    *settings, serve = [entered(line, label_studio) for line in run]
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = str(free.getsockname()[1])
    script = [
        *settings,
        f"{serve} --port {port} --grpc-port 0 --settle 0.1 &",
        f"until curl --silent --fail http://127.0.0.1:{port}/readyz; do sleep 0.1; done",
        *(line.replace("4318", port) for line in commands("docs/bridge.md", "## Send to it")),
        *commands("docs/bridge.md", "## Traces of the past"),
        "kill $! && wait $!",
    ]
    variables = {
        "LABEL_STUDIO_OTEL_PROJECT_NAME": "Bridge",
        "LABEL_STUDIO_OTEL_STATE_DIR": str(tmp_path / "state"),
    }

    shell(f"{install.replace('label-studio-otel[', f'{ROOT}[')} && label-studio-otel serve --help", tmp_path)
    said = shell("\n".join(["set -e", *script]), tmp_path, fresh=False, **variables)

    assert said.count("read 1 LLM calls (gen_ai 1)") == 2
    assert "all delivered (5 LLM calls are tasks)" in said
    assert len(api.tasks(api.project("Bridge")["id"])) == 5


def test_the_file_of_the_bridge(tmp_path: Path) -> None:
    (example,) = re.findall(
        r"^```yaml\n(label_studio:.*?)^```", (ROOT / "docs/bridge.md").read_text(), re.M | re.DOTALL
    )
    (line,) = commands("docs/bridge.md", "### By a file")
    certificate = trustme.CA().issue_cert("bridge.example.com")
    certificate.private_key_pem.write_to_path(tmp_path / "key.pem")
    certificate.cert_chain_pems[0].write_to_path(tmp_path / "cert.pem")
    (tmp_path / "bridge-token").write_text("s3cret")
    for place in ("/run/secrets", "/etc/label-studio-otel"):
        example = example.replace(place, str(tmp_path))
    (tmp_path / "bridge.yaml").write_text(example)

    said = shell(line, tmp_path, fresh=False, LABEL_STUDIO_API_KEY="x")

    assert said == "all that is set can be used\n"


def test_the_migration(tmp_path: Path, label_studio: LabelStudioServer, api: Api) -> None:
    shutil.copy(ROOT / "examples/langchain_app.py", tmp_path / "app.py")
    lines = [entered(line, label_studio) for line in commands("docs/migration.md")]
    quiet = {"OTEL_METRICS_EXPORTER": "none", "OTEL_LOGS_EXPORTER": "none"}

    script = "\n".join(["set -e", *lines, "label-studio-otel deliver"])
    shell(script, tmp_path, fresh=False, LABEL_STUDIO_OTEL_STATE_DIR=str(tmp_path / "state"), **quiet)

    tasks = api.tasks(api.project("My project")["id"])
    roles = [[message["role"] for message in task["data"]["prompt"]] for task in tasks]
    assert roles == [["user"], ["system", "user"], ["system", "user"], ["system", "user", "assistant", "tool"]]
    assert {task["predictions"][0]["model_version"] for task in tasks} == {"label-studio-otel"}


#: Sets tracing up by itself where nobody did.
IN_CODE = """
from langchain_core.language_models import FakeListLLM
from opentelemetry import trace
from opentelemetry.instrumentation.langchain import LangchainInstrumentor
from opentelemetry.sdk.trace import TracerProvider

from label_studio_otel import LabelStudioSpanProcessor

if not isinstance(trace.get_tracer_provider(), TracerProvider):
    provider = TracerProvider()
    provider.add_span_processor(LabelStudioSpanProcessor())
    trace.set_tracer_provider(provider)
    LangchainInstrumentor().instrument()
FakeListLLM(responses=["An answer"]).invoke("A question")
"""


@pytest.mark.parametrize(("page", "title"), [("docs/troubleshooting.md", "Trouble"), ("docs/set-ups.md", "Set-ups")])
def test_the_lines_of_a_page(tmp_path: Path, label_studio: LabelStudioServer, page: str, title: str) -> None:
    (tmp_path / "app.py").write_text(IN_CODE)
    variables = {
        "LABEL_STUDIO_URL": label_studio.url,
        "LABEL_STUDIO_API_KEY": label_studio.token,
        "LABEL_STUDIO_OTEL_PROJECT_NAME": title,
        "LABEL_STUDIO_OTEL_STATE_DIR": str(tmp_path / "state"),
        "OTEL_TRACES_EXPORTER": "label_studio",
        "OTEL_METRICS_EXPORTER": "none",
        "OTEL_LOGS_EXPORTER": "none",
    }
    for line in commands(page):
        said = shell(line, tmp_path, fresh=False, **variables)
        assert ("LLM calls found: 1" in said) is ("app.py" in line), said


def test_the_examples(clone: Path, label_studio: LabelStudioServer, api: Api) -> None:
    (install,) = commands("examples/README.md", "# Examples")
    load, run = commands("examples/README.md", "## Plain script")
    file = clone / "examples/langchain_app.env"
    text = re.sub(r"(?m)^LABEL_STUDIO_URL=.*", f"LABEL_STUDIO_URL={label_studio.url}", file.read_text())
    text = re.sub(r"(?m)^LABEL_STUDIO_API_KEY=.*", f"LABEL_STUDIO_API_KEY={label_studio.token}", text)
    file.write_text(text)

    shell(installable(install), clone)
    shell(f"{load}\n{run}", clone, LABEL_STUDIO_OTEL_STATE_DIR=str(clone / "state"))
    shell(f"{load}\nlabel-studio-otel deliver", clone, LABEL_STUDIO_OTEL_STATE_DIR=str(clone / "state"))

    assert len(api.tasks(api.project("langchain-app")["id"])) == 4


def benchmark(*command: str) -> str:
    """Run a benchmark and return what it printed."""
    ran = subprocess.run([sys.executable, *command], cwd=ROOT, capture_output=True, text=True, timeout=900, check=False)
    assert ran.returncode == 0, ran.stderr
    return ran.stdout


def test_the_benchmark() -> None:
    assert "other span" in benchmark("benchmarks/overhead.py", "--quick").lower()


def test_the_benchmark_of_reading() -> None:
    said = benchmark("benchmarks/read.py", "--quick").splitlines()

    names = {dialect.name for dialect in DIALECTS}
    assert {line.split()[0] for line in said} == {"dialect", "HTTP", *names}
    assert [line.split()[0] for line in said if "nothing recorded" in line] == ["google_adk"]


def test_the_benchmark_of_delivery() -> None:
    said = benchmark("benchmarks/delivery.py", "--quick")

    assert "  ours / bare client ≥ 0.95: " in said
    assert "    LabelStudioCallbackHandler " in said


def test_the_benchmark_of_the_receiver() -> None:
    said = benchmark("benchmarks/receiver.py", "--quick").splitlines()
    rows = [re.split(" {2,}", line.strip())[:3] for line in said if "%" in line]
    servers = ("bridge", "collector", "collector fsync", "rotel")
    assert rows == [["1%", transport, server] for transport in ("http", "http gzip", "grpc") for server in servers]


def test_the_benchmark_of_an_outage() -> None:
    said = benchmark("benchmarks/delivery.py", "--outage", "1500")

    assert "met     the peak does not grow with the queue (≤ 1.25 times): " in said
