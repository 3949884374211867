"""What the commands share: options that stand for settings, and the settings they give."""

from __future__ import annotations

import logging
import sys
from typing import TYPE_CHECKING

from label_studio_otel.settings import load

if TYPE_CHECKING:
    import argparse

    from label_studio_otel.settings import Settings

__all__ = ["add_options", "read"]


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the options by which a command can be told what it would read from the environment."""
    parser.add_argument("--url", help="base URL of Label Studio (LABEL_STUDIO_URL)")
    parser.add_argument("--state-dir", help="where LLM calls wait (LABEL_STUDIO_OTEL_STATE_DIR)")


def read(args: argparse.Namespace) -> Settings:
    """Return the settings; what could not be used is said on standard error."""
    logging.basicConfig(level=logging.WARNING, format="%(message)s", stream=sys.stderr)
    settings = load({"url": args.url, "state_dir": args.state_dir})
    for problem in settings.problems:
        sys.stderr.write(f"label-studio-otel: {problem}\n")
    return settings
