"""Messages of LangChain, Google and Haystack, as instrumentations dump them."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from label_studio_otel.generation import (
    BlobPart,
    Choice,
    Message,
    ReasoningPart,
    RefusalPart,
    TextPart,
    ToolCallPart,
    ToolResponsePart,
    UnknownPart,
    UriPart,
)
from label_studio_otel.reading.forms import google, haystack_repr, langchain


def dumped(kind: str, **fields: Any) -> dict[str, Any]:
    return {"lc": 1, "type": "constructor", "id": ["langchain", "schema", "messages", kind], "kwargs": fields}


@pytest.mark.parametrize(
    ("raw", "expected"),
    [
        (dumped("SystemMessage", content="Be brief."), Message("system", (TextPart("Be brief."),))),
        (
            dumped("SystemMessage", content="Be brief.", additional_kwargs={"__openai_role__": "developer"}),
            Message("developer", (TextPart("Be brief."),)),
        ),
        ({"type": "human", "content": "hi"}, Message("user", (TextPart("hi"),))),
        ({"type": "human", "data": {"content": "hi"}}, Message("user", (TextPart("hi"),))),
        ({"type": "chat", "content": "hi", "role": "narrator"}, Message("narrator", (TextPart("hi"),))),
        (
            dumped("ToolMessage", content="found", tool_call_id="c", name="look", type="tool"),
            Message("tool", (ToolResponsePart("found", "c"),), "look"),
        ),
        (
            dumped(
                "AIMessageChunk",
                content=[
                    {"type": "text", "text": "I look."},
                    {"type": "tool_use", "id": "c", "name": "look", "input": "{"},
                ],
                tool_calls=[{"name": "look", "args": {"q": 1}, "id": "c", "type": "tool_call"}],
                additional_kwargs={"tool_calls": [{"id": "c", "function": {"name": "look", "arguments": "{}"}}]},
            ),
            Message("assistant", (TextPart("I look."), ToolCallPart("look", {"q": 1}, "c"))),
        ),
        (
            dumped(
                "AIMessage", content="", invalid_tool_calls=[{"name": "look", "args": '{"q', "id": "c", "error": "e"}]
            ),
            Message("assistant", (ToolCallPart("look", '{"q', "c"),)),
        ),
        (
            dumped("AIMessage", content="", additional_kwargs={"refusal": "I will not."}),
            Message("assistant", (RefusalPart("I will not."),)),
        ),
        (
            dumped("AIMessage", content="Yes.", additional_kwargs={"reasoning_content": "Hm."}),
            Message("assistant", (ReasoningPart("Hm."), TextPart("Yes."))),
        ),
        (
            dumped("AIMessage", content=[{"type": "reasoning", "reasoning": "Hm."}, {"type": "text", "text": "Yes."}]),
            Message("assistant", (ReasoningPart("Hm."), TextPart("Yes."))),
        ),
        (
            dumped("HumanMessage", content=[{"type": "image", "base64": "AA==", "mime_type": "image/png"}]),
            Message("user", (BlobPart("image", "image/png", "AA=="),)),
        ),
        (
            dumped("HumanMessage", content=[{"type": "file", "source_type": "url", "url": "https://x.example/a.pdf"}]),
            Message("user", (UriPart("file", "https://x.example/a.pdf"),)),
        ),
        ({"no": "message"}, Message("user", (UnknownPart({"no": "message"}),))),
    ],
)
def test_a_message_of_langchains(raw: dict[str, Any], expected: Message) -> None:
    assert langchain.message_of(raw) == expected


def test_a_model_of_langchains_is_called_with_messages_or_prompts() -> None:
    assert langchain.messages_of({"messages": [[{"type": "human", "content": "hi"}]]}) == (
        Message("user", (TextPart("hi"),)),
    )
    assert langchain.messages_of({"prompts": ["Go on"]}) == (Message("user", (TextPart("Go on"),)),)
    assert langchain.messages_of({"messages": [{"role": "user", "content": "OpenAI's"}]}) is None
    assert langchain.messages_of("text") is None


def test_the_generations_of_langchain_are_choices() -> None:
    metadata = {"model_name": "gpt-4o-mini-2024-07-18", "finish_reason": "stop", "id": "chatcmpl-1"}
    message = dumped("AIMessage", content="A", id="run--1", response_metadata=metadata)
    outputs = {"generations": [[{"text": "A", "message": message}, {"text": "B", "generation_info": {}}]]}

    assert langchain.choices_of(outputs) == (
        Choice(Message("assistant", (TextPart("A"),)), "stop"),
        Choice(Message("assistant", (TextPart("B"),))),
    )
    assert langchain.response_of(outputs)["id"] == "chatcmpl-1"
    assert langchain.choices_of({"generations": []}) is None


@pytest.mark.parametrize(
    ("instruction", "call"), [("system_instruction", "function_call"), ("systemInstruction", "functionCall")]
)
def test_a_request_of_googles(instruction: str, call: str) -> None:
    request = {
        "contents": [
            {"role": "user", "parts": [{"text": "see"}, {"inline_data": {"mime_type": "image/png", "data": "AA=="}}]},
            {"role": "model", "parts": [{"text": "Hm.", "thought": True}, {call: {"name": "look", "args": {"q": 1}}}]},
            {"role": "user", "parts": [{"function_response": {"name": "look", "response": {"result": "x"}}}]},
        ],
        "config": {instruction: "Be brief."},
    }

    assert google.messages_of(request) == (
        Message("system", (TextPart("Be brief."),)),
        Message("user", (TextPart("see"), BlobPart("image", "image/png", "AA=="))),
        Message("assistant", (ReasoningPart("Hm."), ToolCallPart("look", {"q": 1}))),
        Message("tool", (ToolResponsePart({"result": "x"}),)),
    )


def test_a_response_of_googles() -> None:
    content = {"role": "model", "parts": [{"function_call": {"name": "look", "id": "c"}}]}
    expected = (Choice(Message("assistant", (ToolCallPart("look", {}, "c"),)), "tool_call"),)

    assert google.choices_of({"candidates": [{"content": content, "finishReason": "STOP"}]}) == expected
    assert google.choices_of({"content": content, "finish_reason": "STOP"}) == expected
    assert google.choices_of({"content": "x"}) is None


def test_a_message_of_haystacks_by_its_repr() -> None:
    shown = (
        "ChatMessage(_role=<ChatRole.ASSISTANT: 'assistant'>, _content=[TextContent(text='I \\'look\\'.\\n'), "
        "ToolCall(tool_name='look', arguments={'q': '日'}, id='c', extra=None)], _name=None, "
        "_meta={'model': 'gpt-4o-mini', 'finish_reason': 'tool_calls'})"
    )
    result = (
        "ChatMessage(_role=<ChatRole.TOOL: 'tool'>, _content=[ToolCallResult(result='found', "
        "origin=ToolCall(tool_name='look', arguments={}, id='c', extra=None), error=False)], _name=None, _meta={})"
    )
    image = (
        "ChatMessage(_role=<ChatRole.USER: 'user'>, _content=[ImageContent(base64_image='AAAA...', "
        "mime_type='image/png', detail=None, meta={})], _name=None, _meta={})"
    )
    said = Message("assistant", (TextPart("I 'look'.\n"), ToolCallPart("look", {"q": "日"}, "c")))

    assert haystack_repr.choices_of([shown]) == (Choice(said, "tool_call"),)
    assert haystack_repr.messages_of([shown, result, image]) == (
        said,
        Message("tool", (ToolResponsePart("found", "c"),)),
        Message("user", ()),
    )


@pytest.mark.parametrize(
    "raw",
    ["ChatMessage(_role=<ChatRole.USER: 'user'>, _content=[", "ChatMessage(_role=<ChatRole.USER: 'user'>, f())", 3],
)
def test_what_is_no_repr_of_haystacks_is_none(raw: Any) -> None:
    assert haystack_repr.messages_of([raw]) is None


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
    google.part_of(value)
    haystack_repr.messages_of(value)
    langchain.messages_of(value)
    langchain.choices_of(value)
    langchain.response_of(value)
    if isinstance(value, dict):
        google.messages_of(value)
        google.choices_of(value)
