"""OpenLLMetry's spans of before the GenAI conventions: one attribute for each field of each message."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from label_studio_otel.generation import (
    BlobPart,
    Choice,
    Generation,
    Message,
    Part,
    ReasoningPart,
    TextPart,
    ToolCallPart,
    ToolResponsePart,
    UriPart,
)
from label_studio_otel.reading.emitters import openllmetry
from label_studio_otel.spans import LogRecord
from support.reading import any_value, indexed_names, reasons, span

LANGCHAIN = "opentelemetry.instrumentation.langchain"
OPENAI = "opentelemetry.instrumentation.openai.v1"
ANTHROPIC = "opentelemetry.instrumentation.anthropic"
CHAT = {"llm.request.type": "chat"}


def read(
    attributes: dict[str, Any], scope: str = LANGCHAIN, name: str = "ChatOpenAI.chat", **fields: Any
) -> Generation:
    return openllmetry.DIALECT.read(span(attributes, scope, name, **fields))


def prompt(**fields: Any) -> Message:
    attributes = {f"gen_ai.prompt.0.{name.replace('__', '.')}": value for name, value in fields.items()}
    return read({**CHAT, **attributes}).messages[0]


def completion(**fields: Any) -> Choice:
    attributes = {f"gen_ai.completion.0.{name.replace('__', '.')}": value for name, value in fields.items()}
    return read({**CHAT, **attributes}).choices[0]


@pytest.mark.parametrize(
    "attributes",
    [
        {"llm.request.type": "chat"},
        {"llm.request.type": "completion", "gen_ai.prompt.0.role": "user"},
        {"gen_ai.prompt.0.role": "user"},
        {"gen_ai.prompt.0.user": "Complete this"},
        {"gen_ai.completion.0.content": "An answer"},
        {"gen_ai.prompt.75.role": "assistant"},
    ],
)
def test_an_llm_call_is_one_by_its_messages_or_by_the_type_of_its_request(attributes: dict[str, Any]) -> None:
    assert openllmetry.DIALECT.matches(attributes, LANGCHAIN)


@pytest.mark.parametrize(
    "attributes",
    [
        {"llm.request.type": "embedding", "gen_ai.prompt.0.content": "a text"},
        {"llm.request.type": "rerank", "gen_ai.prompt.0.content": "a text"},
        {"gen_ai.prompt.0.content": "an embedding whose type was evicted"},
        {"traceloop.span.kind": "task", "gen_ai.prompt.0.role": "user"},
        {"openinference.span.kind": "CHAIN", "gen_ai.prompt.0.role": "user"},
        {"gen_ai.completion.0.role": "assistant", "gen_ai.output.messages": "[]"},
        {"llm.request.type": 3},
        {},
    ],
)
def test_embeddings_wrappers_and_spans_of_the_conventions_are_left_alone(attributes: dict[str, Any]) -> None:
    assert not openllmetry.DIALECT.matches(attributes, LANGCHAIN)


def test_messages_choices_and_tools_are_read_in_the_order_of_their_numbers() -> None:
    generation = read(
        {
            "gen_ai.system": "OpenAI",
            "llm.request.type": "chat",
            "gen_ai.request.model": "gpt-4o-mini",
            "gen_ai.response.model": "gpt-4o-mini-2024-07-18",
            "gen_ai.response.id": "chatcmpl-1",
            "llm.user": "user-7",
            "llm.request.functions.0.name": "look",
            "llm.request.functions.0.description": "Look it up",
            "llm.request.functions.0.parameters": '{"type": "object"}',
            "gen_ai.prompt.10.role": "user",
            "gen_ai.prompt.10.content": "third",
            "gen_ai.prompt.0.role": "system",
            "gen_ai.prompt.0.content": "first",
            "gen_ai.prompt.2.role": "user",
            "gen_ai.prompt.2.content": "second",
            "gen_ai.completion.1.content": "B",
            "gen_ai.completion.0.content": "A",
            "gen_ai.completion.0.finish_reason": "stop",
            "gen_ai.completion.1.finish_reason": "length",
            "gen_ai.usage.prompt_tokens": 8,
            "gen_ai.usage.completion_tokens": 4,
        },
        OPENAI,
        "openai.chat",
    )

    assert generation == Generation(
        operation="chat",
        messages=(
            Message("system", (TextPart("first"),)),
            Message("user", (TextPart("second"),)),
            Message("user", (TextPart("third"),)),
        ),
        choices=(
            Choice(Message("assistant", (TextPart("A"),)), "stop"),
            Choice(Message("assistant", (TextPart("B"),)), "length"),
        ),
        provider="openai",
        request_model="gpt-4o-mini",
        response_model="gpt-4o-mini-2024-07-18",
        response_id="chatcmpl-1",
        input_tokens=8,
        output_tokens=4,
        user_id="user-7",
        tools=({"name": "look", "description": "Look it up", "parameters": {"type": "object"}},),
    )


def test_a_tool_call_and_its_result_are_tied_by_the_id() -> None:
    generation = read(
        {
            **CHAT,
            "gen_ai.prompt.0.role": "assistant",
            "gen_ai.prompt.0.content": "",
            "gen_ai.prompt.0.tool_calls.0.id": "call_1",
            "gen_ai.prompt.0.tool_calls.0.name": "look",
            "gen_ai.prompt.0.tool_calls.0.arguments": '{"q": "\\u65e5"}',
            "gen_ai.prompt.1.role": "tool",
            "gen_ai.prompt.1.content": '{"found": true}',
            "gen_ai.prompt.1.tool_call_id": "call_1",
        }
    )

    assert generation.messages == (
        Message("assistant", (ToolCallPart("look", {"q": "日"}, "call_1"),)),
        Message("tool", (ToolResponsePart('{"found": true}', "call_1"),)),
    )


@pytest.mark.parametrize(
    ("content", "parts"),
    [
        (
            '[{"type": "text", "text": "see"}, {"type": "image_url", "image_url": {"url": "https://x.example/a.png"}}]',
            (TextPart("see"), UriPart("image", "https://x.example/a.png")),
        ),
        ('[{"type": "text", "text": "a"}, {"type": "text", "text": "b"}]', (TextPart("a"), TextPart("b"))),
        (
            '[{"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}}]',
            (BlobPart("image", "image/png", "AAAA"),),
        ),
        (
            '[{"type": "input_audio", "input_audio": {"data": "AAAA", "format": "wav"}}]',
            (BlobPart("audio", "audio/wav", "AAAA"),),
        ),
        (
            '[{"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "AAAA"}}]',
            (BlobPart("image", "image/png", "AAAA"),),
        ),
        (
            '[{"type": "tool_use", "id": "t1", "name": "look", "input": {"q": 1}}]',
            (ToolCallPart("look", {"q": 1}, "t1"),),
        ),
        (
            '[{"type": "function_call", "id": "fc_1", "call_id": "call_1", "name": "look", "arguments": "{}"}]',
            (ToolCallPart("look", {}, "call_1"),),
        ),
    ],
)
def test_content_that_is_the_json_of_parts_is_parts(content: str, parts: tuple[Part, ...]) -> None:
    assert prompt(role="user", content=content).parts == parts


@pytest.mark.parametrize(
    "content",
    [
        "null",
        "42",
        '"quoted"',
        "[1, 2, 3]",
        '{"role": "user", "content": "not a message"}',
        '[{"type": "text", "text": "json parts as a string"}]',
        "[{'type': 'text', 'text': 'python repr'}]",
        '[{"type":"image_url","image_url":{"url":"https://x.example/a.png"}}]',
        '[{"type": "of nobody"}]',
        '[{"type": "image_url", "image_url": {"url": "https://x.exa',
        "",
    ],
)
def test_what_the_user_typed_stays_text_whatever_it_looks_like(content: str) -> None:
    assert prompt(role="user", content=content).parts == (TextPart(content),)


def test_a_message_of_nothing_but_results_of_anthropics_tools_is_the_tools() -> None:
    content = '[{"type": "tool_result", "tool_use_id": "t1", "content": "found"}]'

    assert prompt(role="user", content=content) == Message("tool", (ToolResponsePart("found", "t1"),))


def test_a_call_that_stands_in_the_content_and_beside_it_is_one() -> None:
    message = prompt(
        role="assistant",
        content='[{"text": "I look.", "type": "text"}, {"id": "t1", "input": {}, "name": "look", "type": "tool_use"}]',
        tool_calls__0__id="t1",
        tool_calls__0__name="look",
        tool_calls__0__arguments='{"q": 1}',
    )

    assert message.parts == (TextPart("I look."), ToolCallPart("look", {"q": 1}, "t1"))


@pytest.mark.parametrize("content", ["", '""', "[]"])
def test_beside_a_call_empty_content_is_none(content: str) -> None:
    message = prompt(role="assistant", content=content, tool_calls__0__name="look")

    assert message.parts == (ToolCallPart("look", None),)


def test_anthropics_thinking_belongs_to_the_choice_after_it() -> None:
    generation = read(
        {
            "llm.request.type": "completion",
            "gen_ai.completion.0.finish_reason": "end_turn",
            "gen_ai.completion.0.role": "thinking",
            "gen_ai.completion.0.content": "Hm.",
            "gen_ai.completion.1.role": "assistant",
            "gen_ai.completion.1.content": "Yes.",
        },
        ANTHROPIC,
        "anthropic.chat",
    )

    assert generation.operation == "chat"
    assert generation.choices == (Choice(Message("assistant", (ReasoningPart("Hm."), TextPart("Yes."))), "stop"),)


def test_the_summary_of_the_responses_api_is_reasoning() -> None:
    choice = completion(role="assistant", content="Yes.", reasoning='[{"text": "Hm.", "type": "summary_text"}]')

    assert choice.message.parts == (ReasoningPart("Hm."), TextPart("Yes."))


def test_the_prompt_of_a_completion_is_the_users_message() -> None:
    generation = read(
        {"llm.request.type": "completion", "gen_ai.prompt.0.user": "Complete this"}, OPENAI, "openai.completion"
    )

    assert generation.operation == "text_completion"
    assert generation.messages == (Message("user", (TextPart("Complete this"),)),)


def test_the_empty_answer_of_a_stream_is_no_pair_of_quotes() -> None:
    assert completion(role="unknown", content='""').message == Message("assistant", ())
    assert completion(role="assistant", content='""').message == Message("assistant", (TextPart('""'),))


def test_an_answer_that_a_filter_stopped_is_marked() -> None:
    generation = read(
        {**CHAT, "gen_ai.completion.0.finish_reason": "content_filter", "gen_ai.completion.0.content": "FILTERED"}
    )

    assert generation.choices == (Choice(Message("assistant", ()), "content_filter"),)
    assert "redacted" in reasons(generation)


def test_the_word_filtered_alone_is_an_answer() -> None:
    assert completion(content="FILTERED", finish_reason="stop").message.parts == (TextPart("FILTERED"),)


def test_a_call_ends_an_answer_that_says_nothing_about_its_end() -> None:
    fields = {"tool_calls__0__name": "look", "tool_calls__0__id": "c"}

    assert completion(**fields, tool_calls__0__arguments="{}").finish_reason == "tool_call"
    assert completion(**fields, tool_calls__0__arguments='{"q": "cu').finish_reason is None


def test_langchains_usage_is_counted_once_however_many_choices_there_are() -> None:
    attributes = {
        **CHAT,
        "gen_ai.completion.0.content": "A",
        "gen_ai.completion.1.content": "B",
        "gen_ai.usage.input_tokens": 20,
        "gen_ai.usage.output_tokens": 14,
    }

    assert (read(attributes).input_tokens, read(attributes).output_tokens) == (10, 7)
    assert read(attributes, OPENAI).input_tokens == 20


def test_a_stream_that_nobody_counted_has_no_usage() -> None:
    generation = read({**CHAT, "gen_ai.usage.prompt_tokens": 0, "gen_ai.usage.completion_tokens": 0})

    assert (generation.input_tokens, generation.output_tokens) == (None, None)


@pytest.mark.parametrize(
    ("attributes", "name", "provider"),
    [
        ({"gen_ai.system": "Anthropic"}, "anthropic.chat", "anthropic"),
        ({"gen_ai.system": "Langchain"}, "ChatOpenAI.chat", "openai"),
        ({"gen_ai.system": "Langchain"}, "FakeChatModel.chat", None),
        ({"traceloop.association.properties.ls_provider": "groq"}, "Mine.chat", "groq"),
    ],
)
def test_the_provider_is_no_framework(attributes: dict[str, Any], name: str, provider: str | None) -> None:
    assert read({**CHAT, **attributes}, name=name).provider == provider


def test_what_the_sdk_evicted_is_said_and_the_rest_is_mended() -> None:
    generation = read(
        {
            "gen_ai.prompt.76.content": "an answer whose role is gone",
            "gen_ai.prompt.77.role": "user",
            "gen_ai.prompt.77.content": "go on",
            "gen_ai.completion.0.content": "so be it",
        },
        dropped_attributes=9,
    )

    assert [message.role for message in generation.messages] == ["assistant", "user"]
    assert reasons(generation) == ["attributes_dropped"]


def test_a_message_of_which_only_the_role_survived_is_not_shown() -> None:
    generation = read(
        {"gen_ai.prompt.76.role": "user", "gen_ai.prompt.77.role": "assistant", "gen_ai.prompt.77.content": "so"},
        dropped_attributes=9,
    )

    assert generation.messages == (Message("assistant", (TextPart("so"),)),)


def test_a_prompt_that_ends_in_the_middle_is_said_to() -> None:
    generation = read(
        {
            **CHAT,
            "gen_ai.prompt.0.role": "system",
            "gen_ai.prompt.0.content": "Be brief.",
            "gen_ai.prompt.1.role": "user",
            "gen_ai.completion.0.content": "A picture.",
        }
    )

    assert generation.messages == (Message("system", (TextPart("Be brief."),)),)
    assert reasons(generation) == ["message_without_content"]


def test_content_that_is_off_is_said_to_be() -> None:
    generation = read({**CHAT, "gen_ai.request.model": "gpt-4o-mini", "gen_ai.usage.input_tokens": 3})

    assert generation.messages == ()
    assert reasons(generation) == ["content_not_captured"]
    assert "TRACELOOP_TRACE_CONTENT=true" in generation.incomplete[0].sentence


def test_messages_can_be_log_events() -> None:
    said = LogRecord("gen_ai.user.message", {"content": "Hello?"}, {})
    attributes = {**CHAT, "gen_ai.completion.0.content": "Hello.", "gen_ai.completion.0.finish_reason": "stop"}

    assert read(attributes, logs=(said,)).messages == (Message("user", (TextPart("Hello?"),)),)
    assert reasons(read(attributes, logs=(said,))) == []
    assert reasons(read(attributes)) == ["log_events_missing"]


VALUES = any_value(*("user", "assistant", "tool", "thinking", '""', "FILTERED", "[{}]", '[{"type": "tool_use"}]', "[["))
NAMES = st.one_of(
    st.sampled_from(["llm.request.type", "gen_ai.system", "gen_ai.usage.input_tokens", "gen_ai.request.model"]),
    indexed_names(
        ["gen_ai.prompt", "gen_ai.completion", "llm.request.functions"],
        [
            *("role", "content", "user", "finish_reason", "reasoning", "name", "parameters", "tool_call_id"),
            *("tool_calls.0.name", "tool_calls.0.arguments", "tool_calls.x", "function_call.name", ""),
        ],
    ),
)


@given(attributes=st.dictionaries(NAMES, VALUES), dropped=st.integers(0, 1))
def test_whatever_the_attributes_are_nothing_raises(attributes: dict[str, Any], dropped: int) -> None:
    if not openllmetry.DIALECT.matches(attributes, LANGCHAIN):
        return
    generation = openllmetry.DIALECT.read(span(attributes, LANGCHAIN, dropped_attributes=dropped))

    assert all(isinstance(message.role, str) for message in generation.messages)
