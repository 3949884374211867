"""One spool file that this process appends to, locked for as long as it is open."""

from __future__ import annotations

import contextlib
import errno
import os
import time
from collections.abc import Sequence
from pathlib import Path

from label_studio_otel.spool.record import SUFFIX

try:
    import fcntl
except ImportError:  # Windows has neither flock nor fork; there an open file cannot be removed, which serves as well
    fcntl = None  # type: ignore[assignment]

#: Buffers that one `os.writev` takes; POSIX promises 16, Linux and macOS take 1,024.
MAX_BUFFERS = 512


class OpenFile:
    """A new spool file of a directory.

    Raises:
        OSError: the file cannot be made, or cannot be locked.
    """

    __slots__ = ("_fd", "next_check", "size")

    def __init__(self, directory: Path) -> None:
        #: Bytes of its records.
        self.size = 0
        #: When to ask again whether it has a name, on the writer's clock.
        self.next_check = 0.0
        self._fd = _open(directory)

    def append(self, buffers: Sequence[bytes], length: int) -> None:
        """Write one record of `length` bytes with one system call, whole or not at all.

        Raises:
            OSError: the disk refuses.
        """
        written = _write(self._fd, buffers)
        if written != length:  # a full disk: half a record would hide all that follow
            os.ftruncate(self._fd, os.fstat(self._fd).st_size - written)
            raise OSError(errno.ENOSPC, "no space left for a whole record")
        self.size += length

    def has_name(self) -> bool:
        """Return False if somebody has removed the file, or its directory."""
        return os.fstat(self._fd).st_nlink > 0

    def close(self) -> None:
        """Close the file and so unlock it: a deliverer may remove it once it has read all of it."""
        with contextlib.suppress(OSError):
            os.close(self._fd)


def _open(directory: Path) -> int:
    """Return the descriptor of a new file that is locked and has its final name."""
    name = f"{os.getpid()}-{time.time_ns():x}-{os.urandom(4).hex()}"
    temporary, path = os.path.join(directory, f".{name}"), os.path.join(directory, name + SUFFIX)
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND | getattr(os, "O_BINARY", 0)
    fd = os.open(temporary, flags, 0o600)
    if fcntl is None:  # an open file cannot be renamed
        os.close(fd)
        os.rename(temporary, path)
        return os.open(path, flags & ~(os.O_CREAT | os.O_EXCL))
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        # Named once it is locked: a reader that found an unlocked file would take its writer for dead.
        os.rename(temporary, path)
    except OSError:
        os.close(fd)
        with contextlib.suppress(OSError):
            os.unlink(temporary)
        raise
    return fd


def _write(fd: int, buffers: Sequence[bytes]) -> int:
    if len(buffers) == 1:
        return os.write(fd, buffers[0])
    if hasattr(os, "writev") and len(buffers) <= MAX_BUFFERS:
        return os.writev(fd, buffers)
    return os.write(fd, b"".join(buffers))
