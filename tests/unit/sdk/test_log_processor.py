"""The log record processor on the SDK: which events are kept, whose they are; nothing reaches the application."""

from __future__ import annotations

import asyncio
import logging
import threading
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any
from unittest import mock

from opentelemetry import _logs
from opentelemetry._logs import LogRecord
from opentelemetry.sdk._logs import LoggerProvider, LoggingHandler
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.trace import INVALID_SPAN, set_span_in_context

from label_studio_otel import LabelStudioSpanExporter, spans
from label_studio_otel.sdk import autoload, exporter
from label_studio_otel.sdk.autoload import add_span_processors
from label_studio_otel.sdk.log_processor import LabelStudioLogRecordProcessor
from label_studio_otel.spool import record as spool
from support.sdk import SdkTest

if TYPE_CHECKING:
    from collections.abc import Mapping

    from opentelemetry.trace import Span

SCOPE = "opentelemetry.instrumentation.langchain"
CHAT = {"gen_ai.operation.name": "chat"}


class LogProcessorTest(SdkTest):
    def setUp(self) -> None:
        super().setUp()
        self.provider = LoggerProvider(Resource({"service.name": "app"}), shutdown_on_exit=False)
        for patch in (
            mock.patch.object(exporter, "constructed", set()),
            mock.patch.object(_logs, "get_logger_provider", return_value=self.provider),
        ):
            patch.start()
            self.addCleanup(patch.stop)

    def switch_on(self, **settings: Any) -> None:
        """Do what `opentelemetry-instrument` does where our exporter is named."""
        made = LabelStudioSpanExporter(**{**self.settings, **settings})
        self.tracer_provider.add_span_processor(BatchSpanProcessor(made))
        add_span_processors()

    def emit(self, name: str | None, body: Any = "Hi", of: Span | None = None, **fields: Any) -> None:
        """Emit an event in the context of a span, or in none."""
        context = set_span_in_context(of or INVALID_SPAN)
        logger = self.provider.get_logger(fields.pop("scope", SCOPE))
        logger.emit(LogRecord(timestamp=7, event_name=name, body=body, context=context, **fields))

    def events(self) -> list[Mapping[str, Any]]:
        return [record.log for record in self.records() if record.log is not None]

    def owners(self) -> list[str]:
        return [event["spanId"] for event in self.events()]

    def test_an_event_is_kept_with_its_span_s_ids(self) -> None:
        self.switch_on()
        with self.tracer.start_as_current_span("call", attributes=CHAT) as span:
            self.emit("gen_ai.user.message", {"content": ["é", {"n": 1}]}, span, attributes={"gen_ai.system": "openai"})
        context = span.get_span_context()
        assert self.events() == [
            {
                "traceId": f"{context.trace_id:032x}",
                "spanId": f"{context.span_id:016x}",
                "eventName": "gen_ai.user.message",
                "timeUnixNano": 7,
                "scope": {"name": SCOPE},
                "attributes": {"gen_ai.system": "openai"},
                "body": {"content": ["é", {"n": 1}]},
                "resource": {"service.name": "app"},
            }
        ]
        (log,) = map(spans.LogRecord.from_fields, self.events())
        assert (log.event_name, log.body, log.time_unix_nano) == (
            "gen_ai.user.message",
            {"content": ["é", {"n": 1}]},
            7,
        )

    def test_an_event_is_on_the_disk_before_its_span_has_ended(self) -> None:
        self.switch_on()
        with self.tracer.start_as_current_span("call", attributes=CHAT) as span:
            self.emit("gen_ai.choice", of=span)
            assert len(self.events()) == 1

    def test_other_log_records_are_left_alone(self) -> None:
        self.switch_on()
        with self.tracer.start_as_current_span("call", attributes=CHAT) as span:
            for name in (None, "", "exception", "gen_ai.evaluation.result"):
                self.emit(name, of=span)
            self.emit(None, of=span, attributes={"event.name": "other"})
        assert self.events() == []

    def test_the_name_may_be_an_attribute(self) -> None:
        self.switch_on()
        with self.tracer.start_as_current_span("call", attributes=CHAT) as span:
            self.emit(None, '{"content": "Hi"}', span, attributes={"event.name": "gen_ai.user.message"})
        (event,) = self.events()
        assert (event["eventName"], event["body"]) == ("gen_ai.user.message", '{"content": "Hi"}')

    def test_messages_by_way_of_python_s_logging_are_taken(self) -> None:
        self.switch_on()
        logger = logging.getLogger("semantic_kernel")
        handler = LoggingHandler(logger_provider=self.provider)
        logger.addHandler(handler)
        self.addCleanup(logger.removeHandler, handler)
        with self.tracer.start_as_current_span("chat", attributes=CHAT) as span:
            logger.warning("Hi", extra={"event.name": "gen_ai.user.message"})
        assert self.owners() == [f"{span.get_span_context().span_id:016x}"]

    def test_an_event_without_ids_is_of_the_only_call_under_way(self) -> None:
        self.switch_on()
        with self.tracer.start_as_current_span("workflow"):
            call = self.tracer.start_span("call", attributes=CHAT)
            self.emit("gen_ai.user.message")
            call.end()
        assert self.owners() == [f"{call.get_span_context().span_id:016x}"]

    def test_an_event_with_the_ids_of_the_span_around_is_of_the_call_in_it(self) -> None:
        self.switch_on()
        with (
            self.tracer.start_as_current_span("other", attributes=CHAT),
            self.tracer.start_as_current_span("task") as task,
        ):
            call = self.tracer.start_span("call", attributes=CHAT)
            self.emit("gen_ai.user.message", of=task)
            call.end()
        assert self.owners() == [f"{call.get_span_context().span_id:016x}"]

    def test_an_event_that_may_be_of_two_calls_is_of_none(self) -> None:
        self.switch_on()
        first = self.tracer.start_span("first", attributes=CHAT)
        second = self.tracer.start_span("second", attributes=CHAT)
        self.emit("gen_ai.user.message")
        second.end()
        self.emit("gen_ai.choice")
        first.end()
        self.emit("gen_ai.choice")
        assert self.owners() == [f"{first.get_span_context().span_id:016x}"]

    def test_an_event_of_another_scope_is_of_no_call(self) -> None:
        self.switch_on()
        with self.tracer.start_as_current_span("call", attributes=CHAT):
            self.emit("gen_ai.user.message", scope="opentelemetry.instrumentation.anthropic")
        assert self.owners() == []

    def test_an_event_keeps_the_ids_of_a_span_that_has_ended(self) -> None:
        self.switch_on()
        ended = self.tracer.start_span("ended", attributes=CHAT)
        ended.end()
        with self.tracer.start_as_current_span("call", attributes=CHAT):
            self.emit("gen_ai.choice", of=ended)
        assert self.owners() == [f"{ended.get_span_context().span_id:016x}"]

    def test_calls_of_many_threads_get_their_own_events_only(self) -> None:
        self.switch_on()

        def call(number: int) -> None:
            with self.tracer.start_as_current_span(f"call {number}", attributes=CHAT) as span:
                self.emit("gen_ai.user.message", str(number), span)
                self.emit("gen_ai.choice", f"orphan {number}")

        threads = [threading.Thread(target=call, args=(number,)) for number in range(50)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        names = {record.span["spanId"]: record.span["name"] for record in self.records() if record.span is not None}
        for event in self.events():
            assert names[event["spanId"]] == f"call {event['body'].removeprefix('orphan ')}"

    def test_calls_of_many_threads_get_their_own_events_without_ids_too(self) -> None:
        self.switch_on()
        with self.tracer.start_as_current_span("first", attributes=CHAT):
            self.emit("gen_ai.choice", "first")  # from here on it is known that this scope's events have no ids
        together = threading.Barrier(10)

        def call(number: int) -> None:
            with self.tracer.start_as_current_span(str(number), attributes=CHAT):
                together.wait(10)
                self.emit("gen_ai.user.message", str(number))
                together.wait(10)

        threads = [threading.Thread(target=call, args=(number,)) for number in range(10)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        names = {record.span["spanId"]: record.span["name"] for record in self.records() if record.span is not None}
        assert sorted(event["body"] for event in self.events()) == [*map(str, range(10)), "first"]
        assert all(names[event["spanId"]] == event["body"] for event in self.events())

    def test_of_tasks_in_one_thread_each_gets_its_own(self) -> None:
        self.switch_on()
        with self.tracer.start_as_current_span("first", attributes=CHAT):
            self.emit("gen_ai.choice", "first")

        async def call(number: int) -> None:
            span = self.tracer.start_span(str(number), attributes=CHAT)
            await asyncio.sleep(0)
            self.emit("gen_ai.user.message", str(number))
            await asyncio.sleep(0)
            span.end()

        async def main() -> None:
            await asyncio.gather(*map(call, range(10)))

        asyncio.run(main())
        names = {record.span["spanId"]: record.span["name"] for record in self.records() if record.span is not None}
        assert len(self.events()) == 11
        assert all(names[event["spanId"]] == event["body"] for event in self.events())

    def test_of_two_streams_that_take_turns_neither_gets_any(self) -> None:
        self.switch_on()
        with self.tracer.start_as_current_span("first", attributes=CHAT):
            self.emit("gen_ai.choice", "first")
        one, two = (self.tracer.start_span(name, attributes=CHAT) for name in ("one", "two"))
        self.emit("gen_ai.choice", "one")
        two.end()
        one.end()
        assert [event["body"] for event in self.events()] == ["first"]

    def test_two_destinations_of_one_server_keep_an_event_once(self) -> None:
        for name in ("One", "Two"):
            LabelStudioSpanExporter(**{**self.settings, "project_name": name})
        made = LabelStudioSpanExporter(**{**self.settings, "url": "http://127.0.0.1:8"})
        assert len(exporter.constructed) == 3
        add_span_processors()
        add_span_processors()
        with self.tracer.start_as_current_span("call", attributes=CHAT) as span:
            self.emit("gen_ai.choice", of=span)
        assert made.inert
        assert len(self.events()) == 2

    def test_without_a_logger_provider_calls_are_kept_all_the_same(self) -> None:
        with mock.patch.object(_logs, "get_logger_provider", return_value=_logs.NoOpLoggerProvider()):
            self.switch_on()
        self.call()
        assert self.kept() == ["call"]

    def test_a_logger_provider_that_breaks_ends_nothing_but_events(self) -> None:
        with (
            mock.patch.object(self.provider, "add_log_record_processor", side_effect=RuntimeError("secret")),
            self.assertLogs("label_studio_otel", "WARNING") as logs,
        ):
            self.switch_on()
        (line,) = logs.output
        assert "log events of LLM calls cannot be taken (RuntimeError" in line
        assert "secret" not in line
        self.call()
        assert self.kept() == ["call"]

    def test_no_error_of_ours_reaches_the_application_nor_begins_a_circle(self) -> None:
        self.switch_on()
        logging.getLogger("label_studio_otel").addHandler(handler := LoggingHandler(logger_provider=self.provider))
        self.addCleanup(logging.getLogger("label_studio_otel").removeHandler, handler)
        with (
            mock.patch.object(spool, "encode_log", side_effect=RuntimeError("what somebody said")),
            self.assertLogs("label_studio_otel", "WARNING") as logs,
            self.tracer.start_as_current_span("call", attributes=CHAT) as span,
        ):
            self.emit("gen_ai.choice", of=span)
            self.emit("gen_ai.choice", of=span)
        assert len(logs.output) == 1
        assert "what somebody said" not in logs.output[0]

    def test_anything_may_be_handed_in(self) -> None:
        processor = LabelStudioLogRecordProcessor(**self.settings)
        with self.assertLogs("label_studio_otel", "WARNING"):
            for nonsense in (None, 7, SimpleNamespace(log_record=SimpleNamespace(event_name="gen_ai.choice"))):
                processor.on_emit(nonsense)
        assert self.events() == []

    def test_older_sdks_call_it_by_another_name(self) -> None:
        """SDK 1.30: the resource is the record's, and a record has no name but an attribute."""
        record = SimpleNamespace(
            timestamp=7,
            trace_id=1,
            span_id=2,
            attributes={"event.name": "gen_ai.choice"},
            body={"index": 0},
            resource=Resource({"service.name": "old"}),
        )
        data = SimpleNamespace(log_record=record, instrumentation_scope=SimpleNamespace(name=SCOPE))
        LabelStudioLogRecordProcessor(**self.settings).emit(data)
        (event,) = self.events()
        assert (event["spanId"], event["body"], event["resource"]) == (
            "0000000000000002",
            {"index": 0},
            {"service.name": "old"},
        )

    def test_it_asks_for_no_events_that_it_would_not_keep(self) -> None:
        self.switch_on()
        logger = self.provider.get_logger(SCOPE)
        assert [logger.enabled(event_name=name) for name in ("gen_ai.choice", None, "exception")] == [True, True, False]

    def test_a_flush_says_whether_events_are_durable(self) -> None:
        self.switch_on(flush="delivered")
        with self.tracer.start_as_current_span("call", attributes=CHAT) as span:
            self.emit("gen_ai.choice", of=span)
            assert self.provider.force_flush(1000)
        self.provider.shutdown()

    def test_the_hook_imports_no_logs_where_nobody_named_us(self) -> None:
        with mock.patch.object(autoload, "_add_log_processors") as add:
            add_span_processors()
        assert not add.called
