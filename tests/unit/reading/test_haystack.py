"""Spans of Haystack's own tracing."""

from __future__ import annotations

import json
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
    UnknownPart,
)
from label_studio_otel.reading import is_llm_call, read
from label_studio_otel.reading.forms.haystack_repr import parts_of
from support.reading import any_attributes, read_or_refuse, reasons, span

COMPONENT = {
    "haystack.component.type": "OpenAIChatGenerator",
    "haystack.component.input_spec": '{"messages": {"type": "list"}, "tools": {"type": "list"}}',
    "haystack.component.output_spec": '{"replies": {"type": "list", "receivers": []}}',
}
META = {"model": "m-2026", "finish_reason": "stop", "usage": {"prompt_tokens": 3, "completion_tokens": 0}}
ASKED = json.dumps({"messages": [{"role": "user", "meta": {}, "name": None, "content": [{"text": "Why?"}]}]})
ANSWERED = json.dumps(
    {"replies": [{"role": "assistant", "meta": META, "name": None, "content": [{"text": "Because."}]}]}
)
QUESTION = (Message("user", (TextPart("Why?"),)),)
ANSWER = (Choice(Message("assistant", (TextPart("Because."),)), "stop"),)


def component(input_: object = ASKED, output: object = ANSWERED, **fields: Any) -> Generation:
    values = {"haystack.component.input": input_, "haystack.component.output": output}
    said = {name: value for name, value in values.items() if value is not None}
    return read(span({**COMPONENT, **said}, "haystack", "haystack.component.run", **fields))


def part(block: dict[str, Any]) -> tuple[Part, ...]:
    return component(json.dumps({"messages": [{"role": "user", "content": [block]}]})).messages[0].parts


@pytest.mark.parametrize(
    ("takes", "gives", "expected"),
    [
        ('{"messages": {}}', '{"replies": {}}', True),
        ('{"prompt": {}}', '{"replies": {}, "meta": {}}', True),
        ('{"template": {}}', '{"prompt": {}}', False),
        ('{"text": {}}', '{"embedding": {}, "meta": {}}', False),
        ('{"query": {}, "replies": {}}', '{"answers": {}}', False),
        ('{"messages": {}, "tools": {}}', '{"tool_messages": {}}', False),
        ('{"messages": {}}', '{"messages": {}, "last_message": {}}', False),
        (None, '{"replies": {}}', False),
        ('{"messages": {}}', ["replies"], False),
    ],
)
def test_a_generator_is_a_component_that_takes_messages_and_gives_replies(
    takes: object, gives: object, *, expected: bool
) -> None:
    attributes = {"haystack.component.input_spec": takes, "haystack.component.output_spec": gives}

    assert is_llm_call({name: value for name, value in attributes.items() if value}, "haystack") is expected


def test_a_chat_generator_s_messages_and_replies_are_read() -> None:
    generation = component()

    assert (generation.messages, generation.choices) == (QUESTION, ANSWER)
    assert (generation.provider, generation.response_model, generation.request_model) == ("openai", "m-2026", None)
    assert (generation.input_tokens, generation.output_tokens, generation.incomplete) == (3, 0, ())


def test_a_text_generator_has_its_meta_beside_the_replies() -> None:
    asked = json.dumps({"prompt": "Why?", "system_prompt": "Be brief."})

    generation = component(asked, json.dumps({"replies": ["Because."], "meta": [META]}))

    assert generation.messages == (Message("system", (TextPart("Be brief."),)), *QUESTION)
    assert generation.choices == ANSWER
    assert generation.response_model == "m-2026"


@pytest.mark.parametrize(
    ("block", "expected"),
    [
        ({"text": "[1, 2]"}, TextPart("[1, 2]")),
        ({"reasoning": {"reasoning_text": "Hm.", "extra": {}}}, ReasoningPart("Hm.")),
        ({"tool_call": {"tool_name": "look", "arguments": {"q": 1}, "id": "c1"}}, ToolCallPart("look", {"q": 1}, "c1")),
        (
            {"tool_call_result": {"result": "found", "error": False, "origin": {"tool_name": "look", "id": "c1"}}},
            ToolResponsePart("found", "c1"),
        ),
    ],
)
def test_contents_are_objects_whose_one_key_is_their_kind(block: dict[str, Any], expected: Part) -> None:
    assert part(block) == (expected,)


@pytest.mark.parametrize(
    ("message", "expected"),
    [
        ({"role": "user", "content": "Why?", "name": "Ada"}, Message("user", (TextPart("Why?"),), "Ada")),
        ({"_role": "user", "_content": [{"text": "Why?"}]}, Message("user", (TextPart("Why?"),))),
        ("Why?", Message("user", (TextPart("Why?"),))),
        (3, Message("user", (UnknownPart(3),))),
    ],
)
def test_messages_of_other_versions_are_read(message: object, expected: Message) -> None:
    assert component(json.dumps({"messages": [message]})).messages == (expected,)


def test_media_that_haystack_replaced_by_their_size_are_said_to_be_missing() -> None:
    image = {"image": {"base64_image": "Base64 string (77072 characters)", "mime_type": "image/png"}}
    asked = {"messages": [{"role": "user", "content": [{"text": "See"}, image, image]}]}

    generation = component(json.dumps(asked))

    assert generation.messages[0].parts == (TextPart("See"),)
    assert reasons(generation) == ["media_not_captured"]


REPR = (
    "{'messages': [ChatMessage(_role=<ChatRole.USER: 'user'>, _content=[TextContent(text=\"it's <b>\")], _name=None, "
    "_meta={}), ChatMessage(_role=<ChatRole.ASSISTANT: 'assistant'>, _content=[ToolCall(tool_name='look', "
    "arguments={'q': '日本'}, id='c1', extra=None)], _name=None, _meta={'index': 0}), "
    "ChatMessage(_role=<ChatRole.TOOL: 'tool'>, _content=[ToolCallResult(result='found', origin=ToolCall("
    "tool_name='look', arguments={}, id='c1', extra=None), error=False)], _name=None, _meta={})], "
    "'tools': [Tool(name='look', parameters={'type': 'object'}, "
    "function=<function toolfns.<locals>.look at 0x7f28f17c56c0>, outputs_to_string=None)]}"
)


def test_an_agent_s_call_whose_tools_made_it_a_repr_is_read() -> None:
    attributes = {"haystack.agent.step.llm.input": REPR, "haystack.agent.step.llm.output": ANSWERED}

    generation = read(span(attributes, "haystack", "haystack.agent.step.llm"))

    assert generation.messages == (
        Message("user", (TextPart("it's <b>"),)),
        Message("assistant", (ToolCallPart("look", {"q": "日本"}, "c1"),)),
        Message("tool", (ToolResponsePart("found", "c1"),)),
    )
    assert (generation.choices, generation.incomplete) == (ANSWER, ())
    assert [tool["name"] for tool in generation.tools] == ["look"]


def test_without_content_the_span_says_how_to_have_it() -> None:
    (gap,) = component(None, None).incomplete

    assert gap.reason == "content_not_captured"
    assert "HAYSTACK_CONTENT_TRACING_ENABLED=true" in gap.sentence


def test_what_a_limit_cut_is_read_as_far_as_it_goes() -> None:
    generation = component(ASKED[:-8])

    assert generation.messages == (Message("user", (TextPart("Wh"),)),)
    assert reasons(generation) == ["attribute_truncated"]


def test_a_failed_component_has_its_error_and_no_gap() -> None:
    generation = component(output=None, status_code="ERROR", status_message="Broke.")

    assert (generation.error, generation.incomplete) == ("Broke.", ())


NAMES = ["haystack.component.input", "haystack.component.output", "haystack.component.type"]
KEYS = [
    "messages",
    "replies",
    "meta",
    "prompt",
    "role",
    "content",
    "text",
    "tool_call",
    "image",
    "base64_image",
    "usage",
    "tools",
]


@given(any_attributes(NAMES, KEYS), st.integers(0, len(REPR)))
def test_attributes_of_any_type_raise_nothing_but_the_dialect_s_error(attributes: dict[str, Any], length: int) -> None:
    read_or_refuse(span({**COMPONENT, **attributes}))
    read_or_refuse(span({**COMPONENT, **attributes, "haystack.component.input": REPR[:length]}))


def test_a_file_of_a_repr_is_read_and_one_without_data_stays_as_it_came() -> None:
    file = {"class": "FileContent", "base64_data": "QUJD", "mime_type": "application/pdf"}
    assert parts_of(file) == (BlobPart("file", "application/pdf", "QUJD"),)
    assert parts_of({"class": "FileContent"}) == (UnknownPart({"class": "FileContent"}),)
