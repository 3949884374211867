"""Writes the parts of the documentation that stand in the code already: settings, commands, metrics, dialects.

Such a part stands between `<!-- generated: name -->` and `<!-- end -->`. `python docs/generate.py` writes them anew,
with `--check` it only says which pages are stale.
"""

from __future__ import annotations

import argparse
import dataclasses
import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from label_studio_otel import reading
from label_studio_otel.cli import parser
from label_studio_otel.metrics.table import METRICS
from label_studio_otel.reading.failure import ERROR_TYPE, EXCEPTION_MESSAGE, EXCEPTION_TYPE
from label_studio_otel.reading.table import IDENTITIES, AttributeTable
from label_studio_otel.receiver.metrics import RECEIVER_METRICS
from label_studio_otel.receiver.settings import SERVE_SETTINGS
from label_studio_otel.settings import SETTINGS
from label_studio_otel.tasks import labeling_config
from label_studio_otel.tasks.metadata import METADATA

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

    from label_studio_otel.metrics.metric import Metric

ROOT = Path(__file__).parents[1]
PAGES = (
    "README.md",
    "docs/bridge.md",
    "docs/configuration.md",
    "docs/dialects.md",
    "docs/labeling-configs.md",
    "docs/metrics.md",
)
PART = re.compile(r"(<!-- generated: (\w+) -->\n).*?(<!-- end -->)", re.DOTALL)


def settings() -> Iterator[str]:
    """Yield the table of the settings."""
    yield "| variable | argument | default | |"
    yield "|---|---|---|---|"
    for one in SETTINGS:
        yield f"| `{one.variable}` | `{one.key}` | {one.shown}{' ' if one.shown else ''}| {one.meaning} |"


def data() -> Iterator[str]:
    """Yield the names of a task's metadata."""
    yield ", ".join(f"`{name}`" for name in METADATA) + "."


def labeling_configs() -> Iterator[str]:
    """Yield the labeling config of each mode."""
    for mode in ("prompt", "chat"):
        yield f"## `{mode}`\n\n```xml\n{labeling_config.template(mode)}```\n"


def serving() -> Iterator[str]:
    """Yield the table of what a service is told beside the settings."""
    yield "| key | option | variable | default | |"
    yield "|---|---|---|---|---|"
    for one in SERVE_SETTINGS:
        option = f"`{one.option}` " if one.option else ""
        yield f"| `{one.key}` | {option}| `{one.variable}` | {one.shown}{' ' if one.shown else ''}| {one.meaning} |"


def metrics() -> Iterator[str]:
    """Yield the table of the metrics of every process that delivers or takes calls in."""
    yield from _metrics(METRICS)


def traffic() -> Iterator[str]:
    """Yield the table of the metrics that only a bridge has."""
    yield from _metrics(RECEIVER_METRICS)


def _metrics(table: Iterable[Metric]) -> Iterator[str]:
    yield "| metric | instrument | unit | |"
    yield "|---|---|---|---|"
    for one in table:
        yield f"| `{one.name}` | {one.kind} | `{one.unit}` | {one.meaning} |"


def commands() -> Iterator[str]:
    """Yield a table for each command: its options, and what they mean."""
    for name, command in _commands().items():
        yield f"### `{name}`\n"
        yield f"{_sentence(name)}.\n"
        options = [action for action in command._actions if action.dest != "help"]
        if options:
            yield "| option | |\n|---|---|"
        for action in options:
            names = ", ".join(f"`{option}`" for option in action.option_strings) or f"`{action.dest}`"
            meaning = command._get_formatter()._expand_help(action) if action.help else ""
            yield f"| {names} | {meaning.replace(str(Path.home()), '~')} |"
        yield ""


#: An index in the name of an attribute.
INDEX = re.compile(r"(?<=\.)\d+(?=\.)")


def reads() -> Iterator[str]:
    """Yield a table for each dialect: what it reads from where; the order is the one in which they are asked."""
    for dialect in reading.DIALECTS:
        assert isinstance(dialect, AttributeTable)
        yield f"### `{dialect.name}`\n"
        yield (dialect.written_by or "").partition("\n\n")[0].replace("\n", " ") + "\n"
        yield from _rows(_places(dialect))
        yield ""
    yield "### All of them\n"
    yield "Failures, and who and what a call belonged to, where the dialect has no name of its own for it.\n"
    yield from _rows({"error": (EXCEPTION_TYPE, EXCEPTION_MESSAGE, ERROR_TYPE), **IDENTITIES})


def _places(table: AttributeTable) -> dict[str, Iterable[str]]:
    """Return the attributes of a table by what they hold."""
    values = {field.name: getattr(table, field.name) for field in dataclasses.fields(table)}
    names = {name: value for name, value in values.items() if isinstance(value, tuple)}
    marks = [
        f"{mark}={value}" if value else mark for mark, of_calls in table.marks.items() for value in of_calls or ("",)
    ]
    return {"marks of a call": sorted(marks), **names}


def _rows(places: Mapping[str, Iterable[str]]) -> Iterator[str]:
    yield "| what | where |"
    yield "|---|---|"
    for what, names in places.items():
        shown = dict.fromkeys(f"`{INDEX.sub('N', name)}`" for name in names)
        if shown:
            yield f"| {what.replace('_', ' ')} | {', '.join(shown)} |"


# argparse has no public way to what it was told.


def _subparsers() -> argparse._SubParsersAction[argparse.ArgumentParser]:
    (found,) = [action for action in parser()._actions if isinstance(action, argparse._SubParsersAction)]
    return found


def _commands() -> dict[str, argparse.ArgumentParser]:
    return dict(_subparsers().choices)


def _sentence(name: str) -> str:
    (said,) = [one.help or "" for one in _subparsers()._choices_actions if one.dest == name]
    return said[:1].upper() + said[1:]


PARTS: dict[str, Callable[[], Iterator[str]]] = {
    "settings": settings,
    "data": data,
    "labeling_configs": labeling_configs,
    "serving": serving,
    "metrics": metrics,
    "traffic": traffic,
    "commands": commands,
    "reads": reads,
}


def written(page: str) -> str:
    """Return a page with its parts written anew."""
    text = (ROOT / page).read_text("utf-8")
    return PART.sub(lambda part: part[1] + "\n".join(PARTS[part[2]]()).rstrip() + "\n" + part[3], text)


def main() -> int:
    """Write the pages, or check them; 1 where a checked one is stale."""
    options = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    options.add_argument("--check", action="store_true", help="write nothing")
    check = options.parse_args().check
    stale = [page for page in PAGES if written(page) != (ROOT / page).read_text("utf-8")]
    for page in stale:
        sys.stdout.write(f"{page} {'is stale: run python docs/generate.py' if check else 'written'}\n")
        if not check:
            (ROOT / page).write_text(written(page), "utf-8")
    return int(check and bool(stale))


if __name__ == "__main__":
    sys.exit(main())
