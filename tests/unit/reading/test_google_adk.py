"""Spans of Google's ADK before it followed the conventions."""

from __future__ import annotations

import json
from contextlib import suppress
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from label_studio_otel.errors import DialectError
from label_studio_otel.generation import Choice, Message, TextPart, ToolCallPart, ToolResponsePart
from label_studio_otel.reading import is_llm_call, read
from label_studio_otel.reading.emitters import google_adk
from label_studio_otel.spans import Span
from support import reading
from support.reading import reasons

REQUEST = {
    "model": "gemini-2.5-flash",
    "config": {
        "system_instruction": "Be brief.",
        "tools": [{"function_declarations": [{"name": "weather", "description": "Says it."}]}],
    },
    "contents": [
        {"role": "user", "parts": [{"text": "Rain?"}]},
        {"role": "model", "parts": [{"function_call": {"id": "c1", "name": "weather", "args": {"city": "Zürich"}}}]},
        {"role": "user", "parts": [{"function_response": {"id": "c1", "name": "weather", "response": {"rain": 1}}}]},
    ],
}
RESPONSE = {"content": {"role": "model", "parts": [{"text": "Yes."}]}, "finish_reason": "STOP"}


def span(request: Any = REQUEST, response: Any = RESPONSE, **attributes: Any) -> Span:
    said = {
        "gen_ai.system": "gcp.vertex.agent",
        "gen_ai.request.model": "gemini-2.5-flash",
        "gcp.vertex.agent.session_id": "s",
        "gcp.vertex.agent.llm_request": request if isinstance(request, str) else json.dumps(request),
        "gcp.vertex.agent.llm_response": response if isinstance(response, str) else json.dumps(response),
        "gen_ai.usage.input_tokens": 3,
        "gen_ai.usage.output_tokens": 1,
    }
    return reading.span({**said, **attributes}, "gcp.vertex.agent", "call_llm")


def test_request_and_response_are_read() -> None:
    generation = read(span())

    assert generation.messages == (
        Message("system", (TextPart("Be brief."),)),
        Message("user", (TextPart("Rain?"),)),
        Message("assistant", (ToolCallPart("weather", {"city": "Zürich"}, "c1"),)),
        Message("tool", (ToolResponsePart({"rain": 1}, "c1"),)),
    )
    assert generation.choices == (Choice(Message("assistant", (TextPart("Yes."),)), "stop"),)
    assert [tool["name"] for tool in generation.tools] == ["weather"]
    assert (generation.request_model, generation.session_id) == ("gemini-2.5-flash", "s")
    assert (generation.input_tokens, generation.output_tokens) == (3, 1)
    assert generation.incomplete == ()


def test_what_a_tool_did_is_no_call() -> None:
    empty = span("{}", "{}").attributes

    assert is_llm_call(empty, "gcp.vertex.agent")
    assert not is_llm_call({**empty, "gen_ai.operation.name": "execute_tool"}, "gcp.vertex.agent")
    assert not is_llm_call({**empty, "gen_ai.tool.name": "weather"}, "gcp.vertex.agent")


def test_capture_switched_off_is_said_with_the_switch() -> None:
    (gap,) = read(span("{}", "{}")).incomplete

    assert gap.reason == "content_not_captured"
    assert "ADK_CAPTURE_MESSAGE_CONTENT_IN_SPANS" in gap.sentence


def test_a_request_that_is_cut_is_read_up_to_there() -> None:
    cut = json.dumps(REQUEST)[: json.dumps(REQUEST).index("ain?")]

    generation = read(span(cut))

    assert generation.messages[1] == Message("user", (TextPart("R"),))
    assert reasons(generation) == ["attribute_truncated"]


@pytest.mark.parametrize(("status", "expected"), [("UNSET", ["no_output"]), ("ERROR", [])])
def test_a_call_without_an_answer_says_so_unless_it_failed(status: str, expected: list[str]) -> None:
    generation = read(replace(span(response="{}"), status_code=status))

    assert reasons(generation) == expected


@given(
    st.dictionaries(
        st.sampled_from(["gcp.vertex.agent.llm_request", "gcp.vertex.agent.llm_response", "gen_ai.tool.name"]),
        st.recursive(
            st.none() | st.integers() | st.text() | st.sampled_from(['{"contents": [{"par', '{"config": {"tools": 7']),
            lambda values: (
                st.lists(values)
                | st.dictionaries(st.sampled_from(["contents", "config", "tools", "content", "parts", "text"]), values)
            ),
        ),
    )
)
def test_whatever_a_span_holds_nothing_is_raised_but_what_a_dialect_may(attributes: dict[str, Any]) -> None:
    google_adk.DIALECT.matches(attributes, "any")

    with suppress(DialectError):
        google_adk.DIALECT.read(reading.span(attributes))
