"""A signal handler of the application ends a span, or shuts down, in the middle of whatever its thread does here."""

from __future__ import annotations

import collections
import queue
import subprocess
import sys
import threading
import weakref
from contextlib import closing
from types import MethodType, ModuleType
from typing import TYPE_CHECKING, Any

import pytest

from label_studio_otel.sdk import exporter, fork_safe_import, log_processor, open_spans, processor
from support.spooling import record

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

#: Never loaded by an application.
ELSEWHERE = ("label_studio_otel.cli", "label_studio_otel.receiver", "label_studio_otel.testing")
CONTAINERS = (list, tuple, set, frozenset, collections.deque, weakref.WeakSet)


def _inside(thing: Any) -> Iterator[tuple[str, Any]]:
    """Yield what a thing holds, with a name for each."""
    if isinstance(thing, (dict, weakref.WeakValueDictionary)):
        yield from ((f"[{key}]", value) for key, value in list(thing.items()))
    elif isinstance(thing, CONTAINERS):
        yield from ((f"[{at}]", one) for at, one in enumerate(list(thing)))
    elif isinstance(thing, weakref.ref):
        yield "()", thing()
    elif isinstance(thing, MethodType):
        yield ".__self__", thing.__self__
    elif isinstance(thing, ModuleType):
        yield from ((f".{name}", value) for name, value in list(vars(thing).items()))
    elif _is_ours(thing):
        slots = [name for kind in type(thing).__mro__ for name in getattr(kind, "__slots__", ())]
        for name in dict.fromkeys([*getattr(thing, "__dict__", {}), *slots]):
            if hasattr(thing, name):
                yield f".{name}", getattr(thing, name)


def _is_ours(thing: Any) -> bool:
    module = type(thing).__module__.partition(".")[0]
    return module in ("label_studio_otel", "threading", "queue") and not isinstance(thing, threading.Thread)


def _locks(root: Any, name: str) -> dict[str, type]:
    """Return the locks that can be reached from here: their paths and their types."""
    found: dict[str, type] = {}
    kept, waiting = {id(root): root}, [(name, root)]
    while waiting:
        path, thing = waiting.pop()
        if isinstance(thing, (type(threading.Lock()), type(threading.RLock()))):
            found[path] = type(thing)
        for step, inner in _inside(thing):
            if id(inner) not in kept and not isinstance(inner, ModuleType):
                kept[id(inner)] = inner
                waiting.append((path + step, inner))
    return found


def _locks_of_the_process() -> dict[str, type]:
    names = [name for name in sys.modules if name.partition(".")[0] == "label_studio_otel"]
    return {
        path: kind
        for name in sorted(names)
        if not name.startswith(ELSEWHERE)
        for path, kind in _locks(sys.modules[name], name).items()
    }


def test_every_lock_in_an_application_is_reentrant(tmp_path: Path) -> None:
    settings = {"url": "http://127.0.0.1:9", "state_dir": tmp_path, "delivery": "off"}
    live = processor.LabelStudioSpanProcessor(**settings), exporter.LabelStudioSpanExporter(**settings)
    events = log_processor.LabelStudioLogRecordProcessor(open_spans=open_spans.OpenSpans(), **settings)
    recorder = live[0]._boundary._recorder()
    recorder.append(record(), "a key")
    asked: list[dict[str, type]] = []
    with closing(fork_safe_import.deliverer()(recorder.settings)) as deliverer:
        assert deliverer.take_lock()
        recorder._waiter.wait(0, wake=lambda: asked.append(_locks_of_the_process()))
        (locks,) = asked
        for name, one in (("processor", live[0]), ("exporter", live[1]), ("events", events), ("deliverer", deliverer)):
            locks |= _locks(one, name)
    assert [path for path, kind in locks.items() if kind is not type(threading.RLock())] == []
    assert {
        "label_studio_otel.sdk.fork_safe_import._importing.lock",
        "label_studio_otel.process.lock",
        "processor._boundary._known_recorder._waiter._lock",
        "processor._boundary._known_recorder._delivery._lock",
        "processor._boundary._known_recorder._writer._lock",
        "deliverer.outbox.database.lock",
    } <= set(locks)


@pytest.mark.parametrize(
    "thing",
    [
        threading.Lock(),
        threading.Event(),
        threading.Semaphore(),
        threading.Condition(threading.Lock()),
        queue.Queue(),
        [{"a": (threading.Lock(),)}],
    ],
    ids=lambda thing: type(thing).__name__,
)
def test_a_plain_lock_is_found_wherever_it_is(thing: Any) -> None:
    assert type(threading.Lock()) in _locks(thing, "thing").values()


PROGRAM = """
import opentelemetry.metrics, os, signal, sys, threading
from opentelemetry.sdk.trace import TracerProvider
from label_studio_otel import LabelStudioSpanProcessor, process
from label_studio_otel.metrics import instruments as metrics
from label_studio_otel.sdk import delivery_thread, recorder
from label_studio_otel.spool import encoder, open_file, writer

ours = LabelStudioSpanProcessor(url="http://127.0.0.1:9", state_dir=sys.argv[1])
provider = TracerProvider(shutdown_on_exit=False)
provider.add_span_processor(ours)

def call(*_):
    with provider.get_tracer("app").start_as_current_span("call", attributes={"gen_ai.operation.name": "chat"}):
        pass

def interrupted(*args, **options):
    setattr(owner, name, original)
    signal.raise_signal(signal.SIGUSR1)
    return original(*args, **options)

signal.signal(signal.SIGUSR1, call)
owner, name = PLACE
original = getattr(owner, name)
setattr(owner, name, interrupted)
call()
kept = ours._boundary._known_recorder
assert getattr(owner, name) is original
print([thread.name for thread in threading.enumerate()].count("LabelStudioDelivery"), kept._writer.taken,
      kept is recorder._by_directory[kept._directory], flush=True)
os._exit(0)
"""


@pytest.mark.parametrize(
    "place",
    [
        '(metrics, "instruments")',
        '(process, "register")',
        '(recorder.Recorder, "__init__")',
        '(encoder.RecordEncoder, "encode")',
        '(delivery_thread.DeliveryThread, "_start_thread")',
        '(writer, "make_directory")',
        '(open_file, "_write")',
    ],
)
def test_a_signal_handler_may_end_a_call_while_its_thread_takes_the_first_one(place: str, tmp_path: Path) -> None:
    ran = subprocess.run(
        [sys.executable, "-c", PROGRAM.replace("PLACE", place), str(tmp_path)],
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    assert (ran.stdout, ran.stderr) == ("1 2 True\n", "")
