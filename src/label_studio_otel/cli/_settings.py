"""Adds the options of settings to the commands, and returns the settings that a command has."""

from __future__ import annotations

import argparse
import logging
import sys
from collections.abc import Iterable, Mapping
from typing import Any

from label_studio_otel.cli._output import print_error
from label_studio_otel.settings import SETTINGS, Settings, load, readers
from label_studio_otel.settings.declaration import Setting

#: The settings that every command which uses the state directory needs, and the others.
STATE = tuple(one for one in SETTINGS if one.key in ("url", "state_dir"))
DESTINATION = tuple(one for one in SETTINGS if one not in STATE)
#: What `--help` calls the value of an option, by the reader of its setting; else the option's name in capitals.
_METAVARS = {readers.path: "PATH", readers.seconds: "SECONDS"}


def add_options(parser: argparse.ArgumentParser, settings: Iterable[Setting]) -> None:
    """Add the options of the settings that have one. An option takes no value where the default is False."""
    for one in settings:
        if not one.option:
            continue
        default = f", default: {one.shown}" if one.shown else ""
        text = f"{one.meaning} ({one.variable}{default})".replace("`", "").replace("%", "%%")
        if one.default is False:
            parser.add_argument(one.option, dest=one.argument, action="store_const", const=True, help=text)
        else:
            parser.add_argument(one.option, dest=one.argument, metavar=_METAVARS.get(one.read), help=text)


def given(args: argparse.Namespace, file: Mapping[str, Any]) -> Settings:
    """Return the settings from options, else from the environment, else from the values of a file."""
    return load({one.key: vars(args).get(one.argument) for one in SETTINGS if one.option}, file=file)


def read(args: argparse.Namespace) -> Settings:
    """Return the settings, after writing to standard error what cannot be used."""
    logging.basicConfig(level=logging.WARNING, format="%(message)s", stream=sys.stderr)
    settings = given(args, {})
    for problem in settings.problems:
        print_error(f"label-studio-otel: {problem}")
    return settings
