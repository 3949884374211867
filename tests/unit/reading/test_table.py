"""Dialects that are nothing but a table."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given

from label_studio_otel import reading
from label_studio_otel.generation import Choice, Gap, Generation, Message, TextPart, ToolCallPart
from label_studio_otel.reading.table import AttributeTable
from support.reading import any_attributes, reasons, span

ACME = AttributeTable(
    name="acme",
    marks={"acme.kind": frozenset({"llm"})},
    scopes=("acme.",),
    switch="set ACME_RECORD_CONTENT=true",
    request=("acme.request",),
    response=("acme.response",),
    finish_reason=("acme.finish",),
    request_model=("acme.model",),
    input_tokens=("acme.tokens.in",),
    output_tokens=("acme.tokens.out",),
    user_id=("acme.user",),
)
ASKED = json.dumps({"messages": [{"role": "user", "content": "Why?"}], "tools": [{"name": "look"}]})
ANSWERED = json.dumps({"role": "assistant", "content": "Because."})
CALL = {"acme.kind": "llm", "acme.request": ASKED, "acme.response": ANSWERED}


@pytest.fixture
def _acme(monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.setattr(reading, "DIALECTS", (ACME, *reading.DIALECTS))
    reading._known.cache_clear()
    yield
    reading._known.cache_clear()


@pytest.mark.usefixtures("_acme")
def test_a_dozen_lines_read_a_call() -> None:
    attributes = {**CALL, "acme.finish": "eos", "acme.model": "a-1", "acme.tokens.in": 3, "acme.user": "u"}
    call = span({**attributes, "session.id": "s"}, "acme.client")

    assert reading.is_llm_call(call.attributes, call.scope_name)
    assert reading.operation(call.attributes, call.scope_name, call.name) == "chat"
    assert reading.read(call) == Generation(
        operation="chat",
        messages=(Message("user", (TextPart("Why?"),)),),
        choices=(Choice(Message("assistant", (TextPart("Because."),)), "stop"),),
        request_model="a-1",
        input_tokens=3,
        user_id="u",
        session_id="s",
        tools=({"name": "look"},),
    )


@pytest.mark.usefixtures("_acme")
@pytest.mark.parametrize(
    ("attributes", "scope"), [({"acme.kind": "tool"}, "acme.client"), ({"acme.kind": "llm"}, "other"), ({}, "acme.x")]
)
def test_a_span_without_the_mark_or_of_another_scope_is_no_call(attributes: dict[str, str], scope: str) -> None:
    assert not reading.is_llm_call({"acme.request": ASKED, **attributes}, scope)


@pytest.mark.parametrize(
    "request_",
    [
        {"messages": [{"role": "user", "content": [{"type": "text", "text": "Why?"}]}]},
        {"contents": [{"role": "user", "parts": [{"text": "Why?"}]}]},
        [{"role": "user", "content": [{"text": "Why?"}]}],
        [{"role": "user", "parts": [{"type": "text", "content": "Why?"}]}],
        [{"role": "user", "parts": [{"text": "Why?"}]}],
        {"messages": [[{"type": "human", "content": "Why?"}]]},
        {"input": "Why?"},
    ],
    ids=["OpenAI", "Google", "Bedrock", "GenAI conventions", "Google's contents", "LangChain", "Responses"],
)
@pytest.mark.parametrize(
    "wrapped",
    [json.dumps, lambda value: json.dumps(json.dumps(value)), repr, lambda value: json.dumps(value).encode(), list],
    ids=["JSON", "JSON in JSON", "repr", "bytes", "structured"],
)
def test_the_request_can_have_any_form_and_be_wrapped_in_anything(request_: Any, wrapped: Any) -> None:
    value = request_ if wrapped is list else wrapped(request_)
    assert ACME.read(span({"acme.request": value})).messages == (Message("user", (TextPart("Why?"),)),)


def test_parts_of_the_vercel_sdk_are_told_by_their_keys() -> None:
    call = {"type": "tool-call", "toolCallId": "c1", "toolName": "look", "input": {"q": 1}}
    generation = ACME.read(span({"acme.request": [{"role": "assistant", "content": [call]}]}))
    assert generation.messages == (Message("assistant", (ToolCallPart("look", {"q": 1}, "c1"),)),)


def test_what_is_missing_is_named_with_the_switch() -> None:
    assert ACME.read(span({"acme.kind": "llm"})).incomplete == (
        Gap(
            "content_not_captured",
            "The span holds no messages: content capture is off, set ACME_RECORD_CONTENT=true in the application.",
        ),
    )


def test_a_request_that_a_limit_cut_is_named() -> None:
    assert reasons(ACME.read(span({**CALL, "acme.request": ASKED[:45]}))) == ["attribute_truncated"]


@given(any_attributes(["acme.request", "acme.response", "acme.model", "acme.finish", "acme.tokens.in"], ["messages"]))
def test_attributes_of_any_type_raise_nothing(attributes: dict[str, Any]) -> None:
    generation = ACME.read(span({**attributes, "acme.kind": "llm"}))
    assert all(isinstance(message.parts, tuple) for message in generation.messages)
