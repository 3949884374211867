"""The spool against a model: whatever befalls files and processes, what `append` took is read once, and in order.

The model knows where each record stands in which file, because a record is one contiguous write; it says for every
file what can be read, what is damage and what is a torn end.
"""

from __future__ import annotations

import shutil
import tempfile
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from label_studio_otel.spool import reader
from label_studio_otel.spool import record as spool
from label_studio_otel.spool.reader import SpoolFile, spool_files
from label_studio_otel.spool.writer import SpoolWriter
from support.spooling import record

if TYPE_CHECKING:
    from collections.abc import Iterator

WRITERS = st.integers(0, 1)
NOISE = st.binary(min_size=1, max_size=20) | st.integers(1, 60).map(lambda kept: b"".join(record("torn"))[:kept])


@dataclass
class Stretch:
    """Some bytes of a file: a record, or what is none (any more)."""

    start: int
    end: int
    text: str | None


class Process:
    """An application's process: its writer, and what the model says it holds."""

    def __init__(self, directory: Path) -> None:
        self.writer = SpoolWriter(directory, max_file_bytes=900, max_backlog_bytes=1200)
        #: Texts in memory, because the disk refused.
        self.memory: list[str] = []
        #: Bytes in the file that it has open; None where it has none.
        self.open: tuple[str, int] | None = None
        self.lost = 0


class SpoolModel(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.scratch = Path(tempfile.mkdtemp())
        self.directory = self.place = self.scratch / "state" / "spool"
        self.processes = [Process(self.directory) for _ in range(2)]
        self.numbers = count()
        self.files: dict[str, list[Stretch]] = {}
        self.positions: dict[str, int] = {}
        self.aside: dict[str, bytes] = {}
        self.taken: list[str] = []
        #: Appended, and neither damaged before it was read nor taken yet.
        self.owed: list[str] = []

    @rule(who=WRITERS, size=st.integers(0, 700))
    def append(self, who: int, size: int) -> None:
        process, text = self.processes[who], f"{next(self.numbers)} " + "x" * size
        buffers = record(text)
        waiting = sum(_length(one) for one in process.memory)
        if process.writer.append(buffers):
            self._written(process, [*process.memory, text])
            assert process.memory == []
            return
        self._written(process, process.memory)
        if waiting + _length(text) > 1200:
            process.lost += 1
        else:
            process.memory.append(text)

    @rule(who=WRITERS)
    def flush(self, who: int) -> None:
        process = self.processes[who]
        done = process.writer.flush(now=True)
        self._written(process, process.memory)
        assert done == (process.memory == [])

    @rule(who=WRITERS)
    def rotate(self, who: int) -> None:
        self.processes[who].writer.close()
        self.processes[who].open = None

    @rule(who=WRITERS, torn=st.none() | NOISE)
    def die(self, who: int, torn: bytes | None) -> None:
        process = self.processes[who]
        last = process.open
        process.writer.close()
        if last is not None and torn is not None:
            self._spoil(last[0], torn)
        self.processes[who] = Process(self.directory)

    @precondition(lambda self: self.place.is_dir())
    @rule(who=WRITERS, number=st.integers(0, 3))
    def refuse(self, who: int, number: int) -> None:
        """No file can be begun any more, and those that are open can be written; one process comes to feel it."""
        if self.place == self.directory:
            self.place = self.directory.rename(self.scratch / "away")
            self.directory.write_bytes(b"in the way")
        self.rotate(who)
        for _ in range(number):
            self.append(who, 0)

    @rule()
    def take_again(self) -> None:
        if self.place != self.directory:
            self.directory.unlink()
            self.place = self.place.rename(self.directory)

    @precondition(lambda self: self.files)
    @rule(data=st.data(), noise=NOISE)
    def garbage_at_an_end(self, data: st.DataObject, noise: bytes) -> None:
        self._spoil(data.draw(st.sampled_from(sorted(self.files))), noise)

    @precondition(lambda self: any(map(self._intact, self.files)))
    @rule(data=st.data(), bit=st.integers(0, 7))
    def a_bit_turns(self, data: st.DataObject, bit: int) -> None:
        name = data.draw(st.sampled_from(sorted(filter(self._intact, self.files))))
        broken = data.draw(st.sampled_from(self._intact(name)))
        at = data.draw(st.integers(broken.start, broken.end - 1))
        at += at == broken.start + len(spool.PREFIX)  # a higher version's number would be believed
        with (self.place / name).open("r+b") as file:
            file.seek(at)
            (byte,) = file.read(1)
            file.seek(at)
            file.write(bytes([byte ^ 1 << bit]))
        if broken.text is not None and broken.start >= self.positions.get(name, 0):
            self.owed.remove(broken.text)
        broken.text = None

    @precondition(lambda self: self.place == self.directory)
    @rule(most=st.integers(1, 4), committed=st.booleans())
    def read(self, most: int, committed: bool) -> None:
        """Read a part of every file; without its commit it is as if it had not happened."""
        for path in spool_files(self.directory):
            position = self.positions.get(path.name, 0)
            expected = [one for one in self._intact(path.name) if one.start >= position]
            with SpoolFile(path) as file:
                got = [(_text(one), one.end) for one, _ in zip(file.records(position), range(most), strict=False)]
            assert got == [(one.text, one.end) for one in expected[:most]]
            if committed and got:
                self._take([text for text, _ in got])
                self.positions[path.name] = got[-1][1]

    @precondition(lambda self: self.place == self.directory)
    @rule()
    def reap(self) -> None:
        """Read what nobody writes any more to its end and remove it; only damage is kept."""
        in_use = {process.open[0] for process in self.processes if process.open}
        for path in spool_files(self.directory):
            with SpoolFile(path) as file:
                assert file.abandoned() == (path.name not in in_use)
                if path.name in in_use:
                    continue
                position = self.positions.get(path.name, 0)
                self._take([_text(one) for one in file.records(position)])
                file.examine(file.record, lambda: None)
            intact = self._intact(path.name)
            last = intact[-1].end if intact else 0
            assert file.damaged == last - sum(one.end - one.start for one in intact)
            assert file.torn == path.stat().st_size - last
            if file.damaged:
                self.aside[path.name] = path.read_bytes()
            assert file.remove()
            del self.files[path.name]
            self.positions.pop(path.name, None)

    @invariant()
    def files_are_the_models(self) -> None:
        found = {path.name: path.stat().st_size for path in spool_files(self.place)}
        assert found == {name: stretches[-1].end if stretches else 0 for name, stretches in self.files.items()}
        aside = sorted((self.directory.parent / "damaged").glob("*"))
        assert {path.name.partition("-")[2]: path.read_bytes() for path in aside} == self.aside

    @invariant()
    def memory_is_the_models(self) -> None:
        for process in self.processes:
            assert (process.writer.backlog, process.writer.lost) == (len(process.memory), process.lost)

    @invariant()
    def waiting_records_are_counted(self) -> None:
        for name, stretches in self.files.items():
            position = self.positions.get(name, 0)
            ahead = [one for one in stretches if one.start >= position]
            if all(one.text is not None for one in ahead):
                assert reader.count(self.place / name, position) == len(ahead)

    def teardown(self) -> None:
        try:
            self.take_again()
            for process in self.processes:
                process.writer.flush(now=True)
                self._written(process, process.memory)
                process.writer.close()
                process.open = None
            self.reap()
            assert self.owed == []
            assert len(self.taken) == len(set(self.taken))
            assert spool_files(self.directory) == []
        finally:
            shutil.rmtree(self.scratch)

    def _written(self, process: Process, texts: list[str]) -> None:
        """Note where those of the texts stand that were written; the others are in memory."""
        left = list(texts)
        for path in sorted(self.place.glob("*.spool")):
            stretches = self.files.setdefault(path.name, [])
            end = stretches[-1].end if stretches else 0
            while end < path.stat().st_size:
                text = left.pop(0)
                stretches.append(Stretch(end, end + _length(text), text))
                self.owed.append(text)
                own = process.open[1] if process.open and process.open[0] == path.name else 0
                end, own = end + _length(text), own + _length(text)
                process.open = (path.name, own) if own < 900 else None
        process.memory = left

    def _spoil(self, name: str, noise: bytes) -> None:
        path = self.place / name
        if _has_newer(path.read_bytes() + noise):
            return  # the number of a higher version would be believed
        with path.open("ab") as file:
            file.write(noise)
        end = self.files[name][-1].end if self.files[name] else 0
        self.files[name].append(Stretch(end, end + len(noise), None))

    def _intact(self, name: str) -> list[Stretch]:
        return [one for one in self.files[name] if one.text is not None]

    def _take(self, texts: list[str]) -> None:
        for text in texts:
            self.owed.remove(text)
        self.taken += texts


def _has_newer(data: bytes) -> bool:
    """Tell whether a record of a newer version seems to begin somewhere, or may with what comes next."""
    return any(not version or version[0] > spool.VERSION for version in _behind_prefix(data))


def _behind_prefix(data: bytes) -> Iterator[bytes]:
    at = data.find(spool.PREFIX)
    while at != -1:
        at += len(spool.PREFIX)
        yield data[at : at + 1]
        at = data.find(spool.PREFIX, at)


def _length(text: str) -> int:
    return sum(map(len, record(text)))


def _text(read: Any) -> str:
    span = spool.decode(read.payload).span
    assert span is not None
    return str(span["attributes"]["text"])


TestSpoolModel = SpoolModel.TestCase
TestSpoolModel.settings = settings(max_examples=200, stateful_step_count=40, derandomize=True, database=None)
