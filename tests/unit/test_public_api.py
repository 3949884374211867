"""What the package shows: its public names, and what an application loads with it."""

from __future__ import annotations

import importlib
import json
import subprocess
import sys
from pathlib import Path

import pytest

import label_studio_otel

ROOT = Path(label_studio_otel.__file__).parent
PATHS = {
    ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix("__init__").rstrip("."): path
    for path in ROOT.rglob("*.py")
}


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


#: Modules that other packages import, and components whose `__init__` exports names of their files. In all other
#: modules a name without an underscore is for the rest of the package, and a list would say it a second time.
LISTING = {name for name, path in PATHS.items() if "__all__" in path.read_text("utf-8")}


def test_what_other_packages_import_declares_its_names() -> None:
    assert {"", "errors", "generation", "reading", "spans", "testing"} <= LISTING


@pytest.mark.parametrize("name", sorted(LISTING))
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
