"""The table of docs/set-ups.md: providers made in code, each product for real, in an environment of its own."""

from __future__ import annotations

import os
import re
import subprocess
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, NamedTuple

import pytest
from test_serve import arrived, served

from label_studio_otel.cli.status import summary_of
from label_studio_otel.testing import FakeLabelStudio
from support.applications import APPS, PATIENCE
from support.environments import ROOT, environment
from support.openai_server import OpenAIServer
from support.otlp_sink import OtlpSink

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from label_studio_otel.cli.demo.environment import VirtualEnvironment

INSTRUMENTED = ("openai", "opentelemetry-instrumentation-openai==0.62.4")
#: Row of the table, and what it takes to install the product.
PRODUCTS = {
    "plain": ("`TracerProvider()` of the SDK", ()),
    # It imports httpx and does not ask for it.
    "traceloop": ("`Traceloop.init()`", ("traceloop-sdk==0.62.4", "httpx")),
    "langfuse": ("`Langfuse()`", ("langfuse==5.0.4",)),
    "logfire": ("`logfire.configure()`", ("logfire==5.2.0",)),
    "phoenix": ("`phoenix.otel.register()`", ("arize-phoenix-otel==0.17.2",)),
}


class Seen(NamedTuple):
    """What became of the one call of a run."""

    tasks: int
    #: Whether the product's own backend got the span.
    backend: bool


@pytest.fixture(scope="module")
def openai() -> Iterator[OpenAIServer]:
    with OpenAIServer() as server:
        yield server


def run(
    made: VirtualEnvironment, state_dir: Path, openai: OpenAIServer, product: str, *way: str, **variables: str
) -> Seen:
    """Run the application once; nothing is delivered, so that what was kept can be counted."""
    foreign = ("OTEL_", "LABEL_STUDIO_", "OPENAI_", "TRACELOOP_", "PYTHON", "PYTEST", "VIRTUAL_ENV")
    environ = {name: value for name, value in os.environ.items() if not name.startswith(foreign)}
    environ |= {
        "OTEL_TRACES_EXPORTER": "label_studio",
        "OTEL_METRICS_EXPORTER": "none",
        "OTEL_LOGS_EXPORTER": "none",
        "OPENAI_BASE_URL": openai.url,
        "OPENAI_API_KEY": "key",
        "TRACELOOP_METRICS_ENABLED": "false",
        "LABEL_STUDIO_URL": "http://127.0.0.1:9",
        "LABEL_STUDIO_OTEL_STATE_DIR": str(state_dir),
        "LABEL_STUDIO_OTEL_DELIVERY": "off",
        **variables,
    }
    before, after = ([str(made.program("opentelemetry-instrument"))], []) if way == ("instrument",) else ([], [*way])
    with OtlpSink() as sink:
        command = [*before, str(made.program("python")), str(APPS / "set_up.py"), product, sink.url, *after]
        ran = subprocess.run(command, env=environ, capture_output=True, text=True, timeout=PATIENCE, check=False)
        assert ran.stdout.endswith("You said: One\n"), ran
        backend = any(span.name.lower().startswith(("openai.chat", "chat completion")) for span in sink.spans)
    kept = [summary_of(path).states["pending"] for path in state_dir.glob("*") if path.is_dir()]
    return Seen(sum(kept), backend)


def row_of(label: str) -> list[str]:
    """Return the cells of the document's table behind a label."""
    lines = (ROOT / "docs/set-ups.md").read_text().splitlines()
    (row,) = (line for line in lines if line.startswith(f"| {label} |"))
    return [cell.strip() for cell in row.strip("|").split("|")][1:]


@pytest.mark.parametrize("product", PRODUCTS)
def test_the_row_of_the_table_is_what_happens(product: str, openai: OpenAIServer, tmp_path: Path) -> None:
    label, requirements = PRODUCTS[product]
    made = environment(f"set-up-{product}", *INSTRUMENTED, *requirements)
    ways = {"instrument": ("instrument",), "code": (), "line": ("line",)}

    with ThreadPoolExecutor(2) as pool:
        runs = {way: pool.submit(run, made, tmp_path / way, openai, product, *words) for way, words in ways.items()}
    instrumented, code, line = (runs[way].result() for way in ways)

    assert code.backend  # else the run says nothing about the product
    cells = (instrumented.tasks == 1, instrumented.backend, code.tasks == 1, line.tasks == 1, line.backend)
    assert ["yes" if cell else "no" for cell in cells] == row_of(label)
    assert {one.tasks for one in (instrumented, code, line)} <= {0, 1}


def test_the_table_has_no_row_that_is_not_run() -> None:
    lines = (ROOT / "docs/set-ups.md").read_text().splitlines()
    labels = {re.sub(r"^\| (.*?) \|.*", r"\1", line) for line in lines if line.startswith("| `")}
    assert labels == {label for label, _ in PRODUCTS.values()}


#: Logfire's instrumentation of openai alone: OpenTelemetry's is not started.
LOGFIRES = {"OTEL_PYTHON_DISABLED_INSTRUMENTATIONS": "openai"}


@pytest.mark.parametrize(
    ("way", "product"),
    [
        ("instrument", "logfire_alone"),
        ("instrument", "logfire_with_ours"),
        ("code", "logfire_alone"),
        ("code", "logfire_with_ours"),
    ],
)
def test_calls_that_logfire_records_by_itself_need_our_processor(
    openai: OpenAIServer, tmp_path: Path, way: str, product: str
) -> None:
    made = environment("set-up-logfire", *INSTRUMENTED, *PRODUCTS["logfire"][1])
    words = ("instrument",) if way == "instrument" else ()

    seen = run(made, tmp_path, openai, product, *words, **LOGFIRES)

    assert seen == {"logfire_alone": Seen(0, True), "logfire_with_ours": Seen(1, True)}[product]


def test_logfire_sends_to_the_bridge_as_well(openai: OpenAIServer, tmp_path: Path) -> None:
    made = environment("set-up-logfire", *INSTRUMENTED, *PRODUCTS["logfire"][1])
    with FakeLabelStudio() as server, served(tmp_path / "bridge", server) as bridge:
        sent = {"OTEL_EXPORTER_OTLP_ENDPOINT": bridge.url, "OTEL_TRACES_EXPORTER": ""}
        assert run(made, tmp_path / "application", openai, "logfire_alone", **sent) == Seen(0, True)

        [task] = arrived(server, 1)
    assert (task["data"]["prompt"], task["data"]["response"]) == ("User:\nOne", "You said: One")
