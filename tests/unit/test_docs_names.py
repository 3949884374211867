"""The pages for developers name files, classes, functions and queries that exist."""

from __future__ import annotations

import ast
import re
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from label_studio_otel.outbox.items import STATES

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).parents[2]
SOURCE = ROOT / "src" / "label_studio_otel"
PAGES = ("docs/architecture.md", "CONTRIBUTING.md")
SUFFIXES = (".py", ".sql", ".xml", ".toml", ".md", ".db")
#: A path that ends in a folder's slash or a suffix, as `outbox/queries.sql` and `tests/unit/`, or in code marks.
PATH = re.compile(
    r"(?<![\w/*.:-])[\w.-]+(?:/[\w.-]+)*(?:/|\.(?:py|sql|xml|toml|md))(?![\w/*-])|(?<=`)[\w.-]+/[\w./-]+(?=`)"
)
#: A name, or names with dots between them, as `Outbox.retry`.
NAME = re.compile(r"[A-Za-z_]\w*(?:\.[A-Za-z_]\w*)*")
#: Names on the pages that are neither defined nor imported here.
FOREIGN = {"KeyValue", "atheris", "flock", "rows", "valueList", "valuelist", "with"}


@cache
def _names() -> frozenset[str]:
    """Return the names that the package and the tests' helpers define or import, and those of queries and states."""
    found = set(re.findall(r"(?m)^-- ([a-z_]+)(?::|$)", (SOURCE / "outbox/queries.sql").read_text("utf-8")))
    for path in (*SOURCE.rglob("*.py"), *(ROOT / "tests/support").glob("*.py"), *(ROOT / "tests/corpus").glob("*.py")):
        found |= {path.stem, path.parent.name, *_names_of(ast.parse(path.read_text("utf-8")))}
    return frozenset(found.union(STATES))


def _names_of(tree: ast.Module) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            yield node.name
        elif isinstance(node, ast.Name):
            yield node.id
        elif isinstance(node, ast.arg):
            yield node.arg
        elif isinstance(node, ast.Import):
            yield from (part for alias in node.names for part in alias.name.split("."))
        elif isinstance(node, ast.ImportFrom):
            yield from (node.module or "").split(".")


@pytest.mark.parametrize("page", PAGES)
def test_every_file_that_a_page_names_exists(page: str) -> None:
    named = set(PATH.findall(re.sub(r"https?://\S+", "", (ROOT / page).read_text("utf-8"))))
    roots = (ROOT, SOURCE, (ROOT / page).parent)

    assert {path for path in named if not any((root / path).exists() for root in roots)} == set()


@pytest.mark.parametrize("page", PAGES)
def test_every_name_on_a_page_is_defined(page: str) -> None:
    prose = re.sub(r"(?ms)^```.*?^```", "", (ROOT / page).read_text("utf-8"))
    words = {word for word in re.findall(r"`([^`\n]+)`", prose) if NAME.fullmatch(word)} - FOREIGN
    names = {word for word in words if not word.endswith(SUFFIXES) and not word.isupper()}

    assert {name for name in names if not _names().issuperset(name.split("."))} == set()
