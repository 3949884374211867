"""The delivering thread of an application's process: by itself within seconds, and bounded at the end."""

from __future__ import annotations

import socket
import threading
import time
from typing import TYPE_CHECKING, Any

import pytest
from opentelemetry.sdk.trace import TracerProvider

from label_studio_otel import LabelStudioSpanProcessor, log
from label_studio_otel.delivery.lock import DirectoryLock
from label_studio_otel.sdk import boundary, delivery_thread, fork_safe_import
from label_studio_otel.sdk.delivery_waiter import ReentrantEvent
from label_studio_otel.sdk.recorder import Recorder
from label_studio_otel.settings import load
from label_studio_otel.testing import FakeLabelStudio, Fault, span
from support.delivering import all_tasks, copies, record
from support.sdk import CALL
from support.servers import wait_for

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(delivery_thread, "SETTLE_DELAY_S", 0.0)
    monkeypatch.setattr(delivery_thread, "STEP_INTERVAL_S", 0.02)
    yield
    wait_for(lambda: not _threads(), timeout=10, what="end of the delivering thread")


def _threads() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name == "LabelStudioDelivery"]


def _recorder(directory: Path, url: str, **settings: Any) -> Recorder:
    arguments = {"url": url, "api_key": FakeLabelStudio.token, "state_dir": directory, **settings}
    return Recorder(load(arguments, {}))


def test_a_call_is_delivered_while_the_application_runs(tmp_path: Path, fake: FakeLabelStudio) -> None:
    running = _recorder(tmp_path, fake.url)
    assert _threads() == []
    for number in (1, 2):
        running.append(record(span(number=number)))
        wait_for(lambda number=number: len(all_tasks(fake)) == number, timeout=10)
    assert [thread.daemon for thread in _threads()] == [True]
    assert running.shutdown(5)
    assert copies(fake) == {"1": 1, "2": 1}


def test_the_end_waives_the_settling(tmp_path: Path, fake: FakeLabelStudio, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(delivery_thread, "SETTLE_DELAY_S", 3600.0)
    running = _recorder(tmp_path, fake.url)
    running.append(record(span(number=1)))
    assert running.shutdown(10)
    assert copies(fake) == {"1": 1}


def test_of_two_processors_for_one_server_the_first_with_a_token_delivers(
    tmp_path: Path, fake: FakeLabelStudio, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(boundary, "_exit_end", 0.0)
    shared: dict[str, Any] = {"url": fake.url, "state_dir": tmp_path, "shutdown_timeout": 20}
    provider = TracerProvider(shutdown_on_exit=False)
    provider.add_span_processor(LabelStudioSpanProcessor(**shared, operations={"text_completion"}))
    provider.add_span_processor(LabelStudioSpanProcessor(**shared, operations={"chat"}, api_key=fake.token))
    with provider.get_tracer("app").start_as_current_span("call", attributes=CALL):
        pass
    provider.shutdown()
    assert len(all_tasks(fake)) == 1


def test_a_token_that_comes_while_calls_wait_for_one_delivers_them(tmp_path: Path, fake: FakeLabelStudio) -> None:
    waiting = _recorder(tmp_path, fake.url, api_key=None)
    waiting.append(record(span(number=1)))
    wait_for(lambda: waiting._health.delivery_problems, timeout=10)
    waiting.use_token(fake.token)
    wait_for(lambda: copies(fake) == {"1": 1}, timeout=20)
    assert waiting.shutdown(10)


class _WatchedEvent(ReentrantEvent):
    """An event that tells when a thread begins to wait for it."""

    def __init__(self) -> None:
        super().__init__()
        self.waited_for = threading.Event()

    def wait(self, timeout: float) -> bool:
        self.waited_for.set()
        return super().wait(timeout)


def test_the_end_wakes_a_thread_that_waits_for_its_next_look(
    tmp_path: Path, fake: FakeLabelStudio, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(delivery_thread, "STEP_INTERVAL_S", 3600.0)
    running = _recorder(tmp_path, fake.url)
    running._delivery._wake = wake = _WatchedEvent()
    running.append(record(span(number=1)))
    assert wake.waited_for.wait(30)
    assert running.shutdown(10)
    assert copies(fake) == {"1": 1}


def test_a_hanging_server_delays_the_end_by_the_time_out_at_most(
    tmp_path: Path, fake: FakeLabelStudio, caplog: pytest.LogCaptureFixture
) -> None:
    fake.fail(Fault(method="GET", path="/api", wait=60))
    running = _recorder(tmp_path, fake.url)
    running.append(record(span(number=1)))
    wait_for(lambda: fake.requests, timeout=10)
    begun = time.monotonic()
    assert not running.shutdown(0.2)
    assert time.monotonic() - begun < 2
    assert [entry.getMessage() for entry in caplog.records] == [
        "label-studio-otel: not all LLM calls were delivered within 0.2 s; they are kept in "
        f"{running._directory} and sent by the next process that uses it, or now by `label-studio-otel deliver`"
    ]
    fake.closing.set()


def test_what_could_not_be_sent_is_sent_by_the_next_process(
    tmp_path: Path, fake: FakeLabelStudio, caplog: pytest.LogCaptureFixture
) -> None:
    fake.fail(Fault(method="GET", path="/api/projects/", status=503))
    first = _recorder(tmp_path, fake.url)
    first.append(record(span(number=1)))
    assert not first.shutdown(10)
    assert len(caplog.records) == 1
    second = _recorder(tmp_path, fake.url)
    second.append(record(span(number=2)))
    assert second.shutdown(10)
    assert copies(fake) == {"1": 1, "2": 1}


def test_with_delivery_off_calls_are_kept_and_nothing_is_sent(tmp_path: Path, fake: FakeLabelStudio) -> None:
    quiet = _recorder(tmp_path, fake.url, delivery="off")
    quiet.append(record(span(number=1)))
    assert _threads() == []
    assert quiet.shutdown(10)
    assert fake.requests == []
    assert len(list(tmp_path.glob("*/spool/*.spool"))) == 1


def test_where_another_process_delivers_the_end_does_not_wait(tmp_path: Path, fake: FakeLabelStudio) -> None:
    fake.fail(*(Fault(method="GET", path="/api/projects/", status=403) for _ in range(9)))
    first = _recorder(tmp_path, fake.url)
    first.append(record(span(number=1)))
    wait_for(lambda: fake.requests, timeout=10)
    second = _recorder(tmp_path, fake.url)
    second.append(record(span(number=2)))
    assert second.shutdown(10)
    assert not first.shutdown(10)


def test_a_call_after_the_shutdown_begins_anew(tmp_path: Path, fake: FakeLabelStudio) -> None:
    running = _recorder(tmp_path, fake.url)
    running.append(record(span(number=1)))
    assert running.shutdown(10)
    running.append(record(span(number=2)))
    assert running.shutdown(10)
    assert copies(fake) == {"1": 1, "2": 1}


def test_delivery_begins_anew_after_a_shutdown_whose_time_was_up(tmp_path: Path, fake: FakeLabelStudio) -> None:
    fake.fail(Fault(method="GET", path="/api", wait=0.5))
    running = _recorder(tmp_path, fake.url)
    running.append(record(span(number=1)))
    wait_for(lambda: fake.requests, timeout=10)
    assert not running.shutdown(0.1)
    wait_for(lambda: not _threads(), timeout=10)
    running.append(record(span(number=2)))
    assert running.shutdown(10)
    assert copies(fake) == {"1": 1, "2": 1}


def test_a_process_that_does_not_deliver_never_writes_the_outbox(tmp_path: Path, fake: FakeLabelStudio) -> None:
    holder = DirectoryLock(load({"url": fake.url, "state_dir": tmp_path}, {}).directory)
    assert holder.acquire()
    other = _recorder(tmp_path, fake.url)
    other.append(record(span(number=1)))
    assert other.shutdown(10)
    assert list(tmp_path.glob("*/outbox.db")) == []
    holder.release()


def test_an_error_nobody_thought_of_is_said_without_its_message_and_delivery_goes_on(
    tmp_path: Path, fake: FakeLabelStudio, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise RuntimeError("what somebody said")

    running = _recorder(tmp_path, fake.url)
    with monkeypatch.context() as broken:
        broken.setattr(socket, "create_connection", fail)
        running.append(record(span(number=1)))
        wait_for(lambda: caplog.records, timeout=10)
    running.append(record(span(number=2)))
    wait_for(lambda: copies(fake) == {"1": 1, "2": 1}, timeout=20)
    assert running.shutdown(10)
    assert "RuntimeError" in caplog.text
    assert "what somebody said" not in caplog.text


def test_an_error_beside_the_step_ends_no_delivery(
    tmp_path: Path, fake: FakeLabelStudio, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(log, "_said", set())
    looked: list[bool] = []

    def look(_: object) -> None:
        looked.append(True)
        if len(looked) == 1:
            raise RuntimeError("what somebody said")

    running = _recorder(tmp_path, fake.url)
    monkeypatch.setattr(running._metrics, "update_backlog", look)
    running.append(record(span(number=1)))
    wait_for(lambda: copies(fake) == {"1": 1}, timeout=20)
    assert running.shutdown(10)
    assert "delivery failed with RuntimeError in look" in caplog.text
    assert "what somebody said" not in caplog.text


def test_a_deliverer_that_cannot_be_made_is_tried_again_and_the_end_says_what_is_left(
    tmp_path: Path, fake: FakeLabelStudio, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(log, "_said", set())
    monkeypatch.setattr(delivery_thread, "RESTART_DELAY_S", 0.02)
    imports: list[bool] = []

    def fail() -> None:
        imports.append(True)
        raise ImportError("what somebody said")

    running = _recorder(tmp_path, fake.url)
    with monkeypatch.context() as broken:
        broken.setattr(fork_safe_import, "deliverer", fail)
        running.append(record(span(number=1)))
        wait_for(lambda: len(imports) > 2, timeout=10)
    wait_for(lambda: copies(fake) == {"1": 1}, timeout=10)
    assert running.shutdown(10)
    assert [entry.getMessage().partition(" in ")[0] for entry in caplog.records] == [
        "label-studio-otel: delivery ended with ImportError"
    ]


def test_the_end_says_what_is_left_where_no_deliverer_can_be_made(
    tmp_path: Path, fake: FakeLabelStudio, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail() -> None:
        raise ImportError

    monkeypatch.setattr(log, "_said", set())
    monkeypatch.setattr(fork_safe_import, "deliverer", fail)
    running = _recorder(tmp_path, fake.url)
    running.append(record(span(number=1)))
    assert not running.shutdown(10)
    assert caplog.messages[-1].startswith("label-studio-otel: not all LLM calls were delivered within 10 s")
