"""Spans in the form of OpenTelemetry's GenAI conventions: recorded ones against the wire's truth, odd ones by hand."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from opentelemetry.sdk.trace import TracerProvider

from label_studio_otel.dialects import gen_ai, is_llm_call, read
from label_studio_otel.errors import DialectError
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
from label_studio_otel.spans import Event, Span

CASES = Path(__file__).parents[1] / "cases" / "openllmetry-langchain-0.62.4"

#: OpenLLMetry's words for the provider's; those of Anthropic and of the Responses API never reach the span.
FINISH_REASONS = {"tool_calls": "tool_call", "completed": None, "end_turn": None, "tool_use": "tool_call"}


def sentences(generation: Generation) -> tuple[str, ...]:
    return tuple(gap.sentence for gap in generation.incomplete)


def case(name: str) -> tuple[list[Span], list[dict[str, Any]]]:
    recorded = json.loads((CASES / f"{name}.json").read_text(encoding="utf-8"))
    return [Span.from_fields(fields) for fields in recorded["spans"]], recorded["calls"]


def generations(name: str) -> list[Generation]:
    return [read(span) for span in case(name)[0] if is_llm_call(span.attributes, span.scope_name)]


def on_the_wire(message: dict[str, Any]) -> Message:
    content = message["content"]
    parts: list[Part] = []
    if message["role"] == "tool":
        parts.append(ToolResponsePart(content, message["tool_call_id"]))
    elif isinstance(content, str):
        parts.append(TextPart(content))
    else:
        parts += [media_on_the_wire(part) for part in content or ()]
    calls = message.get("tool_calls") or ()
    parts += [ToolCallPart(call["name"], call["arguments"], call["id"]) for call in calls]
    return Message(message["role"], tuple(parts))


def media_on_the_wire(part: dict[str, Any]) -> Part:
    if part["type"] == "text":
        return TextPart(part["text"])
    if part["url"].startswith("data:image/png;base64,"):
        return BlobPart("image", "image/png", part["url"].removeprefix("data:image/png;base64,"))
    return UriPart("image", part["url"])


def choice_on_the_wire(choice: dict[str, Any]) -> Choice:
    reason = "tool_use" if choice.get("tool_calls") else choice["finish_reason"]
    return Choice(on_the_wire(choice), FINISH_REASONS.get(reason, reason))


def span(scope: str = "opentelemetry.instrumentation.langchain", **fields: Any) -> Span:
    """Build an LLM span; attributes are written with `__` for a dot."""
    names = {"status_code", "status_message", "events", "dropped_attributes"}
    attributes = {key.replace("__", "."): value for key, value in fields.items() if key not in names}
    return Span(
        trace_id="0af7651916cd43dd8448eb211c80319c",
        span_id="b7ad6b7169203331",
        name="ChatOpenAI.chat",
        start_time_unix_nano=1_700_000_000_000_000_000,
        end_time_unix_nano=1_700_000_001_500_000_000,
        attributes={"gen_ai.operation.name": "chat", **attributes},
        scope_name=scope,
        **{key: value for key, value in fields.items() if key in names},
    )


def said(*parts: Any, role: str = "user") -> str:
    return json.dumps([{"role": role, "parts": list(parts)}])


def text(content: str) -> dict[str, str]:
    return {"type": "text", "content": content}


HELLO = said(text("Hello"))


class TestRecordedSpans:
    @pytest.mark.parametrize(
        "name",
        [
            "agent-00",
            "chat-00",
            "completion-00",
            "completion-03",
            "empty-00",
            "long-00",
            "multimodal-04",
            "multimodal-08",
            "multimodal-11",
            "multiturn-00",
            "n2-00",
            "n2-03",
            "paralleltool-00",
            "reasoning-00",
            "responses-04",
            "session-00",
            "stream-00",
            "streamtool-00",
            "tool-00",
            "tool-00-anthropic",
            "tricky-00",
            "tricky-03",
            "tricky-04",
            "unicode-00",
            "unicode-04",
            "unicode-08",
        ],
    )
    def test_every_message_and_choice_of_the_wire_is_read(self, name: str) -> None:
        calls = case(name)[1]

        read_calls = generations(name)

        assert [call.messages for call in read_calls] == [tuple(map(on_the_wire, call["messages"])) for call in calls]
        assert [call.choices for call in read_calls] == [
            tuple(map(choice_on_the_wire, call["choices"])) for call in calls
        ]
        assert [call.incomplete for call in read_calls] == [()] * len(calls)

    @pytest.mark.parametrize("name", ["chat-00", "completion-00", "long-00", "multiturn-00", "tool-00", "unicode-04"])
    def test_model_and_usage_are_the_wires(self, name: str) -> None:
        calls = case(name)[1]

        usage = [(call.model, [call.input_tokens, call.output_tokens]) for call in generations(name)]

        assert usage == [(call["response_model"], call["usage"]) for call in calls]

    def test_a_failed_call_keeps_its_prompt_and_says_its_error(self) -> None:
        (generation,) = generations("error-00")

        assert generation.messages == tuple(map(on_the_wire, case("error-00")[1][0]["messages"]))
        assert generation.choices == ()
        assert generation.error == (
            "langchain_openai.chat_models.base.OpenAIAPIError: Error code: 500 - The server had an error while "
            "processing your request. Sorry about that!"
        )
        assert generation.incomplete == ()

    def test_a_trace_of_an_agent_holds_its_llm_calls_only(self) -> None:
        spans = case("agent-00")[0]

        names = [span.name for span in spans if is_llm_call(span.attributes, span.scope_name)]

        assert len(spans) == 14
        assert names == ["ChatOpenAI.chat", "ChatOpenAI.chat", "ChatOpenAI.chat"]

    def test_the_anthropic_sdks_own_span_is_not_the_same_call_again(self) -> None:
        spans = case("tool-00-anthropic")[0]

        names = [span.name for span in spans if is_llm_call(span.attributes, span.scope_name)]

        assert sorted(span.name for span in spans) == [
            "ChatAnthropic.chat",
            "ChatAnthropic.chat",
            "anthropic.messages.create",
            "anthropic.messages.create",
        ]
        assert names == ["ChatAnthropic.chat", "ChatAnthropic.chat"]

    def test_the_metadata_of_runnable_config_names_session_and_user(self) -> None:
        first, second, third = generations("session-00")

        assert {(call.session_id, call.user_id, call.conversation_id) for call in (first, second, third)} == {
            ("sess-session-0", "user-532", "sess-session-0")
        }

    def test_tool_definitions_are_kept(self) -> None:
        first, _ = generations("paralleltool-00")

        assert [tool["name"] for tool in first.tools] == ["lookup_term", "convert_units"]

    def test_messages_before_a_cut_are_read_and_the_rest_is_kept_as_text(self) -> None:
        (generation,) = generations("many-00-limit1000")
        whole = tuple(map(on_the_wire, case("many-00-limit1000")[1][0]["messages"]))

        assert generation.messages == whole[:8]
        assert sentences(generation) == (
            "gen_ai.input.messages ends in the middle of its JSON: a length limit of the application's OpenTelemetry "
            "SDK cut it (OTEL_ATTRIBUTE_VALUE_LENGTH_LIMIT or OTEL_SPAN_ATTRIBUTE_VALUE_LENGTH_LIMIT).",
        )

    def test_a_message_cut_in_its_middle_is_kept_as_far_as_it_goes(self) -> None:
        (generation,) = generations("long-00-limit1000")
        whole = on_the_wire(case("long-00-limit1000")[1][0]["messages"][1])

        system, user = generation.messages

        assert system.role == "system"
        assert (user.role, len(user.parts)) == ("user", 1)
        assert isinstance(user.parts[0], TextPart)
        assert isinstance(whole.parts[0], TextPart)
        assert whole.parts[0].content.startswith(user.parts[0].content)
        assert len(user.parts[0].content) == 903

    def test_a_cut_tool_result_leaves_the_calls_before_it_whole(self) -> None:
        _, second = generations("paralleltool-03-limit1000")
        whole = tuple(map(on_the_wire, case("paralleltool-03-limit1000")[1][1]["messages"]))

        assert second.messages[:4] == whole[:4]
        assert second.messages[4].role == "tool"

    def test_capture_switched_off_is_said_with_the_switch(self) -> None:
        (generation,) = generations("chat-00-nocontent")

        assert generation.messages == ()
        assert generation.choices == (Choice(Message("assistant", ()), "stop"),)
        assert (generation.model, generation.input_tokens, generation.output_tokens) == (
            "gpt-4o-mini-2024-07-18",
            64,
            72,
        )
        assert sentences(generation) == (
            "The span holds no messages: content capture is off, set TRACELOOP_TRACE_CONTENT=true in the application.",
        )


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
        def fail(_span: Span) -> Generation:
            raise ValueError("what the user said")

        monkeypatch.setattr(gen_ai, "read", fail)

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


class TestChoices:
    @pytest.mark.parametrize("role", ["unknown", "", None])
    def test_an_answer_without_a_role_is_the_assistants(self, role: str | None) -> None:
        generation = read(span(gen_ai__output__messages=[{"role": role, "parts": [text("Hi")]}]))

        assert generation.choices == (Choice(Message("assistant", (TextPart("Hi"),))),)

    @pytest.mark.parametrize(
        ("own", "of_the_span", "expected"),
        [
            (["stop", "length"], None, ["stop", "length"]),
            (["", ""], ["stop", "length"], ["stop", "length"]),
            (["", ""], '["stop", "length"]', ["stop", "length"]),
            (["", ""], ["stop"], [None, None]),
            (["length", ""], ["stop", "stop"], ["length", "stop"]),
            ([7, None], None, [None, None]),
        ],
    )
    def test_finish_reasons_are_matched_to_choices(self, own: list[Any], of_the_span: Any, expected: list[Any]) -> None:
        outputs = [{"role": "assistant", "parts": [], "finish_reason": reason} for reason in own]

        generation = read(span(gen_ai__output__messages=outputs, gen_ai__response__finish_reasons=of_the_span))

        assert [choice.finish_reason for choice in generation.choices] == expected

    def test_a_text_that_only_looks_like_a_tool_call_is_kept(self) -> None:
        block = json.dumps({"type": "tool_use", "id": "other", "name": "f", "input": {}})
        call = {"type": "tool_call", "id": "c1", "name": "f"}

        generation = read(span(gen_ai__output__messages=said(text(block), call, role="assistant")))

        assert generation.choices[0].message.parts == (TextPart(block), ToolCallPart("f", None, "c1"))


class TestMetadata:
    def test_zero_tokens_are_a_count(self) -> None:
        generation = read(span(gen_ai__usage__input_tokens=0, gen_ai__usage__output_tokens=0))

        assert (generation.input_tokens, generation.output_tokens) == (0, 0)

    @pytest.mark.parametrize(("value", "count"), [(7.0, 7), (7.5, None), ("7", None), (True, None), (None, None)])
    def test_only_numbers_are_counts(self, value: Any, count: int | None) -> None:
        assert read(span(gen_ai__usage__input_tokens=value)).input_tokens == count

    def test_the_model_that_answered_comes_before_the_one_asked_for(self) -> None:
        asked = span(gen_ai__request__model="gpt", gen_ai__system="openai")
        answered = span(gen_ai__request__model="gpt", gen_ai__response__model="gpt-1", gen_ai__provider__name="azure")

        assert (read(asked).model, read(asked).provider) == ("gpt", "openai")
        assert (read(answered).model, read(answered).provider) == ("gpt-1", "azure")

    def test_identities_come_from_the_conventions(self) -> None:
        generation = read(
            span(
                gen_ai__conversation__id="c",
                session__id="s",
                user__id="u",
                gen_ai__prompt__name="greeting",
                gen_ai__prompt__version="3",
                traceloop__association__properties__session_id="other",
            )
        )

        assert (generation.conversation_id, generation.session_id, generation.user_id) == ("c", "s", "u")
        assert (generation.prompt_name, generation.prompt_version) == ("greeting", "3")

    def test_identities_come_from_the_metadata_of_the_application(self) -> None:
        properties = {
            "session_id": "s",
            "user_id": 12,
            "thread_id": "t",
            "run_id": "r",
            "prompt_name": "greeting",
            "prompt_version": 3,
        }
        generation = read(
            span(**{f"traceloop__association__properties__{key}": value for key, value in properties.items()})
        )

        assert (generation.conversation_id, generation.session_id, generation.user_id) == ("t", "s", "12")
        assert (generation.run_id, generation.prompt_name, generation.prompt_version) == ("r", "greeting", "3")

    def test_cut_tool_definitions_are_said(self) -> None:
        generation = read(
            span(gen_ai__input__messages=HELLO, gen_ai__output__messages=HELLO, gen_ai__tool__definitions='[{"na')
        )

        assert generation.tools == ()
        assert sentences(generation)[0].startswith("gen_ai.tool.definitions ends in the middle of its JSON")


class TestErrors:
    @pytest.mark.parametrize(
        ("fields", "error"),
        [
            ({}, "error"),
            ({"status_message": "boom"}, "boom"),
            ({"error__type": "TimeoutError"}, "TimeoutError"),
            ({"error__type": "TimeoutError", "status_message": "boom"}, "TimeoutError: boom"),
            ({"error__type": "TimeoutError", "status_message": "TimeoutError: boom"}, "TimeoutError: boom"),
            (
                {
                    "status_message": "other",
                    "error__type": "500",
                    "events": (
                        Event("exception", {"exception.type": "FirstTry", "exception.message": "bang"}),
                        Event("exception", {"exception.type": "TimeoutError", "exception.message": "boom"}),
                        Event("retry", {}),
                    ),
                },
                "TimeoutError: boom",
            ),
        ],
    )
    def test_an_error_says_type_and_message(self, fields: dict[str, Any], error: str) -> None:
        assert read(span(status_code="ERROR", **fields)).error == error

    def test_an_exception_that_was_handled_is_no_error(self) -> None:
        handled = Event("exception", {"exception.type": "TimeoutError"})

        assert read(span(events=(handled,), error__type="TimeoutError")).error is None


class TestIncomplete:
    @pytest.mark.parametrize(
        "scope",
        [
            "opentelemetry.instrumentation.langchain",
            "opentelemetry.instrumentation.openai.v1",
            "opentelemetry.instrumentation.anthropic",
        ],
    )
    def test_without_messages_traceloops_switch_is_named(self, scope: str) -> None:
        assert "TRACELOOP_TRACE_CONTENT=true" in sentences(read(span(scope)))[0]

    @pytest.mark.parametrize(
        ("scope", "switch"),
        [
            ("opentelemetry.util.genai.handler", "OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT=SPAN_ONLY"),
            ("opentelemetry.instrumentation.genai.openai", "OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT"),
            ("gcp.vertex.agent", "OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT"),
            ("somebody", "OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT"),
            ("pydantic-ai", "InstrumentationSettings(include_content=True)"),
            ("openlit.instrumentation.openai", "capture_message_content=True"),
            ("agent_framework", "ENABLE_SENSITIVE_DATA=true"),
            ("gen_ai", "recordInputs"),
        ],
    )
    def test_without_messages_the_emitters_switch_is_named(self, scope: str, switch: str) -> None:
        (gap,) = read(span(scope)).incomplete

        assert gap.reason == "content_not_captured"
        assert switch in gap.sentence

    @pytest.mark.parametrize(
        "scope", ["opentelemetry.instrumentation.openai_v2", "semantic_kernel.utils.telemetry.model_diagnostics"]
    )
    def test_messages_that_are_always_log_events_did_not_come(self, scope: str) -> None:
        assert [gap.reason for gap in read(span(scope)).incomplete] == ["log_events_missing"]

    @pytest.mark.parametrize("scope", ["pydantic-ai", "openlit.instrumentation.langchain"])
    def test_a_failed_call_without_messages_is_no_switch(self, scope: str) -> None:
        assert [gap.reason for gap in read(span(scope, status_code="ERROR")).incomplete] == ["no_input"]

    def test_dropped_attributes_are_counted_with_their_limit(self) -> None:
        generation = read(span(gen_ai__input__messages=HELLO, gen_ai__output__messages=HELLO, dropped_attributes=3))

        assert sentences(generation) == (
            "3 attributes of the span were dropped by the application's OpenTelemetry SDK "
            "(OTEL_SPAN_ATTRIBUTE_COUNT_LIMIT).",
        )

    def test_one_side_missing_is_said(self) -> None:
        question, answer = span("any", gen_ai__input__messages=HELLO), span("any", gen_ai__output__messages=HELLO)

        assert [gap.reason for gap in read(question).incomplete] == ["no_output"]
        assert [gap.reason for gap in read(answer).incomplete] == ["no_input"]

    def test_openllmetrys_event_mode_leaves_the_answer_on_the_span(self) -> None:
        generation = read(span("opentelemetry.instrumentation.langchain", gen_ai__output__messages=HELLO))

        assert [gap.reason for gap in generation.incomplete] == ["log_events_missing"]

    def test_a_failed_call_misses_no_answer(self) -> None:
        assert read(span(gen_ai__input__messages=HELLO, status_code="ERROR")).incomplete == ()
