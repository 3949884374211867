"""What the commands share: options that stand for settings, and the settings they give."""

from __future__ import annotations

import logging
import os
import sys
from typing import TYPE_CHECKING, Any

from label_studio_otel.settings import SETTINGS, load

if TYPE_CHECKING:
    import argparse
    from collections.abc import Mapping

    from label_studio_otel.settings import Settings

__all__ = ["add_destination_options", "add_options", "given", "read"]


OPTIONS = ("url", "state_dir", "project_id", "project_name", "project_config", "mode")


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the options by which a command can be told what it would read from the environment."""
    parser.add_argument("--url", help="base URL of Label Studio (LABEL_STUDIO_URL)")
    parser.add_argument("--state-dir", help="where LLM calls wait (LABEL_STUDIO_OTEL_STATE_DIR)")


def add_destination_options(parser: argparse.ArgumentParser) -> None:
    """Add the options that say which project is meant."""
    parser.add_argument("--project-id", help="the number in its address (LABEL_STUDIO_PROJECT_ID)")
    parser.add_argument("--project-name", help="its exact title (LABEL_STUDIO_OTEL_PROJECT_NAME)")
    parser.add_argument("--project-config", help="labeling config, XML or a file (LABEL_STUDIO_OTEL_PROJECT_CONFIG)")
    parser.add_argument("--mode", help="prompt or chat (LABEL_STUDIO_OTEL_MODE)")


def given(args: argparse.Namespace, file: Mapping[str, Any]) -> Settings:
    """Return the settings as options say, else the environment, else a file, by argument."""
    environ = {one.variable: file[one.argument] for one in SETTINGS if one.argument in file}
    environ |= {name: value for name, value in os.environ.items() if value}
    return load({name: vars(args).get(name) for name in OPTIONS}, environ)


def read(args: argparse.Namespace) -> Settings:
    """Return the settings; what could not be used is said on standard error."""
    logging.basicConfig(level=logging.WARNING, format="%(message)s", stream=sys.stderr)
    settings = given(args, {})
    for problem in settings.problems:
        sys.stderr.write(f"label-studio-otel: {problem}\n")
    return settings
