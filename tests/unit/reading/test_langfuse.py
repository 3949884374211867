"""Spans of Langfuse's SDK."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from label_studio_otel.generation import (
    Choice,
    FilePart,
    Generation,
    Message,
    TextPart,
    ToolCallPart,
    ToolResponsePart,
    UriPart,
)
from label_studio_otel.reading import is_llm_call, read
from support.reading import any_attributes, read_or_refuse, reasons, span

PREFIX = "langfuse.observation."
ASKED = json.dumps([{"role": "user", "content": "Why?"}])
ANSWERED = json.dumps({"role": "assistant", "content": "Because."})
QUESTION = (Message("user", (TextPart("Why?"),)),)
ANSWER = (Choice(Message("assistant", (TextPart("Because."),))),)
NOTE = "@@@langfuseMedia:type=image/png|id=abc-1|source=base64_data_uri@@@"


def observe(name: str = "a call", status_code: str = "UNSET", **attributes: Any) -> Generation:
    dotted = {PREFIX + key.replace("__", "."): value for key, value in attributes.items()}
    return read(span({PREFIX + "type": "generation", **dotted}, "langfuse-sdk", name, status_code=status_code))


@pytest.mark.parametrize("kind", ["span", "chain", "agent", "tool", "retriever", "embedding", "evaluator", None])
def test_only_generations_are_calls(kind: object) -> None:
    assert is_llm_call({PREFIX + "type": "generation"}, "langfuse-sdk")
    assert not is_llm_call({PREFIX + "type": kind, PREFIX + "input": ASKED}, "langfuse-sdk")


def test_messages_and_answer_are_read() -> None:
    generation = observe(input=ASKED, output=ANSWERED)

    assert (generation.messages, generation.choices) == (QUESTION, ANSWER)
    assert (generation.operation, generation.incomplete) == ("chat", ())


def test_the_langchain_handler_s_tools_and_calls_are_read() -> None:
    tool = {"type": "function", "function": {"name": "look"}}
    call = {"name": "look", "args": {"q": 1}, "id": "c1", "type": "tool_call"}
    asked = [
        {"role": "user", "content": "Why?"},
        {"role": "assistant", "content": "", "tool_calls": [call], "additional_kwargs": {}},
        {"role": "tool", "content": '{"a": 1}', "tool_call_id": "c1"},
        {"role": "tool", "content": tool},
    ]
    answered = {"role": "assistant", "content": [], "tool_calls": [call]}

    generation = observe(input=json.dumps(asked), output=json.dumps(answered))

    look = ToolCallPart("look", {"q": 1}, "c1")
    assert generation.tools == (tool,)
    assert generation.messages == (
        *QUESTION,
        Message("assistant", (look,)),
        Message("tool", (ToolResponsePart('{"a": 1}', "c1"),)),
    )
    assert generation.choices == (Choice(Message("assistant", (look,)), "tool_call"),)


def test_the_openai_client_s_tools_stand_beside_the_messages() -> None:
    tool = {"type": "function", "function": {"name": "look"}}

    generation = observe(input=json.dumps({"tools": [tool], "messages": json.loads(ASKED)}), output=ANSWERED)

    assert (generation.messages, generation.tools) == (QUESTION, (tool,))


def test_several_answers_of_the_openai_client_are_a_list() -> None:
    answers = [{"role": "assistant", "content": "A"}, {"role": "assistant", "content": "B"}]

    generation = observe(input=ASKED, output=json.dumps(answers))

    assert [choice.message.parts for choice in generation.choices] == [(TextPart("A"),), (TextPart("B"),)]


@pytest.mark.parametrize("text", ["Once upon", "[1, 2, 3]", '"quoted"', "null!", "42"])
def test_a_plain_text_is_a_completion_though_it_looks_like_json(text: str) -> None:
    generation = observe(input=text, output=text)

    assert generation.operation == "text_completion"
    assert generation.messages == (Message("user", (TextPart(text),)),)
    assert generation.choices == (Choice(Message("assistant", (TextPart(text),))),)


def test_a_text_that_was_answered_with_an_item_was_a_chat() -> None:
    item = {
        "type": "message",
        "role": "assistant",
        "status": "completed",
        "content": [{"type": "output_text", "text": "A"}],
    }

    generation = observe(input="Why?", output=json.dumps(item))

    assert (generation.operation, generation.messages) == ("chat", QUESTION)
    assert generation.choices == (Choice(Message("assistant", (TextPart("A"),)), "stop"),)


def test_a_stream_s_reason_is_in_the_metadata() -> None:
    assert observe(input=ASKED, output="A", metadata__finish_reason='"length"').choices[0].finish_reason == "length"
    assert observe(input=ASKED, output="A", metadata__finish_reason="length").choices[0].finish_reason == "length"


def test_media_that_langfuse_uploaded_are_named_and_said_to_be_missing() -> None:
    content = [{"type": "text", "text": "See"}, {"type": "image_url", "image_url": {"url": NOTE}}]
    sound = {"type": "input_audio", "input_audio": {"data": NOTE.replace("image/png", "audio/wav"), "format": "wav"}}
    asked = [{"role": "user", "content": [*content, sound, content[1]]}]

    generation = observe(input=json.dumps(asked), output=ANSWERED)

    picture = FilePart("image", "abc-1", "image/png")
    assert generation.messages[0].parts == (TextPart("See"), picture, FilePart("audio", "abc-1", "audio/wav"), picture)
    assert [gap.sentence for gap in generation.incomplete] == [
        "The instrumentation of the application does not record images.",
        "The instrumentation of the application does not record sound.",
    ]


@pytest.mark.parametrize(
    ("details", "counts"),
    [
        ({"input": 3, "output": 4}, (3, 4)),
        ({"input": 29, "input_cache_read": 29, "output": 83, "output_reasoning": 14}, (58, 97)),
        ({"prompt_tokens": 3, "completion_tokens": 0, "prompt_tokens_details": {"cached_tokens": 2}}, (3, 0)),
        ({"input_tokens": 3, "output_tokens": 4, "input_tokens_details": {}}, (3, 4)),
        ({"input": "3", "total": 9}, (None, None)),
        ([], (None, None)),
    ],
)
def test_tokens_are_whole_whoever_counted(details: object, counts: tuple[int | None, int | None]) -> None:
    generation = observe(usage_details=json.dumps(details))

    assert (generation.input_tokens, generation.output_tokens) == counts


def test_the_span_s_own_session_comes_before_the_trace_s() -> None:
    own = {f"{PREFIX}metadata.langfuse_session_id": '"s1"', f"{PREFIX}metadata.langfuse_user_id": '"u1"'}
    trace = {f"{PREFIX}type": "generation", "session.id": "s0", "user.id": "u0"}

    for attributes, expected in ((trace, ("s0", "u0")), ({**trace, **own}, ("s1", "u1"))):
        generation = read(span(attributes))
        assert (generation.session_id, generation.user_id) == expected


def test_the_model_is_the_one_asked_for_until_there_is_an_answer() -> None:
    asked = observe(input=ASKED, model__name="m")
    answered = observe(input=ASKED, output=ANSWERED, model__name="m-2026")
    langchain = observe(
        output=ANSWERED, model__name="m-2026", metadata__ls_model_name='"m"', metadata__ls_provider='"openai"'
    )

    assert (asked.request_model, asked.response_model) == ("m", None)
    assert (answered.request_model, answered.response_model) == (None, "m-2026")
    assert (langchain.request_model, langchain.response_model, langchain.provider) == ("m", "m-2026", "openai")


def test_the_openai_client_s_spans_are_openai_s() -> None:
    assert observe("OpenAI-generation").provider == "openai"
    assert observe("mine").provider is None


def test_a_failed_call_says_why() -> None:
    generation = observe(status_code="ERROR", input=ASKED, level="ERROR", status_message="Broke.")

    assert (generation.error, generation.choices, generation.incomplete) == ("Broke.", (), ())


def test_a_failure_that_only_the_level_tells_is_one() -> None:
    assert observe(input=ASKED, level="ERROR").error == "error"
    assert observe(input=ASKED, level="WARNING", status_message="Slow.").error is None


def test_what_was_masked_is_said() -> None:
    assert reasons(observe()) == ["content_not_captured"]


def test_a_link_is_no_note_of_langfuse_s() -> None:
    content = [{"type": "image_url", "image_url": {"url": "https://x.test/a.png"}}]

    generation = observe(input=json.dumps([{"role": "user", "content": content}]), output=ANSWERED)

    assert generation.messages[0].parts == (UriPart("image", "https://x.test/a.png"),)
    assert generation.incomplete == ()


def test_a_refusal_of_which_only_the_tokens_are_left_is_said() -> None:
    generation = observe(
        input=ASKED, output='{"role": "assistant", "content": null}', usage_details='{"completion_tokens": 7}'
    )

    assert generation.choices == (Choice(Message("assistant", ())),)
    assert reasons(generation) == ["no_output"]


NAMES = [
    PREFIX + name
    for name in ("input", "output", "usage_details", "level", "status_message", "model.name", "metadata.finish_reason")
]
KEYS = ["messages", "tools", "role", "content", "type", "tool_calls", "args", "name", "image_url", "url", "input", NOTE]


@given(any_attributes(NAMES, KEYS), st.sampled_from(["UNSET", "ERROR"]))
def test_attributes_of_any_type_raise_nothing_but_the_dialect_s_error(attributes: dict[str, Any], status: str) -> None:
    read_or_refuse(span({**attributes, PREFIX + "type": "generation"}, status_code=status))
