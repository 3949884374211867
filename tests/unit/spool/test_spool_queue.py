"""The spool as a durable queue between processes: written, left, read, read again, removed."""

from __future__ import annotations

import os
import signal
import threading
from typing import TYPE_CHECKING

import pytest

from label_studio_otel.spool import record as spool
from label_studio_otel.spool import writer as writer_module
from label_studio_otel.spool.reader import SpoolFile, count, spool_files
from label_studio_otel.spool.writer import SpoolWriter
from support.spooling import record, texts

if TYPE_CHECKING:
    from pathlib import Path


def _read(path: Path, offset: int = 0, most: int = 1 << 30) -> list[tuple[str, int]]:
    """Return texts and ends of the records of a file from a position on."""
    with SpoolFile(path) as file:
        return [
            (str((spool.decode(read.payload).span or {})["attributes"]["text"]), read.end)
            for read, _ in zip(file.records(offset), range(most), strict=False)
        ]


def test_put_close_read_remove(directory: Path, writer: SpoolWriter) -> None:
    writer.append(record("a"))
    writer.close()
    (path,) = spool_files(directory)
    with SpoolFile(path) as file:
        assert file.abandoned()
        assert len(list(file.records(0))) == 1
        assert file.remove()
    assert spool_files(directory) == []


def test_put_close_put_read_is_one_queue_in_two_files(directory: Path, writer: SpoolWriter) -> None:
    for text in "abc":
        writer.append(record(text))
        writer.close()
    assert len(spool_files(directory)) == 3
    assert texts(directory) == ["a", "b", "c"]


def test_closing_twice_and_without_having_written_does_nothing(directory: Path, writer: SpoolWriter) -> None:
    writer.close()
    writer.close()
    assert not directory.exists()


def test_what_was_appended_survives_kill_9_whole_and_in_order(directory: Path) -> None:
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        writer = SpoolWriter(directory)
        for number in range(50):
            writer.append(record(f"{number} " + "x" * 700))
        os.write(writing, b"taken")
        signal.pause()
    assert os.read(reading, 5) == b"taken"
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    (path,) = spool_files(directory)
    with SpoolFile(path) as file:
        assert file.abandoned()
    assert [text.split()[0] for text in texts(directory)] == [str(number) for number in range(50)]


def test_what_was_read_and_not_committed_is_read_again_by_the_next_reader(directory: Path, writer: SpoolWriter) -> None:
    for text in "abc":
        writer.append(record(text))
    (path,) = spool_files(directory)
    ((_, committed),) = _read(path, most=1)
    assert [text for text, _ in _read(path, committed, most=1)] == ["b"]
    assert [text for text, _ in _read(path, committed)] == ["b", "c"]


def test_reading_begins_where_the_last_reader_committed_and_not_where_it_died(
    directory: Path, writer: SpoolWriter
) -> None:
    writer.append(record("a"))
    (path,) = spool_files(directory)
    ((_, committed),) = _read(path)
    writer.append(record("b"))
    assert [text for text, _ in _read(path, committed)] == ["b"]
    assert _read(path, committed)[-1][1] == path.stat().st_size
    assert _read(path, path.stat().st_size) == []


def test_a_reader_beside_writing_threads_sees_each_record_once_whole_and_in_order(directory: Path) -> None:
    writer = SpoolWriter(directory, max_file_bytes=20_000)
    done = threading.Event()

    def write(name: str) -> None:
        for number in range(100):
            writer.append(record(f"{name} {number} " + "x" * 600))

    threads = [threading.Thread(target=write, args=(name,)) for name in "ab"]
    for thread in threads:
        thread.start()
    positions: dict[Path, int] = {}
    seen: list[str] = []
    while not done.is_set():
        if not any(thread.is_alive() for thread in threads):
            done.set()  # one more look, after the last write
        for path in spool_files(directory):
            for text, end in _read(path, positions.get(path, 0)):
                seen.append(text)
                positions[path] = end
    writer.close()
    for name in "ab":
        assert [text.split()[1] for text in seen if text[0] == name] == [str(number) for number in range(100)]


def test_a_byte_that_turns_costs_the_record_that_it_is_in_and_no_other(directory: Path) -> None:
    directory.mkdir(parents=True)
    path = directory / "1.spool"
    records = {text: b"".join(record(text)) for text in ("first", "second", "third")}
    for hit, struck in records.items():
        others = [text for text in records if text != hit]
        for at in range(len(struck)):
            turned = struck[:at] + bytes([struck[at] ^ 0xFF]) + struck[at + 1 :]
            path.write_bytes(b"".join(turned if text == hit else whole for text, whole in records.items()))
            assert [text for text, _ in _read(path)] == others


def test_an_empty_file_holds_nothing_and_is_removed(directory: Path) -> None:
    directory.mkdir(parents=True)
    path = directory / "1.spool"
    path.touch()
    with SpoolFile(path) as file:
        assert list(file.records(0)) == []
        assert (file.torn, file.damaged, file.newer) == (0, 0, None)
        assert file.remove()
    assert list(directory.iterdir()) == []


def test_a_file_is_not_read_before_it_has_its_name(directory: Path, writer: SpoolWriter) -> None:
    writer.append(record("a"))
    (path,) = spool_files(directory)
    path.rename(path.with_name(f".{path.stem}"))
    assert spool_files(directory) == []


def test_foreign_files_of_the_directory_are_left_alone(directory: Path, writer: SpoolWriter) -> None:
    writer.append(record("a"))
    (directory / "notes.txt").write_text("mine")
    assert texts(directory) == ["a"]
    assert spool.size_of(directory) == len(b"".join(record("a")))


def test_a_file_that_is_truncated_below_what_was_read_has_nothing_more(directory: Path, writer: SpoolWriter) -> None:
    writer.append(record("a"))
    (path,) = spool_files(directory)
    ((_, end),) = _read(path)
    os.truncate(path, 5)
    assert _read(path, end) == []
    assert count(path, end) == 0


def test_a_new_process_knows_how_much_earlier_ones_left_in_the_spool(directory: Path) -> None:
    first = SpoolWriter(directory, max_bytes=8000)
    while first.append(record("x" * 300)):
        pass
    first.close()
    second = SpoolWriter(directory, max_bytes=8000)
    assert not second.append(record("kept in memory"))
    for path in spool_files(directory)[:2]:
        path.unlink()
    assert second.flush(now=True)
    assert texts(directory)[-1] == "kept in memory"
    second.close()


def test_a_drained_spool_has_its_whole_room_again(directory: Path) -> None:
    writer = SpoolWriter(directory, max_bytes=8000)
    taken = []
    for _ in range(3):
        number = 0
        while writer.append(record("x" * 300)):
            number += 1
        taken.append(number + writer.backlog)
        writer.close()
        for path in spool_files(directory):
            path.unlink()
        writer.flush(now=True)
        writer.close()
        for path in spool_files(directory):
            path.unlink()
    assert taken[0] == taken[1] == taken[2]


def test_a_spool_whose_size_cannot_be_measured_refuses_and_harms_nobody(
    directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(_: Path) -> int:
        raise PermissionError(13, "Permission denied")

    writer = SpoolWriter(directory, max_bytes=8000)
    with monkeypatch.context() as patch:
        patch.setattr(writer_module, "size_of", refuse)
        assert not writer.append(record("a"))
    assert writer.flush(now=True)
    assert texts(directory) == ["a"]
    writer.close()


def test_two_processes_never_write_one_file(directory: Path) -> None:
    writers = [SpoolWriter(directory) for _ in range(5)]
    for number, writer in enumerate(writers):
        writer.append(record(str(number)))
    assert len(spool_files(directory)) == 5
    assert sorted(texts(directory)) == ["0", "1", "2", "3", "4"]
    for writer in writers:
        writer.close()
