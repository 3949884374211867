"""The configurations of the OpenTelemetry Collector, in a real one: valid, and run as its page says."""

from __future__ import annotations

import os
import re
from typing import TYPE_CHECKING

import pytest
import yaml

from label_studio_otel.cli.demo.label_studio_server import free_port
from support.applications import COMMANDS
from support.collector import Daemon, answers, validate
from support.go_programs import MANIFEST, collector_program
from support.pages import PAGES, ROOT, commands

if TYPE_CHECKING:
    from pathlib import Path

README = "collector/README.md"
BRIDGE_ONLY = ROOT / "collector" / "bridge-only.yaml"
#: A Collector as people have it.
YOURS = """
receivers: {otlp: {protocols: {grpc: {endpoint: "127.0.0.1:4317"}, http: {endpoint: "127.0.0.1:4318"}}}}
exporters: {otlp_grpc/jaeger: {endpoint: "jaeger:4317"}}
service: {pipelines: {traces: {receivers: [otlp], exporters: [otlp_grpc/jaeger]}}}
"""


def is_whole(text: str) -> bool:
    """Tell a Collector's configuration from other YAML, and from a part of one."""
    documents = list(yaml.safe_load_all(text))
    return any(isinstance(one, dict) and one.keys() >= {"receivers", "exporters", "service"} for one in documents)


def files() -> list[Path]:
    found = [path for folder in ("collector", "deploy", "docs", "examples") for path in (ROOT / folder).rglob("*.y*ml")]
    return sorted(path for path in found if is_whole(path.read_text("utf-8")))


def blocks(page: str, heading: str = "") -> list[str]:
    """Return the blocks of YAML of a page, from a heading on."""
    text = (ROOT / page).read_text("utf-8")
    return re.findall(r"^```yaml\n(.*?)^```", text[text.index(heading) :], re.MULTILINE | re.DOTALL)


@pytest.mark.parametrize("path", files(), ids=lambda path: str(path.relative_to(ROOT)))
def test_every_configuration_is_valid(path: Path) -> None:
    assert validate(path) == ""


def test_every_configuration_in_the_pages_is_valid(tmp_path: Path) -> None:
    for page in PAGES:
        for block in filter(is_whole, blocks(page)):
            (tmp_path / "block.yaml").write_text(block)
            assert validate(tmp_path / "block.yaml") == "", page


def test_what_is_added_to_a_configuration_is_valid_with_it(tmp_path: Path) -> None:
    (tmp_path / "yours.yaml").write_text(YOURS)
    assert validate(tmp_path / "yours.yaml", BRIDGE_ONLY) == ""


def test_a_configuration_that_is_not_valid_is_told(tmp_path: Path) -> None:
    (tmp_path / "wrong.yaml").write_text(YOURS.replace("exporters: [otlp_grpc/jaeger]", "exporters: [zipkin]"))
    assert 'references exporter "zipkin" which is not configured' in validate(tmp_path / "wrong.yaml")


def test_the_collectors_page(tmp_path: Path) -> None:
    """The lines of its README, with the Collector of builder.yaml in place of the distribution's, on other ports."""
    (tmp_path / "collector").symlink_to(ROOT / "collector")
    (tmp_path / "your.yaml").write_text(YOURS)
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "otelcol-contrib").symlink_to(collector_program())
    port = free_port()
    ports = {
        "OTELCOL_GRPC_ENDPOINT": "127.0.0.1:0",
        "OTELCOL_HTTP_ENDPOINT": "127.0.0.1:0",
        "OTELCOL_METRICS_PORT": "0",
    }
    environ = {**os.environ, **ports, "OTELCOL_HEALTH_ENDPOINT": f"127.0.0.1:{port}", "HOME": str(tmp_path)}
    environ["PATH"] = os.pathsep.join([str(tmp_path / "bin"), str(COMMANDS), os.environ["PATH"]])
    install, *before, run = commands(README, "## In five minutes")
    *_, added = commands(README, "## With your own configuration")
    assert run == "otelcol-contrib --config collector/fan-out.yaml"
    assert install == 'pip install "label-studio-otel[serve]"'
    before = [f"{line} --check" if " serve " in line else line for line in before]
    script = "\n".join(["set -e", *before, added, f"exec {run}"])

    with Daemon(tmp_path, ["bash", "-c", script], environ, lambda: answers(port, "/"), folder=tmp_path) as daemon:
        daemon.stop()
    assert (tmp_path / "otelcol" / "label_studio").is_dir()


def test_the_page_names_the_version_that_is_built() -> None:
    manifest = yaml.safe_load(MANIFEST.read_text("utf-8"))
    modules = [one["gomod"] for part in manifest.values() if isinstance(part, list) for one in part]

    assert f"cmd/builder@v{manifest['dist']['version']}`" in (ROOT / README).read_text("utf-8")
    assert {module.split()[1] for module in modules} == {"v0.161.0", "v1.67.0"}
