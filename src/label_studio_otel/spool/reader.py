"""The deliverer's side of the spool: finds the files, reads whole records, knows when a writer is gone.

What cannot be read is passed over and counted: a torn last record (the process was killed in the write, or the disk
was full) and damage in the middle, after which reading goes on at the next record whose checksum is right. Records of
a newer version than ours are neither: they stay, and so does their file, for whoever can read them.
"""

from __future__ import annotations

import contextlib
import os
import time
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from label_studio_otel.errors import SpoolError
from label_studio_otel.spool.record import FRAME, MAGIC, PREFIX, SUFFIX, VERSION, decode

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from types import TracebackType

    from label_studio_otel.spool.record import Record

try:
    import fcntl
except ImportError:
    fcntl = None  # type: ignore[assignment]

__all__ = ["SpoolFile", "remove_unnamed", "spool_files"]

#: Seconds after which a file that has no name yet will get none: that takes its writer less than a millisecond.
UNNAMED = 3600.0


def spool_files(directory: Path) -> list[Path]:
    """Return the spool's files, the oldest first; none where there is no directory yet."""
    files = []
    with contextlib.suppress(FileNotFoundError), os.scandir(directory) as entries:
        for entry in entries:
            if entry.name.endswith(SUFFIX):
                with contextlib.suppress(FileNotFoundError):
                    files.append((entry.stat(follow_symlinks=False).st_mtime_ns, entry.path))
    return [Path(path) for _, path in sorted(files)]


def remove_unnamed(directory: Path, now: float) -> None:
    """Remove the empty files of writers that were killed before they could name them.

    Args:
        now: seconds since the epoch.
    """
    with contextlib.suppress(OSError), os.scandir(directory) as entries:
        for entry in entries:
            if entry.name.startswith(".") and entry.name[1:2].isdigit():  # as the writer names them
                with contextlib.suppress(OSError):
                    status = entry.stat(follow_symlinks=False)
                    if not status.st_size and now - status.st_mtime > UNNAMED:
                        os.unlink(entry.path)


@dataclass(frozen=True, slots=True)
class Read:
    """One record's payload and where the next one begins."""

    payload: bytes
    end: int


class SpoolFile:
    """One spool file, open for reading.

    Raises:
        OSError: it cannot be opened; another deliverer may have finished with it.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        #: Bytes passed over because no record could be read there.
        self.damaged = 0
        #: Bytes at the end that are no whole record: one is being written, or was when its writer died.
        self.torn = 0
        #: The version of the records at which reading ended because it is newer than ours, None where there are none.
        self.newer: int | None = None
        self._file = path.open("rb")

    def __enter__(self) -> SpoolFile:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._file.close()

    def abandoned(self) -> bool:
        """Return True when no process writes to this file any more. Ask before reading to the end."""
        if fcntl is None:
            return True  # there `remove` fails as long as it is open
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            return False
        return True

    def records(self, offset: int) -> Iterator[Read]:
        """Yield the whole records from `offset` on."""
        self._file.seek(offset)
        data = self._file.read()
        position = self.torn = 0
        self.newer = None
        while position < len(data):
            end = _end(data, position)
            if end is None:
                # A file has one writer, hence one version: whatever a record of ours follows is damage.
                found = _next(data, position)
                if found is None:
                    self._ends(data, position)
                    return
                self.damaged += found - position
                position = found
                continue
            yield Read(data[position + FRAME.size : end], offset + end)
            position = end

    def _ends(self, data: bytes, position: int) -> None:
        """Note what stands behind the last record that can be read."""
        self.newer = _newer(data, position)
        if self.newer is None:
            self.torn = len(data) - position

    def examine(self, pause: Callable[[], None]) -> None:
        """Count the damage of the whole file: an earlier reading met what it can no longer tell."""
        self.damaged = 0
        for read in self.records(0):
            self.record(read.payload)
            pause()

    def record(self, payload: bytes) -> Record | None:
        """Return the record of a payload; one that cannot be read is None and damage."""
        try:
            return decode(payload)
        except SpoolError:
            self.damaged += len(payload)
            return None

    def size(self) -> int:
        """Return the file's present length in bytes."""
        return os.fstat(self._file.fileno()).st_size

    def remove(self) -> bool:
        """Remove the file, or set it aside where it is damaged; False when it is in use, or for a newer version."""
        if self.newer is not None:
            return False
        try:
            if self.damaged:
                aside = self.path.parent.parent / "damaged"
                aside.mkdir(mode=0o700, exist_ok=True)
                self.path.rename(aside / f"{time.strftime('%Y%m%dT%H%M%S')}-{self.path.name}")
            else:
                self.path.unlink()
        except FileNotFoundError:
            return True
        except PermissionError:
            return False
        return True


def count(path: Path, offset: int) -> int:
    """Return how many records stand in a file from `offset` on, by their frames alone."""
    number = 0
    with contextlib.suppress(OSError), path.open("rb") as file:
        size = os.fstat(file.fileno()).st_size
        while offset + FRAME.size <= size:
            file.seek(offset)
            magic, length, _ = FRAME.unpack(file.read(FRAME.size))
            offset += FRAME.size + length
            if magic != MAGIC or offset > size:
                break
            number += 1
    return number


def _end(data: bytes, position: int) -> int | None:
    """Return where the record that begins here ends, None where none does."""
    if position + FRAME.size > len(data):
        return None
    return _checked(data, position) if data.startswith(MAGIC, position) else None


def _checked(data: bytes, position: int) -> int | None:
    """Return where the payload ends whose frame stands here, None where its checksum says that it is none."""
    _, length, crc = FRAME.unpack_from(data, position)
    end = position + FRAME.size + length
    if end > len(data):
        return None
    # A record is never empty, and of nothing any four zero bytes are the checksum.
    return end if length and zlib.crc32(memoryview(data)[position + FRAME.size : end]) == crc else None


def _next(data: bytes, position: int) -> int | None:
    found = data.find(MAGIC, position + 1)
    while found != -1 and _end(data, found) is None:
        found = data.find(MAGIC, found + 1)
    return None if found == -1 else found


def _newer(data: bytes, position: int) -> int | None:
    """Return the version of the first record behind a position that is of a newer one, None where there is none."""
    at = data.find(PREFIX, position)
    while at != -1 and at + FRAME.size <= len(data):
        version = data[at + len(PREFIX)]
        # What stands behind damage may be a part of somebody's text.
        if version > VERSION and (at == position or _checked(data, at)):
            return version
        at = data.find(PREFIX, at + 1)
    return None
