"""Spans of LangSmith's OpenTelemetry export."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from label_studio_otel.generation import Choice, Generation, Message, TextPart
from label_studio_otel.reading import is_llm_call, read
from label_studio_otel.spans import Event
from support.reading import any_attributes, read_or_refuse, reasons, span

RUN = {"langsmith.span.kind": "llm", "gen_ai.operation.name": "chat"}
HUMAN = {
    "lc": 1,
    "type": "constructor",
    "id": ["langchain", "HumanMessage"],
    "kwargs": {"content": "Why?", "type": "human"},
}
ASKED = json.dumps({"messages": [[HUMAN]]})
GENERATION = {
    "generation_info": {"finish_reason": "length"},
    "message": {
        "lc": 1,
        "type": "constructor",
        "id": ["langchain", "AIMessage"],
        "kwargs": {
            "content": "Because.",
            "type": "ai",
            "response_metadata": {"id": "r1", "model_name": "m-2026", "usage": {"input_tokens": 5}},
        },
    },
}
ANSWERED = json.dumps({"generations": [[GENERATION]], "llm_output": None})
QUESTION = (Message("user", (TextPart("Why?"),)),)


def run(attributes: dict[str, Any], **fields: Any) -> Generation:
    return read(span({**RUN, **attributes}, scope="langsmith", **fields))


@pytest.mark.parametrize("kind", ["chain", "tool", "retriever", "embedding", "prompt", "parser", None, ["llm"]])
def test_runs_of_other_kinds_are_no_calls_though_prompts_have_an_operation(kind: object) -> None:
    assert not is_llm_call({**RUN, "langsmith.span.kind": kind, "gen_ai.prompt": ASKED}, "langsmith") or kind is None


def test_a_run_of_langchain_is_read() -> None:
    generation = run(
        {"gen_ai.prompt": ASKED, "gen_ai.completion": ANSWERED, "gen_ai.request.model": "m", "gen_ai.system": "openai"}
    )

    assert generation.messages == QUESTION
    assert generation.choices == (Choice(Message("assistant", (TextPart("Because."),)), "length"),)
    assert (generation.provider, generation.request_model, generation.response_model) == ("openai", "m", "m-2026")
    assert (generation.response_id, generation.operation, generation.incomplete) == ("r1", "chat", ())


def test_a_run_of_a_wrapped_client_is_read() -> None:
    request = {
        "messages": [{"role": "user", "content": "Why?"}],
        "model": "m",
        "user": "u1",
        "tools": [{"name": "look"}],
    }
    response = {"id": "r1", "model": "m-2026", "choices": [{"message": {"role": "assistant", "content": "Because."}}]}

    generation = run({"gen_ai.prompt": json.dumps(request), "gen_ai.completion": json.dumps(response)})

    assert generation.messages == QUESTION
    assert generation.choices == (Choice(Message("assistant", (TextPart("Because."),))),)
    assert (generation.request_model, generation.response_model, generation.response_id) == ("m", "m-2026", "r1")
    assert (generation.user_id, generation.tools) == ("u1", ({"name": "look"},))


def test_the_provider_s_count_of_tokens_comes_before_langchain_s() -> None:
    generation = run({"gen_ai.completion": ANSWERED, "gen_ai.usage.input_tokens": 9, "gen_ai.usage.output_tokens": 0})

    assert (generation.input_tokens, generation.output_tokens) == (5, 0)


def test_who_and_where_is_the_run_s_metadata_not_the_project() -> None:
    generation = run(
        {
            "langsmith.trace.session_name": "default",
            "langsmith.metadata.session_id": "s1",
            "langsmith.metadata.user_id": 7,
            "langsmith.metadata.thread_id": "t1",
        }
    )

    assert (generation.session_id, generation.user_id, generation.conversation_id) == ("s1", "7", "t1")


@pytest.mark.parametrize(
    ("attributes", "provider", "model"),
    [
        ({"gen_ai.system": "langchain", "langsmith.metadata.ls_provider": "deepseek"}, "deepseek", None),
        ({"gen_ai.system": "langchain", "langsmith.metadata._type": "openai-chat"}, "openai", None),
        ({"langsmith.metadata.ls_model_name": "m"}, None, "m"),
        ({"gen_ai.system": "langchain", "langsmith.metadata.model_name": "m"}, None, "m"),
    ],
)
def test_provider_and_model_can_stand_in_the_metadata_alone(
    attributes: dict[str, Any], provider: str | None, model: str | None
) -> None:
    generation = run(attributes)

    assert (generation.provider, generation.request_model) == (provider, model)


@pytest.mark.parametrize(
    ("message", "error_type", "error"),
    [
        ("APIError('Code: 500')Traceback (most recent call last):\n  File …", "APIError", "APIError: Code: 500"),
        ('ValueError("can\'t")\n\nTraceback (most recent call last):\n', "ValueError", "ValueError: can't"),
        ("it broke\nTraceback (most recent call last):\n", None, "it broke"),
    ],
)
def test_a_failed_run_has_the_status_ok_and_an_empty_answer(message: str, error_type: str | None, error: str) -> None:
    event = Event("exception", {"exception.type": "Exception", "exception.message": message})
    nothing = json.dumps({"generations": [[{"message": {"type": "ai", "content": ""}}]]})

    generation = run({"gen_ai.prompt": ASKED, "gen_ai.completion": nothing}, status_code="OK", events=(event,))

    assert (generation.error_type, generation.error) == (error_type, error)
    assert (generation.choices, generation.incomplete) == ((), ())


def test_what_was_said_before_a_failure_stays() -> None:
    event = Event("exception", {"exception.message": "Broke()"})

    generation = run({"gen_ai.prompt": ASKED, "gen_ai.completion": ANSWERED}, events=(event,))

    assert generation.choices[0].message.parts == (TextPart("Because."),)


def test_a_wrapped_client_s_failure_has_no_answer() -> None:
    generation = run({"gen_ai.prompt": ASKED, "gen_ai.completion": '{"output": null}'}, status_code="ERROR")

    assert (generation.choices, generation.error) == ((), "error")


def test_hidden_inputs_and_outputs_are_said() -> None:
    assert reasons(run({})) == ["content_not_captured"]
    assert reasons(run({"gen_ai.prompt": ASKED})) == ["no_output"]
    assert reasons(run({"gen_ai.completion": ANSWERED})) == ["no_input"]


NAMES = ["gen_ai.prompt", "gen_ai.completion", "gen_ai.tool.definitions", "gen_ai.system", "langsmith.metadata._type"]
KEYS = [
    "messages",
    "prompts",
    "generations",
    "message",
    "role",
    "content",
    "type",
    "kwargs",
    "choices",
    "output",
    "tool_calls",
]


@given(any_attributes(NAMES, KEYS), st.text())
def test_attributes_of_any_type_raise_nothing_but_the_dialect_s_error(attributes: dict[str, Any], message: str) -> None:
    event = Event("exception", {"exception.message": message})

    read_or_refuse(span({**attributes, **RUN}, events=(event,)))
