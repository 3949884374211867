"""Directories for this user alone, and a warning about secrets that other users can read."""

from __future__ import annotations

import contextlib
import os
import stat
from pathlib import Path

from label_studio_otel import log


def make_directory(path: Path) -> None:
    """Make a directory and its missing parents, all for this user alone (`os.makedirs` gives the parents other modes).

    Raises:
        OSError: it cannot be made.
    """
    try:
        os.mkdir(path, 0o700)
    except FileNotFoundError:
        make_directory(path.parent)
        with contextlib.suppress(FileExistsError):  # another process was faster
            os.mkdir(path, 0o700)
    except FileExistsError:
        if not path.is_dir():
            raise


def warn_if_others_may_read(path: Path, what: str) -> None:
    """Log a warning where every user of this machine may read or change a file with a secret."""
    try:
        mode = path.stat().st_mode
    except OSError:
        return
    if os.name == "posix" and mode & (stat.S_IROTH | stat.S_IWOTH):
        log.warn_once(f"readable {path}", f"every user of this machine may read {what} {path}: chmod o-rw {path}")
