"""Who delivers: the one process that holds the lock of a server's directory.

The kernel gives the lock back when its holder dies, however it dies, and never by a process id, which a restarted
container gives to somebody else.
"""

from __future__ import annotations

import contextlib
import os
from typing import TYPE_CHECKING

from label_studio_otel.files import make_directory

if TYPE_CHECKING:
    from pathlib import Path

try:
    import fcntl
except ImportError:
    fcntl = None  # type: ignore[assignment]
    import msvcrt

__all__ = ["DirectoryLock"]


class DirectoryLock:
    """An exclusive lock on a directory, by a file in it."""

    def __init__(self, directory: Path) -> None:
        self._path = directory / "deliver.lock"
        self._fd: int | None = None

    @property
    def held(self) -> bool:
        """True while this process holds it."""
        return self._fd is not None

    def was_used(self) -> bool:
        """Tell whether anybody ever held it."""
        return self._path.exists()

    def acquire(self) -> bool:
        """Take the lock if it is free; True when it is held.

        Raises:
            OSError: the directory cannot be written.
        """
        if self._fd is not None:
            return True
        make_directory(self._path.parent)
        fd = os.open(self._path, os.O_RDWR | os.O_CREAT, 0o600)
        if not _lock(fd):
            os.close(fd)
            return False
        self._fd = fd
        return True

    def release(self) -> None:
        """Give the lock back; in a forked child, let go of the parent's without giving it back."""
        fd, self._fd = self._fd, None
        if fd is not None:
            with contextlib.suppress(OSError):
                os.close(fd)


def _lock(fd: int) -> bool:
    try:
        if fcntl is not None:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        else:
            msvcrt.locking(fd, msvcrt.LK_NBLCK, 1)
    except OSError:
        return False
    return True
