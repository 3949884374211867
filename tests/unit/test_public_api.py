"""What the package shows, and that its modules know only those they stand on (docs/architecture.md)."""

from __future__ import annotations

import ast
import importlib
import json
import subprocess
import sys
from pathlib import Path

import pytest

import label_studio_otel

ROOT = Path(label_studio_otel.__file__).parent

#: From the values up to what an application names; a module imports only from lines above its own, or beside it in its
#: own package.
LAYERS = [
    {"_version", "errors", "generation", "files", "log"},
    {"spans", "settings"},
    {"reading", "spool", "otlp", "tasks"},
    {"calls", "metrics"},
    {"outbox"},
    {"pipeline", "label_studio"},
    {"delivery"},
    {"sdk", "receiver"},
    {"testing", ""},
    {"cli"},
    {"__main__"},
]
#: Who may import what does I/O; each name stands for its submodules too.
ONLY = {
    "sqlite3": {"outbox"},
    "http": {"label_studio", "cli", "receiver", "testing"},
    "ssl": {"receiver", "label_studio"},
    "socket": {"cli", "testing"},
    "urllib.request": {"label_studio", "cli"},
    "subprocess": {"cli"},
    "grpc": {"receiver"},
    "h11": {"receiver"},
    "asyncio": {"receiver"},
    "yaml": {"receiver"},
    "prometheus_client": {"receiver"},
    "opentelemetry.sdk.metrics": {"receiver"},
    "label_studio_sdk": {"cli"},
    "requests": set(),
    "httpx": set(),
    "rich": {"cli"},
    # Only tests use the fakes.
    "label_studio_otel.testing": {"testing"},
}
PURE = {"calls", "errors", "generation", "reading", "spans", "tasks"}
IMPURE = {"os", "pathlib", "io", "tempfile", "shutil", "threading", "logging", "time"}


def _modules() -> dict[str, Path]:
    """Return the source of each module by its dotted name below the package, "" for the package itself."""
    return {
        ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix("__init__").rstrip("."): path
        for path in ROOT.rglob("*.py")
    }


def _imports(path: Path) -> set[str]:
    """Return what a module imports when it runs, wherever in it the import stands."""
    tree = ast.parse(path.read_text("utf-8"))
    for node in ast.walk(tree):
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING":
            node.body = [ast.Pass()]
    found = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            found |= {f"{node.module}.{alias.name}" for alias in node.names}
    return found


def _own(name: str) -> str | None:
    """Return the module of ours that an imported name is or is in, None for a foreign one."""
    package, _, rest = name.partition(".")
    if package != "label_studio_otel":
        return None
    while rest and rest not in MODULES:
        rest = rest.rpartition(".")[0]
    return rest


MODULES = _modules()
RANK = {name: rank for rank, names in enumerate(LAYERS) for name in names}


@pytest.mark.parametrize("name", sorted(MODULES))
def test_imports_point_towards_the_values(name: str) -> None:
    top = name.partition(".")[0]
    for imported in filter(None, map(_own, _imports(MODULES[name]))):
        other = imported.partition(".")[0]
        assert other == top or RANK[other] < RANK[top], f"{name or 'label_studio_otel'} imports {imported}"


def test_every_module_has_its_layer() -> None:
    assert {name.partition(".")[0] for name in MODULES} == set(RANK)


@pytest.mark.parametrize("library", sorted(ONLY))
def test_only_these_know(library: str) -> None:
    users = {
        name.partition(".")[0]
        for name, path in MODULES.items()
        if any(f"{imported}.".startswith(f"{library}.") for imported in _imports(path))
    }
    assert users <= ONLY[library]


@pytest.mark.parametrize("name", sorted(name for name in MODULES if name.partition(".")[0] in PURE))
def test_what_only_computes_does_no_input_or_output(name: str) -> None:
    assert {imported.partition(".")[0] for imported in _imports(MODULES[name])}.isdisjoint(IMPURE)


def test_an_application_imports_nothing_that_is_slow_or_dangerous_to_it() -> None:
    """SQLite, HTTP, TLS and XML are imported by the delivering thread, not by the application's."""
    loaded = _loaded_by("import opentelemetry.sdk.trace.export")
    ours = _loaded_by(
        "import label_studio_otel.sdk.processor, label_studio_otel.sdk.exporter, label_studio_otel.sdk.autoload"
    )
    assert "label_studio_otel.sdk.recorder" in ours
    foreign = {name.partition(".")[0] for name in ours - loaded}
    assert foreign.isdisjoint(
        {"sqlite3", "_sqlite3", "ssl", "_ssl", "http", "xml", "email", "label_studio_sdk", "rich"}
    )
    assert not ours & {"sqlite3", "http.client", "ssl", "label_studio_sdk", "requests", "httpx"}
    assert {name for name in ours if name.startswith("label_studio_otel.")}.isdisjoint(
        {
            "label_studio_otel.delivery.deliverer",
            "label_studio_otel.delivery.sending",
            "label_studio_otel.outbox",
            "label_studio_otel.tasks.task",
        }
    )


def _loaded_by(statement: str) -> set[str]:
    """Return the modules that are there after a statement in a new interpreter."""
    code = f"{statement}\nimport sys, json; print(json.dumps(sorted(sys.modules)))"
    ran = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    return set(json.loads(ran.stdout))


def test_the_public_names_are_sorted_and_there() -> None:
    assert label_studio_otel.__all__ == [
        "LabelStudioLogRecordProcessor",
        "LabelStudioOtelError",
        "LabelStudioSpanExporter",
        "LabelStudioSpanProcessor",
        "__version__",
    ]
    assert all(hasattr(label_studio_otel, name) for name in label_studio_otel.__all__)


def test_the_package_shows_nothing_else() -> None:
    assert dir(label_studio_otel) == [
        "LabelStudioLogRecordProcessor",
        "LabelStudioOtelError",
        "LabelStudioSpanExporter",
        "LabelStudioSpanProcessor",
        "__version__",
    ]


def test_a_name_that_is_not_there_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="has no attribute 'LabelStudioExporter'"):
        _ = label_studio_otel.LabelStudioExporter


def test_the_hook_alone_imports_nothing_but_itself() -> None:
    program = (
        "import sys; import label_studio_otel.sdk.autoload as hook; hook.add_span_processors();"
        "print(sorted(name for name in sys.modules if name.startswith(('label_studio', 'opentelemetry'))))"
    )
    said = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout
    assert said.replace("label_studio_otel", "ours") == "['ours', 'ours._version', 'ours.sdk', 'ours.sdk.autoload']\n"


@pytest.mark.parametrize("name", sorted(set(MODULES) - {"__main__", "_version"}))
def test_every_module_declares_its_names_in_order(name: str) -> None:
    module = importlib.import_module(f"label_studio_otel.{name}".rstrip("."))
    declared = module.__all__
    assert all(hasattr(module, one) for one in declared)
    constants = [one for one in declared if one.isupper()]
    classes = [one for one in declared if not one.isupper() and one[:1].isupper()]
    assert declared == [*sorted(constants), *sorted(classes), *sorted(set(declared) - {*constants, *classes})]


def test_every_error_of_ours_is_one_tree() -> None:
    from label_studio_otel import errors

    assert all(issubclass(getattr(errors, name), errors.LabelStudioOtelError) for name in errors.__all__)
