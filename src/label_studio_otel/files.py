"""Directories that are nobody else's business."""

from __future__ import annotations

import contextlib
import os
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["make_directory"]


def make_directory(path: Path) -> None:
    """Make a directory, and those above it that are missing, for this user alone; `os.makedirs` does so for the last.

    Raises:
        OSError: it cannot be made.
    """
    try:
        os.mkdir(path, 0o700)
    except FileNotFoundError:
        make_directory(path.parent)
        with contextlib.suppress(FileExistsError):  # another process is as fast
            os.mkdir(path, 0o700)
    except FileExistsError:
        if not path.is_dir():
            raise
