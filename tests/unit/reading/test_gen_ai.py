"""Spans in the form of OpenTelemetry's GenAI conventions: which are calls, and what was said."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from opentelemetry.sdk.trace import TracerProvider

from label_studio_otel.errors import DialectError
from label_studio_otel.generation import (
    BlobPart,
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
from label_studio_otel.reading.emitters import gen_ai
from support.gen_ai_spans import HELLO, said, sentences, span, text


class TestIsLlmCall:
    @pytest.mark.parametrize("operation", ["chat", "text_completion", "generate_content"])
    def test_an_operation_of_a_model_is_one(self, operation: str) -> None:
        assert is_llm_call({"gen_ai.operation.name": operation}, "any")

    @pytest.mark.parametrize(
        "operation",
        [
            "invoke_agent",
            "create_agent",
            "execute_task",
            "execute_tool",
            "agent_step",
            "invoke_workflow",
            "embeddings",
            "retrieval",
            "vector_db_retrieve",
            "Chat",
            "",
            7,
            ("chat",),
        ],
    )
    def test_an_operation_around_a_model_is_none(self, operation: object) -> None:
        assert not is_llm_call({"gen_ai.operation.name": operation, "gen_ai.input.messages": HELLO}, "any")

    @pytest.mark.parametrize("attributes", [{}, {"http.request.method": "POST"}, {"gen_ai.request.model": "m"}])
    def test_a_span_without_an_operation_is_none(self, attributes: dict[str, str]) -> None:
        assert not is_llm_call(attributes, "any")

    def test_it_reads_the_attributes_of_the_sdk(self) -> None:
        tracer = TracerProvider().get_tracer("scope")
        llm = tracer.start_span("llm", attributes={"gen_ai.operation.name": "chat"})
        http = tracer.start_span("http", attributes={"http.request.method": "POST"})

        assert is_llm_call(llm.attributes, "scope")  # type: ignore[attr-defined]
        assert not is_llm_call(http.attributes, "scope")  # type: ignore[attr-defined]


class TestMessages:
    @pytest.mark.parametrize(
        ("raw", "part"),
        [
            (text("Hi"), TextPart("Hi")),
            (text(""), TextPart("")),
            (text("[1, 2, 3]"), TextPart("[1, 2, 3]")),
            (text('{"role": "user"}'), TextPart('{"role": "user"}')),
            ({"type": "text", "text": "Hi"}, TextPart("Hi")),
            ({"type": "reasoning", "content": "Hm"}, ReasoningPart("Hm")),
            ({"type": "thinking", "content": "Hm"}, ReasoningPart("Hm")),
            ({"type": "thinking", "thinking": "Hm", "signature": "c2ln"}, ReasoningPart("Hm")),
            ({"type": "tool_call", "id": "c1", "name": "f", "arguments": {"a": 1}}, ToolCallPart("f", {"a": 1}, "c1")),
            ({"type": "tool_call", "id": "", "name": "f", "arguments": '{"a": 1}'}, ToolCallPart("f", {"a": 1})),
            ({"type": "tool_call", "name": "f", "arguments": '{"a": '}, ToolCallPart("f", '{"a": ')),
            ({"type": "tool_call", "name": "f"}, ToolCallPart("f")),
            ({"type": "tool_call_response", "id": "c1", "response": "42"}, ToolResponsePart("42", "c1")),
            ({"type": "tool_call_response", "id": "c1", "result": {"n": 42}}, ToolResponsePart({"n": 42}, "c1")),
            ({"type": "tool_call_response", "response": None}, ToolResponsePart(None)),
            (
                {"type": "blob", "modality": "image", "mime_type": "image/png", "content": "aGk="},
                BlobPart("image", "image/png", "aGk="),
            ),
            ({"type": "binary", "media_type": "audio/wav", "content": "aGk="}, BlobPart("audio", "audio/wav", "aGk=")),
            (
                {"type": "blob", "modality": "image", "mime_type": None, "content": "data:image/png;base64,aGk="},
                BlobPart("image", "image/png", "aGk="),
            ),
            ({"type": "blob", "content": "aGk="}, BlobPart("file", "", "aGk=")),
            (
                {"type": "uri", "modality": "image", "uri": "https://example.com/a.png"},
                UriPart("image", "https://example.com/a.png"),
            ),
            (
                {"type": "uri", "modality": "image", "uri": "data:image/png;base64,aGk="},
                BlobPart("image", "image/png", "aGk="),
            ),
            ({"type": "uri", "uri": "data:text/plain,hi"}, UriPart("file", "data:text/plain,hi")),
            ({"type": "image_url", "image_url": {"url": "https://e.com/a"}}, UriPart("image", "https://e.com/a")),
            ({"type": "text", "content": 7}, UnknownPart({"type": "text", "content": 7})),
            ({"type": "tool_call", "name": None}, UnknownPart({"type": "tool_call", "name": None})),
            ({"type": "blob", "content": None}, UnknownPart({"type": "blob", "content": None})),
            ({"type": "hologram", "x": 1}, UnknownPart({"type": "hologram", "x": 1})),
            ({"type": ["text"]}, UnknownPart({"type": ["text"]})),
            ("Hi", TextPart("Hi")),
            (7, UnknownPart(7)),
        ],
    )
    def test_each_kind_of_part_is_read(self, raw: Any, part: Part) -> None:
        generation = read(span(gen_ai__input__messages=said(raw)))

        role = "tool" if isinstance(part, ToolResponsePart) else "user"
        assert generation.messages == (Message(role, (part,)),)

    @pytest.mark.parametrize(
        ("raw", "message"),
        [
            ({"role": "user", "parts": []}, Message("user", ())),
            ({"role": "tool", "name": "f", "parts": []}, Message("tool", (), "f")),
            ({"role": "developer", "name": None, "parts": []}, Message("developer", ())),
            ({"role": None, "parts": [text("Hi")]}, Message("user", (TextPart("Hi"),))),
            ({"role": "user", "content": "Hi"}, Message("user", (TextPart("Hi"),))),
            ({"role": "user", "content": [text("Hi")]}, Message("user", (TextPart("Hi"),))),
            (
                {"role": "assistant", "parts": [], "tool_calls": [{"id": "c1", "function": {"name": "f"}}]},
                Message("assistant", (ToolCallPart("f", None, "c1"),)),
            ),
            ({"role": "assistant", "tool_calls": [7]}, Message("assistant", (UnknownPart(7),))),
            ({"role": "user", "mood": 1}, Message("user", (UnknownPart({"role": "user", "mood": 1}),))),
            ("Hi", Message("user", (TextPart("Hi"),))),
            (7, Message("user", (UnknownPart(7),))),
        ],
    )
    def test_each_form_of_message_is_read(self, raw: Any, message: Message) -> None:
        generation = read(span(gen_ai__input__messages=json.dumps([raw])))

        assert generation.messages == (message,)

    @pytest.mark.parametrize(
        "value",
        [
            HELLO,
            json.loads(HELLO),
            tuple(json.loads(HELLO)),
            json.loads(HELLO)[0],
            json.dumps(json.loads(HELLO)[0]),
            (json.dumps(json.loads(HELLO)[0]),),
            "Hello",
        ],
        ids=["json", "list", "tuple", "object", "json of an object", "array of json", "plain text"],
    )
    def test_messages_come_as_json_or_structured(self, value: Any) -> None:
        generation = read(span(gen_ai__input__messages=value, gen_ai__output__messages=HELLO))

        assert generation.messages == (Message("user", (TextPart("Hello"),)),)
        assert generation.incomplete == ()

    def test_json_nested_beyond_reading_stays_text(self) -> None:
        value = "[" * 100_000

        generation = read(span(gen_ai__input__messages=value))

        assert generation.messages == (Message("user", (TextPart(value),)),)

    def test_a_value_of_another_type_is_named_without_its_content(self) -> None:
        with pytest.raises(DialectError) as raised:
            read(span(gen_ai__input__messages=1234567))

        assert str(raised.value) == "span b7ad6b7169203331: gen_ai cannot read gen_ai.input.messages of type int"

    def test_a_span_of_no_dialect_is_named(self) -> None:
        with pytest.raises(DialectError, match="span b7ad6b7169203331 is no LLM call that a dialect knows"):
            read(span(gen_ai__operation__name="embeddings"))

    def test_a_failure_inside_a_dialect_does_not_quote_the_content(self, monkeypatch: pytest.MonkeyPatch) -> None:
        def fail(*_: object) -> Generation:
            raise ValueError("what the user said")

        monkeypatch.setattr(gen_ai.content, "Content", fail)

        with pytest.raises(DialectError) as raised:
            read(span())

        assert str(raised.value) == "span b7ad6b7169203331: gen_ai failed with ValueError"

    @given(st.text(), st.integers(0, 400))
    def test_cut_anywhere_nothing_is_lost_or_raised(self, content: str, length: int) -> None:
        whole = json.dumps([{"role": "user", "parts": [text(content)]}, {"role": "assistant", "parts": [text("x")]}])
        cut = whole[:length]

        generation = read(span(gen_ai__input__messages=cut, gen_ai__output__messages=HELLO))

        if length >= len(whole):
            assert [message.parts for message in generation.messages] == [(TextPart(content),), (TextPart("x"),)]
            assert generation.incomplete == ()
        elif length > len('[{"role":'):
            assert "OTEL_ATTRIBUTE_VALUE_LENGTH_LIMIT" in sentences(generation)[0]

    @given(
        st.recursive(
            st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
            lambda values: (
                st.lists(values)
                | st.dictionaries(
                    st.sampled_from(
                        ["role", "parts", "content", "type", "tool_calls", "name", "id", "arguments", "function", "uri"]
                    )
                    | st.text(),
                    values,
                )
            ),
        )
    )
    def test_any_json_is_read(self, value: Any) -> None:
        generation = read(span(gen_ai__input__messages=json.dumps(value), gen_ai__output__messages=[value]))

        assert len(generation.choices) == 1


class TestSystemInstructions:
    def test_they_become_the_first_message(self) -> None:
        generation = read(
            span(gen_ai__system_instructions=json.dumps([text("Be brief.")]), gen_ai__input__messages=HELLO)
        )

        assert generation.messages == (
            Message("system", (TextPart("Be brief."),)),
            Message("user", (TextPart("Hello"),)),
        )

    @pytest.mark.parametrize(
        "instructions", ["Be brief.", "{name} is brief", '"quoted"', "[1, 2, 3]", '{"role": "system"}', "null"]
    )
    def test_plain_text_stays_as_it_is(self, instructions: str) -> None:
        generation = read(
            span(
                gen_ai__system_instructions=instructions,
                gen_ai__input__messages=HELLO,
                gen_ai__output__messages=HELLO,
            )
        )

        assert generation.messages[0] == Message("system", (TextPart(instructions),))
        assert generation.incomplete == ()

    @pytest.mark.parametrize("role", ["system", "developer"])
    def test_they_are_not_repeated_where_the_messages_begin_with_them(self, role: str) -> None:
        generation = read(
            span(
                gen_ai__system_instructions=json.dumps([text("Be brief.")]),
                gen_ai__input__messages=said(text("Be brief."), role=role),
            )
        )

        assert generation.messages == (Message(role, (TextPart("Be brief."),)),)

    def test_others_than_the_messages_begin_with_are_kept(self) -> None:
        generation = read(
            span(
                gen_ai__system_instructions=json.dumps([text("Be brief.")]),
                gen_ai__input__messages=said(text("Be long."), role="system"),
            )
        )

        assert [message.parts for message in generation.messages] == [
            (TextPart("Be brief."),),
            (TextPart("Be long."),),
        ]


@pytest.mark.parametrize("said", [-1, -0.5, 2**53 + 1, float("inf"), float("nan"), 1.5, True, "7"])
def test_what_cannot_be_a_number_of_tokens_is_not_known(said: object) -> None:
    generation = read(span(gen_ai__usage__input_tokens=said, gen_ai__usage__output_tokens=2**53))
    assert (generation.input_tokens, generation.output_tokens) == (None, 2**53)
