"""The span processor on the SDK: which spans are kept, and that nothing of ours ever reaches the application."""

from __future__ import annotations

import random
from unittest import mock

from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.id_generator import RandomIdGenerator
from opentelemetry.sdk.trace.sampling import ALWAYS_OFF

from label_studio_otel import LabelStudioSpanProcessor
from label_studio_otel.sdk.recorder import Recorder
from label_studio_otel.settings import Destination
from label_studio_otel.spool import record as spool
from support.sdk import SdkTest


class ProcessorTest(SdkTest):
    def add(self, **settings: object) -> LabelStudioSpanProcessor:
        processor = LabelStudioSpanProcessor(**{**self.settings, **settings})
        self.tracer_provider.add_span_processor(processor)
        return processor

    def test_only_llm_calls_are_kept(self) -> None:
        self.add()
        with self.tracer.start_as_current_span("chain"):
            self.call("first")
            with self.tracer.start_as_current_span("HTTP POST", attributes={"http.request.method": "POST"}):
                pass
            with self.tracer.start_as_current_span("tool", attributes={"gen_ai.operation.name": "execute_tool"}):
                pass
            with self.tracer.start_as_current_span("embedding", attributes={"gen_ai.operation.name": "embeddings"}):
                pass
            self.call("second")
        assert self.kept() == ["first", "second"]
        assert len(self.memory_exporter.get_finished_spans()) == 6

    def test_a_call_is_on_the_disk_when_its_span_has_ended(self) -> None:
        self.add()
        with self.tracer.start_as_current_span("still open"):
            self.call("done")
            assert self.kept() == ["done"]

    def test_the_record_holds_the_whole_span(self) -> None:
        self.add(project_name="Mine", mode="chat")
        with self.tracer.start_as_current_span("parent") as parent:
            self.call("call", **{"traceloop.association.properties.user_id": "u1", "long": "x" * 600})
        (record,) = self.records()
        assert record.destination == Destination("Mine", mode="chat")
        (call, _) = self.memory_exporter.get_finished_spans()
        span = record.span
        assert span is not None
        assert span["traceId"] == f"{call.context.trace_id:032x}"
        assert span["parentSpanId"] == f"{parent.get_span_context().span_id:016x}"
        assert (span["startTimeUnixNano"], span["endTimeUnixNano"]) == (call.start_time, call.end_time)
        assert dict(span["attributes"]) == dict(call.attributes or {})
        assert span["scope"] == {"name": "opentelemetry.instrumentation.langchain", "version": ""}
        assert span["resource"]["telemetry.sdk.language"] == "python"
        assert span["status"] == {"code": "UNSET", "message": None}

    def test_a_span_that_is_not_sampled_is_not_kept(self) -> None:
        provider = TracerProvider(sampler=ALWAYS_OFF)
        provider.add_span_processor(LabelStudioSpanProcessor(**self.settings))
        self.tracer_provider = provider
        self.call()
        provider.shutdown()
        assert self.kept() == []

    def test_a_failed_call_is_kept_only_on_request(self) -> None:
        self.add()
        self.call("failed", failed=True)
        assert self.kept() == []
        self.add(include_errors=True)
        self.call("failed", failed=True)
        assert self.kept() == ["failed"]

    def test_two_processors_share_the_operations_among_them(self) -> None:
        self.add(mode="prompt", project_name="Prompts", operations={"text_completion"})
        self.add(mode="chat", project_name="Chats", operations={"chat"})
        self.call("a chat")
        self.call("a completion", **{"gen_ai.operation.name": "text_completion"})
        destinations = {record.destination: record.span for record in self.records()}
        assert {str(one): span and span["name"] for one, span in destinations.items()} == {
            "project 'Chats' (chat)": "a chat",
            "project 'Prompts' (prompt)": "a completion",
        }

    def test_force_flush_says_whether_all_is_durable(self) -> None:
        processor = self.add()
        self.call()
        assert processor.force_flush()
        assert self.tracer_provider.force_flush()
        with mock.patch.object(Recorder, "flush", side_effect=OSError("secret")):
            assert not processor.force_flush()

    def test_force_flush_waits_for_what_the_setting_says_and_no_longer_than_its_time_out(self) -> None:
        for flush, delivered in (("durable", False), ("delivered", True)):
            processor = self.add(flush=flush)
            with mock.patch.object(Recorder, "flush", return_value=True) as asked:
                assert processor.force_flush(1500)
            asked.assert_called_once_with(1.5, delivered=delivered)

    def test_a_span_that_ends_after_the_shutdown_is_kept_too(self) -> None:
        processor = self.add()
        self.call("before")
        processor.shutdown()
        processor.shutdown()
        self.call("after")
        assert sorted(self.kept()) == ["after", "before"]

    def test_making_a_processor_and_ending_other_spans_touches_nothing(self) -> None:
        self.add()
        with self.tracer.start_as_current_span("HTTP POST"):
            pass
        assert not self.state_dir.exists()

    def test_no_error_of_ours_reaches_the_application(self) -> None:
        processor = self.add()
        with (
            mock.patch.object(spool, "encode", side_effect=RuntimeError("what somebody said")),
            self.assertLogs("label_studio_otel", "WARNING") as logs,
        ):
            self.call()
            self.call()
        assert processor._boundary._recorder().counts.failed == 2
        assert len(logs.output) == 1
        assert "RuntimeError" in logs.output[0]
        assert "what somebody said" not in logs.output[0]

    def test_an_error_in_the_shutdown_is_swallowed_too(self) -> None:
        processor = self.add()
        with (
            mock.patch.object(Recorder, "shutdown", side_effect=RuntimeError("secret")),
            self.assertLogs("label_studio_otel", "WARNING") as logs,
        ):
            processor.shutdown()
        assert "secret" not in logs.output[0]

    def test_unknown_settings_are_warned_about_and_never_raised(self) -> None:
        with self.assertLogs("label_studio_otel", "WARNING") as logs:
            self.add(colour="red", mode="essay")
        assert len(logs.output) == 1
        assert "unknown setting colour ignored" in logs.output[0]
        assert "mode='essay' cannot be used" in logs.output[0]
        self.call()
        assert self.kept() == ["call"]

    def test_a_config_that_cannot_be_read_is_replaced_by_that_of_the_mode(self) -> None:
        self.add(project_config="/nonexistent/config.xml")
        with self.assertLogs("label_studio_otel", "WARNING") as logs:
            self.call("first")
            self.call("second")
        assert len(logs.output) == 1
        assert [record.destination and record.destination.project_config for record in self.records()] == [None, None]

    def test_a_config_file_is_read_at_the_first_call(self) -> None:
        path = self.state_dir.parent / "config.xml"
        self.add(project_config=str(path))
        path.write_text("<View/>")
        self.call()
        assert [record.destination and record.destination.project_config for record in self.records()] == ["<View/>"]

    def test_the_random_numbers_of_the_application_stay_its_own(self) -> None:
        def ids_and_numbers() -> list[float]:
            random.seed(0)
            for _ in range(3):
                self.call()
            return [RandomIdGenerator().generate_span_id(), random.random()]

        bare = ids_and_numbers()
        processor = self.add()
        assert ids_and_numbers() == bare
        assert len(self.kept()) == 3
        assert len({record.span and record.span["startTimeUnixNano"] for record in self.records()}) == 3
        processor.shutdown()
