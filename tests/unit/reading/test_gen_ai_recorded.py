"""Recorded spans of the GenAI conventions against the wire's truth."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from label_studio_otel.generation import (
    BlobPart,
    Choice,
    Generation,
    Message,
    Part,
    TextPart,
    ToolCallPart,
    ToolResponsePart,
    UriPart,
)
from label_studio_otel.reading import is_llm_call, read
from label_studio_otel.spans import Span
from support.gen_ai_spans import sentences

CASES = Path(__file__).parents[2] / "cases" / "openllmetry-langchain-0.62.4"

#: OpenLLMetry's words for the provider's; those of Anthropic and of the Responses API never reach the span.
FINISH_REASONS = {"tool_calls": "tool_call", "completed": None, "end_turn": None, "tool_use": "tool_call"}


def case(name: str) -> tuple[list[Span], list[dict[str, Any]]]:
    recorded = json.loads((CASES / f"{name}.json").read_text(encoding="utf-8"))
    return [Span.from_fields(fields) for fields in recorded["spans"]], recorded["calls"]


def generations(name: str) -> list[Generation]:
    return [read(span) for span in case(name)[0] if is_llm_call(span.attributes, span.scope_name)]


def on_the_wire(message: dict[str, Any]) -> Message:
    content = message["content"]
    parts: list[Part] = []
    if message["role"] == "tool":
        parts.append(ToolResponsePart(content, message["tool_call_id"]))
    elif isinstance(content, str):
        parts.append(TextPart(content))
    else:
        parts += [media_on_the_wire(part) for part in content or ()]
    calls = message.get("tool_calls") or ()
    parts += [ToolCallPart(call["name"], call["arguments"], call["id"]) for call in calls]
    return Message(message["role"], tuple(parts))


def media_on_the_wire(part: dict[str, Any]) -> Part:
    if part["type"] == "text":
        return TextPart(part["text"])
    if part["url"].startswith("data:image/png;base64,"):
        return BlobPart("image", "image/png", part["url"].removeprefix("data:image/png;base64,"))
    return UriPart("image", part["url"])


def choice_on_the_wire(choice: dict[str, Any]) -> Choice:
    reason = "tool_use" if choice.get("tool_calls") else choice["finish_reason"]
    return Choice(on_the_wire(choice), FINISH_REASONS.get(reason, reason))


class TestRecordedSpans:
    @pytest.mark.parametrize(
        "name",
        [
            "agent-00",
            "chat-00",
            "completion-00",
            "completion-03",
            "empty-00",
            "long-00",
            "multimodal-04",
            "multimodal-08",
            "multimodal-11",
            "multiturn-00",
            "n2-00",
            "n2-03",
            "paralleltool-00",
            "reasoning-00",
            "responses-04",
            "session-00",
            "stream-00",
            "streamtool-00",
            "tool-00",
            "tool-00-anthropic",
            "tricky-00",
            "tricky-03",
            "tricky-04",
            "unicode-00",
            "unicode-04",
            "unicode-08",
        ],
    )
    def test_every_message_and_choice_of_the_wire_is_read(self, name: str) -> None:
        calls = case(name)[1]

        read_calls = generations(name)

        assert [call.messages for call in read_calls] == [tuple(map(on_the_wire, call["messages"])) for call in calls]
        assert [call.choices for call in read_calls] == [
            tuple(map(choice_on_the_wire, call["choices"])) for call in calls
        ]
        assert [call.incomplete for call in read_calls] == [()] * len(calls)

    @pytest.mark.parametrize("name", ["chat-00", "completion-00", "long-00", "multiturn-00", "tool-00", "unicode-04"])
    def test_model_and_usage_are_the_wires(self, name: str) -> None:
        calls = case(name)[1]

        usage = [(call.model, [call.input_tokens, call.output_tokens]) for call in generations(name)]

        assert usage == [(call["response_model"], call["usage"]) for call in calls]

    def test_a_failed_call_keeps_its_prompt_and_says_its_error(self) -> None:
        (generation,) = generations("error-00")

        assert generation.messages == tuple(map(on_the_wire, case("error-00")[1][0]["messages"]))
        assert generation.choices == ()
        assert generation.error == (
            "langchain_openai.chat_models.base.OpenAIAPIError: Error code: 500 - The server had an error while "
            "processing your request. Sorry about that!"
        )
        assert generation.incomplete == ()

    def test_a_trace_of_an_agent_holds_its_llm_calls_only(self) -> None:
        spans = case("agent-00")[0]

        names = [span.name for span in spans if is_llm_call(span.attributes, span.scope_name)]

        assert len(spans) == 14
        assert names == ["ChatOpenAI.chat", "ChatOpenAI.chat", "ChatOpenAI.chat"]

    def test_the_anthropic_sdks_own_span_is_not_the_same_call_again(self) -> None:
        spans = case("tool-00-anthropic")[0]

        names = [span.name for span in spans if is_llm_call(span.attributes, span.scope_name)]

        assert sorted(span.name for span in spans) == [
            "ChatAnthropic.chat",
            "ChatAnthropic.chat",
            "anthropic.messages.create",
            "anthropic.messages.create",
        ]
        assert names == ["ChatAnthropic.chat", "ChatAnthropic.chat"]

    def test_the_metadata_of_runnable_config_names_session_and_user(self) -> None:
        first, second, third = generations("session-00")

        assert {(call.session_id, call.user_id, call.conversation_id) for call in (first, second, third)} == {
            ("sess-session-0", "user-532", "sess-session-0")
        }

    def test_tool_definitions_are_kept(self) -> None:
        first, _ = generations("paralleltool-00")

        assert [tool["name"] for tool in first.tools] == ["lookup_term", "convert_units"]

    def test_messages_before_a_cut_are_read_and_the_rest_is_kept_as_text(self) -> None:
        (generation,) = generations("many-00-limit1000")
        whole = tuple(map(on_the_wire, case("many-00-limit1000")[1][0]["messages"]))

        assert generation.messages == whole[:8]
        assert sentences(generation) == (
            "gen_ai.input.messages ends in the middle of its JSON: a length limit of the application's OpenTelemetry "
            "SDK cut it (OTEL_ATTRIBUTE_VALUE_LENGTH_LIMIT or OTEL_SPAN_ATTRIBUTE_VALUE_LENGTH_LIMIT).",
        )

    def test_a_message_cut_in_its_middle_is_kept_as_far_as_it_goes(self) -> None:
        (generation,) = generations("long-00-limit1000")
        whole = on_the_wire(case("long-00-limit1000")[1][0]["messages"][1])

        system, user = generation.messages

        assert system.role == "system"
        assert (user.role, len(user.parts)) == ("user", 1)
        assert isinstance(user.parts[0], TextPart)
        assert isinstance(whole.parts[0], TextPart)
        assert whole.parts[0].content.startswith(user.parts[0].content)
        assert len(user.parts[0].content) == 903

    def test_a_cut_tool_result_leaves_the_calls_before_it_whole(self) -> None:
        _, second = generations("paralleltool-03-limit1000")
        whole = tuple(map(on_the_wire, case("paralleltool-03-limit1000")[1][1]["messages"]))

        assert second.messages[:4] == whole[:4]
        assert second.messages[4].role == "tool"

    def test_capture_switched_off_is_said_with_the_switch(self) -> None:
        (generation,) = generations("chat-00-nocontent")

        assert generation.messages == ()
        assert generation.choices == (Choice(Message("assistant", ()), "stop"),)
        assert (generation.model, generation.input_tokens, generation.output_tokens) == (
            "gpt-4o-mini-2024-07-18",
            64,
            72,
        )
        assert sentences(generation) == (
            "The span holds no messages: content capture is off, set TRACELOOP_TRACE_CONTENT=true in the application.",
        )
