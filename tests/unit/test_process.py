"""A fork holds the parts of the process still, in one order, and resets them in the child."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

import label_studio_otel
from label_studio_otel import process
from label_studio_otel.process import ForkOrder, ForkPart

if TYPE_CHECKING:
    from collections.abc import Callable

ROOT = Path(label_studio_otel.__file__).parent


class _Part(ForkPart):
    """A part that notes what a fork does to it, and has a lock."""

    def __init__(self, name: str, order: ForkOrder, calls: list[str]) -> None:
        self.name = name
        self.calls = calls
        self.lock = threading.RLock()
        process.register(self, order)

    def before_fork(self) -> Callable[[], None] | None:
        self.calls.append(f"before {self.name}")
        lock = self.lock
        lock.acquire()

        def release() -> None:
            self.calls.append(f"parent {self.name}")
            lock.release()

        return release

    def reset_in_child(self) -> None:
        self.calls.append(f"child {self.name}")
        self.lock = threading.RLock()


def _is_free(lock: Any) -> bool:
    """Return whether another thread can acquire a lock."""
    acquired: list[bool] = []

    def attempt() -> None:
        acquired.append(lock.acquire(blocking=False))
        if acquired[0]:
            lock.release()

    thread = threading.Thread(target=attempt)
    thread.start()
    thread.join()
    return acquired[0]


def _in_child(answer: Callable[[], str], fork: Callable[[], int] = os.fork) -> str:
    """Fork, and return what the child answers."""
    reading, writing = os.pipe()
    child = fork()
    if child == 0:
        try:
            os.write(writing, answer().encode())
        finally:
            os._exit(0)
    os.close(writing)
    os.waitpid(child, 0)
    with open(reading, "rb") as pipe:
        return pipe.read().decode()


@pytest.fixture
def calls() -> list[str]:
    return []


@pytest.fixture
def parts(calls: list[str]) -> list[_Part]:
    """Parts of each place in the order, registered the other way round."""
    return [_Part(order.name.lower(), order, calls) for order in reversed(ForkOrder)]


def test_no_thread_is_started_while_the_interpreter_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "is_finalizing", lambda: True)
    with pytest.raises(RuntimeError, match="the interpreter is ending"):
        process.start_thread(lambda: None, "never")


END_WITH_A_CALL = """
import builtins, sys
from opentelemetry.sdk.trace import TracerProvider
from label_studio_otel import LabelStudioSpanProcessor

class Last:
    def __init__(self, call): self.call = call
    def __del__(self): self.call()

def last():
    processor.on_end(span)
    print(processor.force_flush(100), flush=True)

settings = {"state_dir": sys.argv[1], "flush": sys.argv[2], "url": "http://127.0.0.1:9", "shutdown_timeout": 10}
processor = LabelStudioSpanProcessor(**settings)
tracer = TracerProvider(shutdown_on_exit=False).get_tracer("x")
span = tracer.start_span("chat", attributes={"gen_ai.operation.name": "chat"})
span.end()
builtins.last = Last(last)
"""


@pytest.mark.parametrize(("flush", "is_flushed"), [("durable", "True"), ("delivered", "False")])
@pytest.mark.parametrize("first", ["", "processor.on_end(span); processor.shutdown()"])
def test_an_interpreter_that_ends_with_a_call_ends_and_keeps_it(
    tmp_path: Path, first: str, flush: str, is_flushed: str
) -> None:
    program = [sys.executable, "-c", END_WITH_A_CALL + first, str(tmp_path), flush]
    ended = subprocess.run(program, capture_output=True, text=True, timeout=30, check=True)
    assert ended.stdout == f"{is_flushed}\n"
    assert sum(path.stat().st_size > 0 for path in tmp_path.glob("*/spool/*.spool")) >= 1


def test_the_package_registers_fork_hooks_in_one_place() -> None:
    found = {
        str(path.relative_to(ROOT)) for path in ROOT.rglob("*.py") if "register_at_fork(" in path.read_text("utf-8")
    }
    assert found == {"process.py"}
    assert (ROOT / "process.py").read_text("utf-8").count("os.register_at_fork(") == 1


@pytest.mark.usefixtures("parts")
def test_parts_are_held_and_reset_in_their_order_and_released_in_the_reverse(calls: list[str]) -> None:
    held = ["before imports", "before outboxes", "before spools", "before recorders"]
    assert _in_child(lambda: ", ".join(calls)).split(", ") == [
        *held,
        "child imports",
        "child outboxes",
        "child spools",
        "child recorders",
    ]
    assert calls == [*held, "parent recorders", "parent spools", "parent outboxes", "parent imports"]


def test_the_child_has_a_lock_of_its_own_where_another_thread_of_the_parent_held_it() -> None:
    held, done = threading.Event(), threading.Event()

    def hold() -> None:
        with process.lock:
            held.set()
            done.wait(30)

    thread = threading.Thread(target=hold)
    thread.start()
    assert held.wait(30)
    assert _in_child(lambda: str(process.lock.acquire(timeout=5))) == "True"
    done.set()
    thread.join()


def test_a_part_that_fails_keeps_no_other_from_being_held_released_and_reset(calls: list[str]) -> None:
    class Failing(ForkPart):
        def before_fork(self) -> Callable[[], None]:
            raise OSError

        def reset_in_child(self) -> None:
            raise OSError

    failing, part = Failing(), _Part("part", ForkOrder.RECORDERS, calls)
    process.register(failing, ForkOrder.IMPORTS)
    assert _in_child(lambda: ", ".join(calls)) == "before part, child part"
    assert calls == ["before part", "parent part"]
    assert _is_free(part.lock)


def test_a_part_is_forgotten_with_its_owner(calls: list[str]) -> None:
    part = _Part("part", ForkOrder.SPOOLS, calls)
    del part
    assert _in_child(lambda: ", ".join(calls)) == ""
    assert calls == []


class _Forking(_Part):
    """A part that forks once in the middle of a fork, as a signal handler of the application may."""

    def __init__(self, where: str, calls: list[str]) -> None:
        super().__init__("forking", ForkOrder.OUTBOXES, calls)
        self.where = where
        self.inner = ""

    def _fork(self, where: str) -> None:
        if self.where == where:
            self.where = ""
            self.inner = _in_child(lambda: "ended")

    def before_fork(self) -> Callable[[], None] | None:
        self._fork("before it is held")
        release = super().before_fork()
        self._fork("while it is held")
        assert release is not None

        def releasing() -> None:
            self._fork("before it is released")
            release()
            self._fork("after it is released")

        return releasing

    def reset_in_child(self) -> None:
        self._fork("in the child")
        super().reset_in_child()


@pytest.mark.parametrize(
    "where", ["before it is held", "while it is held", "before it is released", "after it is released", "in the child"]
)
def test_a_fork_in_the_middle_of_a_fork_leaves_nothing_held(where: str, calls: list[str]) -> None:
    first = _Part("first", ForkOrder.IMPORTS, calls)
    forking = _Forking(where, calls)
    last = _Part("last", ForkOrder.RECORDERS, calls)
    outer = _in_child(lambda: f"{forking.inner} {[_is_free(part.lock) for part in (first, forking, last)]}")
    assert outer.endswith("[True, True, True]")
    assert "ended" in outer + forking.inner
    assert [_is_free(part.lock) for part in (first, forking, last)] == [True, True, True]
    assert process._forks.releases == []


def test_the_child_of_an_inner_fork_goes_on_with_the_outer_one(calls: list[str]) -> None:
    """A signal handler that forks, and returns in the child, as a daemon's does."""
    reading, writing = os.pipe()

    class Daemon(_Part):
        forked = False

        def before_fork(self) -> Callable[[], None] | None:
            release = super().before_fork()
            if not Daemon.forked:
                Daemon.forked = True
                if child := os.fork():
                    os.waitpid(child, 0)
                    raise OSError  # the parent's part of this test ends here
            return release

    part, last = Daemon("daemon", ForkOrder.OUTBOXES, calls), _Part("last", ForkOrder.RECORDERS, calls)
    here = os.getpid()
    child = os.fork()
    if child == 0:
        os._exit(0)
    os.waitpid(child, 0)
    if os.getpid() != here:
        answer = f"{[_is_free(one.lock) for one in (part, last)]} {process._forks.releases}"
        os.write(writing, answer.encode())
        os._exit(0)
    os.close(writing)
    with open(reading, "rb") as pipe:
        assert pipe.read().decode() == "[True, True] []"
