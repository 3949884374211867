"""Messages of OpenAI's and Anthropic's APIs, as instrumentations copy them into JSON."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from label_studio_otel.generation import (
    BlobPart,
    Choice,
    FilePart,
    Message,
    Part,
    ReasoningPart,
    RefusalPart,
    TextPart,
    ToolCallPart,
    ToolResponsePart,
    UnknownPart,
    UriPart,
)
from label_studio_otel.reading.forms import anthropic, openai


def said(message: dict[str, Any]) -> Message:
    return openai.message_of(message)


@pytest.mark.parametrize(
    ("message", "expected"),
    [
        ({"role": "developer", "content": "Be brief."}, Message("developer", (TextPart("Be brief."),))),
        ({"role": "user", "content": "hi", "name": "ada"}, Message("user", (TextPart("hi"),), "ada")),
        ({"role": "user", "content": ""}, Message("user", (TextPart(""),))),
        ({"role": "assistant", "content": None}, Message("assistant", ())),
        (
            {"role": "assistant", "content": None, "refusal": "I will not."},
            Message("assistant", (RefusalPart("I will not."),)),
        ),
        (
            {"role": "assistant", "content": "Yes.", "reasoning_content": "Hm."},
            Message("assistant", (ReasoningPart("Hm."), TextPart("Yes."))),
        ),
        (
            {
                "role": "assistant",
                "content": "",
                "tool_calls": [{"id": "c", "type": "function", "function": {"name": "look", "arguments": '{"q": 1}'}}],
            },
            Message("assistant", (ToolCallPart("look", {"q": 1}, "c"),)),
        ),
        (
            {"role": "assistant", "content": None, "function_call": {"name": "look", "arguments": '{"q'}},
            Message("assistant", (ToolCallPart("look", '{"q', None),)),
        ),
        (
            {
                "role": "assistant",
                "tool_calls": [{"id": "c", "type": "custom", "custom": {"name": "sh", "input": "ls"}}],
            },
            Message("assistant", (ToolCallPart("sh", "ls", "c"),)),
        ),
        (
            {
                "role": "tool",
                "tool_call_id": "c",
                "content": [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}],
            },
            Message("tool", (ToolResponsePart("ab", "c"),)),
        ),
        ({"role": "function", "name": "look", "content": "x"}, Message("tool", (ToolResponsePart("x"),), "look")),
        (
            {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "t", "content": "x"}]},
            Message("tool", (ToolResponsePart("x", "t"),)),
        ),
        (
            {"role": "assistant", "content": None, "audio": {"id": "a1", "transcript": "Hello."}},
            Message("assistant", (TextPart("Hello."), FilePart("audio", "a1"))),
        ),
        ({"content": 7}, Message("user", (UnknownPart(7),))),
    ],
)
def test_a_message_of_chat_completions(message: dict[str, Any], expected: Message) -> None:
    assert said(message) == expected


@pytest.mark.parametrize(
    ("part", "expected"),
    [
        ("plain", TextPart("plain")),
        ({"type": "text", "text": "t"}, TextPart("t")),
        ({"type": "input_text", "text": "t"}, TextPart("t")),
        ({"type": "refusal", "refusal": "no"}, RefusalPart("no")),
        ({"type": "image_url", "image_url": {"url": "https://x.example/a"}}, UriPart("image", "https://x.example/a")),
        ({"type": "input_image", "image_url": "data:image/png;base64,AA=="}, BlobPart("image", "image/png", "AA==")),
        ({"type": "input_image", "file_id": "file-1"}, FilePart("image", "file-1")),
        (
            {"type": "input_audio", "input_audio": {"data": "AA==", "format": "mp3"}},
            BlobPart("audio", "audio/mp3", "AA=="),
        ),
        (
            {"type": "file", "file": {"file_data": "data:application/pdf;base64,AA==", "filename": "a.pdf"}},
            BlobPart("file", "application/pdf", "AA=="),
        ),
        ({"type": "input_file", "file_url": "https://x.example/a.pdf"}, UriPart("file", "https://x.example/a.pdf")),
        ({"type": "thinking", "thinking": "Hm."}, ReasoningPart("Hm.")),
        ({"type": "of nobody", "x": 1}, UnknownPart({"type": "of nobody", "x": 1})),
        ({"type": "text", "text": 3}, UnknownPart({"type": "text", "text": 3})),
        ({"type": []}, UnknownPart({"type": []})),
        (None, UnknownPart(None)),
    ],
)
def test_a_part_of_content(part: Any, expected: Part) -> None:
    assert openai.part_of(part) == expected


def test_choices_come_in_the_order_of_their_index() -> None:
    response = {
        "choices": [
            {"index": 1, "finish_reason": "length", "message": {"role": "assistant", "content": "B"}},
            {"index": 0, "finish_reason": "tool_calls", "message": {"role": "assistant", "content": "A"}},
        ]
    }

    assert openai.choices_of(response) == (
        Choice(Message("assistant", (TextPart("A"),)), "tool_call"),
        Choice(Message("assistant", (TextPart("B"),)), "length"),
    )


def test_a_completion_is_a_text() -> None:
    assert openai.messages_of({"prompt": "Go on"}) == (Message("user", (TextPart("Go on"),)),)
    assert openai.choices_of({"choices": [{"index": 0, "text": "and on", "finish_reason": "stop"}]}) == (
        Choice(Message("assistant", (TextPart("and on"),)), "stop"),
    )


@pytest.mark.parametrize("value", [{}, {"messages": "x"}, {"prompt": 3}, {"prompt": []}, {"input": {"x": 1}}])
def test_what_is_no_request_is_none(value: dict[str, Any]) -> None:
    assert openai.messages_of(value) is None


@pytest.mark.parametrize("value", [{}, {"choices": "x"}, {"output": "text"}, {"content": "x", "role": "assistant"}])
def test_what_is_no_response_is_none(value: dict[str, Any]) -> None:
    assert openai.choices_of(value) is None


def test_the_items_of_a_turn_are_one_message() -> None:
    items = [
        {"role": "user", "content": "Look."},
        {"type": "reasoning", "id": "rs_1", "summary": [{"type": "summary_text", "text": "Hm."}]},
        {"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": "I look."}]},
        {"type": "function_call", "id": "fc_1", "call_id": "call_1", "name": "look", "arguments": '{"q": 1}'},
        {"type": "function_call", "id": "fc_2", "call_id": "call_2", "name": "look", "arguments": '{"q": 2}'},
        {"type": "function_call_output", "call_id": "call_1", "output": "one"},
        {"type": "function_call_output", "call_id": "call_2", "output": "two"},
        {"role": "assistant", "content": "Found."},
        {"role": "assistant", "content": "And more."},
    ]

    assert openai.messages_of({"instructions": "Be brief.", "input": items}) == (
        Message("system", (TextPart("Be brief."),)),
        Message("user", (TextPart("Look."),)),
        Message(
            "assistant",
            (
                ReasoningPart("Hm."),
                TextPart("I look."),
                ToolCallPart("look", {"q": 1}, "call_1"),
                ToolCallPart("look", {"q": 2}, "call_2"),
            ),
        ),
        Message("tool", (ToolResponsePart("one", "call_1"),)),
        Message("tool", (ToolResponsePart("two", "call_2"),)),
        Message("assistant", (TextPart("Found."),)),
        Message("assistant", (TextPart("And more."),)),
    )


@pytest.mark.parametrize(
    ("response", "reason"),
    [
        (
            {"status": "completed", "output": [{"type": "function_call", "name": "look", "arguments": "{}"}]},
            "tool_call",
        ),
        ({"status": "completed", "output": []}, "stop"),
        ({"status": "incomplete", "incomplete_details": {"reason": "max_output_tokens"}, "output": []}, "length"),
        ({"status": "incomplete", "incomplete_details": {"reason": "content_filter"}, "output": []}, "content_filter"),
        ({"output": []}, None),
    ],
)
def test_the_end_of_a_response(response: dict[str, Any], reason: str | None) -> None:
    assert openai.choices_of_items(response)[0].finish_reason == reason


def test_a_request_and_a_response_of_anthropic() -> None:
    request = {"system": [{"type": "text", "text": "Be brief."}], "messages": [{"role": "user", "content": "hi"}]}
    response = {
        "role": "assistant",
        "stop_reason": "tool_use",
        "content": [
            {"type": "thinking", "thinking": "Hm."},
            {"type": "tool_use", "id": "t", "name": "look", "input": {}},
        ],
    }

    assert openai.messages_of(request) == (
        Message("system", (TextPart("Be brief."),)),
        Message("user", (TextPart("hi"),)),
    )
    assert openai.choices_of(response) == (
        Choice(Message("assistant", (ReasoningPart("Hm."), ToolCallPart("look", {}, "t"))), "tool_call"),
    )


@pytest.mark.parametrize(
    ("block", "expected"),
    [
        (
            {"type": "image", "source": {"type": "url", "url": "https://x.example/a"}},
            UriPart("image", "https://x.example/a"),
        ),
        ({"type": "image", "source": {"type": "file", "file_id": "file_1"}}, FilePart("image", "file_1")),
        (
            {"type": "document", "source": {"type": "base64", "media_type": "application/pdf", "data": "AA=="}},
            BlobPart("file", "application/pdf", "AA=="),
        ),
        ({"type": "document", "source": {"type": "text", "data": "words"}}, TextPart("words")),
        (
            {"type": "tool_result", "tool_use_id": "t", "content": [{"type": "text", "text": "a"}]},
            ToolResponsePart("a", "t"),
        ),
        (
            {"type": "tool_result", "tool_use_id": "t", "content": [{"type": "image"}]},
            ToolResponsePart([{"type": "image"}], "t"),
        ),
        ({"type": "image", "source": "x"}, UnknownPart({"type": "image", "source": "x"})),
    ],
)
def test_a_block_of_anthropics(block: dict[str, Any], expected: Part) -> None:
    assert anthropic.block_of(block) == expected


KEYS = (
    "role content type text tool_calls function name arguments input messages output choices message generations "
    "kwargs id contents parts candidates config prompt image_url input_audio file source reasoning summary "
    "additional_kwargs function_call index"
)
TEXTS = (
    "user assistant tool text image_url input_audio file tool_use tool_result human ai reasoning function_call "
    "constructor image document base64 url function_call_output"
)
JSON = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), st.sampled_from(TEXTS.split())),
    lambda inner: st.one_of(
        st.lists(inner, max_size=3), st.dictionaries(st.sampled_from(KEYS.split()), inner, max_size=5)
    ),
    max_leaves=20,
)


@given(JSON)
def test_whatever_the_json_is_it_is_read_or_left(value: Any) -> None:
    openai.message_of(value)
    openai.part_of(value)
    anthropic.block_of(value)
    if isinstance(value, dict):
        openai.messages_of(value)
        openai.choices_of(value)
