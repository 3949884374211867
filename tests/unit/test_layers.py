"""Components import and touch what docs/architecture.md, "Layers", allows, and no file or function is long."""

from __future__ import annotations

import ast
import sys
from functools import cache
from pathlib import Path
from typing import NamedTuple

import pytest

import label_studio_otel

PACKAGE = "label_studio_otel"
ROOT = Path(label_studio_otel.__file__).parent
DOCUMENT = Path(__file__).parents[2] / "docs" / "architecture.md"
#: The modules of the standard library that touch each resource. A component that may touch one of them may import it.
RESOURCES = {
    "clock": {"time"},
    "disk": {"fcntl", "glob", "os", "pathlib", "shutil", "tempfile"},
    "logging": {"logging"},
    "network": {"asyncio", "http", "socket", "socketserver", "ssl", "urllib.request"},
    "process": {"atexit", "ctypes", "os", "signal", "sys"},
    "SQL": {"sqlite3"},
    "subprocesses": {"multiprocessing", "subprocess"},
    "threads": {"asyncio", "concurrent", "queue", "threading"},
}
MAX_FILE_LINES = 300
MAX_FUNCTION_LINES = 60
MAX_FILES_OF_THE_ROOT = 10
#: What is not mended yet. Remove what is; add nothing.
LONG_FILES = {
    "outbox.items",
}


class Component(NamedTuple):
    """What the table says of a component."""

    rank: int
    resources: frozenset[str]
    #: Dotted names; each stands for its submodules too.
    libraries: frozenset[str]


def _components() -> dict[str, Component]:
    """Return the components of the table by name, "" for the package's `__init__`."""
    section = DOCUMENT.read_text("utf-8").partition("\n## Layers\n")[2].partition("\n## ")[0]
    rows = [line for line in section.splitlines() if line.startswith("|")]
    components = {}
    for row in rows[2:]:  # behind the head and the line of dashes
        rank, names, _, resources, libraries = row.strip("|").split("|")
        component = Component(int(rank), _words(resources), _words(libraries))
        components.update(dict.fromkeys((name.replace("__init__", "") for name in _words(names)), component))
    return components


def _words(cell: str) -> frozenset[str]:
    return frozenset(word.strip(" `") for word in cell.split(",")) - {""}


COMPONENTS = _components()
#: The source of each module by its dotted name below the package, "" for the package's `__init__`.
MODULES = {
    ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix("__init__").rstrip("."): path
    for path in ROOT.rglob("*.py")
}


@cache
def _tree(name: str) -> ast.Module:
    return ast.parse(MODULES[name].read_text("utf-8"))


@cache
def _imports(name: str) -> frozenset[str]:
    """Return what a module imports, wherever in it the import stands, also only for its annotations."""
    found = set()
    for node in ast.walk(_tree(name)):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            found |= {f"{node.module}.{alias.name}" for alias in node.names}
    return frozenset(found - {"__future__.annotations"})


@cache
def _own(name: str) -> frozenset[str]:
    """Return the modules of the package that a module imports."""
    found = set()
    for imported in _imports(name):
        top, _, rest = imported.partition(".")
        while rest and rest not in MODULES:
            rest = rest.rpartition(".")[0]
        if top == PACKAGE:
            found.add(rest)
    return frozenset(found)


def _is_in(imported: str, modules: set[str] | frozenset[str]) -> bool:
    """Whether an imported name is one of these modules, or is in one."""
    return any(f"{imported}.".startswith(f"{module}.") for module in modules)


def _component_of(name: str) -> str:
    return name.partition(".")[0]


def test_the_table_names_the_components_of_the_package() -> None:
    assert set(COMPONENTS) == {_component_of(name) for name in MODULES}


def test_the_table_names_resources_that_are_checked() -> None:
    assert frozenset().union(*(component.resources for component in COMPONENTS.values())) <= set(RESOURCES)


@pytest.mark.parametrize("name", sorted(MODULES))
def test_a_module_imports_its_own_component_and_those_of_lower_ranks(name: str) -> None:
    others = {_component_of(imported) for imported in _own(name)} - {_component_of(name)}
    assert {other for other in others if COMPONENTS[other].rank >= COMPONENTS[_component_of(name)].rank} == set()


@pytest.mark.parametrize("name", sorted(MODULES))
def test_a_module_touches_only_the_resources_of_its_component(name: str) -> None:
    allowed = set[str]().union(*(RESOURCES[one] for one in COMPONENTS[_component_of(name)].resources))
    guarded = set[str]().union(*RESOURCES.values())
    assert {one for one in _imports(name) if _is_in(one, guarded) and not _is_in(one, allowed)} == set()


@pytest.mark.parametrize("name", sorted(MODULES))
def test_a_module_imports_only_the_packages_of_its_component(name: str) -> None:
    # typing_extensions is for annotations alone, and comes with the SDK.
    known = {*sys.stdlib_module_names, PACKAGE, "typing_extensions", *COMPONENTS[_component_of(name)].libraries}
    assert {one for one in _imports(name) if not _is_in(one, known)} == set()


def test_no_two_modules_import_each_other() -> None:
    circles = {tuple(sorted((name, other))) for name in MODULES for other in _own(name) - {name} if name in _own(other)}
    assert circles == set()


@pytest.mark.parametrize("name", sorted(set(MODULES) - LONG_FILES))
def test_a_file_is_short(name: str) -> None:
    assert len(MODULES[name].read_text("utf-8").splitlines()) <= MAX_FILE_LINES


@pytest.mark.parametrize("name", sorted(MODULES))
def test_a_function_is_short(name: str) -> None:
    functions = [node for node in ast.walk(_tree(name)) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)]
    long = {one.name for one in functions if (one.end_lineno or 0) - one.lineno >= MAX_FUNCTION_LINES}
    assert long == set()


def test_the_root_of_the_package_has_few_files() -> None:
    assert len(list(ROOT.glob("*.py"))) <= MAX_FILES_OF_THE_ROOT
