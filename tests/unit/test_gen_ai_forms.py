"""What instrumentations write beside the GenAI conventions, and what of it is a call."""

from __future__ import annotations

import json
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

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
from label_studio_otel.spans import Event, LogRecord, Span


def call(scope: str = "any", status: str = "UNSET", **attributes: Any) -> Generation:
    """Read an LLM span; attributes are written with `__` for a dot."""
    named = {key.replace("__", "."): value for key, value in attributes.items()}
    return read(
        Span(
            trace_id="0af7651916cd43dd8448eb211c80319c",
            span_id="b7ad6b7169203331",
            name="chat",
            start_time_unix_nano=1,
            end_time_unix_nano=2,
            attributes={"gen_ai.operation.name": "chat", **named},
            scope_name=scope,
            status_code=status,
        )
    )


def asked(*messages: dict[str, Any], **attributes: Any) -> Generation:
    return call(gen_ai__input__messages=json.dumps(messages), **attributes)


def answered(*messages: dict[str, Any], **attributes: Any) -> Generation:
    return call(gen_ai__output__messages=json.dumps(messages), **attributes)


def message(role: str, *parts: Any, **fields: Any) -> dict[str, Any]:
    return {"role": role, "parts": list(parts), **fields}


def text(content: str) -> dict[str, str]:
    return {"type": "text", "content": content}


def tool_call(identifier: str | None) -> dict[str, Any]:
    return {"type": "tool_call", "id": identifier, "name": "f", "arguments": {"a": 1}}


def result(identifier: str | None, response: Any = "42") -> dict[str, Any]:
    return {"type": "tool_call_response", "id": identifier, "response": response}


class TestResultsOfTools:
    def test_each_is_a_message_of_the_tool(self) -> None:
        generation = asked(message("user", result("c1"), result("c2"), text("And now?")))

        assert generation.messages == (
            Message("tool", (ToolResponsePart("42", "c1"),)),
            Message("tool", (ToolResponsePart("42", "c2"),)),
            Message("user", (TextPart("And now?"),)),
        )

    @pytest.mark.parametrize("key", ["tool_call_id", "id"])
    def test_plain_text_of_a_tool_is_its_result(self, key: str) -> None:
        generation = asked(message("tool", text("[42]"), **{key: "c1"}))

        assert generation.messages == (Message("tool", (ToolResponsePart("[42]", "c1"),)),)

    def test_one_without_an_id_is_tied_to_its_call(self) -> None:
        generation = asked(
            message("assistant", tool_call("c1"), tool_call("c2")),
            message("tool", text("first")),
            message("tool", text("second")),
        )

        assert generation.messages[1:] == (
            Message("tool", (ToolResponsePart("first", "c1"),)),
            Message("tool", (ToolResponsePart("second", "c2"),)),
        )

    def test_where_the_number_leaves_doubt_none_is_tied(self) -> None:
        generation = asked(message("assistant", tool_call("c1"), tool_call("c2")), message("tool", text("one of them")))

        assert generation.messages[1] == Message("tool", (ToolResponsePart("one of them"),))

    @pytest.mark.parametrize(
        ("response", "said"),
        [
            ([{"text": "a"}, {"text": "b"}], "ab"),
            ([{"type": "text", "text": "a"}], "a"),
            ([{"type": "text", "content": "a"}], "a"),
            ([{"type": "log", "content": "a"}], [{"type": "log", "content": "a"}]),
            ([{"json": {"n": 1}}], {"n": 1}),
            ([{"text": "a"}, {"image": {}}], [{"text": "a"}, {"image": {}}]),
            ([], []),
            ({"result": "a"}, {"result": "a"}),
        ],
    )
    def test_texts_are_what_the_model_reads(self, response: Any, said: Any) -> None:
        assert asked(message("tool", result("c1", response))).messages == (
            Message("tool", (ToolResponsePart(said, "c1"),)),
        )


class TestTurns:
    def test_a_call_under_the_id_of_its_item_gets_the_calls(self) -> None:
        generation = asked(
            message("assistant", tool_call("fc_1")),
            message("assistant", tool_call("fc_2")),
            message("tool", result("call_1")),
            message("tool", result("call_2")),
        )

        calls = (ToolCallPart("f", {"a": 1}, "call_1"), ToolCallPart("f", {"a": 1}, "call_2"))
        assert generation.messages[0] == Message("assistant", calls)

    def test_calls_that_follow_each_other_are_one_turn(self) -> None:
        generation = asked(
            message("assistant", text("Let me see.")),
            message("assistant", tool_call("c1")),
            message("assistant", tool_call("c2")),
            message("assistant", text("Hm.")),
        )

        first, second = ToolCallPart("f", {"a": 1}, "c1"), ToolCallPart("f", {"a": 1}, "c2")
        assert generation.messages == (
            Message("assistant", (TextPart("Let me see."), first, second)),
            Message("assistant", (TextPart("Hm."),)),
        )

    @pytest.mark.parametrize(
        ("role", "read_as"),
        [
            ("human", "user"),
            ("ai", "assistant"),
            ("model", "assistant"),
            ("function", "tool"),
            ("developer", "developer"),
        ],
    )
    def test_roles_are_the_conventions(self, role: str, read_as: str) -> None:
        assert asked(message(role)).messages == (Message(read_as, ()),)


class TestChoices:
    def test_chunks_of_a_stream_are_one_answer(self) -> None:
        generation = answered(
            message("assistant", text("It "), finish_reason=""),
            message("assistant", text("rains."), finish_reason=""),
            message("assistant", text(""), finish_reason="stop"),
        )

        assert generation.choices == (Choice(Message("assistant", (TextPart("It rains."),)), "stop"),)

    def test_the_whole_answer_after_its_chunks_is_not_said_again(self) -> None:
        generation = answered(
            message("assistant", text("It "), finish_reason=""),
            message("assistant", text("rains."), finish_reason=""),
            message("assistant", text("It rains."), finish_reason="stop"),
        )

        assert generation.choices == (Choice(Message("assistant", (TextPart("It rains."),)), "stop"),)

    @pytest.mark.parametrize("identifier", ["resp_1", "msg_1"])
    def test_items_of_one_response_are_one_answer(self, identifier: str) -> None:
        generation = answered(
            message("assistant", {"type": "reasoning", "content": "Hm"}),
            message("assistant", text("Let me see.")),
            message("assistant", tool_call("c1"), finish_reason="tool_call"),
            gen_ai__response__id=identifier,
        )

        parts = (ReasoningPart("Hm"), TextPart("Let me see."), ToolCallPart("f", {"a": 1}, "c1"))
        assert generation.choices == (Choice(Message("assistant", parts), "tool_call"),)

    def test_choices_of_chat_completions_stay_apart(self) -> None:
        generation = answered(
            message("assistant", text("Yes."), finish_reason="stop"),
            message("assistant", text("No."), finish_reason="stop"),
            gen_ai__response__id="chatcmpl-1",
        )

        assert [choice.message.parts for choice in generation.choices] == [(TextPart("Yes."),), (TextPart("No."),)]

    def test_answers_that_were_asked_for_and_are_not_there_are_said(self) -> None:
        generation = asked(
            message("user", text("Hi")),
            gen_ai__output__messages=json.dumps([message("assistant", text("Yes."))]),
            gen_ai__request__choice__count=3,
        )

        assert [gap.sentence for gap in generation.incomplete] == [
            "The call asked for 3 answers, and its span holds 1."
        ]

    @pytest.mark.parametrize("reasons", [["stop"], '["stop"]'])
    def test_an_empty_answer_is_one(self, reasons: Any) -> None:
        generation = asked(message("user", text("Hi")), gen_ai__response__finish_reasons=reasons)

        assert generation.choices == (Choice(Message("assistant", ()), "stop"),)
        assert generation.incomplete == ()

    def test_an_error_that_the_span_does_not_have_is_no_reason(self) -> None:
        generation = answered(message("assistant", text("Yes."), finish_reason="error"))

        assert generation.choices == (Choice(Message("assistant", (TextPart("Yes."),))),)

    @pytest.mark.parametrize("reason", ["stop", "end_turn", "", None])
    def test_an_answer_that_ends_in_calls_stopped_for_them(self, reason: str | None) -> None:
        generation = answered(message("assistant", text("See:"), tool_call("c1"), finish_reason=reason))

        assert generation.choices[0].finish_reason == "tool_call"

    def test_semantic_kernel_writes_one_reason_for_all(self) -> None:
        generation = call(gen_ai__response__finish_reason="FinishReason.STOP,FinishReason.LENGTH")

        assert [choice.finish_reason for choice in generation.choices] == ["stop", "length"]


class TestEchoes:
    PART = ToolCallPart("f", {"a": 1}, "c1")

    @pytest.mark.parametrize(
        "echo",
        [
            json.dumps({"type": "tool_use", "id": "c1", "name": "f", "input": {"a": 1}}),
            json.dumps([{"type": "function_call", "call_id": "c1", "name": "f", "id": "fc_1"}]),
            "[{'id': 'c1', 'input': {'a': 1}, 'name': 'f', 'type': 'tool_use', 'toolset_name': None}]",
            "{'id': 'c1', 'input': {}, 'name': 'f', 'type': 'tool_use', 'index': 0}"
            "{'partial_json': '{\"a\": 1}', 'type': 'input_json_delta', 'index': 0}",
        ],
    )
    def test_a_call_is_not_said_again_as_text(self, echo: str) -> None:
        generation = answered(message("assistant", text(echo), tool_call("c1")))

        assert generation.choices[0].message.parts == (self.PART,)

    def test_the_text_beside_the_echo_is_kept(self) -> None:
        echo = "[{'text': 'See:', 'type': 'text'}, {'id': 'c1', 'input': {'a': 1}, 'name': 'f', 'type': 'tool_use'}]"

        generation = answered(message("assistant", text(echo), tool_call("c1")))

        assert generation.choices[0].message.parts == (TextPart("See:"), self.PART)

    def test_the_text_before_a_streamed_echo_is_kept(self) -> None:
        echo = "See:{'id': 'c1', 'input': {}, 'name': 'f', 'type': 'tool_use', 'index': 1}"

        generation = answered(message("assistant", text(echo), tool_call("c1")))

        assert generation.choices[0].message.parts == (TextPart("See:"), self.PART)

    def test_the_blocks_of_a_stream_are_joined(self) -> None:
        chunks = (
            "{'summary': [{'index': 0, 'type': 'summary_text', 'text': 'H'}], 'index': 0, 'type': 'reasoning'}"
            "{'summary': [{'index': 0, 'type': 'summary_text', 'text': 'm'}], 'index': 0, 'type': 'reasoning'}"
            "{'type': 'text', 'text': 'It ', 'index': 1}rains."
        )

        generation = answered(message("assistant", text(chunks)))

        assert generation.choices[0].message.parts == (ReasoningPart("Hm"), TextPart("It rains."))

    @pytest.mark.parametrize(
        "said",
        [
            "{'type': 'text', 'text': 'hi'}",
            "{'a': 1}{'b': 2}",
            "{'index': 1, 'type': 'x'}",
            '[{"type": "text", "text": "hi"}]',
            '{"type": "tool_use", "id": "other", "name": "f"}',
        ],
    )
    def test_other_text_that_looks_like_it_stays(self, said: str) -> None:
        generation = answered(message("assistant", text(said), tool_call("c1")))

        assert generation.choices[0].message.parts == (TextPart(said), self.PART)


class TestParts:
    @pytest.mark.parametrize(
        ("raw", "part"),
        [
            ({"type": "image", "url": "data:image/png;base64,aGk="}, BlobPart("image", "image/png", "aGk=")),
            ({"type": "image-url", "url": "https://e.com/a"}, UriPart("image", "https://e.com/a")),
            ({"kind": "image-url", "url": "https://e.com/a"}, UriPart("image", "https://e.com/a")),
            ({"kind": "text", "text": "Hi"}, TextPart("Hi")),
            ({"mime_type": "image/png", "data": "aGk="}, BlobPart("image", "image/png", "aGk=")),
            (
                {"type": "input_audio", "input_audio": {"data": "aGk=", "format": "wav"}},
                BlobPart("audio", "audio/wav", "aGk="),
            ),
            (
                {
                    "type": "input_audio",
                    "content": "{'type': 'input_audio', 'input_audio': {'data': 'aGk=', 'format': 'wav'}}",
                },
                BlobPart("audio", "audio/wav", "aGk="),
            ),
            (
                {"type": "tool_use", "content": "{'id': 'c1', 'input': {'a': 1}, 'name': 'f', 'type': 'tool_use'}"},
                ToolCallPart("f", {"a": 1}, "c1"),
            ),
            (
                {"type": "tool_use", "id": "c1", "name": "f", "input": {}, "partial_json": '{"a": 1}'},
                ToolCallPart("f", {"a": 1}, "c1"),
            ),
            ({"type": "function_call", "call_id": "c1", "id": "fc", "name": "f"}, ToolCallPart("f", None, "c1")),
            (
                {"type": "reasoning", "content": '[{"type": "summary_text", "text": "H"}, {"text": "m"}]'},
                ReasoningPart("H\nm"),
            ),
            ({"type": "reasoningContent", "content": {"reasoningText": {"text": "Hm"}}}, ReasoningPart("Hm")),
            ({"text": "Hi"}, TextPart("Hi")),
            ({"text": "Hm", "thought": True}, ReasoningPart("Hm")),
            ({"toolUse": {"toolUseId": "c1", "name": "f", "input": {}}}, ToolCallPart("f", {}, "c1")),
            (
                {"image": {"format": "png", "source": {"bytes": "aGk="}}},
                BlobPart("image", "image/png", "aGk="),
            ),
            ({"type": "hologram"}, UnknownPart({"type": "hologram"})),
        ],
    )
    def test_each_form_is_read(self, raw: Any, part: Part) -> None:
        assert asked(message("user", raw)).messages[0].parts == (part,)

    def test_sound_written_as_text_is_sound(self) -> None:
        sound = "aGkh" * 20
        said = json.dumps({"type": "input_audio", "input_audio": {"data": sound, "format": "wav"}})

        assert asked(message("user", text(said))).messages[0].parts == (BlobPart("audio", "audio/wav", sound),)

    def test_sound_written_as_text_can_be_cut(self) -> None:
        said = json.dumps({"type": "input_audio", "input_audio": {"data": "aGkh" * 20, "format": "wav"}})
        cut = json.dumps([message("user", text("Listen:"), text(said))])[:-40]

        (user,) = call(gen_ai__input__messages=cut).messages

        assert user.parts == (TextPart("Listen:"), BlobPart("audio", "", "aGkh" * 17))

    @pytest.mark.parametrize(
        "said",
        [
            '{"type": "input_audio", "input_audio": {"data": "aGk=", "format": "wav"}}',
            '{"type": "image_url", "image_url": {"url": "https://example.com/a.png"}}',
            '{"type": "text", "text": "hi"}',
        ],
    )
    def test_text_that_looks_like_a_part_stays_text(self, said: str) -> None:
        assert asked(message("user", text(said))).messages[0].parts == (TextPart(said),)


class TestBesideTheConventions:
    def test_agent_framework_writes_null_for_what_it_has_no_part_for(self) -> None:
        assert asked(message("user", None, text("Hi"))).messages == (Message("user", (TextPart("Hi"),)),)

    def test_calls_beside_the_parts_can_be_json(self) -> None:
        beside = '{"id": "c1", "function": {"name": "f", "arguments": {"a": 1}}}'

        assert asked(message("assistant", tool_calls=[beside])).messages == (
            Message("assistant", (ToolCallPart("f", {"a": 1}, "c1"),)),
        )

    def test_litellm_writes_the_calls_as_attributes(self) -> None:
        generation = answered(
            message("assistant", finish_reason="tool_calls"),
            gen_ai__completion__0__function_call__name="f",
            gen_ai__completion__0__function_call__arguments='{"a": 1}',
            gen_ai__completion__1__function_call__name="g",
            llm__request__functions__0__name="f",
            llm__request__functions__0__parameters='{"type": "object"}',
        )

        parts = (ToolCallPart("f", {"a": 1}), ToolCallPart("g"))
        assert generation.choices == (Choice(Message("assistant", parts), "tool_call"),)
        assert generation.tools == ({"name": "f", "parameters": {"type": "object"}},)

    def test_openlit_writes_the_thoughts_apart(self) -> None:
        generation = answered(message("assistant", text("Yes.")), gen_ai__content__reasoning="Hm")

        assert generation.choices[0].message.parts == (ReasoningPart("Hm"), TextPart("Yes."))

    @pytest.mark.parametrize("attribute", ["user.id", "gen_ai.user", "enduser.id", "llm.user", "gen_ai.request.user"])
    def test_users_have_several_names(self, attribute: str) -> None:
        assert call(**{attribute: "u"}).user_id == "u"

    def test_a_provider_is_no_model(self) -> None:
        generation = call(
            gen_ai__provider__name="anthropic", gen_ai__request__model="anthropic", gen_ai__response__model="claude"
        )

        assert (generation.request_model, generation.response_model) == (None, "claude")

    def test_pydantic_ai_has_the_instructions_of_a_failed_call_in_its_parameters(self) -> None:
        parameters = json.dumps({"instruction_parts": [{"content": "Be brief."}, {"content": "Be kind."}]})

        generation = call("pydantic-ai", "ERROR", model_request_parameters=parameters)

        assert generation.messages == (Message("system", (TextPart("Be brief.\n\nBe kind."),)),)
        assert [gap.reason for gap in generation.incomplete] == ["no_input"]

    def test_logfire_counts_as_the_provider_did(self) -> None:
        generation = call(
            gen_ai__usage__input_tokens=96,
            gen_ai__usage__output_tokens=5,
            gen_ai__usage__raw='{"input_tokens": 64, "cache_read_input_tokens": 32, "output_tokens": 5}',
        )

        assert (generation.input_tokens, generation.output_tokens) == (64, 5)

    def test_old_names_of_the_counts_are_read(self) -> None:
        generation = call(gen_ai__usage__prompt_tokens=3, gen_ai__usage__completion_tokens=0)

        assert (generation.input_tokens, generation.output_tokens) == (3, 0)


class TestLogfire:
    TEMPLATE = "Chat Completion with {request_data[model]!r}"
    REQUEST = json.dumps({"model": "gpt", "messages": [{"role": "user", "content": "Rain?"}], "tools": [{"name": "f"}]})

    @staticmethod
    def attributes(template: str, response: Any = None) -> dict[str, Any]:
        said = {"logfire.msg_template": template, "request_data": TestLogfire.REQUEST}
        return said if response is None else said | {"response_data": json.dumps(response)}

    @pytest.mark.parametrize(
        "template", [TEMPLATE, "Message with {…}", "Responses API with {…}", "streaming response from {…} took {…}s"]
    )
    def test_a_call_is_told_by_its_template(self, template: str) -> None:
        assert is_llm_call(self.attributes(template), "logfire.openai")

    @pytest.mark.parametrize("template", ["Embedding Creation with {…}", "Image Generation with {…}", "GET /chat"])
    def test_another_template_is_no_call(self, template: str) -> None:
        assert not is_llm_call(self.attributes(template), "logfire.openai")

    @pytest.mark.parametrize(
        ("response", "parts"),
        [
            ({"message": {"role": "assistant", "content": "Yes."}}, (TextPart("Yes."),)),
            ({"combined_chunk_content": "Yes.", "chunk_count": 2}, (TextPart("Yes."),)),
            ({"text": "Yes."}, (TextPart("Yes."),)),
            (
                {"message": {"tool_calls": [{"id": "c1", "function": {"name": "f", "arguments": '{"a": 1}'}}]}},
                (ToolCallPart("f", {"a": 1}, "c1"),),
            ),
        ],
    )
    def test_request_and_response_are_read(self, response: Any, parts: tuple[Part, ...]) -> None:
        attributes = self.attributes(self.TEMPLATE, response)

        generation = read(Span("0" * 32, "1" * 16, "x", 1, 2, attributes, scope_name="logfire.openai"))

        assert generation.messages == (Message("user", (TextPart("Rain?"),)),)
        assert generation.choices[0].message.parts == parts
        assert generation.tools == ({"name": "f"},)
        assert generation.incomplete == ()

    def test_scrubbed_messages_are_said(self) -> None:
        generation = call("logfire.openai", gen_ai__input__messages="[Scrubbed due to 'session']")

        assert generation.messages == ()
        assert [gap.reason for gap in generation.incomplete] == ["redacted"]
        assert "logfire.configure(scrubbing=" in generation.incomplete[0].sentence


class TestWithheldContent:
    def test_parts_without_content_say_that_capture_is_off(self) -> None:
        generation = call(
            "pydantic-ai",
            gen_ai__input__messages=json.dumps([message("user", {"type": "text"})]),
            gen_ai__output__messages=json.dumps([message("assistant", {"type": "text"}, finish_reason="stop")]),
        )

        assert generation.messages == ()
        assert [gap.reason for gap in generation.incomplete] == ["content_not_captured"]

    @pytest.mark.parametrize(
        "placeholder", ["<elided>", "redacted-by-litellm", "__REDACTED__", "[Scrubbed due to 'key']"]
    )
    def test_a_placeholder_in_a_message_is_said(self, placeholder: str) -> None:
        generation = asked(message("user", text(placeholder)))

        assert generation.messages == (Message("user", (TextPart(placeholder),)),)
        assert [gap.reason for gap in generation.incomplete] == ["redacted"]

    def test_media_that_adk_leaves_out_is_said(self) -> None:
        blob = {"mime_type": "image/png", "data": "<not serializable>"}

        generation = asked(message("user", text("What is this?"), blob))

        assert generation.messages == (Message("user", (TextPart("What is this?"),)),)
        assert "media_not_captured" in [gap.reason for gap in generation.incomplete]

    def test_a_message_of_nothing_is_said(self) -> None:
        generation = asked(
            message("system", text("Be brief.")),
            message("user"),
            gen_ai__output__messages=json.dumps([message("assistant", text("Yes."))]),
        )

        assert [gap.reason for gap in generation.incomplete] == ["media_not_captured"]


class TestIsLlmCall:
    @pytest.mark.parametrize("operation", ["acompletion", "completion", "responses", "anthropic_messages"])
    def test_litellms_functions_are_calls(self, operation: str) -> None:
        assert is_llm_call({"gen_ai.operation.name": operation}, "litellm")

    @pytest.mark.parametrize(
        "attributes",
        [
            {"openinference.span.kind": "CHAIN"},
            {"traceloop.span.kind": "workflow"},
            {"llm.request.type": "embedding"},
            {"llm.request.type": "rerank"},
        ],
    )
    def test_another_kind_is_none(self, attributes: dict[str, str]) -> None:
        assert not gen_ai.matches({"gen_ai.operation.name": "chat", **attributes}, "any")

    def test_the_anthropic_sdks_own_span_is_none(self) -> None:
        assert not is_llm_call({"gen_ai.operation.name": "chat"}, "com.anthropic.sdk.python")


def as_json(value: Any) -> str:
    return json.dumps(value, default=str)


KEYS = [
    "role",
    "parts",
    "content",
    "type",
    "kind",
    "tool_calls",
    "name",
    "id",
    "arguments",
    "function",
    "message",
    "index",
    "finish_reason",
    "event.name",
    "text",
    "source",
    "bytes",
    "toolUse",
    "input",
    "messages",
    "instruction_parts",
    "mime_type",
    "data",
    "summary",
    "file",
    "image_url",
    "tools",
]

ATTRIBUTES = [
    "request_data",
    "response_data",
    "logfire.msg_template",
    "gen_ai.input.messages",
    "gen_ai.output.messages",
    "events",
    "gen_ai.system_instructions",
    "gen_ai.tool.definitions",
    "gen_ai.response.finish_reasons",
    "gen_ai.response.finish_reason",
    "gen_ai.response.id",
    "gen_ai.usage.raw",
    "gen_ai.provider.name",
    "gen_ai.request.choice.count",
    "model_request_parameters",
    "gen_ai.content.reasoning",
    "gen_ai.completion.0.function_call.name",
    "gen_ai.completion.0.function_call.arguments",
    "llm.request.functions.0.name",
    "llm.request.type",
    "openinference.span.kind",
    "user.id",
]

EVENTS = [
    "gen_ai.user.message",
    "gen_ai.tool.message",
    "gen_ai.choice",
    "gen_ai.content.prompt",
    "exception",
    "gen_ai.client.inference.operation.details",
]

SCALARS = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=20)
    | st.binary(max_size=5)
    | st.sampled_from(["text", "tool_call", "tool_use", "assistant", "tool", "{'id': 'c1'}", '[{"role": "u', "image"])
)

ANYTHING = st.recursive(
    SCALARS,
    lambda values: (
        st.lists(values, max_size=4)
        | st.lists(values, max_size=4).map(as_json)
        | st.dictionaries(st.sampled_from(KEYS), values, max_size=5)
    ),
    max_leaves=12,
)


@given(
    attributes=st.dictionaries(st.sampled_from(ATTRIBUTES), ANYTHING),
    events=st.lists(
        st.tuples(st.sampled_from(EVENTS), ANYTHING, st.dictionaries(st.sampled_from(KEYS), ANYTHING)), max_size=3
    ),
    in_log=st.booleans(),
)
def test_whatever_a_span_holds_nothing_is_raised_but_what_a_dialect_may(
    *, attributes: dict[str, Any], events: list[tuple[str, Any, dict[str, Any]]], in_log: bool
) -> None:
    gen_ai.matches(attributes, "any")
    span = Span(
        "0" * 32,
        "1" * 16,
        "x",
        1,
        2,
        {**attributes, "gen_ai.operation.name": "chat"},
        events=() if in_log else tuple(Event(name, said) for name, _, said in events),
        logs=tuple(LogRecord(name, body, said) for name, body, said in events) if in_log else (),
    )

    with suppress(DialectError):
        gen_ai.read(span)
