"""Writes a command's lines: names and reasons that come from outside cannot steer the user's terminal."""

from __future__ import annotations

import sys
from typing import TextIO

from label_studio_otel.log import one_line


def print_line(text: str, stream: TextIO | None = None) -> None:
    """Write a text as one line to a stream, standard output if none is given; escape its line ends and controls."""
    (stream or sys.stdout).write(f"{one_line(text)}\n")


def print_error(text: str) -> None:
    """Write a text as one line to standard error."""
    print_line(text, sys.stderr)
