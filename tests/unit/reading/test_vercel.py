"""Spans of the Vercel AI SDK."""

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
    UriPart,
)
from label_studio_otel.reading import is_llm_call, read
from label_studio_otel.spans import Event
from support.reading import any_attributes, read_or_refuse, reasons, span

PNG = "iVBORw0KGgo="
CALL = {"ai.operationId": "ai.generateText.doGenerate"}
ASKED = json.dumps([{"role": "user", "content": [{"type": "text", "text": "Why?"}]}])


def call(attributes: dict[str, Any], **fields: Any) -> Generation:
    return read(span({**CALL, **attributes}, scope="ai", **fields))


def part(**fields: Any) -> Part:
    prompt = json.dumps([{"role": "user", "content": [fields]}])
    return call({"ai.prompt.messages": prompt}).messages[0].parts[0]


def answer(**attributes: Any) -> Choice:
    dotted = {name.replace("__", "."): value for name, value in attributes.items()}
    return call({"ai.prompt.messages": ASKED, **dotted}).choices[0]


@pytest.mark.parametrize(
    ("operation", "expected"),
    [
        ("ai.generateText.doGenerate", True),
        ("ai.streamText.doStream", True),
        ("ai.generateObject.doGenerate", True),
        ("ai.streamObject.doStream", True),
        ("ai.generateText", False),
        ("ai.streamText", False),
        ("ai.toolCall", False),
        ("ai.embed.doEmbed", False),
        (["ai.generateText.doGenerate"], False),
    ],
)
def test_only_the_sdk_s_calls_of_the_model_are_llm_calls(operation: object, *, expected: bool) -> None:
    assert is_llm_call({"ai.operationId": operation}, "ai") is expected


def test_messages_come_in_order_with_the_system_message_first() -> None:
    prompt = json.dumps(
        [
            {"role": "system", "content": "Be brief."},
            {"role": "user", "content": [{"type": "text", "text": "[1, 2]"}]},
            {"role": "assistant", "content": [{"type": "reasoning", "text": "Hm."}, {"type": "text", "text": "Yes."}]},
        ]
    )

    assert call({"ai.prompt.messages": prompt}).messages == (
        Message("system", (TextPart("Be brief."),)),
        Message("user", (TextPart("[1, 2]"),)),
        Message("assistant", (ReasoningPart("Hm."), TextPart("Yes."))),
    )


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({"type": "file", "mediaType": "image/png", "data": PNG}, BlobPart("image", "image/png", PNG)),
        (
            {"type": "file", "mediaType": "image/*", "data": "https://x.test/a.png"},
            UriPart("image", "https://x.test/a.png", "image/*"),
        ),
        ({"type": "file", "mediaType": "application/pdf", "data": PNG}, BlobPart("file", "application/pdf", PNG)),
        ({"type": "file", "mediaType": "audio/wav", "data": PNG}, BlobPart("audio", "audio/wav", PNG)),
        (
            {"type": "file", "mediaType": "image/png", "data": {"type": "data", "data": PNG}},
            BlobPart("image", "image/png", PNG),
        ),
        ({"type": "image", "mimeType": "image/png", "image": PNG}, BlobPart("image", "image/png", PNG)),
        ({"type": "image", "image": "https://x.test/a.png"}, UriPart("image", "https://x.test/a.png")),
        ({"type": "image", "image": {"0": 137}}, UnknownPart({"type": "image", "image": {"0": 137}})),
        ({"type": "poem", "text": "x"}, UnknownPart({"type": "poem", "text": "x"})),
    ],
)
def test_files_are_base64_or_links_without_a_mark(fields: dict[str, Any], expected: Part) -> None:
    assert part(**fields) == expected


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({"input": {"q": 1}}, ToolCallPart("look", {"q": 1}, "c1")),
        ({"input": '{"q": 1}'}, ToolCallPart("look", {"q": 1}, "c1")),
        ({"args": {"q": 1}}, ToolCallPart("look", {"q": 1}, "c1")),
        ({"input": "not JSON"}, ToolCallPart("look", "not JSON", "c1")),
    ],
)
def test_a_tool_s_input_is_an_object_whatever_the_version_calls_it(fields: dict[str, Any], expected: Part) -> None:
    assert part(type="tool-call", toolCallId="c1", toolName="look", **fields) == expected


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({"output": {"type": "text", "value": '{"a": 1}'}}, '{"a": 1}'),
        ({"output": {"type": "json", "value": {"a": 1}}}, {"a": 1}),
        ({"output": {"type": "error-text", "value": "No."}}, "No."),
        (
            {"output": {"type": "content", "value": [{"type": "text", "text": "A"}, {"type": "text", "text": "B"}]}},
            "AB",
        ),
        ({"result": {"a": 1}}, {"a": 1}),
    ],
)
def test_a_tool_s_output_stands_without_its_tag(fields: dict[str, Any], expected: object) -> None:
    assert part(type="tool-result", toolCallId="c1", toolName="look", **fields) == ToolResponsePart(expected, "c1")


def test_reasoning_text_files_and_calls_are_one_answer() -> None:
    said = answer(
        ai__response__reasoning="Hm.",
        ai__response__text="Yes.",
        ai__response__files=json.dumps([{"type": "file", "mediaType": "image/png", "data": PNG}]),
        ai__response__toolCalls=json.dumps([{"toolCallId": "c1", "toolName": "look", "input": '{"q": "日本"}'}]),
        ai__response__finishReason="tool-calls",
    )

    parts = (
        ReasoningPart("Hm."),
        TextPart("Yes."),
        BlobPart("image", "image/png", PNG),
        ToolCallPart("look", {"q": "日本"}, "c1"),
    )
    assert said == Choice(Message("assistant", parts), "tool_call")


def test_the_empty_text_beside_a_tool_call_is_none() -> None:
    calls = json.dumps([{"toolCallId": "c1", "toolName": "look", "input": {}}])

    said = answer(ai__response__text="", ai__response__toolCalls=calls)

    assert said.message.parts == (ToolCallPart("look", {}, "c1"),)


def test_an_object_is_the_text_that_the_model_wrote() -> None:
    assert answer(ai__response__object='{"a": 1}').message.parts == (TextPart('{"a": 1}'),)


def test_an_answer_without_a_text_keeps_its_reason_and_is_empty_where_it_cost_nothing() -> None:
    finished = {"ai.prompt.messages": ASKED, "ai.response.finishReason": "stop"}

    empty = call({**finished, "ai.usage.outputTokens": 0})
    unrecorded = call({**finished, "ai.usage.outputTokens": 7})

    assert empty.choices == unrecorded.choices == (Choice(Message("assistant", ()), "stop"),)
    assert (reasons(empty), reasons(unrecorded)) == ([], ["no_output"])


def test_without_inputs_and_outputs_the_span_says_how_to_have_them() -> None:
    (gap,) = call({"ai.response.finishReason": "stop", "ai.usage.outputTokens": 7}).incomplete

    assert gap.reason == "content_not_captured"
    assert "recordInputs and recordOutputs" in gap.sentence


@pytest.mark.parametrize(
    "usage",
    [
        {"ai.usage.promptTokens": 3, "ai.usage.completionTokens": 4},
        {"ai.usage.inputTokens": 3, "ai.usage.outputTokens": 4},
        {"gen_ai.usage.input_tokens": 3, "gen_ai.usage.output_tokens": 4},
    ],
)
def test_tokens_have_had_three_names(usage: dict[str, int]) -> None:
    generation = call(usage)

    assert (generation.input_tokens, generation.output_tokens) == (3, 4)


def test_models_provider_tools_and_the_application_s_words_are_read() -> None:
    generation = call(
        {
            "ai.model.provider": "openai.responses",
            "ai.model.id": "gpt-4o-mini",
            "ai.response.model": "gpt-4o-mini-2024-07-18",
            "ai.response.id": "resp_1",
            "ai.prompt.tools": ['{"type": "function", "name": "look"}', "broken"],
            "ai.telemetry.metadata.sessionId": "s1",
            "ai.telemetry.metadata.userId": "u1",
        }
    )

    assert (generation.provider, generation.operation, generation.response_id) == ("openai", "chat", "resp_1")
    assert (generation.request_model, generation.response_model) == ("gpt-4o-mini", "gpt-4o-mini-2024-07-18")
    assert (generation.session_id, generation.user_id) == ("s1", "u1")
    assert generation.tools == ({"type": "function", "name": "look"},)


def test_a_completion_model_completes_texts() -> None:
    assert call({"ai.model.provider": "openai.completion"}).operation == "text_completion"


def test_a_failed_call_has_its_error_and_no_gap() -> None:
    event = Event("exception", {"exception.type": "AI_APICallError", "exception.message": "Broke."})

    generation = call({"ai.prompt.messages": ASKED}, status_code="ERROR", events=(event,))

    assert (generation.error, generation.error_type) == ("AI_APICallError: Broke.", "AI_APICallError")
    assert (generation.choices, generation.incomplete) == ((), ())


def test_messages_cut_by_a_length_limit_keep_their_beginning() -> None:
    generation = call({"ai.prompt.messages": ASKED[:-7], "ai.response.text": "Because."})

    assert generation.messages == (Message("user", (TextPart("Wh"),)),)
    assert reasons(generation) == ["attribute_truncated"]


NAMES = [
    "ai.prompt.messages",
    "ai.prompt.tools",
    "ai.response.text",
    "ai.response.object",
    "ai.response.reasoning",
    "ai.response.toolCalls",
    "ai.response.files",
    "ai.response.finishReason",
    "ai.model.provider",
    "ai.usage.inputTokens",
    "gen_ai.response.finish_reasons",
]
KEYS = [
    "role",
    "content",
    "type",
    "text",
    "file",
    "tool-call",
    "tool-result",
    "toolName",
    "input",
    "output",
    "data",
    "value",
]


@given(any_attributes(NAMES, KEYS), st.sampled_from(["OK", "ERROR"]))
def test_attributes_of_any_type_raise_nothing_but_the_dialect_s_error(attributes: dict[str, Any], status: str) -> None:
    read_or_refuse(span({**attributes, **CALL}, scope="ai", status_code=status))
