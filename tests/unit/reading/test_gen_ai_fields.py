"""Spans in the form of OpenTelemetry's GenAI conventions: what is known of a call besides its messages."""

from __future__ import annotations

import json
from typing import Any

import pytest

from label_studio_otel import testing
from label_studio_otel.generation import Choice, Message, TextPart, ToolCallPart
from label_studio_otel.reading import read
from label_studio_otel.spans import Event
from support.gen_ai_spans import HELLO, said, sentences, span, text
from support.reading import reasons


class TestChoices:
    @pytest.mark.parametrize("role", ["unknown", "", None])
    def test_an_answer_without_a_role_is_the_assistants(self, role: str | None) -> None:
        generation = read(span(gen_ai__output__messages=[{"role": role, "parts": [text("Hi")]}]))

        assert generation.choices == (Choice(Message("assistant", (TextPart("Hi"),))),)

    @pytest.mark.parametrize(
        ("own", "of_the_span", "expected"),
        [
            (["stop", "length"], None, ["stop", "length"]),
            (["", ""], ["stop", "length"], ["stop", "length"]),
            (["", ""], '["stop", "length"]', ["stop", "length"]),
            (["", ""], ["stop"], [None, None]),
            (["length", ""], ["stop", "stop"], ["length", "stop"]),
            ([7, None], None, [None, None]),
        ],
    )
    def test_finish_reasons_are_matched_to_choices(self, own: list[Any], of_the_span: Any, expected: list[Any]) -> None:
        outputs = [{"role": "assistant", "parts": [], "finish_reason": reason} for reason in own]

        generation = read(span(gen_ai__output__messages=outputs, gen_ai__response__finish_reasons=of_the_span))

        assert [choice.finish_reason for choice in generation.choices] == expected

    def test_a_text_that_only_looks_like_a_tool_call_is_kept(self) -> None:
        block = json.dumps({"type": "tool_use", "id": "other", "name": "f", "input": {}})
        call = {"type": "tool_call", "id": "c1", "name": "f"}

        generation = read(span(gen_ai__output__messages=said(text(block), call, role="assistant")))

        assert generation.choices[0].message.parts == (TextPart(block), ToolCallPart("f", None, "c1"))


class TestMetadata:
    def test_zero_tokens_are_a_count(self) -> None:
        generation = read(span(gen_ai__usage__input_tokens=0, gen_ai__usage__output_tokens=0))

        assert (generation.input_tokens, generation.output_tokens) == (0, 0)

    @pytest.mark.parametrize(("value", "count"), [(7.0, 7), (7.5, None), ("7", None), (True, None), (None, None)])
    def test_only_numbers_are_counts(self, value: Any, count: int | None) -> None:
        assert read(span(gen_ai__usage__input_tokens=value)).input_tokens == count

    def test_the_model_that_answered_comes_before_the_one_asked_for(self) -> None:
        asked = span(gen_ai__request__model="gpt", gen_ai__system="openai")
        answered = span(gen_ai__request__model="gpt", gen_ai__response__model="gpt-1", gen_ai__provider__name="azure")

        assert (read(asked).model, read(asked).provider) == ("gpt", "openai")
        assert (read(answered).model, read(answered).provider) == ("gpt-1", "azure")

    def test_identities_come_from_the_conventions(self) -> None:
        generation = read(
            span(
                gen_ai__conversation__id="c",
                session__id="s",
                user__id="u",
                gen_ai__prompt__name="greeting",
                gen_ai__prompt__version="3",
                traceloop__association__properties__session_id="other",
            )
        )

        assert (generation.conversation_id, generation.session_id, generation.user_id) == ("c", "s", "u")
        assert (generation.prompt_name, generation.prompt_version) == ("greeting", "3")

    def test_identities_come_from_the_metadata_of_the_application(self) -> None:
        properties = {
            "session_id": "s",
            "user_id": 12,
            "thread_id": "t",
            "run_id": "r",
            "prompt_name": "greeting",
            "prompt_version": 3,
        }
        generation = read(
            span(**{f"traceloop__association__properties__{key}": value for key, value in properties.items()})
        )

        assert (generation.conversation_id, generation.session_id, generation.user_id) == ("t", "s", "12")
        assert (generation.run_id, generation.prompt_name, generation.prompt_version) == ("r", "greeting", "3")

    def test_cut_tool_definitions_are_said(self) -> None:
        generation = read(
            span(gen_ai__input__messages=HELLO, gen_ai__output__messages=HELLO, gen_ai__tool__definitions='[{"na')
        )

        assert generation.tools == ()
        assert sentences(generation)[0].startswith("gen_ai.tool.definitions ends in the middle of its JSON")


class TestErrors:
    @pytest.mark.parametrize(
        ("fields", "error"),
        [
            ({}, "error"),
            ({"status_message": "boom"}, "boom"),
            ({"error__type": "TimeoutError"}, "TimeoutError"),
            ({"error__type": "TimeoutError", "status_message": "boom"}, "TimeoutError: boom"),
            ({"error__type": "TimeoutError", "status_message": "TimeoutError: boom"}, "TimeoutError: boom"),
            (
                {
                    "status_message": "other",
                    "error__type": "500",
                    "events": (
                        Event("exception", {"exception.type": "FirstTry", "exception.message": "bang"}),
                        Event("exception", {"exception.type": "TimeoutError", "exception.message": "boom"}),
                        Event("retry", {}),
                    ),
                },
                "TimeoutError: boom",
            ),
        ],
    )
    def test_an_error_says_type_and_message(self, fields: dict[str, Any], error: str) -> None:
        assert read(span(status_code="ERROR", **fields)).error == error

    def test_an_exception_that_was_handled_is_no_error(self) -> None:
        handled = Event("exception", {"exception.type": "TimeoutError"})

        assert read(span(events=(handled,), error__type="TimeoutError")).error is None


class TestIncomplete:
    @pytest.mark.parametrize(
        "scope",
        [
            "opentelemetry.instrumentation.langchain",
            "opentelemetry.instrumentation.openai.v1",
            "opentelemetry.instrumentation.anthropic",
        ],
    )
    def test_without_messages_traceloops_switch_is_named(self, scope: str) -> None:
        assert "TRACELOOP_TRACE_CONTENT=true" in sentences(read(span(scope)))[0]

    @pytest.mark.parametrize(
        ("scope", "switch"),
        [
            ("opentelemetry.util.genai.handler", "OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT=SPAN_ONLY"),
            ("opentelemetry.instrumentation.genai.openai", "OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT"),
            ("gcp.vertex.agent", "OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT"),
            ("somebody", "OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT"),
            ("pydantic-ai", "InstrumentationSettings(include_content=True)"),
            ("openlit.instrumentation.openai", "capture_message_content=True"),
            ("agent_framework", "ENABLE_SENSITIVE_DATA=true"),
            ("gen_ai", "recordInputs"),
        ],
    )
    def test_without_messages_the_emitters_switch_is_named(self, scope: str, switch: str) -> None:
        (gap,) = read(span(scope)).incomplete

        assert gap.reason == "content_not_captured"
        assert switch in gap.sentence

    @pytest.mark.parametrize(
        "scope", ["opentelemetry.instrumentation.openai_v2", "semantic_kernel.utils.telemetry.model_diagnostics"]
    )
    def test_messages_that_are_always_log_events_did_not_come(self, scope: str) -> None:
        assert reasons(read(span(scope))) == ["log_events_missing"]

    @pytest.mark.parametrize("scope", ["pydantic-ai", "openlit.instrumentation.langchain"])
    def test_a_failed_call_without_messages_is_no_switch(self, scope: str) -> None:
        assert reasons(read(span(scope, status_code="ERROR"))) == ["no_input"]

    def test_dropped_attributes_are_counted_with_their_limit(self) -> None:
        generation = read(span(gen_ai__input__messages=HELLO, gen_ai__output__messages=HELLO, dropped_attributes=3))

        assert sentences(generation) == (
            "3 attributes of the span were dropped by the application's OpenTelemetry SDK "
            "(OTEL_SPAN_ATTRIBUTE_COUNT_LIMIT).",
        )

    def test_one_side_missing_is_said(self) -> None:
        question, answer = span("any", gen_ai__input__messages=HELLO), span("any", gen_ai__output__messages=HELLO)

        assert reasons(read(question)) == ["no_output"]
        assert reasons(read(answer)) == ["no_input"]

    def test_openllmetrys_event_mode_leaves_the_answer_on_the_span(self) -> None:
        generation = read(span("opentelemetry.instrumentation.langchain", gen_ai__output__messages=HELLO))

        assert reasons(generation) == ["log_events_missing"]

    def test_a_failed_call_misses_no_answer(self) -> None:
        assert read(span(gen_ai__input__messages=HELLO, status_code="ERROR")).incomplete == ()


def test_messages_that_were_cut_before_their_content_were_captured_all_the_same() -> None:
    cut = {"gen_ai.input.messages": '[{"role": "user", "p', "gen_ai.output.messages": '[{"role": "assistant'}
    assert reasons(read(testing.span(attributes=cut))) == ["attribute_truncated", "attribute_truncated"]
