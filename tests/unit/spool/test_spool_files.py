"""Spool files: records survive what kills their writer, and nothing is read that was not written whole."""

from __future__ import annotations

import os
import shutil
import stat
import threading
from typing import TYPE_CHECKING

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from label_studio_otel.spool import record as spool
from label_studio_otel.spool.reader import SpoolFile, count, remove_unnamed, spool_files
from label_studio_otel.spool.writer import SpoolWriter
from support.spooling import record, texts

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture(scope="module")
def scratch(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("scratch")


def test_making_a_writer_touches_nothing(writer: SpoolWriter, tmp_path: Path) -> None:
    assert list(tmp_path.iterdir()) == []


def test_records_are_read_in_the_order_written(writer: SpoolWriter, directory: Path) -> None:
    for number in range(5):
        assert writer.append(record(str(number)))
    assert texts(directory) == ["0", "1", "2", "3", "4"]


def test_files_that_a_killed_writer_did_not_name_are_removed_after_an_hour(
    writer: SpoolWriter, directory: Path
) -> None:
    writer.append(record("named"))
    (named,) = directory.iterdir()
    for name, modified, content in (
        (".17-18c5-0a", 1000, b""),
        (".18-18c5-0b", 1001, b""),
        (".19-18c5-0c", 1000, b"no file of ours"),
        (".nfs0001", 1000, b""),
    ):
        (directory / name).write_bytes(content)
        os.utime(directory / name, (modified, modified))
    os.utime(named, (1000, 1000))
    remove_unnamed(directory, 4600.5)
    assert sorted(path.name for path in directory.iterdir()) == [".18-18c5-0b", ".19-18c5-0c", ".nfs0001", named.name]


def test_where_there_is_no_directory_nothing_is_removed(directory: Path) -> None:
    remove_unnamed(directory, 4600.5)
    assert not directory.exists()


def test_only_the_user_may_read_the_spool(writer: SpoolWriter, directory: Path) -> None:
    writer.append(record())
    (file,) = directory.iterdir()
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert stat.S_IMODE(directory.stat().st_mode) == 0o700


def test_reading_goes_on_from_a_position(writer: SpoolWriter, directory: Path) -> None:
    writer.append(record("first"))
    (path,) = spool_files(directory)
    with SpoolFile(path) as file:
        (first,) = file.records(0)
    writer.append(record("second"))
    with SpoolFile(path) as file:
        assert [spool.decode(read.payload) for read in file.records(first.end)] == [
            spool.decode(b"".join(record("second"))[spool.FRAME.size :])
        ]
    assert (count(path, 0), count(path, first.end)) == (2, 1)


@pytest.mark.parametrize("kept", [1, 11, 12, 13, 40, -1])
def test_a_torn_record_at_the_end_is_passed_over(writer: SpoolWriter, directory: Path, kept: int) -> None:
    writer.append(record("whole"))
    writer.close()
    (path,) = spool_files(directory)
    torn = b"".join(record("torn"))[:kept]
    with path.open("ab") as end:
        end.write(torn)
    with SpoolFile(path) as file:
        assert len(list(file.records(0))) == 1
        assert (file.torn, file.damaged) == (len(torn), 0)
    assert count(path, 0) == 1


@given(st.integers(0, 200), st.binary(min_size=1, max_size=40))
@settings(max_examples=200)
def test_after_damage_reading_goes_on_at_the_next_whole_record(scratch: Path, offset: int, noise: bytes) -> None:
    first, second, third = (b"".join(record(text)) for text in ("first", "second", "third"))
    offset = min(offset, len(second) - 1)
    damaged = second[:offset] + noise + second[offset + len(noise) :]
    path = scratch / "damaged.spool"
    path.write_bytes(first + damaged + third)
    with SpoolFile(path) as file:
        texts = [spool.decode(read.payload).span["attributes"]["text"] for read in file.records(0)]  # type: ignore[index]
    expected = ["first", "third"] if damaged != second else ["first", "second", "third"]
    assert texts == expected
    if damaged != second:
        assert file.damaged == len(damaged)


def test_a_length_beyond_the_end_hides_nothing_behind_it(directory: Path, writer: SpoolWriter) -> None:
    writer.append(record("first"))
    (path,) = spool_files(directory)
    with path.open("ab") as end:
        end.write(spool.FRAME.pack(spool.MAGIC, 1 << 30, 0))
    writer.append(record("second"))
    assert texts(directory) == ["first", "second"]


def test_a_frame_around_nothing_is_damage_and_no_record(directory: Path, writer: SpoolWriter) -> None:
    writer.append(record("first"))
    (path,) = spool_files(directory)
    with path.open("ab") as end:
        end.write(spool.FRAME.pack(spool.MAGIC, 0, 0))
    writer.append(record("second"))
    assert texts(directory) == ["first", "second"]


def test_a_damaged_file_is_set_aside_and_another_is_removed(directory: Path, writer: SpoolWriter) -> None:
    for _ in range(2):
        writer.append(record())
        writer.close()
    good, bad = spool_files(directory)
    with SpoolFile(good) as file:
        assert file.remove()
    with SpoolFile(bad) as file:
        file.damaged = 7
        assert file.remove()
    assert list(directory.iterdir()) == []
    assert [path.name.endswith(bad.name) for path in (directory.parent / "damaged").iterdir()] == [True]


def test_a_file_that_somebody_else_removed_counts_as_removed(directory: Path, writer: SpoolWriter) -> None:
    writer.append(record())
    (path,) = spool_files(directory)
    with SpoolFile(path) as file:
        path.unlink()
        assert file.remove()


def test_without_a_directory_there_are_no_files(directory: Path) -> None:
    assert spool_files(directory) == []


def test_a_file_is_abandoned_only_when_its_writer_has_gone(directory: Path, writer: SpoolWriter) -> None:
    writer.append(record())
    (path,) = spool_files(directory)
    with SpoolFile(path) as file:
        assert not file.abandoned()
        writer.close()
        assert file.abandoned()


def test_a_full_file_is_left_and_another_begun(directory: Path) -> None:
    writer = SpoolWriter(directory, max_file_bytes=1000)
    for number in range(10):
        writer.append(record("x" * 400 + str(number)))
    files = spool_files(directory)
    assert len(files) == 5
    assert [_abandoned(path) for path in files] == [True] * 5
    assert [text[-1] for text in texts(directory)] == [*"0123456789"]


def _abandoned(path: Path) -> bool:
    with SpoolFile(path) as file:
        return file.abandoned()


def test_a_removed_directory_is_made_again_within_a_tenth_of_a_second(directory: Path) -> None:
    now = [100.0]
    writer = SpoolWriter(directory, clock=lambda: now[0])
    writer.append(record("before"))
    shutil.rmtree(directory.parent)
    now[0] += 0.11
    assert writer.append(record("after"))
    assert texts(directory) == ["after"]
    writer.close()


def test_whether_the_file_still_has_a_name_is_asked_ten_times_a_second_and_not_per_record(
    directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    now, asked = [100.0], []
    writer = SpoolWriter(directory, clock=lambda: now[0])
    writer.append(record())
    monkeypatch.setattr("os.fstat", lambda fd, fstat=os.fstat: asked.append(fd) or fstat(fd))
    for _ in range(100):
        writer.append(record())
        now[0] += 0.01
    assert len(asked) == 10
    writer.close()


def test_threads_write_whole_records(directory: Path, writer: SpoolWriter) -> None:
    def write(name: str) -> None:
        for number in range(50):
            writer.append(record(f"{name}{number}" + "x" * 600))

    threads = [threading.Thread(target=write, args=(name,)) for name in "abcd"]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(set(texts(directory))) == 200


def test_a_forked_child_writes_a_file_of_its_own(directory: Path, writer: SpoolWriter) -> None:
    writer.append(record("parent"))
    (parents,) = spool_files(directory)
    child = os.fork()
    if child == 0:
        os._exit(0 if writer.append(record("child")) else 1)
    assert os.waitpid(child, 0)[1] == 0
    with SpoolFile(parents) as file:
        assert not file.abandoned()
    writer.append(record("parent again"))
    assert len(spool_files(directory)) == 2
    assert sorted(texts(directory)) == ["child", "parent", "parent again"]
    assert count(parents, 0) == 2


def test_a_forked_child_does_not_write_what_its_parent_has_in_memory(directory: Path) -> None:
    writer = SpoolWriter(directory)
    directory.parent.mkdir()
    directory.write_text("in the way")
    writer.append(record("parent"))
    child = os.fork()
    if child == 0:
        os._exit(writer.backlog)
    assert os.waitpid(child, 0)[1] == 0
    assert writer.backlog == 1


def test_without_file_locks_as_on_windows_records_are_written_and_read(
    directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("label_studio_otel.spool.open_file.fcntl", None)
    monkeypatch.setattr("label_studio_otel.spool.reader.fcntl", None)
    writer = SpoolWriter(directory)

    assert writer.append(record("one"))
    assert writer.append(record("two"))

    assert texts(directory) == ["one", "two"]
    writer.close()


def test_a_file_that_may_not_be_removed_yet_as_on_windows_is_kept(
    directory: Path, writer: SpoolWriter, monkeypatch: pytest.MonkeyPatch
) -> None:
    writer.append(record())
    (path,) = spool_files(directory)

    def refuse(_path: Path) -> None:
        raise PermissionError(13, "in use")

    monkeypatch.setattr("pathlib.Path.unlink", refuse)
    with SpoolFile(path) as file:
        list(file.records(0))

    assert file.remove() is False
    assert path.exists()


def test_what_is_made_above_a_spool_is_for_its_user_alone(tmp_path: Path) -> None:
    SpoolWriter(tmp_path / "state" / "server" / "spool").append([b"x"])
    made = [tmp_path / "state", tmp_path / "state" / "server", tmp_path / "state" / "server" / "spool"]
    assert [stat.S_IMODE(path.stat().st_mode) for path in made] == [0o700] * 3
