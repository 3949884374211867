"""The example stays what the demo promises: a program that knows nothing of us."""

from __future__ import annotations

import ast
import json
import os
from pathlib import Path

import pytest

from label_studio_otel import settings
from label_studio_otel._version import __version__
from label_studio_otel.cli.demo import example
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


def own_requirement(monkeypatch: pytest.MonkeyPatch, **origin: object) -> str:
    """Return what the example's environment installs for us, where we were installed from there."""
    monkeypatch.setattr(example, "_clone", lambda: None)
    monkeypatch.setattr(example, "_origin", lambda: json.loads(json.dumps(origin)))
    return " ".join(example_environment().requirements[:-3])


def test_example_runs_with_this_package_as_it_was_installed(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    wheel = tmp_path / "ours.whl"
    wheel.touch()
    released = f"label-studio-otel[auto]=={__version__}"
    assert example_environment().requirements[:2] == ("--editable", f"{EXAMPLES.parent}[auto]")
    assert own_requirement(monkeypatch) == released
    assert (
        own_requirement(monkeypatch, url=EXAMPLES.parent.as_uri(), dir_info={}) == f"--editable {EXAMPLES.parent}[auto]"
    )
    assert own_requirement(monkeypatch, url=(tmp_path / "deleted").as_uri(), dir_info={}) == released
    assert (
        own_requirement(monkeypatch, url=wheel.as_uri(), archive_info={})
        == f"label-studio-otel[auto] @ {wheel.as_uri()}"
    )
    assert own_requirement(monkeypatch, url=(tmp_path / "deleted.whl").as_uri(), archive_info={}) == released
    assert (
        own_requirement(monkeypatch, url="https://example.com/r.git", vcs_info={"vcs": "git", "commit_id": "abc"})
        == "label-studio-otel[auto] @ git+https://example.com/r.git@abc"
    )


def test_a_wheel_built_again_asks_for_another_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    wheel = tmp_path / "ours.whl"
    paths = set()
    for content in ("one", "two"):
        wheel.unlink(missing_ok=True)
        wheel.write_text(content)
        os.utime(wheel, ns=(0, len(paths)))
        own_requirement(monkeypatch, url=wheel.as_uri(), archive_info={})
        paths.add(example_environment().path)
    assert len(paths) == 2
