"""The demo's example: an ordinary LangChain program, and the environment that it runs in."""

from __future__ import annotations

import ast
import importlib.metadata
import sys
from pathlib import Path

import pytest

from label_studio_otel import settings
from label_studio_otel.cli.demo import example
from label_studio_otel.cli.demo.environment import CommandFailed
from label_studio_otel.cli.demo.example import example_environment, example_path

EXAMPLES = Path(__file__).parents[3] / "examples"


def test_example_imports_langchain_and_the_standard_library_only() -> None:
    modules = set()
    for node in ast.walk(ast.parse(example_path().read_text())):
        if isinstance(node, ast.Import):
            modules.update(name.name.partition(".")[0] for name in node.names)
        elif isinstance(node, ast.ImportFrom):
            modules.add(str(node.module).partition(".")[0])
    assert modules == {"os", "langchain_core", "langchain_openai"}


def test_settings_of_the_example_are_understood() -> None:
    lines = (EXAMPLES / "langchain_app.env").read_text().splitlines()
    variables = dict(line.split("=", 1) for line in lines if line and not line.startswith("#"))
    understood = settings.load(environ=variables)
    assert understood.problems == ()
    assert (understood.url, understood.mode) == ("http://localhost:8080", "chat")
    assert understood.destination(0).project_name == "langchain-app"
    assert variables["OTEL_TRACES_EXPORTER"] == "label_studio"


def installed_as(monkeypatch: pytest.MonkeyPatch, *lines: str) -> tuple[str, ...]:
    """Return what the example's environment installs for this package where `uv pip freeze` prints these lines."""
    monkeypatch.setattr(example, "CLONE", Path("/nowhere"))
    monkeypatch.setattr(example, "_frozen", lambda: "\n".join(lines))
    return example_environment().requirements[:-3]


def test_the_example_runs_with_this_clone() -> None:
    assert example_environment().requirements[:2] == ("--editable", f"{EXAMPLES.parent}[auto]")


@pytest.mark.parametrize(
    "line",
    [
        "label-studio-otel==0.1.0",
        "label-studio-otel @ file:///home/ann/label_studio_otel-0.1.0-py3-none-any.whl",
        "label-studio-otel @ git+https://example.com/r.git@abc",
    ],
)
def test_the_example_runs_with_this_package_from_where_it_was_installed(
    line: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert installed_as(monkeypatch, "idna==3.10", line, "label-studio-otel-other==2") == (
        line,
        "label-studio-otel[auto]",
    )


def test_the_packages_of_this_interpreter_are_listed_as_requirements() -> None:
    assert f"pytest=={importlib.metadata.version('pytest')}" in example._frozen().splitlines()


def test_a_uv_that_does_not_run_is_reported(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(example, "uv", lambda: [sys.executable, "-c", "raise SystemExit('uv: not found')"])
    with pytest.raises(CommandFailed, match=r"pip freeze --python .*` failed: uv: not found"):
        example._frozen()


def test_a_package_that_was_built_anew_gets_another_environment(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    paths = set()
    for digest in ("one", "two"):
        info = tmp_path / digest / "label_studio_otel-1.0.dist-info"
        info.mkdir(parents=True)
        (info / "METADATA").write_text("Metadata-Version: 2.1\nName: label-studio-otel\nVersion: 1.0\n")
        (info / "RECORD").write_text(f"label_studio_otel/__init__.py,sha256={digest},1\n")
        monkeypatch.syspath_prepend(str(tmp_path / digest))
        paths.add(example_environment().path)
    assert len(paths) == 2
