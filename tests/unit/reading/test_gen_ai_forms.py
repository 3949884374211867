"""What instrumentations write beside the GenAI conventions: turns, choices, results of tools."""

from __future__ import annotations

import json
from typing import Any

import pytest

from label_studio_otel.generation import Choice, Message, ReasoningPart, TextPart, ToolCallPart, ToolResponsePart
from label_studio_otel.reading import read
from support import reading
from support.gen_ai_spans import answered, asked, call, message, result, text, tool_call


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


@pytest.mark.parametrize(
    "wrapped",
    [json.dumps, lambda value: json.dumps(json.dumps(value)), repr, lambda value: json.dumps(value).encode(), tuple],
    ids=["JSON", "JSON in JSON", "repr", "bytes", "structured"],
)
@pytest.mark.parametrize(
    "one",
    [
        {"role": "user", "parts": [{"type": "text", "content": "Why?"}]},
        {"role": "user", "content": "Why?"},
        {"role": "user", "parts": [{"text": "Why?"}]},
        {"lc": 1, "type": "constructor", "id": ["HumanMessage"], "kwargs": {"content": "Why?"}},
        {"type": "human", "content": "Why?"},
    ],
    ids=["the conventions'", "OpenAI's", "Google's", "LangChain's", "LangChain's dump"],
)
def test_messages_of_other_forms_are_read_whatever_they_are_wrapped_in(one: Any, wrapped: Any) -> None:
    attributes = {"gen_ai.operation.name": "chat", "gen_ai.input.messages": wrapped([one])}
    assert read(reading.span(attributes)).messages == (Message("user", (TextPart("Why?"),)),)
