"""`force_flush` and `shutdown`: what they promise, and that they keep to their seconds whatever hangs."""

from __future__ import annotations

import os
import sqlite3
import threading
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import pytest

from label_studio_otel.delivery.deliverer import Deliverer
from label_studio_otel.outbox.outbox import Outbox
from label_studio_otel.sdk import delivery_thread
from label_studio_otel.sdk.recorder import Recorder
from label_studio_otel.settings import load
from label_studio_otel.spool import writer
from label_studio_otel.testing import FakeLabelStudio, Fault, span
from support.delivering import copies, imports, record
from support.servers import wait_for

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

#: Seconds that a machine with two busy cores may need on top of a time-out.
SLACK = 0.3


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(delivery_thread, "SETTLE_DELAY_S", 0.0)
    monkeypatch.setattr(delivery_thread, "STEP_INTERVAL_S", 0.02)
    monkeypatch.setattr(delivery_thread, "STEP_INTERVAL_WITH_WAITERS_S", 0.02)
    before = _threads()
    yield
    wait_for(lambda: not _threads() - before, timeout=10, what="end of our threads")


def _threads() -> set[threading.Thread]:
    """Return the threads that we began: those of an earlier test may end later."""
    return {thread for thread in threading.enumerate() if thread.name.startswith("LabelStudio")}


def _recorder(directory: Path, url: str, **settings: Any) -> Recorder:
    arguments = {"url": url, "api_key": FakeLabelStudio.token, "state_dir": directory, **settings}
    return Recorder(load(arguments, {}))


def _append(running: Recorder, number: int) -> None:
    one = span(number=number)
    running.append(record(one), one.key)


def _pending(running: Recorder) -> int:
    """Return how many calls wait in the outbox of a recorder."""
    outbox = Outbox.in_file(running._directory / "outbox.db", read_only=True)
    try:
        return outbox.overview.summary().states["pending"]
    finally:
        outbox.close()


@contextmanager
def _within(seconds: float) -> Iterator[None]:
    begun = time.monotonic()
    yield
    assert time.monotonic() - begun < seconds + SLACK


class Disk:
    """A disk that hangs on request: a system call on it does not return before it is released."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.hangs = False
        self.hanging = threading.Event()
        self.released = threading.Event()
        for name in ("open", "write", "writev"):
            monkeypatch.setattr(writer.os, name, self._call(getattr(os, name)))

    def _call(self, call: Any) -> Any:
        def held(*arguments: Any, **options: Any) -> Any:
            if self.hangs:
                self.hanging.set()
                self.released.wait(30)
            return call(*arguments, **options)

        return held


@pytest.fixture
def disk(monkeypatch: pytest.MonkeyPatch) -> Iterator[Disk]:
    disk = Disk(monkeypatch)
    yield disk
    disk.hangs = False
    disk.released.set()


def test_what_was_taken_is_durable_at_once(tmp_path: Path, fake: FakeLabelStudio) -> None:
    running = _recorder(tmp_path, fake.url, delivery="off")
    assert running.flush(0)
    assert running.flush(-1)
    _append(running, 1)
    with _within(0):
        assert running.flush(30)
    assert running.shutdown(1)


def test_durable_does_not_wait_for_a_label_studio_that_hangs(tmp_path: Path, fake: FakeLabelStudio) -> None:
    fake.fail(Fault(method="GET", path="/api", wait=60))
    running = _recorder(tmp_path, fake.url)
    _append(running, 1)
    wait_for(lambda: fake.requests, timeout=10)
    with _within(0):
        assert running.flush(30)
    with _within(0.2):
        assert not running.shutdown(0.2)
    fake.closing.set()


def test_delivered_waits_until_calls_are_tasks(tmp_path: Path, fake: FakeLabelStudio) -> None:
    running = _recorder(tmp_path, fake.url)
    for number in (1, 2, 3):
        _append(running, number)
    assert running.flush(10, delivered=True)
    assert copies(fake) == {"1": 1, "2": 1, "3": 1}
    assert running.shutdown(10)


def test_delivered_waives_the_settling_of_what_was_taken_and_of_nothing_later(
    tmp_path: Path, fake: FakeLabelStudio, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(delivery_thread, "SETTLE_DELAY_S", 3600.0)
    running = _recorder(tmp_path, fake.url)
    _append(running, 1)
    assert running.flush(10, delivered=True)
    assert copies(fake) == {"1": 1}
    seen = len(imports(fake))
    _append(running, 2)
    wait_for(lambda: _pending(running) == 1, timeout=10)
    assert len(imports(fake)) == seen
    assert running.shutdown(10)
    assert copies(fake) == {"1": 1, "2": 1}


def test_delivered_is_false_at_the_time_out_where_label_studio_hangs(tmp_path: Path, fake: FakeLabelStudio) -> None:
    fake.fail(Fault(method="GET", path="/api", wait=60))
    running = _recorder(tmp_path, fake.url)
    _append(running, 1)
    with _within(0.3):
        assert not running.flush(0.3, delivered=True)
    with _within(0.2):
        assert not running.shutdown(0.2)
    fake.closing.set()


def test_delivered_is_false_at_once_for_a_call_that_was_parked(tmp_path: Path, fake: FakeLabelStudio) -> None:
    running = _recorder(tmp_path, fake.url)
    broken = span(number=1)
    running.append(record(span(number=1, attributes={"gen_ai.input.messages": 7})), broken.key)
    with _within(10):
        assert not running.flush(60, delivered=True)
    _append(running, 2)
    assert running.flush(10, delivered=True)
    assert running.shutdown(10)


def test_delivered_is_known_also_where_another_process_delivers(tmp_path: Path, fake: FakeLabelStudio) -> None:
    holder, other = _recorder(tmp_path, fake.url), _recorder(tmp_path, fake.url)
    _append(holder, 1)
    assert holder.flush(10, delivered=True)
    _append(other, 2)
    assert other.flush(10, delivered=True)
    assert copies(fake) == {"1": 1, "2": 1}
    assert other.shutdown(10)
    assert holder.shutdown(10)


def test_delivered_is_false_at_the_time_out_where_another_process_delivers_and_cannot(
    tmp_path: Path, fake: FakeLabelStudio
) -> None:
    fake.fail(*(Fault(method="GET", path="/api/projects/", status=403) for _ in range(20)))
    holder, other = _recorder(tmp_path, fake.url), _recorder(tmp_path, fake.url)
    _append(holder, 1)
    wait_for(lambda: fake.requests, timeout=10)
    _append(other, 2)
    with _within(0.3):
        assert not other.flush(0.3, delivered=True)
    other.shutdown(10)
    holder.shutdown(10)


def test_delivered_is_known_where_delivery_is_off_and_a_command_delivers(tmp_path: Path, fake: FakeLabelStudio) -> None:
    quiet = _recorder(tmp_path, fake.url, delivery="off")
    _append(quiet, 1)
    with _within(0.2):
        assert not quiet.flush(0.2, delivered=True)
    deliverer = Deliverer(quiet.settings)
    stop = threading.Event()

    def deliver() -> None:
        while not stop.is_set():
            deliverer.step()
            stop.wait(0.02)

    command = threading.Thread(target=deliver)
    command.start()
    assert quiet.flush(10, delivered=True)
    stop.set()
    command.join()
    deliverer.close()
    assert copies(fake) == {"1": 1}
    assert quiet.shutdown(1)


def test_no_thread_of_the_application_opens_the_outbox(
    tmp_path: Path, fake: FakeLabelStudio, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened: set[str] = set()
    connect = sqlite3.connect

    def connecting(*arguments: Any, **options: Any) -> sqlite3.Connection:
        opened.add(threading.current_thread().name)
        return connect(*arguments, **options)

    monkeypatch.setattr(sqlite3, "connect", connecting)
    holder, other = _recorder(tmp_path, fake.url), _recorder(tmp_path, fake.url)
    quiet = _recorder(tmp_path, fake.url, delivery="off")
    for number, one in enumerate((holder, other, quiet)):
        _append(one, number + 1)
        assert one.flush(10, delivered=True)
    for one in (quiet, other, holder):
        assert one.shutdown(10)
    assert opened == {"LabelStudioDelivery"}


def test_calls_after_a_shutdown_are_delivered_by_a_flush_too(tmp_path: Path, fake: FakeLabelStudio) -> None:
    running = _recorder(tmp_path, fake.url)
    _append(running, 1)
    assert running.shutdown(10)
    _append(running, 2)
    assert running.flush(10, delivered=True)
    assert copies(fake) == {"1": 1, "2": 1}
    assert running.shutdown(10)


@pytest.mark.parametrize("delivered", [False, True])
def test_a_write_of_another_thread_that_hangs_is_not_waited_for(
    tmp_path: Path, fake: FakeLabelStudio, disk: Disk, delivered: bool
) -> None:
    running = _recorder(tmp_path, fake.url, delivery="off")
    _append(running, 1)
    disk.hangs = True
    thread = threading.Thread(target=_append, args=(running, 2))
    thread.start()
    assert disk.hanging.wait(10)
    with _within(0.3):
        assert not running.flush(0.3, delivered=delivered)
    with _within(0.3):
        assert not running.shutdown(0.3)
    disk.hangs = False
    disk.released.set()
    thread.join()
    assert running.flush(5)
    assert running.shutdown(1)


def test_a_disk_that_refused_and_now_hangs_is_not_waited_for(tmp_path: Path, fake: FakeLabelStudio, disk: Disk) -> None:
    running = _recorder(tmp_path, fake.url, delivery="off")
    running._directory.parent.mkdir(parents=True, exist_ok=True)
    running._directory.write_text("in the way")
    _append(running, 1)
    assert running._writer.backlog == 1
    running._directory.unlink()
    disk.hangs = True
    for _ in range(3):
        with _within(0.2):
            assert not running.flush(0.2)
    assert [thread.name for thread in _threads()].count("LabelStudioFlush") == 1
    with _within(0.2):
        assert not running.shutdown(0.2)
    disk.hangs = False
    disk.released.set()
    wait_for(lambda: running._writer.backlog == 0, timeout=10)
    assert running.flush(5)


def test_at_the_end_of_the_interpreter_what_waits_in_memory_is_written_without_another_thread(
    tmp_path: Path, fake: FakeLabelStudio, monkeypatch: pytest.MonkeyPatch
) -> None:
    running = _recorder(tmp_path, fake.url, delivery="off")
    running._directory.parent.mkdir(parents=True, exist_ok=True)
    running._directory.write_text("in the way")
    _append(running, 1)
    running._directory.unlink()

    def refuse(_: threading.Thread) -> None:
        raise RuntimeError("can't create new thread at interpreter shutdown")

    monkeypatch.setattr(threading.Thread, "start", refuse)
    assert running.flush(5)
    assert running.shutdown(1)
    assert len(list(tmp_path.glob("*/spool/*.spool"))) == 1


def test_a_spool_that_holds_what_it_may_is_said_once_and_delivery_makes_room(
    tmp_path: Path, fake: FakeLabelStudio, caplog: pytest.LogCaptureFixture
) -> None:
    quiet = _recorder(tmp_path, fake.url, delivery="off", max_state_bytes=8000)
    for number in range(1, 30):
        _append(quiet, number)
    assert quiet._writer.backlog > 0
    assert not quiet.flush(0.5)
    assert [entry.getMessage() for entry in caplog.records] == [
        f"label-studio-otel: {quiet._directory}: it holds as much as LABEL_STUDIO_OTEL_MAX_STATE_BYTES allows, 8000 "
        "bytes; LLM calls wait in memory, and are lost with this process, until some were delivered. "
        "`label-studio-otel status` says what waits, and why"
    ]
    deliverer = Deliverer(load({"url": fake.url, "api_key": fake.token, "state_dir": tmp_path}, {}))
    while quiet._writer.backlog or deliverer.step():
        deliverer.step()
        quiet.flush(5)
    deliverer.close()
    assert set(copies(fake).values()) == {1}
    assert len(copies(fake)) == 29
    assert quiet.shutdown(1)
