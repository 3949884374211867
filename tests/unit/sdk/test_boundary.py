"""What a processor and an exporter have in common: destinations by the date of the call, one shutdown for all."""

from __future__ import annotations

import gc
import os
import re
import signal
import threading
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any
from unittest import mock

import pytest
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider

from label_studio_otel import process
from label_studio_otel.sdk import boundary, recorder
from label_studio_otel.sdk.boundary import Boundary
from label_studio_otel.settings import SETTINGS
from label_studio_otel.spans import Span
from label_studio_otel.spool import record as spool
from support.pages import ROOT
from support.sdk import SdkTest

if TYPE_CHECKING:
    from collections.abc import Iterator

    from label_studio_otel.settings import Destination


@contextmanager
def _held_by_another_thread(lock: Any) -> Iterator[None]:
    held, done = threading.Event(), threading.Event()

    def hold() -> None:
        with lock:
            held.set()
            done.wait(60)

    thread = threading.Thread(target=hold)
    thread.start()
    held.wait(60)
    yield
    done.set()
    thread.join()


class BoundaryTest(SdkTest):
    def ended(self, **options: Any) -> Any:
        """Return a finished span of an LLM call."""
        self.call(**options)
        return self.memory_exporter.get_finished_spans()[-1]

    def destinations(self) -> list[Destination | None]:
        return [record.destination for record in self.records()]

    def test_the_project_is_that_of_the_day_of_the_call(self) -> None:
        ours = Boundary({**self.settings, "project_name": "%Y"})
        span = self.ended()
        for year in (2024, 2025, 2025):
            noon = int(time.mktime((year, 7, 1, 12, 0, 0, 0, 0, -1))) * 1_000_000_000
            with mock.patch.object(span, "_start_time", noon):
                ours.on_end(span)
        assert [one and one.project_name for one in self.destinations()] == ["2024", "2025", "2025"]

    def test_each_provider_keeps_its_resource(self) -> None:
        ours = Boundary(self.settings)
        for name in ("one", "two", "one"):
            self.tracer_provider = TracerProvider(resource=Resource({"service.name": name}))
            with mock.patch.object(self.tracer_provider, "_active_span_processor") as processor:
                self.call()
                ours.on_end(processor.on_end.call_args.args[0])
        assert [record.span and record.span["resource"] for record in self.records()] == [
            {"service.name": "one"},
            {"service.name": "two"},
            {"service.name": "one"},
        ]

    def test_all_of_a_process_share_one_file(self) -> None:
        for name in ("One", "Two"):
            Boundary({**self.settings, "project_name": name}).on_end(self.ended())
        assert len(list(self.state_dir.glob("*/spool/*"))) == 1
        assert len(self.records()) == 2

    def test_each_server_has_a_file_of_its_own(self) -> None:
        for url in ("http://one", "http://two"):
            Boundary({**self.settings, "url": url}).on_end(self.ended())
        assert len(list(self.state_dir.glob("*/spool/*"))) == 2

    def test_what_is_no_call_is_not_taken(self) -> None:
        ours = Boundary(self.settings)
        with self.tracer.start_as_current_span("plain"):
            pass
        with self.tracer.start_as_current_span("tool", attributes={"gen_ai.operation.name": "execute_tool"}):
            pass
        for span in self.memory_exporter.get_finished_spans():
            ours.on_end(span)
        assert (self.records(), ours._recorder().counts.failed) == ([], 0)

    def test_anything_may_be_handed_in(self) -> None:
        ours = Boundary(self.settings)
        with self.assertLogs("label_studio_otel", "WARNING") as logs:
            for nonsense in (None, object(), 7):
                ours.on_end(nonsense)  # type: ignore[arg-type]
        assert ours._recorder().counts.failed == 3
        assert len(logs.output) == 1

    def test_all_shutdowns_share_the_seconds_of_one_exit(self) -> None:
        allowed: list[float] = []

        def spend(_: object, timeout: float) -> bool:
            allowed.append(timeout)
            now[0] += 1.5
            return True

        now = [100.0]
        boundaries = [Boundary({**self.settings, "shutdown_timeout": 2.0}) for _ in range(3)]
        with (
            mock.patch.object(recorder.Recorder, "shutdown", spend),
            mock.patch.object(boundary.time, "monotonic", side_effect=lambda: now[0]),
        ):
            for ours in boundaries:
                ours.shutdown()
        assert allowed == [2.0, 0.5, 0.0]

    def test_a_child_forked_in_the_middle_of_a_shutdown_can_shut_down(self) -> None:
        ours = Boundary(self.settings)
        ours.on_end(self.ended())
        with _held_by_another_thread(process.lock):
            child = os.fork()
            if child == 0:
                ours.shutdown()
                os._exit(7)
        ended: list[int] = []
        for _ in range(500):
            pid, status = os.waitpid(child, os.WNOHANG)
            if pid:
                ended.append(os.waitstatus_to_exitcode(status))
                break
            time.sleep(0.02)
        else:
            os.kill(child, signal.SIGKILL)
            os.waitpid(child, 0)
        assert ended == [7]

    def test_what_settings_leave_out_and_what_an_error_loses_is_counted(self) -> None:
        ours = Boundary({**self.settings, "operations": {"chat"}})
        ours.on_end(self.ended())
        for options in ({"failed": True}, {"gen_ai.operation.name": "text_completion"}):
            ours.on_end(self.ended(**options))
        with mock.patch.object(spool, "encode", side_effect=RuntimeError), self.assertLogs("label_studio_otel"):
            ours.on_end(self.ended())
        with self.tracer.start_as_current_span("plain"):
            pass
        ours.on_end(self.memory_exporter.get_finished_spans()[-1])
        counts = ours._recorder().counts
        assert (ours._recorder()._writer.taken, counts.filtered, counts.failed) == (1, 2, 1)

    def test_calls_are_remembered_only_where_somebody_waits_for_their_delivery(self) -> None:
        for flush, remembered in (("durable", 0), ("delivered", 1)):
            ours = Boundary({**self.settings, "flush": flush})
            ours.on_end(self.ended())
            assert len(ours._recorder()._waiter._kept_at) == remembered

    def test_the_key_of_a_call_is_that_of_its_item(self) -> None:
        ours = Boundary({**self.settings, "flush": "delivered"})
        ours.on_end(self.ended())
        (record,) = self.records()
        assert record.span is not None
        span = Span.from_fields(record.span)
        assert list(ours._recorder()._waiter._kept_at) == [span.key]

    def test_a_disk_that_refuses_is_said_once_with_what_to_do(self) -> None:
        self.state_dir.write_text("in the way")
        ours = Boundary(self.settings)
        with self.assertLogs("label_studio_otel", "WARNING") as logs:
            for _ in range(3):
                ours.on_end(self.ended())
        assert len(logs.output) == 1
        assert "cannot be written" in logs.output[0]
        assert "LABEL_STUDIO_OTEL_STATE_DIR" in logs.output[0]
        self.state_dir.unlink()
        assert ours.force_flush(5.0)
        assert len(self.records()) == 3
        assert ours._recorder().counts.failed == 0

    def _agreed(self, **settings: Any) -> Boundary:
        """Return what a processor with these settings has."""
        made = Boundary({**self.settings, **settings})
        made.warn_of_settings()
        return made

    def test_the_token_is_that_of_the_first_that_has_one(self) -> None:
        first, _, last = self._agreed(), self._agreed(api_key="second"), self._agreed(api_key="second")
        with self.assertNoLogs("label_studio_otel"):
            last.on_end(self.ended())
            first.on_end(self.ended())
        assert first._recorder() is last._recorder()
        assert last._recorder().settings.api_key == "second"

    def test_a_token_that_comes_after_the_first_call_is_used_from_then_on(self) -> None:
        first = self._agreed(max_age=5.0)
        first.on_end(self.ended())
        assert first._recorder().settings.api_key is None
        later = self._agreed(max_age=5.0, api_key="later")
        later.on_end(self.ended())
        assert (first._recorder().settings.api_key, first._recorder().settings.max_age) == ("later", 5.0)

    def test_log_events_that_come_first_do_not_decide_the_shared_settings(self) -> None:
        events = Boundary(self.settings)
        _, deciding = events, self._agreed(api_key="token", max_age=5.0)
        events.on_event({"traceId": "1" * 32, "spanId": "2" * 16}, None)
        assert (events._recorder().settings.api_key, events._recorder().settings.max_age) == ("token", 5.0)
        assert events._recorder() is deciding._recorder()

    def test_which_shared_settings_differ_is_said_once_without_their_values(self) -> None:
        one = self._agreed(api_key="one", max_age=5.0)
        with self.assertLogs("label_studio_otel", "WARNING") as logs:
            others = [self._agreed(api_key="two", max_age=6.0, max_task_bytes=20000, mode="chat") for _ in range(2)]
        assert [line.replace(str(one.settings.directory), "DIR") for line in logs.output] == [
            "WARNING:label_studio_otel:label-studio-otel: several processors or exporters use DIR and differ in "
            "api_key, max_task_bytes, max_age: the value of the first one is used for all"
        ]
        others[0].on_end(self.ended())
        settings = others[0]._recorder().settings
        assert (settings.api_key, settings.max_age, settings.max_task_bytes) == ("one", 5.0, 1048576)

    def test_settings_of_another_server_or_directory_are_not_compared(self) -> None:
        one = self._agreed(max_age=5.0)
        with self.assertNoLogs("label_studio_otel"):
            others = self._agreed(url="http://two"), self._agreed(state_dir=self.state_dir / "two")
        assert len({one.settings.directory, *(other.settings.directory for other in others)}) == 3

    def test_without_delivery_no_thread_is_begun(self) -> None:
        before = threading.active_count()
        ours = Boundary(self.settings)
        ours.on_end(self.ended())
        ours.shutdown()
        assert threading.active_count() == before


@pytest.mark.parametrize("module", [boundary, recorder, spool])
def test_importing_begins_nothing(module: Any) -> None:
    gc.collect()
    assert not [thread for thread in threading.enumerate() if thread.name == "LabelStudioDelivery"]
    assert module.__doc__


def test_the_documentation_names_the_settings_that_processors_share() -> None:
    page = (ROOT / "docs/configuration.md").read_text("utf-8")
    section = page.partition("### Several processors or exporters in one process\n")[2].partition("\n### ")[0]
    decided = section.partition("The first\none decides ")[2].partition(" for all")[0]
    assert re.findall(r"`(\w+)`", decided) == [one.key for one in SETTINGS if one.shared]
