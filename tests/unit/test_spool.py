"""The spool: records survive what kills their writer, and nothing is read that was not written whole."""

from __future__ import annotations

import json
import os
import shutil
import stat
import threading
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from label_studio_otel import spool
from label_studio_otel.errors import SpoolError
from label_studio_otel.settings import Destination
from label_studio_otel.spool import writer as writer_module
from label_studio_otel.spool.reader import SpoolFile, count, spool_files
from label_studio_otel.spool.writer import SpoolWriter

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

#: Lone surrogates, NUL and everything else that a Python string can hold; often around the length that is kept apart.
TEXTS = st.text(st.characters()) | st.text(st.characters(), min_size=500, max_size=530)
VALUES = st.recursive(
    TEXTS | st.booleans() | st.integers(-(2**70), 2**70) | st.floats() | st.none(),
    lambda inner: st.lists(inner) | st.dictionaries(TEXTS, inner, max_size=3),
    max_leaves=8,
)
DESTINATION = Destination("Project \ud800 \u00fc", 7, "chat", "<View/>", default_name=True)


def _payload(buffers: list[bytes]) -> bytes:
    return b"".join(buffers)[spool.FRAME.size :]


def _span(**attributes: Any) -> dict[str, Any]:
    return {"traceId": "1" * 32, "spanId": "2" * 16, "startTimeUnixNano": 3, "attributes": attributes}


def _record(text: str = "hello") -> list[bytes]:
    return spool.encode(spool.encode_destination(DESTINATION), "{}", _span(text=text))


@given(st.dictionaries(TEXTS, VALUES, max_size=5), st.dictionaries(TEXTS, VALUES, max_size=3))
@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_what_is_encoded_is_decoded(attributes: dict[str, Any], resource: dict[str, Any]) -> None:
    buffers = spool.encode(
        spool.encode_destination(DESTINATION), spool.to_json(resource), _span(**{"a": 1, **attributes})
    )
    record = spool.decode(_payload(buffers))
    assert record.destination == DESTINATION
    assert record.destination.project_config == "<View/>"
    assert record.span is not None
    # NaN is no NaN's equal, but its text is.
    assert repr(sorted(record.span["attributes"].items())) == repr(sorted({"a": 1, **attributes}.items()))
    assert repr(record.span["resource"]) == repr(resource)
    assert record.span["startTimeUnixNano"] == 3


@pytest.mark.parametrize(
    ("value", "kept"),
    [
        (b"\x00\xff", {"bytesValue": "AP8="}),
        (("a", "b"), ["a", "b"]),
        ([b"a", ("b",)], [{"bytesValue": "YQ=="}, ["b"]]),
        (frozenset({"a"}), ["a"]),
        ({"nested": {"deep": (1, 2.5, None)}}, {"nested": {"deep": [1, 2.5, None]}}),
    ],
)
def test_what_json_has_not_is_kept_in_a_form_that_it_has(value: Any, kept: Any) -> None:
    buffers = spool.encode(spool.encode_destination(DESTINATION), "{}", _span(value=value))
    span = spool.decode(_payload(buffers)).span
    assert span is not None
    assert span["attributes"] == {"value": kept}


def test_a_long_text_stands_apart_and_unescaped() -> None:
    text = 'a "quoted" \u00fcmlaut\n' * 100
    header, apart = _record(text)
    assert apart == text.encode()
    assert b"quoted" not in header


def test_encoding_changes_nothing_of_what_it_was_given() -> None:
    fields = _span(text="x" * 600)
    spool.encode(spool.encode_destination(DESTINATION), "{}", fields)
    assert fields == _span(text="x" * 600)


def test_the_wish_to_retry_is_a_record() -> None:
    assert spool.decode(_payload(spool.encode_retry())) == spool.Record(retry=True)


@pytest.mark.parametrize(
    "payload",
    [b"", b"\0", b"\xff\xff\xff\xff", b"\2\0\0\0[]", b"\2\0\0\0{}", b"\1\0\0\0x", b"\4\0\0\0null"],
)
def test_what_is_no_record_raises_a_spool_error_without_content(payload: bytes) -> None:
    with pytest.raises(SpoolError, match=f"^a record of {len(payload)} bytes cannot be read: "):
        spool.decode(payload)


@pytest.mark.parametrize("payload", [b'\x10\0\0\0{"secret": secret', b"\x07\0\0\0secret\xff"])
def test_the_error_about_an_unreadable_record_holds_no_content(payload: bytes) -> None:
    with pytest.raises(SpoolError) as raised:
        spool.decode(payload)
    assert "secret" not in str(raised.value)


# The writer, and the reader of what it wrote.


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    return tmp_path / "state" / "spool"


@pytest.fixture
def writer(directory: Path) -> Iterator[SpoolWriter]:
    writer = SpoolWriter(directory)
    yield writer
    writer.close()


def _texts(directory: Path) -> list[str]:
    """Return the texts of all records below a directory, in order."""
    found = []
    for path in spool_files(directory):
        with SpoolFile(path) as file:
            for read in file.records(0):
                span = spool.decode(read.payload).span
                assert span is not None
                found.append(span["attributes"]["text"])
    return found


def test_making_a_writer_touches_nothing(writer: SpoolWriter, tmp_path: Path) -> None:
    assert list(tmp_path.iterdir()) == []


def test_records_are_read_in_the_order_written(writer: SpoolWriter, directory: Path) -> None:
    for number in range(5):
        assert writer.append(_record(str(number)))
    assert _texts(directory) == ["0", "1", "2", "3", "4"]


def test_only_the_user_may_read_the_spool(writer: SpoolWriter, directory: Path) -> None:
    writer.append(_record())
    (file,) = directory.iterdir()
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert stat.S_IMODE(directory.stat().st_mode) == 0o700


def test_reading_goes_on_from_a_position(writer: SpoolWriter, directory: Path) -> None:
    writer.append(_record("first"))
    (path,) = spool_files(directory)
    with SpoolFile(path) as file:
        (first,) = file.records(0)
    writer.append(_record("second"))
    with SpoolFile(path) as file:
        assert [spool.decode(read.payload) for read in file.records(first.end)] == [
            spool.decode(_payload(_record("second")))
        ]
    assert (count(path, 0), count(path, first.end)) == (2, 1)


@pytest.mark.parametrize("kept", [1, 11, 12, 13, 40, -1])
def test_a_torn_record_at_the_end_is_passed_over(writer: SpoolWriter, directory: Path, kept: int) -> None:
    writer.append(_record("whole"))
    writer.close()
    (path,) = spool_files(directory)
    torn = b"".join(_record("torn"))[:kept]
    with path.open("ab") as end:
        end.write(torn)
    with SpoolFile(path) as file:
        assert len(list(file.records(0))) == 1
        assert (file.torn, file.damaged) == (len(torn), 0)
    assert count(path, 0) == 1


@given(st.integers(0, 200), st.binary(min_size=1, max_size=40))
@settings(deadline=None, max_examples=200)
def test_after_damage_reading_goes_on_at_the_next_whole_record(offset: int, noise: bytes) -> None:
    first, second, third = (b"".join(_record(text)) for text in ("first", "second", "third"))
    offset = min(offset, len(second) - 1)
    damaged = second[:offset] + noise + second[offset + len(noise) :]
    path = _scratch / "damaged.spool"
    path.write_bytes(first + damaged + third)
    with SpoolFile(path) as file:
        texts = [spool.decode(read.payload).span["attributes"]["text"] for read in file.records(0)]  # type: ignore[index]
    expected = ["first", "third"] if damaged != second else ["first", "second", "third"]
    assert texts == expected
    if damaged != second:
        assert file.damaged == len(damaged)


@pytest.fixture(autouse=True, scope="module")
def _scratch_directory(tmp_path_factory: pytest.TempPathFactory) -> None:
    global _scratch
    _scratch = tmp_path_factory.mktemp("scratch")


_scratch: Path


def test_a_length_beyond_the_end_hides_nothing_behind_it(directory: Path, writer: SpoolWriter) -> None:
    writer.append(_record("first"))
    (path,) = spool_files(directory)
    with path.open("ab") as end:
        end.write(spool.FRAME.pack(spool.MAGIC, 1 << 30, 0))
    writer.append(_record("second"))
    assert _texts(directory) == ["first", "second"]


def test_a_damaged_file_is_set_aside_and_another_is_removed(directory: Path, writer: SpoolWriter) -> None:
    for _ in range(2):
        writer.append(_record())
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
    writer.append(_record())
    (path,) = spool_files(directory)
    with SpoolFile(path) as file:
        path.unlink()
        assert file.remove()


def test_without_a_directory_there_are_no_files(directory: Path) -> None:
    assert spool_files(directory) == []


def test_a_file_is_abandoned_only_when_its_writer_has_gone(directory: Path, writer: SpoolWriter) -> None:
    writer.append(_record())
    (path,) = spool_files(directory)
    with SpoolFile(path) as file:
        assert not file.abandoned()
        writer.close()
        assert file.abandoned()


def test_a_full_file_is_left_and_another_begun(directory: Path) -> None:
    writer = SpoolWriter(directory, max_file_bytes=1000)
    for number in range(10):
        writer.append(_record("x" * 400 + str(number)))
    files = spool_files(directory)
    assert len(files) == 5
    assert [_abandoned(path) for path in files] == [True] * 5
    assert [text[-1] for text in _texts(directory)] == [*"0123456789"]


def _abandoned(path: Path) -> bool:
    with SpoolFile(path) as file:
        return file.abandoned()


def test_a_removed_directory_is_made_again(directory: Path, writer: SpoolWriter) -> None:
    writer.append(_record("before"))
    shutil.rmtree(directory.parent)
    assert writer.append(_record("after"))
    assert _texts(directory) == ["after"]


def test_threads_write_whole_records(directory: Path, writer: SpoolWriter) -> None:
    def write(name: str) -> None:
        for number in range(50):
            writer.append(_record(f"{name}{number}" + "x" * 600))

    threads = [threading.Thread(target=write, args=(name,)) for name in "abcd"]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(set(_texts(directory))) == 200


def test_a_forked_child_writes_a_file_of_its_own(directory: Path, writer: SpoolWriter) -> None:
    writer.append(_record("parent"))
    (parents,) = spool_files(directory)
    child = os.fork()
    if child == 0:
        os._exit(0 if writer.append(_record("child")) else 1)
    assert os.waitpid(child, 0)[1] == 0
    with SpoolFile(parents) as file:
        assert not file.abandoned()
    writer.append(_record("parent again"))
    assert len(spool_files(directory)) == 2
    assert sorted(_texts(directory)) == ["child", "parent", "parent again"]
    assert count(parents, 0) == 2


def test_a_forked_child_does_not_write_what_its_parent_has_in_memory(directory: Path) -> None:
    writer = SpoolWriter(directory)
    directory.parent.mkdir()
    directory.write_text("in the way")
    writer.append(_record("parent"))
    child = os.fork()
    if child == 0:
        os._exit(writer.backlog)
    assert os.waitpid(child, 0)[1] == 0
    assert writer.backlog == 1


# A disk that refuses.


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
    writer.append(_record("first"))
    disk.room = 50
    assert not writer.append(_record(text))
    (path,) = spool_files(directory)
    assert path.read_bytes() == b"".join(_record("first"))
    disk.room = 1 << 30
    assert writer.flush(now=True)
    assert _texts(directory) == ["first", text]


def test_what_the_disk_refuses_waits_in_memory_in_order(directory: Path, writer: SpoolWriter, disk: Disk) -> None:
    disk.room = 0
    assert [writer.append(_record(text)) for text in ("1", "2", "3")] == [False, False, False]
    assert (writer.backlog, writer.lost) == (3, 0)
    assert not writer.flush(now=True)
    disk.room = 1 << 30
    assert writer.flush(now=True)
    assert writer.append(_record("4"))
    assert _texts(directory) == ["1", "2", "3", "4"]
    assert writer.backlog == 0


def test_the_application_does_not_pay_for_each_attempt(
    directory: Path, writer: SpoolWriter, disk: Disk, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = [100.0]
    monkeypatch.setattr(writer_module.time, "monotonic", lambda: now[0])
    disk.room = 0
    for _ in range(100):
        writer.append(_record())
    assert disk.attempts == 1
    disk.room, now[0] = 1 << 30, 101.1
    assert writer.append(_record("last"))
    assert len(_texts(directory)) == 101
    assert _texts(directory)[-1] == "last"


def test_the_memory_for_it_is_bounded_and_the_loss_counted(directory: Path, disk: Disk) -> None:
    size = len(b"".join(_record()))
    writer = SpoolWriter(directory, max_backlog_bytes=3 * size)
    disk.room = 0
    for _ in range(5):
        writer.append(_record())
    assert (writer.backlog, writer.lost) == (3, 2)
    disk.room = 1 << 30
    assert writer.flush(now=True)
    assert len(_texts(directory)) == 3
    writer.close()


def test_a_full_backlog_makes_room_before_it_gives_up_a_record(directory: Path, disk: Disk) -> None:
    writer = SpoolWriter(directory, max_backlog_bytes=len(b"".join(_record())))
    disk.room = 0
    writer.append(_record("1"))
    disk.room = 1 << 30
    writer._next_attempt = 0.0
    assert writer.append(_record("2"))
    assert (_texts(directory), writer.lost) == (["1", "2"], 0)
    writer.close()


def test_refusal_and_recovery_are_reported(directory: Path, disk: Disk) -> None:
    said: list[Any] = []
    writer = SpoolWriter(directory, on_refused=said.append)
    disk.room = 0
    writer.append(_record())
    disk.room = 1 << 30
    writer.flush(now=True)
    writer.flush(now=True)
    assert [error and error.strerror for error in said] == ["No space left on device", None]
    writer.close()


def test_a_directory_that_cannot_be_made_refuses_too(directory: Path) -> None:
    directory.parent.mkdir()
    directory.write_text("in the way")
    writer = SpoolWriter(directory)
    assert not writer.append(_record("kept"))
    directory.unlink()
    assert writer.flush(now=True)
    assert _texts(directory) == ["kept"]
    writer.close()


def test_a_signal_handler_may_write_in_the_middle_of_a_write(
    directory: Path, writer: SpoolWriter, monkeypatch: pytest.MonkeyPatch
) -> None:
    write, nested = os.write, [_record("from the handler")]

    def interrupted(fd: int, data: bytes) -> int:
        if nested:
            writer.append(nested.pop())
        return write(fd, data)

    monkeypatch.setattr(writer_module.os, "write", interrupted)
    writer.append(_record("interrupted"))
    assert sorted(_texts(directory)) == ["from the handler", "interrupted"]


def test_the_header_is_plain_json() -> None:
    (buffer,) = _record("hello")
    assert json.loads(buffer[spool.FRAME.size + 4 :])["span"]["attributes"] == {"text": "hello"}
