"""The deliverer's side of the spool: finds the files, reads whole records, and sees whether a file still has a writer.

Bytes that are no record are skipped and counted. A file may end in half a record, if its process was killed in the
write or the disk was full. Damage in the middle is skipped up to the next record whose checksum is right. A record of a
newer version is no damage: it stays, with its file, for a newer installation.
"""

from __future__ import annotations

import contextlib
import os
import time
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

from label_studio_otel.errors import SpoolError
from label_studio_otel.spool.record import FRAME, MAGIC, PREFIX, SUFFIX, VERSION, Record, decode

try:
    import fcntl
except ImportError:
    fcntl = None  # type: ignore[assignment]

#: Seconds after which a file without its final name will get none. Its writer needs less than a millisecond for it.
UNNAMED_MAX_AGE_S = 3600.0


def spool_files(directory: Path) -> list[Path]:
    """Return the spool's files, the oldest first; none if there is no directory yet."""
    files = []
    with contextlib.suppress(FileNotFoundError), os.scandir(directory) as entries:
        for entry in entries:
            if entry.name.endswith(SUFFIX):
                with contextlib.suppress(FileNotFoundError):
                    files.append((entry.stat(follow_symlinks=False).st_mtime_ns, entry.path))
    return [Path(path) for _, path in sorted(files)]


def is_of_another_version(path: Path) -> bool:
    """Return whether a file begins with a record of another version; False if the file is gone."""
    try:
        with path.open("rb") as file:
            begin = file.read(len(MAGIC))
    except OSError:
        return False
    return len(begin) == len(MAGIC) and begin != MAGIC and begin.startswith(PREFIX)


def remove_unnamed(directory: Path, now: float) -> None:
    """Remove the empty files of writers that were killed before they named them; now is seconds since the epoch."""
    with contextlib.suppress(OSError), os.scandir(directory) as entries:
        for entry in entries:
            if entry.name.startswith(".") and entry.name[1:2].isdigit():  # as the writer names them
                with contextlib.suppress(OSError):
                    status = entry.stat(follow_symlinks=False)
                    if not status.st_size and now - status.st_mtime > UNNAMED_MAX_AGE_S:
                        os.unlink(entry.path)


class Read(NamedTuple):
    """The payload of one record, and the offset at which the next one begins."""

    payload: bytes
    end: int


class SpoolFile:
    """One spool file, open for reading.

    Raises:
        OSError: it cannot be opened; another deliverer may have removed it.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        #: Bytes that were skipped because they are no record.
        self.damaged = 0
        #: Bytes at the end that are the beginning of a record: it is being written, or its writer died in the write.
        self.torn = 0
        #: The version of the record at which reading ended because the version is newer; None if there is none.
        self.newer: int | None = None
        self._file = path.open("rb")

    def __enter__(self) -> SpoolFile:
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()

    def abandoned(self) -> bool:
        """Return whether no process writes to this file any more. Call it before reading to the end."""
        if fcntl is None:
            return True  # on Windows, `remove` fails as long as the file is open
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
            if end is not None:
                yield Read(data[position + FRAME.size : end], offset + end)
                position = end
                continue
            # A file has one writer and so one version: bytes before a record of this version are damage.
            found = _next(data, position)
            if found is None:
                self.newer = _newer(data, position)
                self.torn = 0 if self.newer is not None else len(data) - position
                return
            self.damaged += found - position
            position = found

    def examine(self, read: Callable[[bytes], object], pause: Callable[[], None]) -> None:
        """Count the damaged bytes of the whole file anew; the counts before were those of parts of it.

        Args:
            read: reads a payload, and adds to `damaged` if that is not possible.
            pause: called between two records.
        """
        self.damaged = 0
        for one in self.records(0):
            read(one.payload)
            pause()

    def record(self, payload: bytes) -> Record | None:
        """Return the record of a payload; if it cannot be read, count its bytes as damage and return None."""
        try:
            return decode(payload)
        except SpoolError:
            self.damaged += len(payload)
            return None

    def size(self) -> int:
        """Return the file's present length in bytes."""
        return os.fstat(self._file.fileno()).st_size

    def remove(self) -> bool:
        """Remove the file, or move it to `damaged`. Return False if it is in use or has records of a newer version."""
        if self.newer is not None:
            return False
        try:
            if self.damaged:
                damaged = self.path.parent.parent / "damaged"
                damaged.mkdir(mode=0o700, exist_ok=True)
                self.path.rename(damaged / f"{time.strftime('%Y%m%dT%H%M%S')}-{self.path.name}")
            else:
                self.path.unlink()
        except FileNotFoundError:
            return True
        except PermissionError:
            return False
        return True


def count(path: Path, offset: int) -> int:
    """Return the number of records in a file from `offset` on. Only their frames are read."""
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


def _end(data: bytes, position: int, magic: bytes = MAGIC) -> int | None:
    """Return the end of the record that begins at a position with these bytes; None if no whole one does."""
    if position + FRAME.size > len(data) or not data.startswith(magic, position):
        return None
    _, length, crc = FRAME.unpack_from(data, position)
    end = position + FRAME.size + length
    if end > len(data):
        return None
    # A record is never empty, and four zero bytes are the checksum of nothing.
    return end if length and zlib.crc32(memoryview(data)[position + FRAME.size : end]) == crc else None


def _next(data: bytes, position: int) -> int | None:
    """Return the position of the next record; None if there is none."""
    found = data.find(MAGIC, position + 1)
    while found != -1 and _end(data, found) is None:
        found = data.find(MAGIC, found + 1)
    return None if found == -1 else found


def _newer(data: bytes, position: int) -> int | None:
    """Return the version of the first record of a newer version from a position on; None if there is none."""
    at = data.find(PREFIX, position)
    while at != -1 and at + FRAME.size <= len(data):
        version = data[at + len(PREFIX)]
        # Bytes behind damage may be a part of a text, so only a right checksum proves that they are a record.
        if version > VERSION and (at == position or _end(data, at, PREFIX)):
            return version
        at = data.find(PREFIX, at + 1)
    return None
