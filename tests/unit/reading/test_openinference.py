"""OpenInference's spans: flattened messages, and the request and response in `input.value` and `output.value`."""

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
    RefusalPart,
    TextPart,
    ToolCallPart,
    ToolResponsePart,
    UriPart,
)
from label_studio_otel.reading.emitters import openinference
from label_studio_otel.spans import Span
from support import reading
from support.reading import any_value, indexed_names, reasons

OPENAI = "openinference.instrumentation.openai"
REDACTED = "__REDACTED__"


def span(attributes: dict[str, Any], scope: str = OPENAI, name: str = "ChatCompletion", **fields: Any) -> Span:
    return reading.span({"openinference.span.kind": "LLM", **attributes}, scope, name, **fields)


def read(attributes: dict[str, Any], *where: str, **fields: Any) -> Generation:
    return openinference.DIALECT.read(span(attributes, *where, **fields))


def values(request: Any, response: Any) -> dict[str, Any]:
    """Build the two attributes that hold JSON."""
    mime_types = {"input.mime_type": "application/json", "output.mime_type": "application/json"}
    return {"input.value": json.dumps(request), "output.value": json.dumps(response), **mime_types}


def flat(side: str, *messages: dict[str, Any]) -> dict[str, Any]:
    """Build flattened messages; `__` is a dot, and `message.` goes without saying."""
    return {
        f"llm.{side}_messages.{number}.message.{field.replace('__', '.')}": value
        for number, message in enumerate(messages)
        for field, value in message.items()
    }


def test_an_llm_call_is_one_by_its_kind() -> None:
    assert openinference.DIALECT.matches({"openinference.span.kind": "LLM"}, OPENAI)


@pytest.mark.parametrize(
    "attributes",
    [
        {"openinference.span.kind": "CHAIN", "llm.input_messages.0.message.role": "user"},
        {"openinference.span.kind": "EMBEDDING"},
        {"openinference.span.kind": 1},
        {"openinference.span.kind": ["LLM"]},
        {},
    ],
)
def test_spans_of_other_kinds_are_left_alone(attributes: dict[str, Any]) -> None:
    assert not openinference.DIALECT.matches(attributes, OPENAI)


@pytest.mark.parametrize(
    "attributes",
    [
        {"input.value": '{"tools": [], "user_msg": null, "chat_history": ["ChatMessage()"]}'},
        {"input.value": '{"prompt": "PromptTemplate()"}', "llm.prompt_template.template": "Answer {question}"},
        {"llm.input_messages.0.message.role": "user", "output.value": '{"input_tokens":17}'},
        {"gen_ai.operation.name": "chat", "gen_ai.input.messages": "[]"},
    ],
)
def test_what_only_prepares_a_call_and_what_others_read_better_is_left_alone(attributes: dict[str, Any]) -> None:
    assert not openinference.DIALECT.matches({"openinference.span.kind": "LLM", **attributes}, OPENAI)


def test_a_request_and_a_response_are_read_whole() -> None:
    generation = read(
        {
            "llm.system": "openai",
            **values(
                {
                    "model": "gpt-4o-mini",
                    "messages": [
                        {"role": "system", "content": "Be brief."},
                        {
                            "role": "user",
                            "content": [{"type": "input_audio", "input_audio": {"data": "AAAA", "format": "wav"}}],
                        },
                    ],
                    "tools": [{"type": "function", "function": {"name": "look"}}],
                },
                {
                    "id": "chatcmpl-1",
                    "model": "gpt-4o-mini-2024-07-18",
                    "choices": [
                        {
                            "index": 0,
                            "finish_reason": "stop",
                            "message": {"role": "assistant", "refusal": "I will not."},
                        }
                    ],
                    "usage": {"prompt_tokens": 8, "completion_tokens": 4},
                },
            ),
            "llm.model_name": "gpt-4o-mini-2024-07-18",
            "session.id": "s",
            "metadata": '{"user_id": "u", "thread_id": "t"}',
        }
    )

    assert generation == Generation(
        operation="chat",
        messages=(
            Message("system", (TextPart("Be brief."),)),
            Message("user", (BlobPart("audio", "audio/wav", "AAAA"),)),
        ),
        choices=(Choice(Message("assistant", (RefusalPart("I will not."),)), "stop"),),
        provider="openai",
        request_model="gpt-4o-mini",
        response_model="gpt-4o-mini-2024-07-18",
        response_id="chatcmpl-1",
        input_tokens=8,
        output_tokens=4,
        conversation_id="t",
        session_id="s",
        user_id="u",
        tools=({"type": "function", "function": {"name": "look"}},),
    )


def test_flattened_messages_are_read_where_there_is_nothing_else() -> None:
    generation = read(
        {
            **flat(
                "input",
                {"role": "system", "content": "Be brief."},
                {
                    "role": "user",
                    "contents__0__message_content__type": "text",
                    "contents__0__message_content__text": "see",
                    "contents__1__message_content__type": "image",
                    "contents__1__message_content__image__image__url": "https://x.example/a.png",
                },
                {
                    "role": "assistant",
                    "tool_calls__0__tool_call__id": "c",
                    "tool_calls__0__tool_call__function__name": "look",
                    "tool_calls__0__tool_call__function__arguments": '{"q": 1}',
                },
                {"role": "tool", "content": '{"found": 1}', "tool_call_id": "c", "name": "look"},
            ),
            **flat("output", {"role": "assistant", "content": "[1, 2]"}),
            "llm.finish_reason": "length",
            "llm.token_count.prompt": 8,
            "llm.token_count.completion": 4,
            "llm.tools.0.tool.json_schema": '{"name": "look"}',
        }
    )

    assert generation.messages == (
        Message("system", (TextPart("Be brief."),)),
        Message("user", (TextPart("see"), UriPart("image", "https://x.example/a.png"))),
        Message("assistant", (ToolCallPart("look", {"q": 1}, "c"),)),
        Message("tool", (ToolResponsePart('{"found": 1}', "c"),), "look"),
    )
    assert generation.choices == (Choice(Message("assistant", (TextPart("[1, 2]"),)), "length"),)
    assert (generation.input_tokens, generation.output_tokens) == (8, 4)
    assert generation.tools == ({"name": "look"},)
    assert reasons(generation) == []


def test_a_gap_between_the_numbers_is_no_end() -> None:
    attributes = {
        "llm.input_messages.1.message.role": "user",
        "llm.input_messages.1.message.content": "one",
        "llm.input_messages.12.message.role": "user",
        "llm.input_messages.12.message.content": "twelve",
    }

    assert [message.parts for message in read(attributes).messages] == [(TextPart("one"),), (TextPart("twelve"),)]


def only_part(**fields: Any) -> tuple[Part, ...]:
    return read(flat("input", {"role": "assistant", **fields})).messages[0].parts


def test_a_call_that_stands_in_the_contents_and_in_the_calls_is_one() -> None:
    call = {"id": "t", "function__name": "look", "function__arguments": "{}"}

    assert only_part(
        contents__0__message_content__type="reasoning",
        contents__0__message_content__text="Hm.",
        contents__1__message_content__type="tool_use",
        **{f"contents__1__tool_call__{name}": value for name, value in call.items()},
        **{f"tool_calls__0__tool_call__{name}": value for name, value in call.items()},
    ) == (ReasoningPart("Hm."), ToolCallPart("look", {}, "t"))


def test_a_text_that_stands_in_the_contents_and_in_the_content_is_one() -> None:
    assert only_part(
        content="Yes.", contents__0__message_content__type="text", contents__0__message_content__text="Yes."
    ) == (TextPart("Yes."),)


def test_a_block_that_is_written_as_json_is_the_block() -> None:
    block = '{"type": "document", "source": {"type": "url", "url": "https://x.example/a.pdf"}}'

    assert only_part(contents__0__message_content__type="document", contents__0__message_content__text=block) == (
        UriPart("file", "https://x.example/a.pdf"),
    )


def test_thoughts_and_calls_that_stand_apart_are_one_answer() -> None:
    attributes = flat(
        "output",
        {"contents__0__message_content__type": "reasoning", "contents__0__message_content__text": "Hm."},
        {"role": "assistant", "content": "I look."},
        {"role": "assistant", "tool_calls__0__tool_call__function__name": "look"},
    )

    assert read(attributes).choices == (
        Choice(
            Message("assistant", (ReasoningPart("Hm."), TextPart("I look."), ToolCallPart("look", {}))), "tool_call"
        ),
    )


def test_two_texts_are_two_choices() -> None:
    attributes = {**flat("output", {"content": "A"}, {"content": "B"}), "llm.finish_reason": "stop"}

    assert read(attributes).choices == (
        Choice(Message("assistant", (TextPart("A"),)), "stop"),
        Choice(Message("assistant", (TextPart("B"),)), "stop"),
    )


@pytest.mark.parametrize(
    "attributes",
    [
        {"llm.prompts": ("Go on",), **values({}, {"generations": [[{"text": "and on"}]]})},
        {"llm.prompts.0.prompt.text": "Go on", "llm.choices.0.completion.text": "and on"},
        {"llm.prompts": ["Go on"], "input.value": '{"args": ["Go on"]}', "output.value": "and on"},
    ],
)
def test_a_completion_has_prompts(attributes: dict[str, Any]) -> None:
    generation = read(attributes)

    assert generation.operation == "text_completion"
    assert generation.messages == (Message("user", (TextPart("Go on"),)),)
    assert generation.choices == (Choice(Message("assistant", (TextPart("and on"),))),)


def test_a_function_that_somebody_instrumented_by_hand_has_its_values() -> None:
    generation = read({"input.value": "What?", "output.value": "That."})

    assert generation.messages == (Message("user", (TextPart("What?"),)),)
    assert generation.choices == (Choice(Message("assistant", (TextPart("That."),))),)


def test_the_agents_sdk_has_the_instructions_apart_from_the_input() -> None:
    response = {"id": "resp_1", "instructions": "Be brief.", "output": [], "status": "completed", "model": "gpt-x-1"}
    generation = read(
        {
            **values([{"role": "user", "content": "hi"}], response),
            "llm.model_name": "gpt-x-1",
            "llm.invocation_parameters": '{"id": "resp_1", "created_at": 1.0, "model": "gpt-x-1"}',
        },
        "openinference.instrumentation.openai_agents",
        "response",
    )

    assert generation.messages == (
        Message("system", (TextPart("Be brief."),)),
        Message("user", (TextPart("hi"),)),
    )
    assert (generation.request_model, generation.response_model) == (None, "gpt-x-1")


def test_an_answer_that_the_agents_sdk_threw_away_ended_and_did_not_fail() -> None:
    message = "terminal event `response.incomplete`. status=incomplete; IncompleteDetails(reason='max_output_tokens')."
    generation = read({}, status_code="ERROR", status_message=message)

    assert generation.error is None
    assert generation.choices == (Choice(Message("assistant", ()), "length"),)


def test_autogen_tells_the_results_of_tools_in_its_own_way() -> None:
    generation = read(
        {
            "llm.input_messages.0.message.role": "developer",
            "llm.input_messages.0.message.content": "Be brief.",
            "llm.input_messages.1.message.role": "function",
            "llm.input_messages.1.function.0": '{"name": "look", "content": "a", "call_id": "c1"}',
            "llm.input_messages.1.function.1": '{"name": "look", "content": "b", "call_id": "c2"}',
            "output.value": '{"finish_reason": "function_calls", "cached": false, "thought": "I look.", '
            '"content": [{"id": "c3", "name": "look", "arguments": "{}"}]}',
        },
        "openinference.instrumentation.autogen_agentchat",
        "OpenAIChatCompletionClient.create",
    )

    assert generation.messages == (
        Message("system", (TextPart("Be brief."),)),
        Message("tool", (ToolResponsePart("a", "c1"),)),
        Message("tool", (ToolResponsePart("b", "c2"),)),
    )
    assert generation.choices == (
        Choice(Message("assistant", (TextPart("I look."), ToolCallPart("look", {}, "c3"))), "tool_call"),
    )
    assert generation.provider == "openai"


@pytest.mark.parametrize(
    ("scope", "status", "models"),
    [
        ("openinference.instrumentation.dspy", "OK", ("gpt-x", None)),
        ("openinference.instrumentation.autogen_agentchat", "OK", (None, "gpt-x")),
        ("openinference.instrumentation.autogen_agentchat", "ERROR", ("gpt-x", None)),
    ],
)
def test_the_one_name_of_a_model_is_who_answered_or_who_was_asked(
    scope: str, status: str, models: tuple[str | None, str | None]
) -> None:
    generation = read({"llm.model_name": "gpt-x"}, scope, status_code=status)

    assert (generation.request_model, generation.response_model) == models


def test_json_that_a_limit_cut_is_said_and_the_flattened_messages_are_read() -> None:
    whole = values({"messages": [{"role": "user", "content": "a question"}]}, {"choices": []})
    attributes = {**whole, "input.value": whole["input.value"][:40], **flat("input", {"content": "a question"})}

    assert read(attributes).messages == (Message("user", (TextPart("a question"),)),)
    assert "attribute_truncated" in reasons(read(attributes))


def test_the_beginning_of_an_answer_that_was_cut_is_kept() -> None:
    answer = '{"generations": [[{"text": "Measure the bass b'

    assert read({"output.value": answer, "output.mime_type": "application/json"}).choices == (
        Choice(Message("assistant", (TextPart("Measure the bass b"),))),
    )


def test_what_was_hidden_is_said_and_not_shown() -> None:
    hidden = {"input.value": REDACTED, "output.value": REDACTED, "llm.finish_reason": "stop"}
    generation = read(hidden)

    assert generation.messages == ()
    assert generation.choices == (Choice(Message("assistant", ()), "stop"),)
    assert reasons(generation) == ["redacted"]
    assert "OPENINFERENCE_HIDE_INPUTS" in generation.incomplete[0].sentence


def test_an_image_that_was_too_long_is_said_and_not_shown() -> None:
    image = {"type": "image_url", "image_url": {"url": REDACTED}}
    content = [{"type": "text", "text": "see"}, image]
    generation = read(
        {
            **values(
                {"messages": [{"role": "user", "content": content}]}, {"choices": [{"message": {"content": "A"}}]}
            ),
            "llm.input_messages.0.message.contents.1.message_content.image.image.url": REDACTED,
        }
    )

    assert generation.messages == (Message("user", (TextPart("see"),)),)
    assert reasons(generation) == ["redacted"]
    assert "OPENINFERENCE_BASE64_IMAGE_MAX_LENGTH" in generation.incomplete[0].sentence


def test_what_the_sdk_evicted_is_said_and_the_rest_is_mended() -> None:
    generation = read(
        {
            "llm.input_messages.70.message.content": "a question whose role is gone",
            "llm.input_messages.71.message.role": "assistant",
            "llm.input_messages.71.message.content": "an answer",
            "llm.output_messages.0.message.content": "another",
        },
        dropped_attributes=3,
    )

    assert [message.role for message in generation.messages] == ["user", "assistant"]
    assert reasons(generation) == ["attributes_dropped"]


def test_an_error_has_no_answer() -> None:
    generation = read(
        {**flat("input", {"role": "user", "content": "hi"}), **flat("output", {"role": "assistant", "content": ""})},
        status_code="ERROR",
        status_message="RateLimitError: slow down",
    )

    assert generation.choices == ()
    assert generation.error == "RateLimitError: slow down"
    assert reasons(generation) == []


JSON_TEXTS = st.sampled_from(
    [
        *('{"messages": [3]}', '{"messages": ["x"]}', '{"input": [{"type": []}]}', '{"contents": [null]}', "[[]]"),
        *(
            '{"generations": [[{"message": {"kwargs": 3}}]]}',
            '{"choices": [{"message": []}]}',
            '{"output": [1]}',
            "[{}]",
        ),
        *(
            '{"replies": [3]}',
            '{"finish_reason": 1, "cached": 1, "content": [1]}',
            '[{"output": [[]]}]',
            '{"tools": 3}',
        ),
    ]
)
VALUES = JSON_TEXTS | any_value(REDACTED, "user", "assistant", "tool", "function", "application/json", "reasoning")
NAMES = st.one_of(
    st.sampled_from(
        [
            *("input.value", "input.mime_type", "output.value", "output.mime_type", "llm.prompts", "llm.model_name"),
            *("llm.invocation_parameters", "llm.finish_reason", "llm.token_count.prompt", "metadata", "llm.system"),
            *("llm.tools.0.tool.json_schema", "llm.choices.0.completion.text", "llm.prompts.0.prompt.text"),
        ]
    ),
    indexed_names(
        ["llm.input_messages", "llm.output_messages"],
        [
            *("message.role", "message.content", "message.name", "message.tool_call_id", "function.0", ""),
            *("message.tool_calls.0.tool_call.id", "message.tool_calls.0.tool_call.function.name"),
            *("message.contents.0.message_content.type", "message.contents.0.message_content.text"),
            *("message.contents.0.message_content.image.image.url", "message.function_call_name"),
        ],
    ),
)


@given(
    attributes=st.dictionaries(NAMES, VALUES),
    dropped=st.integers(0, 1),
    status=st.sampled_from(["UNSET", "OK", "ERROR"]),
)
def test_whatever_the_attributes_are_nothing_raises(attributes: dict[str, Any], dropped: int, status: str) -> None:
    call = span(attributes, dropped_attributes=dropped, status_code=status)
    if not openinference.DIALECT.matches(call.attributes, OPENAI):
        return
    reading.read_or_refuse(call)
