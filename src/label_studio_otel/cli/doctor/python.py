"""Which interpreter is looked at: packages and entry points are those of one Python."""

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
    """Name the interpreter, and say where `python` is another one."""
    yield ok("Python", f"looking at {sys.executable} ({platform.python_version()})")
    found = shutil.which("python", path=set_up.environ.get("PATH"))
    # Two environments' interpreters are links to one file: the folder tells them apart.
    if found and Path(found).parent.resolve() != Path(sys.executable).parent.resolve():
        yield warning(
            "Python",
            f"`python` here is another one ({os.path.abspath(found)}); what it has installed was not looked at",
            "run this with the application's Python: python -m label_studio_otel doctor",
        )
