"""The example stays what the demo promises: a program that knows nothing of us."""

from __future__ import annotations

import ast
from pathlib import Path

from label_studio_otel import settings
from label_studio_otel.cli.example import example_path

EXAMPLES = Path(__file__).parents[2] / "examples"


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
