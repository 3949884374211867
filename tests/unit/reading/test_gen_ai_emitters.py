"""What instrumentations write beside the GenAI conventions: Logfire, withheld content, values of any type."""

from __future__ import annotations

import json
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from label_studio_otel.errors import DialectError
from label_studio_otel.generation import Message, Part, TextPart, ToolCallPart
from label_studio_otel.reading import is_llm_call, read
from label_studio_otel.reading.emitters import gen_ai
from label_studio_otel.spans import Event, LogRecord
from support.gen_ai_spans import asked, call, message, text
from support.reading import reasons, span


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

        generation = read(span(attributes, "logfire.openai"))

        assert generation.messages == (Message("user", (TextPart("Rain?"),)),)
        assert generation.choices[0].message.parts == parts
        assert generation.tools == ({"name": "f"},)
        assert generation.incomplete == ()

    def test_scrubbed_messages_are_said(self) -> None:
        generation = call("logfire.openai", gen_ai__input__messages="[Scrubbed due to 'session']")

        assert generation.messages == ()
        assert reasons(generation) == ["redacted"]
        assert "logfire.configure(scrubbing=" in generation.incomplete[0].sentence


class TestWithheldContent:
    def test_parts_without_content_say_that_capture_is_off(self) -> None:
        generation = call(
            "pydantic-ai",
            gen_ai__input__messages=json.dumps([message("user", {"type": "text"})]),
            gen_ai__output__messages=json.dumps([message("assistant", {"type": "text"}, finish_reason="stop")]),
        )

        assert generation.messages == ()
        assert reasons(generation) == ["content_not_captured"]

    @pytest.mark.parametrize(
        "placeholder", ["<elided>", "redacted-by-litellm", "__REDACTED__", "[Scrubbed due to 'key']"]
    )
    def test_a_placeholder_in_a_message_is_said(self, placeholder: str) -> None:
        generation = asked(message("user", text(placeholder)))

        assert generation.messages == (Message("user", (TextPart(placeholder),)),)
        assert reasons(generation) == ["redacted"]

    def test_media_that_adk_leaves_out_is_said(self) -> None:
        blob = {"mime_type": "image/png", "data": "<not serializable>"}

        generation = asked(message("user", text("What is this?"), blob))

        assert generation.messages == (Message("user", (TextPart("What is this?"),)),)
        assert "media_not_captured" in reasons(generation)

    def test_a_message_of_nothing_is_said(self) -> None:
        generation = asked(
            message("system", text("Be brief.")),
            message("user"),
            gen_ai__output__messages=json.dumps([message("assistant", text("Yes."))]),
        )

        assert reasons(generation) == ["media_not_captured"]


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
        assert not gen_ai.DIALECT.matches({"gen_ai.operation.name": "chat", **attributes}, "any")

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
    gen_ai.DIALECT.matches(attributes, "any")
    call = span(
        {**attributes, "gen_ai.operation.name": "chat"},
        events=() if in_log else tuple(Event(name, said) for name, _, said in events),
        logs=tuple(LogRecord(name, body, said) for name, body, said in events) if in_log else (),
    )

    with suppress(DialectError):
        gen_ai.DIALECT.read(call)
