"""The application's side of the spool: one file per process, one system call per record.

A record is in the page cache when `append` returns, and the page cache survives the end of the process, by SIGKILL too.
The writer never opens SQLite, never waits for another process, and never raises for a disk that refuses.
"""

from __future__ import annotations

import errno
import os
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from pathlib import Path

from label_studio_otel import process
from label_studio_otel.files import make_directory
from label_studio_otel.spool.open_file import OpenFile
from label_studio_otel.spool.record import size_of

MAX_FILE_BYTES = 8 << 20
MAX_BACKLOG_BYTES = 16 << 20
#: Files of full size that a spool with a limit may hold. Its size is measured when a file is begun, not per record.
FILES_WITHIN_LIMIT = 8
#: Seconds between two attempts on a disk that refuses. The application does not pay for each call.
RETRY_INTERVAL_S = 1.0
#: Seconds between two checks whether the file still has a name. A check costs a fifth of a write.
NAME_CHECK_INTERVAL_S = 0.1


class SpoolFull(OSError):
    """The spool holds as many bytes as the setting allows."""


class SpoolWriter(process.ForkPart):
    """Appends records to this process's own file below `directory`.

    Any thread may call it, and a signal handler of the application in the middle of another call. A forked child gets
    a file of its own.

    Args:
        on_refused: called with the error when the disk refuses, and with None when it takes records again.
        max_bytes: size of all files of the directory from which on it counts as a full disk; 0 is no limit.
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
        self._max_file_bytes = min(max_file_bytes, max_bytes // FILES_WITHIN_LIMIT) if max_bytes else max_file_bytes
        self._max_backlog_bytes = max_backlog_bytes
        self._max_bytes = max_bytes
        self._clock = clock
        self._begin()
        process.register(self, process.ForkOrder.SPOOLS)

    def _begin(self) -> None:
        self._lock = threading.RLock()
        self._pid = os.getpid()
        #: The file that the next record goes to, if one is open. A write takes it out of the list.
        self._idle_files: list[OpenFile] = []
        self._backlog: deque[bytes] = deque()
        self._backlog_bytes = 0
        self._next_attempt = 0.0
        #: Arguments of calls of `on_refused` that are still to be made.
        self._reports: list[OSError | None] = []
        #: LLM calls whose records are in a file or wait in memory.
        self.taken = 0
        #: Records that were given up because the backlog was full.
        self.lost = 0

    @property
    def backlog(self) -> int:
        """Number of records that wait in memory because the disk refuses."""
        return len(self._backlog)

    def append(self, buffers: Sequence[bytes], calls: int = 1) -> bool:
        """Write one record of so many LLM calls. Return False if it waits in memory or was given up."""
        if self._pid != os.getpid():
            self.reset_in_child()  # a fork that runs no hooks
        with self._lock:
            written = self._append(buffers, calls)
        if self._reports:
            self._report()
        return written

    def is_flushed(self, timeout: float) -> bool:
        """Return whether every record is in a file; False if some wait, or after `timeout` seconds. Touches no disk."""
        if not self._lock.acquire(timeout=timeout):
            return False
        try:
            return not self._backlog
        finally:
            self._lock.release()

    def flush(self, *, now: bool = False) -> bool:
        """Write the records that wait in memory; return whether none waits any more.

        Args:
            now: try even within `RETRY_INTERVAL_S` of a refusal; otherwise nothing is tried in that time.
        """
        with self._lock:
            written = self._flush(now=now)
        if self._reports:
            self._report()
        return written

    def close(self, timeout: float = -1) -> None:
        """Close the file, unless a write lasts longer than `timeout` seconds; the next record begins another file."""
        if not self._lock.acquire(timeout=timeout):
            return
        try:
            self._close_idle_files()
        finally:
            self._lock.release()

    def reset_in_child(self) -> None:
        """Begin anew: the file, its lock and the records in memory are the parent's."""
        inherited = self._idle_files
        self._begin()
        for file in inherited:
            file.close()

    def _append(self, buffers: Sequence[bytes], calls: int) -> bool:
        if not self._backlog or self._flush(now=False):
            try:
                self._write(buffers)
            except OSError as error:
                self._refuse(error)
            else:
                self.taken += calls
                return True
        self._keep(b"".join(buffers), calls)
        return False

    def _flush(self, *, now: bool) -> bool:
        if not self._backlog:
            return True
        if not now and self._clock() < self._next_attempt:
            return False
        try:
            while self._backlog:
                self._write_oldest()
        except OSError as error:
            self._refuse(error)
            return False
        self._reports.append(None)
        return True

    def _report(self) -> None:
        # Without the lock: `on_refused` logs, and the handlers of the log have locks of their own.
        reports, self._reports = self._reports, []
        for error in reports:
            self._on_refused(error)

    def _write_oldest(self) -> None:
        # Taken out before: a signal handler that ends a span in the middle of the write writes the others.
        try:
            record = self._backlog.popleft()
        except IndexError:
            return  # the handler has written this one too
        length = len(record)
        try:
            self._write([record])
        except BaseException:
            self._backlog.appendleft(record)
            raise
        self._backlog_bytes -= length  # no call stands in this line, or the handler's own change would be lost

    def _write(self, buffers: Sequence[bytes]) -> None:
        # The file is out of the list during the write. A signal handler that ends a span in the middle of the write
        # opens another file then; it must not close this one, whose number the application may get for a file.
        idle = self._idle_files
        file = self._usable_file()
        try:
            file.append(buffers, sum(map(len, buffers)))
        except BaseException:
            file.close()
            raise
        if file.size < self._max_file_bytes and not idle and idle is self._idle_files:
            idle.append(file)
        else:
            file.close()  # full, or one too many, or the parent's: the handler may have forked

    def _usable_file(self) -> OpenFile:
        """Return the open file that still has a name, removed from `_idle_files`; a new file if there is none."""
        try:
            file = self._idle_files.pop()
        except IndexError:
            return self._new_file()
        now = self._clock()
        if now >= file.next_check:
            if not file.has_name():  # somebody has removed the state directory
                file.close()
                return self._new_file()
            file.next_check = now + NAME_CHECK_INTERVAL_S
        return file

    def _new_file(self) -> OpenFile:
        make_directory(self._directory)
        if self._max_bytes and size_of(self._directory) > self._max_bytes - self._max_file_bytes:
            limit = f"LABEL_STUDIO_OTEL_MAX_STATE_BYTES allows, {self._max_bytes} bytes"
            raise SpoolFull(errno.ENOSPC, f"it holds as much as {limit}")
        return OpenFile(self._directory)

    def _refuse(self, error: OSError) -> None:
        self._next_attempt = self._clock() + RETRY_INTERVAL_S
        self._close_idle_files()
        self._reports.append(error)

    def _close_idle_files(self) -> None:
        while self._idle_files:
            self._idle_files.pop().close()

    def _keep(self, record: bytes, calls: int) -> None:
        """Keep a record in memory, or count it as lost where there is no room."""
        length = len(record)
        if self._backlog_bytes + length > self._max_backlog_bytes:
            self.lost += 1
            return
        self.taken += calls
        self._backlog.append(record)
        self._backlog_bytes += length
