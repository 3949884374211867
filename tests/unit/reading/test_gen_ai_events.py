"""Messages of the GenAI conventions that stand in events: of the span, or of the log."""

from __future__ import annotations

import json
from typing import Any, ClassVar

import pytest

from label_studio_otel.generation import (
    BlobPart,
    Choice,
    Message,
    ReasoningPart,
    TextPart,
    ToolCallPart,
    ToolResponsePart,
)
from label_studio_otel.reading import read
from label_studio_otel.spans import Event, LogRecord, Span
from support import reading
from support.reading import reasons

DETAILS = "gen_ai.client.inference.operation.details"

ARGUMENTS = {"city": "Zürich"}
CALL = {"id": "c1", "type": "function", "function": {"name": "weather", "arguments": '{"city": "Zürich"}'}}

TALK = (
    Message("system", (TextPart("Be brief."),)),
    Message("user", (TextPart("Rain?"),)),
    Message("assistant", (ToolCallPart("weather", ARGUMENTS, "c1"),)),
    Message("tool", (ToolResponsePart('{"rain": true}', "c1"),)),
)
ANSWER = Choice(Message("assistant", (TextPart("Yes."),)), "stop")


def span(
    *logs: LogRecord, events: tuple[Event, ...] = (), scope: str = "any", status: str = "UNSET", **attributes: Any
) -> Span:
    """Build an LLM span; attributes are written with `__` for a dot."""
    said = {key.replace("__", "."): value for key, value in attributes.items()}
    said = {"gen_ai.operation.name": "chat", **said}
    return reading.span(said, scope, "chat", status_code=status, events=events, logs=logs)


def log(name: str, body: Any, **attributes: Any) -> LogRecord:
    return LogRecord(name, body, attributes)


class TestLogEvents:
    def test_each_event_is_a_message(self) -> None:
        generation = read(
            span(
                log("gen_ai.system.message", {"content": "Be brief."}),
                log("gen_ai.user.message", {"content": "Rain?"}),
                log("gen_ai.assistant.message", {"tool_calls": [CALL]}),
                log("gen_ai.tool.message", {"content": '{"rain": true}', "id": "c1"}),
                log("gen_ai.choice", {"index": 0, "finish_reason": "stop", "message": {"content": "Yes."}}),
            )
        )

        assert generation.messages == TALK
        assert generation.choices == (ANSWER,)
        assert generation.incomplete == ()

    def test_the_body_can_be_the_json_of_it(self) -> None:
        generation = read(
            span(
                log("gen_ai.user.message", json.dumps({"role": "user", "content": "Rain?"})),
                log("gen_ai.choice", json.dumps({"message": {"content": "Yes."}, "finish_reason": "stop"})),
                log("", "OpenAI usage: 12"),
            )
        )

        assert (generation.messages, generation.choices) == (TALK[1:2], (ANSWER,))

    def test_choices_are_ordered_by_their_index(self) -> None:
        generation = read(
            span(
                log("gen_ai.choice", {"index": 1, "finish_reason": "length", "message": {"content": "No."}}),
                log("gen_ai.choice", {"index": 0, "finish_reason": "stop", "message": {"content": "Yes."}}),
            )
        )

        assert generation.choices == (ANSWER, Choice(Message("assistant", (TextPart("No."),)), "length"))

    def test_tool_calls_beside_the_message_are_the_answers(self) -> None:
        body = {"index": 0, "message": {"content": ""}, "finish_reason": "tool_calls", "tool_calls": [CALL]}

        generation = read(span(log("gen_ai.choice", body)))

        assert generation.choices == (
            Choice(Message("assistant", (ToolCallPart("weather", ARGUMENTS, "c1"),)), "tool_call"),
        )

    def test_a_call_that_stands_in_content_and_beside_it_is_one(self) -> None:
        content = [{"type": "function_call", "call_id": "c1", "name": "weather", "arguments": '{"city": "Zürich"}'}]

        generation = read(span(log("gen_ai.assistant.message", {"content": content, "tool_calls": [CALL]})))

        assert generation.messages == TALK[2:3]

    def test_blocks_of_anthropic_are_one_answer(self) -> None:
        generation = read(
            span(
                log("gen_ai.user.message", {"content": {"tools": [{"name": "weather"}]}}),
                log("gen_ai.choice", {"index": 0, "message": {"content": {"type": "thinking", "content": "Hm"}}}),
                log("gen_ai.choice", {"index": 1, "message": {"content": {"type": "text", "content": "Yes."}}}),
                gen_ai__provider__name="anthropic",
            )
        )

        assert generation.choices == (Choice(Message("assistant", (ReasoningPart("Hm"), TextPart("Yes.")))),)
        assert generation.messages == ()
        assert generation.tools == ({"name": "weather"},)

    def test_contents_of_google_are_read(self) -> None:
        call = {"function_call": {"id": "c1", "name": "weather", "args": ARGUMENTS}}
        generation = read(
            span(
                log("gen_ai.user.message", {"content": {"role": "user", "parts": [{"text": "Rain?"}]}}),
                log("gen_ai.choice", {"index": 0, "content": {"role": "model", "parts": [call]}}),
            )
        )

        assert generation.messages == TALK[1:2]
        assert generation.choices[0].message == TALK[2]

    def test_blocks_of_bedrock_are_read(self) -> None:
        result = {"toolResult": {"toolUseId": "c1", "content": [{"json": {"rain": True}}]}}
        generation = read(span(log("gen_ai.user.message", {"content": [result, {"text": "And now?"}]})))

        assert generation.messages == (
            Message("tool", (ToolResponsePart({"rain": True}, "c1"),)),
            Message("user", (TextPart("And now?"),)),
        )

    @pytest.mark.parametrize("text", ["[1, 2]", '[{"text": "hi"}]', '{"content": "x"}', "null"])
    def test_what_somebody_said_stays_text(self, text: str) -> None:
        generation = read(span(log("gen_ai.user.message", {"content": text})))

        assert generation.messages == (Message("user", (TextPart(text),)),)

    def test_events_without_bodies_say_that_capture_is_off(self) -> None:
        generation = read(
            span(
                log("gen_ai.user.message", None),
                log("gen_ai.assistant.message", {"tool_calls": [{"id": "c1", "function": {"name": "weather"}}]}),
                log("gen_ai.choice", {"index": 0, "finish_reason": "stop", "message": {"role": "assistant"}}),
                scope="opentelemetry.instrumentation.openai_v2",
            )
        )

        assert reasons(generation) == ["content_not_captured"]
        assert "OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT=true" in generation.incomplete[0].sentence
        assert generation.choices == (Choice(Message("assistant", ()), "stop"),)

    def test_the_answer_on_the_span_comes_before_the_events(self) -> None:
        generation = read(
            span(
                log("gen_ai.user.message", {"content": "Rain?"}),
                log("gen_ai.choice", {"message": {"content": "Yes."}, "finish_reason": "stop"}),
                gen_ai__output__messages='[{"role": "assistant", "parts": [{"type": "text", "content": "Yes!"}]}]',
            )
        )

        assert generation.messages == TALK[1:2]
        assert generation.choices == (Choice(Message("assistant", (TextPart("Yes!"),))),)


class TestDetails:
    MESSAGES = (
        {"role": "user", "parts": ({"type": "text", "content": "Rain?"},)},
        {"role": "assistant", "parts": [{"type": "tool_call", "id": "c1", "name": "weather", "arguments": ARGUMENTS}]},
        {"role": "user", "parts": [{"type": "tool_call_response", "id": "c1", "response": '{"rain": true}'}]},
    )
    SAID: ClassVar[dict[str, Any]] = {
        "gen_ai.system_instructions": [{"type": "text", "content": "Be brief."}],
        "gen_ai.input.messages": MESSAGES,
        "gen_ai.output.messages": [
            {"role": "assistant", "parts": [{"type": "text", "content": "Yes."}], "finish_reason": "stop"}
        ],
    }

    def test_a_log_event_has_them_structured(self) -> None:
        generation = read(span(LogRecord(DETAILS, None, self.SAID | {"user.id": "u", "gen_ai.response.id": "r"})))

        assert (generation.messages, generation.choices) == (TALK, (ANSWER,))
        assert (generation.user_id, generation.response_id) == ("u", "r")

    def test_in_both_places_they_are_said_once(self) -> None:
        on_the_span = {key.replace(".", "__"): json.dumps(value) for key, value in self.SAID.items()}

        generation = read(span(LogRecord(DETAILS, "", self.SAID), **on_the_span))

        assert (generation.messages, generation.choices) == (TALK, (ANSWER,))

    def test_where_the_span_is_cut_the_event_is_whole(self) -> None:
        cut = json.dumps(self.MESSAGES)[:50]

        generation = read(span(LogRecord(DETAILS, None, self.SAID), gen_ai__input__messages=cut))

        assert (generation.messages, generation.incomplete) == (TALK, ())

    def test_strands_writes_a_span_event_for_each(self) -> None:
        events = tuple(Event(DETAILS, {key: json.dumps(value)}) for key, value in self.SAID.items())

        generation = read(span(events=events))

        assert (generation.messages, generation.choices) == (TALK, (ANSWER,))

    def test_an_event_can_hold_bytes(self) -> None:
        part = {"type": "blob", "modality": "image", "mime_type": "image/png", "content": b"hi"}
        attributes = {"gen_ai.input.messages": [{"role": "user", "parts": [part]}]}

        generation = read(span(LogRecord(DETAILS, None, attributes)))

        assert generation.messages == (Message("user", (BlobPart("image", "image/png", "aGk="),)),)


class TestSpanEvents:
    def test_strands_writes_blocks_of_bedrock_as_json(self) -> None:
        use = {"toolUse": {"toolUseId": "c1", "name": "weather", "input": ARGUMENTS}}
        result = {"toolResult": {"toolUseId": "c1", "status": "success", "content": [{"text": '{"rain": true}'}]}}
        thought = {"reasoningContent": {"reasoningText": {"text": "Hm"}}}
        generation = read(
            span(
                events=(
                    Event("gen_ai.system.message", {"content": json.dumps([{"text": "Be brief."}])}),
                    Event("gen_ai.user.message", {"content": json.dumps([{"text": "Rain?"}])}),
                    Event("gen_ai.assistant.message", {"content": json.dumps([use])}),
                    Event("gen_ai.tool.message", {"content": json.dumps([result])}),
                    Event(
                        "gen_ai.choice",
                        {"message": json.dumps([thought, {"text": "Yes."}]), "finish_reason": "end_turn"},
                    ),
                )
            )
        )

        assert generation.messages == TALK
        assert generation.choices == (Choice(Message("assistant", (ReasoningPart("Hm"), TextPart("Yes."))), "stop"),)

    def test_media_that_strands_leaves_out_is_said(self) -> None:
        image = {"image": {"format": "png", "source": {"bytes": "<replaced>"}}}
        said = json.dumps([{"text": "What is this?"}, image])

        answer = Event("gen_ai.choice", {"message": json.dumps([{"text": "A cat."}]), "finish_reason": "end_turn"})

        generation = read(span(events=(Event("gen_ai.user.message", {"content": said}), answer)))

        assert generation.messages == (Message("user", (TextPart("What is this?"),)),)
        assert reasons(generation) == ["media_not_captured"]

    def test_azure_writes_one_attribute_with_all(self) -> None:
        generation = read(
            span(
                events=(
                    Event("gen_ai.user.message", {"gen_ai.event.content": '{"role": "user", "content": "[1, 2]"}'}),
                    Event(
                        "gen_ai.choice",
                        {"gen_ai.event.content": '{"message": {"content": "Yes."}, "finish_reason": "stop"}'},
                    ),
                )
            )
        )

        assert generation.messages == (Message("user", (TextPart("[1, 2]"),)),)
        assert generation.choices == (ANSWER,)

    def test_the_two_events_of_old_conventions_are_read(self) -> None:
        prompt = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Rain?"}]
        generation = read(
            span(
                events=(
                    Event("gen_ai.content.prompt", {"gen_ai.prompt": json.dumps(prompt)}),
                    Event("gen_ai.content.completion", {"gen_ai.completion": "Yes."}),
                )
            )
        )

        assert generation.messages == TALK[:2]
        assert generation.choices == (Choice(Message("assistant", (TextPart("Yes."),))),)


def test_an_attribute_can_hold_the_events() -> None:
    events = [
        {"event.name": "gen_ai.user.message", "content": "Rain?", "role": "user", "gen_ai.message.index": 0},
        {"event.name": "gen_ai.choice", "index": 0, "message": {"role": "assistant", "content": "Yes."}},
    ]
    attributes = {"gen_ai.operation.name": "chat", "events": json.dumps(events)}

    generation = read(reading.span(attributes))

    assert generation.messages == TALK[1:2]
    assert generation.choices == (Choice(Message("assistant", (TextPart("Yes."),))),)
