"""Lets one process deliver from a state directory: the one that holds the directory's lock.

The kernel releases the lock when its process ends, in whatever way. A file with a process id would not do: in a
container that is started again, another process can have the same id.
"""

from __future__ import annotations

import contextlib
import errno
import os
from pathlib import Path

from label_studio_otel.files import make_directory

try:
    import fcntl
except ImportError:
    fcntl = None  # type: ignore[assignment]
    import msvcrt

#: The errors that mean that another process holds the lock; `msvcrt` has EACCES for it.
HELD_ERRORS = {errno.EWOULDBLOCK, errno.EAGAIN} if fcntl is not None else {errno.EACCES, errno.EDEADLK}


class DirectoryLock:
    """An exclusive lock on a directory, which is a lock on a file in it."""

    def __init__(self, directory: Path) -> None:
        self._path = directory / "deliver.lock"
        self._fd: int | None = None

    @property
    def held(self) -> bool:
        """True while this process holds the lock by this object."""
        return self._fd is not None

    def was_used(self) -> bool:
        """Return whether any process ever held the lock."""
        return self._path.exists()

    def acquire(self) -> bool:
        """Take the lock where no other process has it; return whether it is held now.

        Raises:
            OSError: the directory cannot be written, or its file system has no locks.
        """
        if self._fd is not None:
            return True
        make_directory(self._path.parent)
        fd = os.open(self._path, os.O_RDWR | os.O_CREAT, 0o600)
        try:
            if fcntl is not None:
                fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            else:
                msvcrt.locking(fd, msvcrt.LK_NBLCK, 1)
        except OSError as error:
            os.close(fd)
            if error.errno in HELD_ERRORS:
                return False
            reason = f"{error.strerror}: this file system cannot lock the file, a local disk can"
            raise OSError(error.errno, reason, str(self._path)) from error
        self._fd = fd
        return True

    def release(self) -> None:
        """Release the lock. A forked child closes its file with this, and the parent keeps the lock."""
        fd, self._fd = self._fd, None
        if fd is not None:
            with contextlib.suppress(OSError):
                os.close(fd)
