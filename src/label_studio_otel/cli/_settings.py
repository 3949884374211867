"""Adds the options of settings to the commands, and returns the settings that a command has."""

from __future__ import annotations

import logging
import sys
from typing import TYPE_CHECKING, Any

from label_studio_otel.settings import SETTINGS, load

if TYPE_CHECKING:
    import argparse
    from collections.abc import Mapping

    from label_studio_otel.settings import Settings
    from label_studio_otel.settings.declaration import Setting

__all__ = ["add_destination_options", "add_option", "add_options", "given", "read"]


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the options that say which Label Studio and which state directory are meant."""
    _add(parser, "url", "state_dir")


def add_destination_options(parser: argparse.ArgumentParser) -> None:
    """Add the options that say which project is meant."""
    _add(parser, "project_id", "project_name", "project_config", "mode")


def _add(parser: argparse.ArgumentParser, *keys: str) -> None:
    declared = {one.key: one for one in SETTINGS}
    for key in keys:
        add_option(parser, declared[key])


def add_option(parser: argparse.ArgumentParser, one: Setting) -> None:
    """Add the option of a setting that has one."""
    if not one.option:
        return
    words = f"{one.meaning} ({one.variable}{f', default: {one.shown}' if one.shown else ''})"
    text = words.replace("`", "").replace("%", "%%")
    if one.default is False:
        parser.add_argument(one.option, dest=one.argument, action="store_const", const=True, help=text)
    else:
        parser.add_argument(one.option, dest=one.argument, metavar=one.metavar, help=text)


def given(args: argparse.Namespace, file: Mapping[str, Any]) -> Settings:
    """Return the settings from options, else from the environment, else from the values of a file."""
    return load({one.key: vars(args).get(one.argument) for one in SETTINGS if one.option}, file=file)


def read(args: argparse.Namespace) -> Settings:
    """Return the settings, after writing to standard error what cannot be used."""
    logging.basicConfig(level=logging.WARNING, format="%(message)s", stream=sys.stderr)
    settings = given(args, {})
    for problem in settings.problems:
        sys.stderr.write(f"label-studio-otel: {problem}\n")
    return settings
