"""A disk that refuses: calls wait in memory, within bounds, and are written when it takes them again."""

from __future__ import annotations

import os
import sys
import threading
import time
from typing import TYPE_CHECKING, Any

import pytest

from label_studio_otel.spool import open_file
from label_studio_otel.spool import writer as writer_module
from label_studio_otel.spool.reader import SpoolFile, spool_files
from label_studio_otel.spool.writer import SpoolWriter
from support.spooling import record, texts

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path
    from types import FrameType


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


def test_the_application_does_not_pay_for_each_attempt(directory: Path, disk: Disk) -> None:
    now = [100.0]
    writer = SpoolWriter(directory, clock=lambda: now[0])
    disk.room = 0
    for _ in range(100):
        writer.append(record())
    assert disk.attempts == 1
    disk.room, now[0] = 1 << 30, 101.1
    assert writer.append(record("last"))
    assert len(texts(directory)) == 101
    assert texts(directory)[-1] == "last"
    writer.close()


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


def test_a_file_system_that_refuses_locks_is_left_as_it_was(directory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise OSError(37, "No locks available")

    now = [100.0]
    writer = SpoolWriter(directory, clock=lambda: now[0])
    with monkeypatch.context() as refusing:
        refusing.setattr(open_file.fcntl, "flock", refuse)
        for _ in range(3):
            assert not writer.append(record("kept"))
            now[0] += 1.1
        assert list(directory.iterdir()) == []
    assert writer.append(record("last"))
    assert texts(directory) == ["kept", "kept", "kept", "last"]
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


def test_a_signal_handler_may_write_in_the_middle_of_writing_what_waited(
    directory: Path, writer: SpoolWriter, disk: Disk, monkeypatch: pytest.MonkeyPatch
) -> None:
    disk.room = 0
    for text in ("1", "2", "3"):
        writer.append(record(text))
    disk.room, nested = 1 << 30, [record("from the handler")]
    writer._next_attempt = 0.0

    def interrupted(fd: int, data: bytes) -> int:
        written = disk.write(fd, data)
        if nested:
            writer.append(nested.pop())
        return written

    monkeypatch.setattr(writer_module.os, "write", interrupted)
    assert writer.append(record("last"))
    assert texts(directory) == ["1", "2", "3", "from the handler", "last"]
    assert (writer.backlog, writer._backlog_bytes, writer.lost) == (0, 0, 0)


def test_a_signal_handler_may_write_after_every_call_of_the_writer(directory: Path, disk: Disk) -> None:
    calls = _interrupted_after_call(0, directory / "0", disk)
    assert calls > 50
    for number in range(1, calls + 1):
        _interrupted_after_call(number, directory / str(number), disk)


def _interrupted_after_call(number: int, directory: Path, disk: Disk) -> int:
    """Write what waited and one more, with a signal handler that writes after one of the calls; return the calls."""
    writer = SpoolWriter(directory, clock=iter(range(0, 100_000, 10)).__next__)
    disk.room = 0
    writer.append(record("1"))
    calls = 0

    def profile(frame: FrameType, event: str, _: object) -> None:
        nonlocal calls
        if frame.f_code.co_filename == writer_module.__file__ and event in ("call", "c_return", "c_exception"):
            calls += 1
            if calls == number:
                sys.setprofile(None)
                writer.append(record("from the handler"))

    sys.setprofile(profile)
    try:
        writer.append(record("2"))
        disk.room = 1 << 30
        writer.append(record("3"))
    finally:
        sys.setprofile(None)
    handled = ["from the handler"] if number else []
    assert (sorted(texts(directory)), number) == (["1", "2", "3", *handled], number)
    assert (writer.backlog, writer._backlog_bytes, writer.lost, number) == (0, 0, 0, number)
    writer.close()
    return calls


def test_a_write_that_something_else_ends_keeps_its_record(
    directory: Path, writer: SpoolWriter, disk: Disk, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(fd: int, data: bytes) -> int:
        raise KeyboardInterrupt

    disk.room = 0
    writer.append(record("1"))
    disk.room = 1 << 30
    with monkeypatch.context() as stopped:
        stopped.setattr(writer_module.os, "write", interrupted)
        with pytest.raises(KeyboardInterrupt):
            writer.flush(now=True)
    assert writer.flush(now=True)
    assert texts(directory) == ["1"]


def test_who_is_told_of_a_refusal_does_not_hold_up_other_threads(directory: Path, disk: Disk) -> None:
    free: list[bool] = []

    def look() -> None:
        free.append(writer._lock.acquire(blocking=False))
        writer._lock.release()

    def told(_: OSError | None) -> None:
        thread = threading.Thread(target=look)
        thread.start()
        thread.join()

    writer = SpoolWriter(directory, on_refused=told)
    disk.room = 0
    writer.append(record())
    disk.room = 1 << 30
    writer.flush(now=True)
    writer.close()
    assert free == [True, True]


def test_what_was_taken_is_counted_in_the_file_and_in_memory_and_what_was_lost_apart(
    directory: Path, disk: Disk
) -> None:
    writer = SpoolWriter(directory, max_backlog_bytes=len(b"".join(record())))
    writer.append(record())
    disk.room = 0
    for _ in range(3):
        writer.append(record())
    assert (writer.taken, writer.backlog, writer.lost) == (2, 1, 2)
    disk.room = 1 << 30
    writer.flush(now=True)
    assert (writer.taken, writer.backlog, writer.lost) == (2, 0, 2)
    writer.close()


def test_whether_all_is_written_is_told_without_touching_the_disk(writer: SpoolWriter, disk: Disk) -> None:
    assert writer.is_flushed(0)
    disk.room = 0
    writer.append(record())
    attempts = disk.attempts
    assert not writer.is_flushed(0)
    assert disk.attempts == attempts


@pytest.fixture
def held(writer: SpoolWriter) -> Iterator[SpoolWriter]:
    """A writer in which another thread is in the middle of a write."""
    writer.append(record())
    writing, done = threading.Event(), threading.Event()

    def write() -> None:
        with writer._lock:
            writing.set()
            done.wait(30)

    thread = threading.Thread(target=write)
    thread.start()
    writing.wait(30)
    yield writer
    done.set()
    thread.join()


def test_a_write_that_lasts_is_waited_for_no_longer_than_the_time_out(held: SpoolWriter) -> None:
    begun = time.monotonic()
    assert not held.is_flushed(0.1)
    held.close(timeout=0.1)
    assert 0.2 <= time.monotonic() - begun < 0.5
    assert len(held._idle_files) == 1


def test_a_spool_that_holds_what_it_may_refuses_as_a_full_disk_does(directory: Path) -> None:
    said: list[Any] = []
    writer = SpoolWriter(directory, on_refused=said.append, max_bytes=8000)
    taken = [writer.append(record("x" * 300)) for _ in range(20)]
    assert (taken[:12], taken[-1]) == ([True] * 12, False)
    assert 6000 < sum(path.stat().st_size for path in spool_files(directory)) <= 8000
    assert writer.backlog == 20 - len(texts(directory))
    assert [error.strerror for error in said] == [
        "it holds as much as LABEL_STUDIO_OTEL_MAX_STATE_BYTES allows, 8000 bytes"
    ]
    writer.close()


def test_a_spool_takes_again_when_there_is_room(directory: Path) -> None:
    said: list[Any] = []
    writer = SpoolWriter(directory, on_refused=said.append, max_bytes=8000)
    while writer.append(record("x" * 300)):
        pass
    spool_files(directory)[0].unlink()
    assert writer.flush(now=True)
    assert writer.append(record("last"))
    assert (said[-1], writer.backlog, writer.lost) == (None, 0, 0)
    assert texts(directory)[-1] == "last"
    writer.close()


def test_several_processes_share_what_one_spool_may_hold(directory: Path) -> None:
    writers = [SpoolWriter(directory, max_bytes=8000) for _ in range(2)]
    while any([writer.append(record("x" * 300)) for writer in writers]):  # noqa: C419 - both shall write
        pass
    assert 6000 < sum(path.stat().st_size for path in spool_files(directory)) <= 8000
    for writer in writers:
        writer.close()


def test_the_size_of_the_spool_is_measured_when_a_file_is_begun_and_not_per_record(
    directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    measured: list[Path] = []
    size_of = writer_module.size_of
    monkeypatch.setattr(writer_module, "size_of", lambda path: measured.append(path) or size_of(path))
    writer = SpoolWriter(directory, max_bytes=1 << 20)
    for _ in range(100):
        writer.append(record("x" * 300))
    assert len(measured) == 1
    writer.close()


def test_without_a_limit_the_size_of_the_spool_is_never_measured(
    directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(writer_module, "size_of", None)
    writer = SpoolWriter(directory, max_file_bytes=1000)
    assert all([writer.append(record("x" * 400)) for _ in range(10)])  # noqa: C419 - all shall be written
    writer.close()


def test_a_record_larger_than_the_limit_is_taken_into_an_empty_spool(directory: Path) -> None:
    writer = SpoolWriter(directory, max_bytes=100)
    assert writer.append(record("x" * 1000))
    assert not writer.append(record("y"))
    writer.close()


def test_a_forked_child_counts_from_nothing(writer: SpoolWriter, directory: Path, disk: Disk) -> None:
    writer.append(record())
    disk.room = 0
    writer.append(record())
    child = os.fork()
    if child == 0:
        os._exit(writer.taken + writer.lost + writer.backlog)
    assert os.waitpid(child, 0)[1] == 0
    assert writer.taken == 2


def test_a_signal_handler_that_fills_the_file_in_the_middle_of_a_write_does_not_close_it(
    directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    writer = SpoolWriter(directory, max_file_bytes=1000)
    writer.append(record("first"))
    write, nested, open_then = os.write, [record(f"{number}" + "x" * 300) for number in range(6)], list[bool]()

    def interrupted(fd: int, data: bytes) -> int:
        if nested:
            writer.append(nested.pop())
            open_then.append(os.fstat(fd).st_nlink == 1)
        return write(fd, data)

    monkeypatch.setattr(writer_module.os, "write", interrupted)
    assert writer.append(record("interrupted"))
    assert open_then == [True] * 6
    assert sorted(text.rstrip("x") for text in texts(directory)) == [*"012345", "first", "interrupted"]
    assert (writer.backlog, writer.lost) == (0, 0)
    writer.close()
    for path in spool_files(directory):
        with SpoolFile(path) as file:
            assert file.abandoned()


def test_a_signal_handler_that_shuts_down_in_the_middle_of_a_write_does_not_close_its_file(
    directory: Path, writer: SpoolWriter, monkeypatch: pytest.MonkeyPatch
) -> None:
    write, handlers = os.write, [writer.close]
    writer.append(record("first"))

    def interrupted(fd: int, data: bytes) -> int:
        if handlers:
            handlers.pop()()
        return write(fd, data)

    monkeypatch.setattr(writer_module.os, "write", interrupted)
    assert writer.append(record("interrupted"))
    assert texts(directory) == ["first", "interrupted"]


def test_half_a_record_is_taken_back_although_a_signal_handler_wrote_behind_it(
    directory: Path, writer: SpoolWriter, disk: Disk, monkeypatch: pytest.MonkeyPatch
) -> None:
    nested = [record("from the handler")]

    def interrupted(fd: int, data: bytes) -> int:
        if not nested:
            return disk.write(fd, data)
        handled, disk.room = nested.pop(), 20
        written = disk.write(fd, data)
        disk.room = 1 << 30
        assert writer.append(handled)
        return written

    writer.append(record("first"))
    monkeypatch.setattr(writer_module.os, "write", interrupted)
    assert not writer.append(record("half"))
    assert writer.flush(now=True)
    assert sorted(texts(directory)) == ["first", "from the handler", "half"]


def test_a_fork_in_the_middle_of_a_write_leaves_the_child_a_file_of_its_own(
    directory: Path, writer: SpoolWriter, monkeypatch: pytest.MonkeyPatch
) -> None:
    write, children = os.write, list[int]()

    def interrupted(fd: int, data: bytes) -> int:
        if not children:
            children.append(os.fork())
        return write(fd, data)

    writer.append(record("first"))
    monkeypatch.setattr(writer_module.os, "write", interrupted)
    here = os.getpid()
    writer.append(record("interrupted"))
    if os.getpid() != here:
        os._exit(len(writer._idle_files))
    assert os.waitpid(children[0], 0)[1] == 0
    assert len(writer._idle_files) == 1
    assert texts(directory) == ["first", "interrupted", "interrupted"]  # once by each process; its key is the same
