"""One declaration of a setting gives its variable, its option, its documented default and its value."""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from label_studio_otel.cli import _settings
from label_studio_otel.settings import readers
from label_studio_otel.settings.declaration import read_values, section, setting, settings_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from label_studio_otel.settings.declaration import Setting


@dataclass(frozen=True)
class Paper:
    width: float = setting(readers.seconds, 21.0, "centimetres of a line")
    file: str | None = setting(readers.text, None, "what `100 %` of it is", option="--paper-file", secret=True)


@dataclass(frozen=True)
class Printer:
    host: str = setting(readers.text, "localhost", "address of the printer", option="--host")
    duplex: bool = setting(readers.boolean, False, "print on both sides", variable="DUPLEX", option="--duplex")
    paper: Paper = section(Paper, Paper())
    jobs: int = 0


SETTINGS = settings_of(Printer, "PRINT_")


def test_a_declaration_gives_key_variable_and_the_default_as_the_documentation_shows_it() -> None:
    assert [(one.key, one.variable, one.shown) for one in SETTINGS] == [
        ("host", "PRINT_HOST", "`localhost`"),
        ("duplex", "DUPLEX", "`false`"),
        ("paper.width", "PRINT_PAPER_WIDTH", "`21`"),
        ("paper.file", "PRINT_PAPER_FILE", ""),
    ]


def test_an_option_says_its_meaning_its_variable_and_its_default() -> None:
    parser = argparse.ArgumentParser()
    _settings.add_options(parser, SETTINGS)

    assert parser.parse_args([]) == argparse.Namespace(host=None, duplex=None, paper_file=None)
    told = parser.parse_args(["--host", "h", "--duplex", "--paper-file", "f"])
    assert told == argparse.Namespace(host="h", duplex=True, paper_file="f")
    text = " ".join(parser.format_help().split())
    assert "--host HOST address of the printer (PRINT_HOST, default: localhost)" in text
    assert "--duplex print on both sides (DUPLEX, default: false)" in text
    assert "--paper-file PAPER_FILE what 100 % of it is (PRINT_PAPER_FILE)" in text


def test_a_setting_has_the_first_value_that_can_be_used() -> None:
    given: dict[str, list[Any]] = {"host": [None, "", "a", "b"], "duplex": ["perhaps", "yes"], "paper.file": [7]}

    def places(one: Setting) -> Iterator[tuple[str, Any]]:
        for number, value in enumerate(given.get(one.key, []), 1):
            yield f"{one.key} {number}", value

    values, problems = read_values(SETTINGS, places)
    assert values == {"host": "a", "duplex": True, "paper.width": 21.0, "paper.file": None}
    assert [(one.key, sentence) for one, sentence in problems] == [
        ("duplex", "duplex 1='perhaps' cannot be used: it must be true or false"),
        ("paper.file", "paper.file 1 cannot be used: it must be text"),
    ]
