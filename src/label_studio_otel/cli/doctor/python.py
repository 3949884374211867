"""Check which interpreter runs `doctor`: it sees the packages and entry points of this one only."""

from __future__ import annotations

import os
import platform
import shutil
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from label_studio_otel.cli.doctor.finding import ok, warning

if TYPE_CHECKING:
    from collections.abc import Iterator

    from label_studio_otel.cli.doctor.finding import Finding
    from label_studio_otel.cli.doctor.installation import SetUp

__all__ = ["interpreter"]


def interpreter(set_up: SetUp) -> Iterator[Finding]:
    """Name the interpreter, and warn where `python` is another one."""
    yield ok("Python", f"looking at {sys.executable} ({platform.python_version()})")
    found = shutil.which("python", path=set_up.environ.get("PATH"))
    # The interpreters of two environments may be links to one file; their folders differ.
    if found and Path(found).parent.resolve() != Path(sys.executable).parent.resolve():
        yield warning(
            "Python",
            f"`python` here is another one ({os.path.abspath(found)}); what it has installed was not looked at",
            "run this with the application's Python: python -m label_studio_otel doctor",
        )
