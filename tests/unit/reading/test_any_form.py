"""Requests and responses as tracers copy them, told by their form; and streams put together again."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given

from label_studio_otel.generation import (
    BlobPart,
    Choice,
    Message,
    Part,
    ReasoningPart,
    RefusalPart,
    TextPart,
    ToolCallPart,
    ToolResponsePart,
    UnknownPart,
)
from label_studio_otel.reading.emitters.mlflow import choices_of_chunks
from label_studio_otel.reading.forms import (
    Request,
    Response,
    known_request,
    known_response,
    request_of,
    response_of,
)
from support.reading import anything

ASK = {"role": "user", "content": "Why?"}
ASKED = (Message("user", (TextPart("Why?"),)),)
BRIEF = Message("system", (TextPart("Be brief."),))
LOOK = ToolCallPart("look", {"q": 1}, "c1")


def human(text: str) -> dict[str, Any]:
    return {"lc": 1, "type": "constructor", "id": ["langchain", "HumanMessage"], "kwargs": {"content": text}}


def said(*parts: Part, reason: str | None = None) -> tuple[Choice, ...]:
    return (Choice(Message("assistant", parts), reason),)


@pytest.mark.parametrize(
    ("value", "messages"),
    [
        ({"messages": [ASK]}, ASKED),
        ({"messages": [[ASK]]}, ASKED),
        ({"messages": [[human("Why?")]]}, ASKED),
        ({"messages": [{"type": "human", "content": "Why?"}]}, ASKED),
        ([ASK], ASKED),
        ([[{"type": "human", "content": "Why?", "response_metadata": {}}]], ASKED),
        ({"messages": [ASK], "system": "Be brief."}, (BRIEF, *ASKED)),
        ({"messages": [ASK], "system": [{"type": "text", "text": "Be brief."}]}, (BRIEF, *ASKED)),
        ({"input": "Why?", "instructions": "Be brief."}, (BRIEF, *ASKED)),
        ({"input": [ASK], "instructions": "Be brief."}, (BRIEF, *ASKED)),
        ({"prompt": "Why?"}, ASKED),
        ({"prompts": ["Why?"]}, ASKED),
        (["Why?"], ASKED),
        ({"args": [[ASK]], "kwargs": {"model": "m"}}, ASKED),
        ({"args": [], "kwargs": {"messages": [ASK]}}, ASKED),
        ({"request": {"messages": [ASK]}}, ASKED),
        ({"contents": "Why?", "config": {"system_instruction": "Be brief."}}, (BRIEF, *ASKED)),
        ({"contents": [{"role": "user", "parts": [{"text": "Why?"}]}]}, ASKED),
        (
            {"messages": [{"role": "user", "content": [{"text": "Why?"}]}], "system": [{"text": "Be brief."}]},
            (BRIEF, *ASKED),
        ),
    ],
)
def test_a_request_is_told_by_its_keys(value: object, messages: tuple[Message, ...]) -> None:
    request = known_request(value)

    assert request is not None
    assert request.messages == messages


@pytest.mark.parametrize("value", [None, "Why?", 3, [], {}, [1, 2], {"question": "Why?"}, {"messages": "Why?"}, [[]]])
def test_what_is_no_request_is_none(value: object) -> None:
    assert known_request(value) is None


def test_prompts_are_texts_to_go_on_with() -> None:
    assert known_request({"prompt": "Once"}) == Request(
        (Message("user", (TextPart("Once"),)),), operation="text_completion"
    )


def test_model_tools_and_user_stand_beside_the_messages() -> None:
    tool = {"type": "function", "function": {"name": "look"}}

    request = known_request({"messages": [ASK], "model": "m", "tools": [tool], "user": "u1"})

    assert request == Request(ASKED, "m", (tool,), "chat", "u1")


def test_tools_that_langfuse_puts_after_the_messages_are_tools() -> None:
    tool = {"type": "function", "function": {"name": "look"}}

    request = known_request(
        [ASK, {"role": "tool", "content": tool}, {"role": "tool", "content": "x", "tool_call_id": "c1"}]
    )

    assert request is not None
    assert request.tools == (tool,)
    assert request.messages == (*ASKED, Message("tool", (ToolResponsePart("x", "c1"),)))


@pytest.mark.parametrize(
    "message",
    [
        {"role": "assistant", "content": "", "tool_calls": [{"name": "look", "args": {"q": 1}, "id": "c1"}]},
        {
            "role": "assistant",
            "content": [{"type": "tool_use", "id": "c1", "name": "look", "input": {}}],
            "tool_calls": [{"name": "look", "args": {"q": 1}, "id": "c1"}],
        },
        {
            "role": "assistant",
            "content": None,
            "tool_calls": [{"id": "c1", "function": {"name": "look", "arguments": '{"q": 1}'}}],
        },
        {"type": "ai", "content": "", "tool_calls": [{"name": "look", "args": {"q": 1}, "id": "c1"}]},
    ],
)
def test_a_tool_call_is_read_once_whoever_wrote_the_message(message: dict[str, Any]) -> None:
    request = known_request([message])

    assert request is not None
    assert request.messages == (Message("assistant", (LOOK,)),)


def test_items_of_one_turn_are_one_message() -> None:
    items = [
        ASK,
        {"type": "reasoning", "summary": [{"type": "summary_text", "text": "Hm."}]},
        {"type": "function_call", "call_id": "c1", "name": "look", "arguments": '{"q": 1}'},
        {"type": "function_call_output", "call_id": "c1", "output": "found"},
    ]

    request = known_request(items)

    assert request is not None
    assert request.messages == (
        *ASKED,
        Message("assistant", (ReasoningPart("Hm."), LOOK)),
        Message("tool", (ToolResponsePart("found", "c1"),)),
    )


@pytest.mark.parametrize(
    ("value", "choices"),
    [
        ("Because.", said(TextPart("Because."))),
        (
            {"candidates": [{"content": {"parts": [{"text": "A"}]}, "finish_reason": "STOP"}]},
            said(TextPart("A"), reason="stop"),
        ),
        (
            {"output": {"message": {"role": "assistant", "content": [{"text": "A"}]}}, "stopReason": "max_tokens"},
            said(TextPart("A"), reason="length"),
        ),
        (["A", {"text": "B"}], said(TextPart("A")) + said(TextPart("B"))),
        ({"message": {"role": "assistant", "blocks": [{"block_type": "text", "text": "A"}]}}, said(TextPart("A"))),
        ({"role": "assistant", "content": "A", "finish_reason": "MAX_TOKENS"}, said(TextPart("A"), reason="length")),
        ({"role": "assistant", "content": "Because."}, said(TextPart("Because."))),
        ({"output": "Because."}, said(TextPart("Because."))),
        ({"output": {"content": "Because."}}, said(TextPart("Because."))),
        ({"message": {"role": "assistant", "content": "Because."}}, said(TextPart("Because."))),
        ({"choices": [{"text": " so.", "finish_reason": "length"}]}, said(TextPart(" so."), reason="length")),
        ({"choices": [{"message": {"content": None, "refusal": "No."}}]}, said(RefusalPart("No."))),
        (
            {"role": "assistant", "content": [{"type": "text", "text": "A"}], "stop_reason": "end_turn"},
            said(TextPart("A"), reason="stop"),
        ),
        (
            {"generations": [[{"text": "A", "generation_info": {"finish_reason": "stop"}}]]},
            said(TextPart("A"), reason="stop"),
        ),
        (
            {"type": "ai", "content": "A", "response_metadata": {"finish_reason": "length"}},
            said(TextPart("A"), reason="length"),
        ),
        (
            {
                "type": "message",
                "role": "assistant",
                "status": "completed",
                "content": [{"type": "output_text", "text": "A"}],
            },
            said(TextPart("A"), reason="stop"),
        ),
        (
            [{"type": "reasoning", "summary": []}, {"type": "message", "role": "assistant", "content": "A"}],
            said(TextPart("A")),
        ),
        (
            [{"content": "A", "role": "assistant"}, {"content": "B", "role": "assistant"}],
            said(TextPart("A")) + said(TextPart("B")),
        ),
        (
            {
                "content": "A",
                "stop_reason": "tool_use",
                "tool_calls": [{"id": "c1", "function": {"name": "look", "arguments": '{"q": 1}'}}],
            },
            said(TextPart("A"), LOOK, reason="tool_call"),
        ),
        (
            {
                "choices": [
                    {
                        "message": {
                            "content": [
                                {"type": "reasoning", "summary": [{"text": "Hm."}]},
                                {"type": "text", "text": "A"},
                            ]
                        }
                    }
                ]
            },
            said(ReasoningPart("Hm."), TextPart("A")),
        ),
    ],
)
def test_a_response_is_told_by_its_keys(value: object, choices: tuple[Choice, ...]) -> None:
    response = known_response(value)

    assert response is not None
    assert response.choices == choices


@pytest.mark.parametrize(
    "value", [None, 3, [], {}, [1], {"output": None}, {"answer": 42}, "<anthropic.Stream object at 0x7fcdbd460950>"]
)
def test_what_is_no_response_is_none(value: object) -> None:
    assert known_response(value) is None


def test_a_bare_message_that_ends_in_a_call_ended_because_of_it() -> None:
    response = known_response(
        {"role": "assistant", "tool_calls": [{"id": "c1", "function": {"name": "look", "arguments": '{"q": 1}'}}]}
    )

    assert response == Response(said(LOOK, reason="tool_call"))


def test_id_model_and_usage_are_the_response_s_own() -> None:
    chat = {
        "id": "r1",
        "model": "m",
        "choices": [{"message": ASK}],
        "usage": {"prompt_tokens": 3, "completion_tokens": 0},
    }
    claude = {
        "id": "r1",
        "model": "m",
        "content": "A",
        "stop_reason": "end_turn",
        "usage": {"input_tokens": 3, "output_tokens": 0},
    }

    for value in (chat, claude):
        response = known_response(value)
        assert response is not None
        assert (response.id, response.model) == ("r1", "m")
        assert (response.input_tokens, response.output_tokens) == (3, 0)


def test_the_id_of_an_item_is_not_the_response_s() -> None:
    response = known_response({"type": "message", "id": "msg_1", "role": "assistant", "content": "A"})

    assert response is not None
    assert response.id is None


@pytest.mark.parametrize(
    ("value", "request_"),
    [
        ("[1, 2]", Request((Message("user", (TextPart("[1, 2]"),)),), operation="text_completion")),
        ('"quoted"', Request((Message("user", (TextPart('"quoted"'),)),), operation="text_completion")),
        ('{"question": "Why?"}', Request(ASKED)),
        ('{"args": ["Why?"], "kwargs": {}}', Request(ASKED)),
        ('{"a": 1}', Request((Message("user", (UnknownPart({"a": 1}),)),))),
        ("null", Request(())),
        (None, Request(())),
        (3, Request((Message("user", (UnknownPart(3),)),))),
    ],
)
def test_what_nobody_knows_is_the_message_of_a_user(value: object, request_: Request) -> None:
    assert request_of(value) == request_


def test_messages_of_no_known_form_stay_as_they_came() -> None:
    request = known_request({"messages": [3]})

    assert request is not None
    assert request.messages == (Message("user", (UnknownPart(3),)),)


def test_a_stream_that_the_tracer_did_not_follow_is_no_answer() -> None:
    assert response_of("<openai.Stream object at 0x7fcdbd460950>") == Response(())


def test_json_that_a_limit_cut_is_read_as_far_as_it_goes() -> None:
    request = request_of(json.dumps({"messages": [ASK, {"role": "user", "content": "And then?"}]})[:-9])
    response = response_of('{"choices": [{"message": {"content": "Becau')

    assert request.messages == (*ASKED, Message("user", (TextPart("And "),)))
    assert response.choices == said(TextPart("Becau"))
    assert (request.is_cut, response.is_cut) == (True, True)


def test_llamaindex_s_blocks_are_read() -> None:
    picture = {"block_type": "image", "image": "iVBORw0KGgo=", "image_mimetype": "image/png", "url": None}
    blocks = [{"block_type": "text", "text": "See"}, picture, "And?"]

    request = known_request([{"role": "user", "additional_kwargs": {}, "blocks": blocks}])

    assert request is not None
    parts = (TextPart("See"), BlobPart("image", "image/png", "iVBORw0KGgo="), TextPart("And?"))
    assert request.messages == (Message("user", parts),)


def test_media_in_a_request_are_read() -> None:
    picture = {"type": "image_url", "image_url": {"url": "data:image/png;base64,iVBORw0KGgo="}}

    request = known_request([{"role": "user", "content": [picture]}])

    assert request is not None
    assert request.messages[0].parts == (BlobPart("image", "image/png", "iVBORw0KGgo="),)


def chunk(index: int = 0, reason: str | None = None, **delta: Any) -> dict[str, Any]:
    return {"choices": [{"index": index, "delta": delta, "finish_reason": reason}]}


def test_the_pieces_of_a_stream_make_its_choices() -> None:
    def piece(**function: str) -> list[dict[str, Any]]:
        return [{"index": 0, "function": function}]

    chunks = [
        chunk(content="", reasoning_content="Hm."),
        chunk(index=1, content="B"),
        chunk(tool_calls=[{"index": 0, "id": "c1", "function": {"name": "look", "arguments": ""}}]),
        chunk(tool_calls=piece(arguments='{"q"')),
        chunk(tool_calls=piece(arguments=": 1}")),
        chunk(reason="tool_calls"),
        chunk(index=1, reason="stop"),
        {"choices": [], "usage": {"prompt_tokens": 1}},
    ]

    response = known_response({"choices": choices_of_chunks(chunks)})

    assert response is not None
    assert response.choices == said(ReasoningPart("Hm."), LOOK, reason="tool_call") + said(TextPart("B"), reason="stop")


def test_calls_of_a_stream_are_told_apart_by_their_index() -> None:
    def piece(index: int, **fields: Any) -> dict[str, Any]:
        return {"index": index, **fields}

    (choice,) = choices_of_chunks(
        [
            chunk(tool_calls=[piece(0, id="c1", function={"name": "look", "arguments": "{"}), "no call"]),
            chunk(tool_calls=[piece(1, id="c2", function={"name": "find", "arguments": None})]),
            chunk(tool_calls=[piece(0, function={"arguments": "}"}), piece(1)]),
            {"choices": [{"index": 0, "delta": None, "finish_reason": None}]},
        ]
    )

    assert [(call["id"], call["function"]) for call in choice["message"]["tool_calls"]] == [
        ("c1", {"name": "look", "arguments": "{}"}),
        ("c2", {"name": "find", "arguments": ""}),
    ]


@pytest.mark.parametrize("chunks", [[], [None], [{"type": "response.created"}], [{"choices": [3]}]])
def test_pieces_of_another_kind_make_none(chunks: list[Any]) -> None:
    assert choices_of_chunks(chunks) == []


@given(
    anything(
        ["messages", "content", "parts", "role", "type", "tool_calls", "choices", "output", "generations", "kwargs"]
    )
)
def test_any_value_is_read_and_nothing_raises(value: Any) -> None:
    for wrapped in (value, json.dumps(value), repr(value)):
        messages = (*request_of(wrapped).messages, *(choice.message for choice in response_of(wrapped).choices))
        assert all(isinstance(message.role, str) and isinstance(message.parts, tuple) for message in messages)


@pytest.mark.parametrize("value", [7, "Why?", {"a": [1, 2], "b": {}}, [3], '{"a": 1, "b": 2}', "["])
def test_a_value_of_no_known_form_stays_as_it_came(value: Any) -> None:
    (request,), (choice,) = request_of(value).messages, response_of(value).choices
    assert request.parts == choice.message.parts
    (part,) = request.parts
    raw = part.content if isinstance(part, TextPart) else part.raw
    assert raw in (value, json.loads(value) if isinstance(value, str) and value[0] == "{" else value)
