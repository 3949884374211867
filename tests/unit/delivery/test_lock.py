"""One process has the lock of a directory, until it releases it or ends."""

from __future__ import annotations

import errno
import fcntl
import os
import signal
import stat
import subprocess
import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING

import pytest

from label_studio_otel.delivery.lock import DirectoryLock
from support.servers import wait_for

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

HOLD = """
import pathlib, sys
from label_studio_otel.delivery.lock import DirectoryLock
lock = DirectoryLock(pathlib.Path(sys.argv[1]))
print(lock.acquire(), flush=True)
sys.stdin.read()
"""


@contextmanager
def _holder(directory: Path) -> Iterator[subprocess.Popen[str]]:
    """Run a process that takes the lock and keeps it until its standard input closes."""
    command = [sys.executable, "-c", HOLD, str(directory)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "True\n"
        try:
            yield process
        finally:
            process.kill()


def test_creating_a_lock_object_creates_no_file(tmp_path: Path) -> None:
    lock = DirectoryLock(tmp_path / "state")
    assert not lock.held
    assert list(tmp_path.iterdir()) == []


def test_acquire_creates_a_directory_that_only_the_user_may_read(tmp_path: Path) -> None:
    lock = DirectoryLock(tmp_path / "state")
    assert lock.acquire()
    assert lock.acquire()
    assert lock.held
    assert stat.S_IMODE((tmp_path / "state").stat().st_mode) == 0o700
    lock.release()
    assert not lock.held


def test_one_lock_object_of_a_process_has_the_lock(tmp_path: Path) -> None:
    first, second = DirectoryLock(tmp_path), DirectoryLock(tmp_path)
    assert first.acquire()
    assert not second.acquire()
    first.release()
    assert second.acquire()
    second.release()


def test_another_process_gets_the_lock_after_it_was_released(tmp_path: Path) -> None:
    lock = DirectoryLock(tmp_path)
    with _holder(tmp_path) as process:
        assert not lock.acquire()
        process.communicate("")
        assert lock.acquire()
    lock.release()


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGTERM])
def test_the_lock_is_free_after_its_process_was_killed(tmp_path: Path, how: signal.Signals) -> None:
    lock = DirectoryLock(tmp_path)
    with _holder(tmp_path) as process:
        assert not lock.acquire()
        process.send_signal(how)
        assert wait_for(lock.acquire, timeout=10, what="lock")
    lock.release()


def test_the_content_of_the_lock_file_is_ignored(tmp_path: Path) -> None:
    (tmp_path / "deliver.lock").write_text(f"{os.getpid()}")
    lock = DirectoryLock(tmp_path)
    assert lock.acquire()
    lock.release()


def test_release_in_a_forked_child_leaves_the_lock_to_the_parent(tmp_path: Path) -> None:
    lock, other = DirectoryLock(tmp_path), DirectoryLock(tmp_path)
    assert lock.acquire()
    child = os.fork()
    if child == 0:
        lock.release()
        os._exit(int(lock.acquire()))
    assert os.waitpid(child, 0)[1] == 0
    assert not other.acquire()
    lock.release()
    assert other.acquire()
    other.release()


@pytest.mark.parametrize("number", [errno.ENOLCK, errno.EOPNOTSUPP, errno.EIO])
def test_a_file_system_without_locks_is_an_error_and_not_another_process(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    def refuse(*_: object) -> None:
        raise OSError(number, "No locks available")

    monkeypatch.setattr(fcntl, "flock", refuse)
    lock = DirectoryLock(tmp_path)
    with pytest.raises(OSError, match="No locks available: this file system cannot lock the file, a local disk can"):
        lock.acquire()
    assert not lock.held


def test_a_directory_that_cannot_be_written_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(OSError, match="file"):
        DirectoryLock(tmp_path / "file").acquire()
