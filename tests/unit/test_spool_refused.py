"""A disk that refuses: calls wait in memory, within bounds, and are written when it takes them again."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

import pytest

from label_studio_otel.spool import writer as writer_module
from label_studio_otel.spool.reader import spool_files
from label_studio_otel.spool.writer import SpoolWriter
from spooling import record, texts

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    return tmp_path / "state" / "spool"


@pytest.fixture
def writer(directory: Path) -> Iterator[SpoolWriter]:
    writer = SpoolWriter(directory)
    yield writer
    writer.close()


class Disk:
    """Stands in front of `os.write` and `os.writev`, and refuses on request."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        #: Bytes that there is still room for.
        self.room = 1 << 30
        self.attempts = 0
        self._write = os.write
        monkeypatch.setattr(writer_module.os, "write", self.write)
        monkeypatch.setattr(writer_module.os, "writev", lambda fd, buffers: self.write(fd, b"".join(buffers)))

    def write(self, fd: int, data: bytes) -> int:
        self.attempts += 1
        if not self.room:
            raise OSError(28, "No space left on device")
        written = self._write(fd, data[: self.room])
        self.room -= written
        return written


@pytest.fixture
def disk(monkeypatch: pytest.MonkeyPatch) -> Disk:
    return Disk(monkeypatch)


@pytest.mark.parametrize("text", ["short", "long" * 200])
def test_half_a_record_is_taken_back(directory: Path, writer: SpoolWriter, disk: Disk, text: str) -> None:
    writer.append(record("first"))
    disk.room = 50
    assert not writer.append(record(text))
    (path,) = spool_files(directory)
    assert path.read_bytes() == b"".join(record("first"))
    disk.room = 1 << 30
    assert writer.flush(now=True)
    assert texts(directory) == ["first", text]


def test_what_the_disk_refuses_waits_in_memory_in_order(directory: Path, writer: SpoolWriter, disk: Disk) -> None:
    disk.room = 0
    assert [writer.append(record(text)) for text in ("1", "2", "3")] == [False, False, False]
    assert (writer.backlog, writer.lost) == (3, 0)
    assert not writer.flush(now=True)
    disk.room = 1 << 30
    assert writer.flush(now=True)
    assert writer.append(record("4"))
    assert texts(directory) == ["1", "2", "3", "4"]
    assert writer.backlog == 0


def test_the_application_does_not_pay_for_each_attempt(
    directory: Path, writer: SpoolWriter, disk: Disk, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = [100.0]
    monkeypatch.setattr(writer_module.time, "monotonic", lambda: now[0])
    disk.room = 0
    for _ in range(100):
        writer.append(record())
    assert disk.attempts == 1
    disk.room, now[0] = 1 << 30, 101.1
    assert writer.append(record("last"))
    assert len(texts(directory)) == 101
    assert texts(directory)[-1] == "last"


def test_the_memory_for_it_is_bounded_and_the_loss_counted(directory: Path, disk: Disk) -> None:
    size = len(b"".join(record()))
    writer = SpoolWriter(directory, max_backlog_bytes=3 * size)
    disk.room = 0
    for _ in range(5):
        writer.append(record())
    assert (writer.backlog, writer.lost) == (3, 2)
    disk.room = 1 << 30
    assert writer.flush(now=True)
    assert len(texts(directory)) == 3
    writer.close()


def test_a_full_backlog_makes_room_before_it_gives_up_a_record(directory: Path, disk: Disk) -> None:
    writer = SpoolWriter(directory, max_backlog_bytes=len(b"".join(record())))
    disk.room = 0
    writer.append(record("1"))
    disk.room = 1 << 30
    writer._next_attempt = 0.0
    assert writer.append(record("2"))
    assert (texts(directory), writer.lost) == (["1", "2"], 0)
    writer.close()


def test_refusal_and_recovery_are_reported(directory: Path, disk: Disk) -> None:
    said: list[Any] = []
    writer = SpoolWriter(directory, on_refused=said.append)
    disk.room = 0
    writer.append(record())
    disk.room = 1 << 30
    writer.flush(now=True)
    writer.flush(now=True)
    assert [error and error.strerror for error in said] == ["No space left on device", None]
    writer.close()


def test_a_directory_that_cannot_be_made_refuses_too(directory: Path) -> None:
    directory.parent.mkdir()
    directory.write_text("in the way")
    writer = SpoolWriter(directory)
    assert not writer.append(record("kept"))
    directory.unlink()
    assert writer.flush(now=True)
    assert texts(directory) == ["kept"]
    writer.close()


def test_a_signal_handler_may_write_in_the_middle_of_a_write(
    directory: Path, writer: SpoolWriter, monkeypatch: pytest.MonkeyPatch
) -> None:
    write, nested = os.write, [record("from the handler")]

    def interrupted(fd: int, data: bytes) -> int:
        if nested:
            writer.append(nested.pop())
        return write(fd, data)

    monkeypatch.setattr(writer_module.os, "write", interrupted)
    writer.append(record("interrupted"))
    assert sorted(texts(directory)) == ["from the handler", "interrupted"]
