"""A call as `convert` prints it."""

from __future__ import annotations

import pytest

from label_studio_otel.calls.assembly import Call
from label_studio_otel.cli.genai_json import call_to_json, convert
from label_studio_otel.generation import (
    BlobPart,
    Choice,
    FilePart,
    Gap,
    Generation,
    Message,
    ReasoningPart,
    RefusalPart,
    TextPart,
    ToolCallPart,
    ToolResponsePart,
    UnknownPart,
    UriPart,
)
from label_studio_otel.spans import Span

SPAN = Span("a" * 32, "b" * 16, "chat", 1_700_000_000_123_456_789, 1_700_000_001_373_456_789, {})


def converted(generation: Generation, span: Span = SPAN):
    return call_to_json(Call(span, "acme", generation, start_time_unix_nano=span.start_time_unix_nano))


def line(*messages: Message, **fields):
    return converted(Generation("chat", messages, (), **fields))


def part(one):
    [shown] = line(Message("user", (one,)))["input"][0]["parts"]
    return shown


def test_a_call_is_one_object_with_every_field() -> None:
    generation = Generation(
        operation="chat",
        messages=(Message("system", (TextPart("Be brief."),)), Message("user", (TextPart("Where?"),), name="ann")),
        choices=(
            Choice(Message("assistant", (TextPart("Here."),)), "stop"),
            Choice(Message("assistant", ()), "length"),
        ),
        provider="openai",
        request_model="gpt-4o",
        response_model="gpt-4o-2024-08-06",
        input_tokens=0,
        output_tokens=7,
        session_id="s",
        user_id="u",
        tools=({"type": "function", "function": {"name": "look"}}, {"name": "ask"}),
        incomplete=(Gap("redacted", "A."), Gap("truncated", "B."), Gap("redacted", "C.")),
    )
    assert converted(generation) == {
        "trace_id": "a" * 32,
        "span_id": "b" * 16,
        "dialect": "acme",
        "operation": "chat",
        "provider": "openai",
        "request_model": "gpt-4o",
        "response_model": "gpt-4o-2024-08-06",
        "input": [
            {"role": "system", "parts": [{"type": "text", "content": "Be brief."}]},
            {"role": "user", "name": "ann", "parts": [{"type": "text", "content": "Where?"}]},
        ],
        "output": [
            {"role": "assistant", "parts": [{"type": "text", "content": "Here."}], "finish_reason": "stop"},
            {"role": "assistant", "parts": [], "finish_reason": "length"},
        ],
        "tools": ["look", "ask"],
        "usage": {"input_tokens": 0, "output_tokens": 7},
        "session_id": "s",
        "user_id": "u",
        "error": None,
        "incomplete": ["redacted", "truncated"],
        "start_time": "2023-11-14T22:13:20.123456Z",
        "duration_ms": 1250.0,
    }


@pytest.mark.parametrize(
    ("one", "shown"),
    [
        (ReasoningPart("Hm."), {"type": "reasoning", "content": "Hm."}),
        (RefusalPart("No."), {"type": "refusal", "content": "No."}),
        (ToolCallPart("f", {"a": 1}, "c"), {"type": "tool_call", "id": "c", "name": "f", "arguments": {"a": 1}}),
        (ToolCallPart("f"), {"type": "tool_call", "id": None, "name": "f", "arguments": {}}),
        (ToolCallPart("f", ""), {"type": "tool_call", "id": None, "name": "f", "arguments": {}}),
        (ToolCallPart("f", "{cut"), {"type": "tool_call", "id": None, "name": "f", "arguments": "{cut"}),
        (ToolResponsePart("4", "c"), {"type": "tool_call_response", "id": "c", "response": "4"}),
        (
            BlobPart("image", "image/png", "AA=="),
            {"type": "blob", "modality": "image", "mime_type": "image/png", "content": "AA=="},
        ),
        (
            UriPart("image", "https://a/b.png"),
            {"type": "uri", "modality": "image", "mime_type": None, "uri": "https://a/b.png"},
        ),
        (
            FilePart("file", "file-1"),
            {"type": "file", "modality": "file", "mime_type": None, "file_id": "file-1"},
        ),
        (UnknownPart({"type": "odd", "x": [1]}), {"type": "odd", "x": [1]}),
    ],
)
def test_each_part_has_the_form_of_the_conventions(one, shown) -> None:
    assert part(one) == shown


@pytest.mark.parametrize(
    ("operation", "shown"), [("text_completion", "text_completion"), ("generate_content", "chat"), ("chat", "chat")]
)
def test_the_operation_is_chat_or_text_completion(operation: str, shown: str) -> None:
    assert converted(Generation(operation, (), ()))["operation"] == shown


@pytest.mark.parametrize(("error", "kind", "shown"), [("T: m", "T", "T"), ("m", None, "_OTHER"), (None, None, None)])
def test_the_error_is_its_type(error: str | None, kind: str | None, shown: str | None) -> None:
    assert line(error=error, error_type=kind)["error"] == shown


def test_a_conversation_is_a_session_where_no_session_is_known() -> None:
    assert line(conversation_id="c")["session_id"] == "c"
    assert line(conversation_id="c", session_id="s")["session_id"] == "s"


def test_a_span_that_never_ended_took_no_time() -> None:
    assert converted(Generation("chat", (), ()), Span("a" * 32, "b" * 16, "chat", 5, 0, {}))["duration_ms"] == 0


def test_calls_are_in_the_order_of_their_start_and_other_spans_are_left_out() -> None:
    attributes = {"gen_ai.operation.name": "chat", "gen_ai.output.messages": "[]"}
    spans = [
        Span("a" * 32, "2" * 16, "chat", 20, 21, attributes),
        Span("a" * 32, "3" * 16, "agent", 5, 30, {"gen_ai.operation.name": "invoke_agent"}),
        Span("a" * 32, "1" * 16, "chat", 10, 11, attributes),
        Span("a" * 32, "1" * 16, "chat", 10, 11, attributes),
    ]
    unreadable: list[str] = []
    calls = convert(spans, [], lambda span, _error: unreadable.append(span.span_id))
    assert [call["span_id"] for call in calls] == ["1" * 16, "2" * 16]
    assert unreadable == []


def test_a_call_has_a_link_to_its_trace_where_there_is_a_template() -> None:
    call = Span("a" * 32, "b" * 16, "chat", 1, 2, {"gen_ai.operation.name": "chat"}, scope_name="acme")
    template = "http://jaeger/trace/{trace_id}?uiFind={span_id}"

    [with_link], [without] = list(convert([call], [], pytest.fail, template)), list(convert([call], [], pytest.fail))

    assert with_link == {**without, "trace_link": f"http://jaeger/trace/{'a' * 32}?uiFind={'b' * 16}"}
    assert "trace_link" not in without
