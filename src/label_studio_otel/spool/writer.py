"""The application's side of the spool: one file per process, one system call per record.

A record is in the page cache when `append` returns, and the page cache survives kill -9. Nothing here opens SQLite,
waits for a lock of another process, or raises for a disk that refuses.
"""

from __future__ import annotations

import contextlib
import errno
import os
import threading
import time
from collections import deque
from typing import TYPE_CHECKING

from label_studio_otel import process
from label_studio_otel.files import make_directory
from label_studio_otel.spool.record import SUFFIX, size_of

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

try:
    import fcntl
except ImportError:  # Windows has neither flock nor fork; there an open file cannot be unlinked, which serves as well
    fcntl = None  # type: ignore[assignment]

__all__ = ["FULL", "SpoolWriter"]

#: How the error begins when the spool holds what it may.
FULL = "it holds as much as LABEL_STUDIO_OTEL_MAX_STATE_BYTES allows"

MAX_FILE_BYTES = 8 << 20
MAX_BACKLOG_BYTES = 16 << 20
#: A spool may hold so many files of full size: it is measured when one is begun, and never per record.
FILES = 8
#: Seconds between two attempts on a disk that refuses, so that the application does not pay for each.
RETRY_INTERVAL = 1.0
#: Seconds between two looks whether the file still has a name; each costs as much as a fifth of a write.
LOOK_INTERVAL = 0.1


class SpoolWriter(process.ForkPart):
    """Appends records to this process's own file below `directory`.

    Any thread may call; a forked child gets a file of its own.

    Args:
        on_refused: called with the error when the disk refuses, and with None when it takes again.
        max_bytes: that all files of the directory may hold before it counts as a full disk; 0 is without end.
        clock: seconds since any moment.
    """

    def __init__(
        self,
        directory: Path,
        *,
        on_refused: Callable[[OSError | None], None] = lambda _: None,
        max_file_bytes: int = MAX_FILE_BYTES,
        max_backlog_bytes: int = MAX_BACKLOG_BYTES,
        max_bytes: int = 0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._directory = directory
        self._on_refused = on_refused
        self._max_file_bytes = min(max_file_bytes, max_bytes // FILES) if max_bytes else max_file_bytes
        self._max_backlog_bytes = max_backlog_bytes
        self._max_bytes = max_bytes
        self._clock = clock
        self._begin()
        process.register(self, process.ForkOrder.SPOOLS)

    def _begin(self) -> None:
        # Reentrant: a signal handler of the application may end a span while its thread is in here.
        self._lock = threading.RLock()
        self._fd: int | None = None
        self._pid = os.getpid()
        self._size = 0
        self._backlog: deque[bytes] = deque()
        self._backlog_bytes = 0
        self._next_attempt = 0.0
        self._next_look = 0.0
        #: What `on_refused` is to be called with.
        self._news: list[OSError | None] = []
        #: LLM calls whose records came into a file or into memory.
        self.taken = 0
        #: Records given up because the backlog was full.
        self.lost = 0

    @property
    def backlog(self) -> int:
        """Number of records that wait in memory because the disk refuses."""
        return len(self._backlog)

    def append(self, buffers: Sequence[bytes], calls: int = 1) -> bool:
        """Write one record; True when it is in the file, False when it waits in memory or was given up.

        Args:
            calls: LLM calls in it, for the count of those taken.
        """
        if self._pid != os.getpid():
            self.reset_in_child()
        with self._lock:
            written = self._append(buffers, calls)
        if self._news:
            self._report()
        return written

    def settled(self, timeout: float) -> bool:
        """Return True when every record is in a file; touches no disk, and waits so long for one being written."""
        if not self._lock.acquire(timeout=timeout):
            return False
        try:
            return not self._backlog
        finally:
            self._lock.release()

    def flush(self, *, now: bool = False) -> bool:
        """Write what waits in memory; True when nothing waits any more.

        Args:
            now: try also when the disk refused less than a second ago.
        """
        with self._lock:
            written = self._flush(now=now)
        if self._news:
            self._report()
        return written

    def close(self, timeout: float = -1) -> None:
        """Let go of the file, where no write lasts longer than the time-out; the next record begins another."""
        if not self._lock.acquire(timeout=timeout):
            return
        try:
            fd, self._fd = self._fd, None
            if fd is not None:
                os.close(fd)
        finally:
            self._lock.release()

    def reset_in_child(self) -> None:
        """Begin anew: the file, its lock and what waits in memory are the parent's."""
        fd = self._fd
        self._begin()
        if fd is not None:
            with contextlib.suppress(OSError):
                os.close(fd)

    def _append(self, buffers: Sequence[bytes], calls: int) -> bool:
        if not self._flush(now=False):
            self._keep(buffers, calls)
            return False
        try:
            self._write(buffers)
        except OSError as error:
            self._refused(error)
            self._keep(buffers, calls)
            return False
        self.taken += calls
        return True

    def _flush(self, *, now: bool) -> bool:
        if not self._backlog:
            return True
        if not now and self._clock() < self._next_attempt:
            return False
        try:
            while self._backlog:
                self._write_oldest()
        except OSError as error:
            self._refused(error)
            return False
        self._news.append(None)
        return True

    def _report(self) -> None:
        # Never under the lock: whoever is called logs, and the handlers of the log have locks of their own.
        news, self._news = self._news, []
        for error in news:
            self._on_refused(error)

    def _write_oldest(self) -> None:
        # Taken out before: a signal handler that ends a span in the middle of the write writes the others.
        record = self._backlog.popleft()
        try:
            self._write([record])
        except BaseException:
            self._backlog.appendleft(record)
            raise
        size = len(record)
        self._backlog_bytes -= size

    def _write(self, buffers: Sequence[bytes]) -> None:
        fd = self._file()
        length = sum(map(len, buffers))
        written = _gather(fd, buffers)
        self._size += written
        if written != length:  # a full disk: half a record would hide all that follow
            os.ftruncate(fd, os.fstat(fd).st_size - written)
            self._size -= written
            raise OSError(28, "no space left for a whole record")
        if self._size >= self._max_file_bytes:
            self.close()

    def _file(self) -> int:
        if self._fd is not None:
            now = self._clock()
            if now < self._next_look:
                return self._fd
            self._next_look = now + LOOK_INTERVAL
            if os.fstat(self._fd).st_nlink:
                return self._fd
            self.close()  # somebody removed the state directory under us
        make_directory(self._directory)
        if self._max_bytes and size_of(self._directory) > self._max_bytes - self._max_file_bytes:
            raise OSError(errno.ENOSPC, f"{FULL}, {self._max_bytes} bytes")
        name = f"{self._pid}-{time.time_ns():x}-{os.urandom(4).hex()}"
        temporary, path = os.path.join(self._directory, f".{name}"), os.path.join(self._directory, name + SUFFIX)
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND | getattr(os, "O_BINARY", 0)
        fd = os.open(temporary, flags, 0o600)
        try:
            if fcntl is not None:
                fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
                # Named only once it is locked: a reader never meets a file that looks abandoned and is not.
                os.rename(temporary, path)
        except OSError:
            os.close(fd)
            with contextlib.suppress(OSError):
                os.unlink(temporary)
            raise
        if fcntl is None:
            os.close(fd)
            os.rename(temporary, path)
            fd = os.open(path, flags & ~(os.O_CREAT | os.O_EXCL))
        self._fd, self._size = fd, 0
        return fd

    def _refused(self, error: OSError) -> None:
        self._next_attempt = self._clock() + RETRY_INTERVAL
        with contextlib.suppress(OSError):
            self.close()
        self._news.append(error)

    def _keep(self, buffers: Sequence[bytes], calls: int) -> None:
        record = b"".join(buffers)
        size = len(record)
        if self._backlog_bytes + size > self._max_backlog_bytes:
            self.lost += 1
            return
        self.taken += calls
        self._backlog.append(record)
        self._backlog_bytes += size


def _gather(fd: int, buffers: Sequence[bytes]) -> int:
    if len(buffers) == 1:
        return os.write(fd, buffers[0])
    if hasattr(os, "writev") and len(buffers) <= 512:
        return os.writev(fd, buffers)
    return os.write(fd, b"".join(buffers))
