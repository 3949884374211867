"""Spans of MLflow's OpenTelemetry export."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from label_studio_otel.generation import Choice, Generation, Message, ReasoningPart, TextPart, ToolCallPart, UriPart
from label_studio_otel.reading import is_llm_call, read
from label_studio_otel.spans import Event, Span
from support.reading import any_attributes, read_or_refuse, reasons, span

ASK = {"role": "user", "content": "Why?"}
QUESTION = (Message("user", (TextPart("Why?"),)),)
ANSWERED = {
    "choices": [{"message": {"role": "assistant", "content": "Because.", "tool_calls": None}, "finish_reason": None}]
}
ANSWER = Message("assistant", (TextPart("Because."),))
ATTACHMENT = "mlflow-attachment://f50a3c24?content_type=image%2Fpng&trace_id=tr-1&size=57803"


def traced(kind: str = "CHAT_MODEL", /, **said: Any) -> Span:
    """Every value is JSON."""
    names = {"inputs": "mlflow.spanInputs", "outputs": "mlflow.spanOutputs", "type": "mlflow.spanType"}
    values = {
        names.get(key, key.replace("__", ".")): json.dumps(value) for key, value in {**said, "type": kind}.items()
    }
    return span(values, "mlflow.tracing.provider")


def trace(kind: str = "CHAT_MODEL", /, **said: Any) -> Generation:
    return read(traced(kind, **said))


def streamed(events: list[Event], **said: Any) -> Generation:
    one = traced(**said)
    return read(span(dict(one.attributes), events=tuple(events)))


@pytest.mark.parametrize(
    ("kind", "expected"),
    [
        ('"CHAT_MODEL"', True),
        ('"LLM"', True),
        ("LLM", True),
        ('"CHAIN"', False),
        ('"AGENT"', False),
        ('"TOOL"', False),
        ('"EMBEDDING"', False),
        ('"RETRIEVER"', False),
        ('"UNKNOWN"', False),
        (["LLM"], False),
    ],
)
def test_only_models_spans_are_calls(kind: object, *, expected: bool) -> None:
    assert is_llm_call({"mlflow.spanType": kind, "mlflow.spanInputs": json.dumps({"messages": [ASK]})}, "") is expected


def test_langchain_s_messages_in_openai_s_form_are_read() -> None:
    generation = trace(
        inputs={"messages": [{**ASK, "tool_calls": None, "refusal": None}]},
        outputs=ANSWERED,
        mlflow__llm__model="m",
        mlflow__llm__provider="openai",
        mlflow__chat__tokenUsage={"input_tokens": 3, "output_tokens": 4},
        mlflow__chat__tools=[{"type": "function", "function": {"name": "look"}}],
        metadata={"session_id": "s1", "user_id": "u1", "thread_id": "t1", "ls_model_name": "m"},
        mlflow__message__format="langchain",
    )

    assert (generation.messages, generation.choices) == (QUESTION, (Choice(ANSWER),))
    assert (generation.provider, generation.request_model, generation.response_model) == ("openai", "m", None)
    assert (generation.input_tokens, generation.output_tokens) == (3, 4)
    assert generation.tools == ({"type": "function", "function": {"name": "look"}},)
    assert (generation.session_id, generation.user_id, generation.conversation_id) == ("s1", "u1", "t1")
    assert generation.incomplete == ()


def test_a_provider_s_request_and_response_are_read() -> None:
    generation = trace(
        inputs={"model": "m", "messages": [ASK], "user": "u1", "tools": [{"name": "look"}]},
        outputs={**ANSWERED, "id": "r1", "model": "m-2026", "usage": {"prompt_tokens": 5, "completion_tokens": 6}},
        mlflow__message__format="openai",
        mlflow__llm__model="m-2026",
        mlflow__chat__tokenUsage={"input_tokens": 8, "output_tokens": 6},
    )

    assert (generation.provider, generation.response_id, generation.user_id) == ("openai", "r1", "u1")
    assert (generation.request_model, generation.response_model) == ("m", "m-2026")
    assert (generation.input_tokens, generation.output_tokens) == (5, 6)
    assert generation.tools == ({"name": "look"},)


def test_langchain_s_own_dumps_are_read() -> None:
    generation = trace(
        inputs=[[{"type": "human", "content": "Why?", "additional_kwargs": {}}]],
        outputs={"generations": [[{"text": "Because.", "message": {"type": "ai", "content": "Because."}}]]},
    )

    assert (generation.messages, generation.choices) == (QUESTION, (Choice(ANSWER),))


def test_blocks_that_mlflow_leaves_in_an_answer_are_read() -> None:
    blocks = [
        {"type": "reasoning", "summary": [{"type": "summary_text", "text": "Hm."}]},
        {"type": "text", "text": "A"},
    ]

    generation = trace(outputs={"choices": [{"message": {"role": "assistant", "content": blocks}}]})

    assert generation.choices[0].message.parts == (ReasoningPart("Hm."), TextPart("A"))


@pytest.mark.parametrize("text", ["Once", "[1, 2]", '"quoted"', "null"])
def test_a_text_stays_text_though_it_looks_like_json(text: str) -> None:
    generation = trace("LLM", inputs=text, outputs=text)

    assert generation.operation == "text_completion"
    assert generation.messages == (Message("user", (TextPart(text),)),)
    assert generation.choices == (Choice(Message("assistant", (TextPart(text),))),)


def test_attachments_are_links_and_said_to_be_missing() -> None:
    content = [{"type": "image_url", "image_url": {"url": ATTACHMENT, "detail": None}}]

    generation = trace(inputs={"messages": [{"role": "user", "content": content}]}, outputs=ANSWERED)

    assert generation.messages[0].parts == (UriPart("image", ATTACHMENT, "image/png"),)
    assert reasons(generation) == ["media_not_captured"]


def test_a_link_is_no_attachment() -> None:
    content = [{"type": "image_url", "image_url": {"url": "https://x.test/a.png"}}]

    generation = trace(inputs={"messages": [{"role": "user", "content": content}]}, outputs=ANSWERED)

    assert generation.messages[0].parts == (UriPart("image", "https://x.test/a.png"),)
    assert generation.incomplete == ()


def test_a_stream_of_chat_completions_is_put_together_from_its_pieces() -> None:
    def piece(number: int, choice: dict[str, Any]) -> Event:
        return Event(f"mlflow.chunk.item.{number}", {"mlflow.chunk.value": json.dumps({"choices": [choice]})})

    call = {"index": 0, "id": "c1", "function": {"name": "look", "arguments": '{"q": 1}'}}
    events = [piece(0, {"delta": {"tool_calls": [call]}}), piece(1, {"delta": {}, "finish_reason": "tool_calls"})]

    generation = streamed(events, outputs={"choices": [{"message": {"content": ""}, "finish_reason": "stop"}]})

    assert generation.choices == (Choice(Message("assistant", (ToolCallPart("look", {"q": 1}, "c1"),)), "tool_call"),)


def test_a_stream_of_which_pieces_were_dropped_is_read_from_the_output() -> None:
    piece = Event(
        "mlflow.chunk.item.9", {"mlflow.chunk.value": json.dumps({"choices": [{"delta": {"content": "se."}}]})}
    )
    attributes = dict(traced(outputs=ANSWERED).attributes)

    generation = read(span(attributes, events=(piece,), dropped_events=9))

    assert generation.choices == (Choice(ANSWER),)


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({"generation_info": {"finish_reason": "length"}}, "length"),
        (
            {
                "message": {
                    "type": "ai",
                    "content": "",
                    "response_metadata": {"finish_reason": "stop", "model_name": "m-2026"},
                }
            },
            "stop",
        ),
        ({"message": {"type": "ai", "content": "", "response_metadata": {"status": "completed"}}}, "stop"),
    ],
)
def test_the_end_of_langchain_s_stream_says_why_it_ended(fields: dict[str, Any], reason: str) -> None:
    last = Event("new_token", {"token": "", "chunk": json.dumps({"kwargs": fields})})

    generation = streamed([Event("new_token", {"chunk": "no JSON"}), last], outputs=ANSWERED)

    assert generation.choices == (Choice(ANSWER, reason),)
    assert generation.response_model == ("m-2026" if reason == "stop" and "model_name" in str(fields) else None)


def test_a_stream_that_was_not_followed_has_no_answer() -> None:
    generation = trace(inputs={"messages": [ASK]}, outputs="<anthropic.Stream object at 0x7fcdbd460950>")

    assert (generation.choices, reasons(generation)) == ((), ["no_output"])


def test_a_failed_call_has_its_error() -> None:
    event = Event("exception", {"exception.type": "InternalServerError", "exception.message": "Broke."})
    attributes = dict(traced(inputs={"messages": [ASK]}).attributes)

    generation = read(span(attributes, status_code="ERROR", events=(event,)))

    assert (generation.error_type, generation.error) == ("InternalServerError", "InternalServerError: Broke.")
    assert generation.incomplete == ()


NAMES = [
    "mlflow.spanInputs",
    "mlflow.spanOutputs",
    "mlflow.chat.tokenUsage",
    "mlflow.chat.tools",
    "invocation_params",
    "metadata",
]
KEYS = [
    "messages",
    "choices",
    "message",
    "delta",
    "role",
    "content",
    "type",
    "tool_calls",
    "generations",
    "kwargs",
    "index",
]


@given(
    any_attributes(NAMES, KEYS),
    any_attributes(["chunk", "mlflow.chunk.value"], KEYS),
    st.sampled_from(["new_token", "mlflow.chunk.item.0"]),
)
def test_attributes_of_any_type_raise_nothing_but_the_dialect_s_error(
    attributes: dict[str, Any], piece: dict[str, Any], name: str
) -> None:
    read_or_refuse(span({**attributes, "mlflow.spanType": '"LLM"'}, events=(Event(name, piece),)))
