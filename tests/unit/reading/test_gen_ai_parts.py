"""What instrumentations write beside the GenAI conventions: parts, and other attributes."""

from __future__ import annotations

import json
from typing import Any

import pytest

from label_studio_otel.generation import (
    BlobPart,
    Choice,
    Message,
    Part,
    ReasoningPart,
    TextPart,
    ToolCallPart,
    UnknownPart,
    UriPart,
)
from support.gen_ai_spans import answered, asked, call, message, text
from support.reading import reasons


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
        assert reasons(generation) == ["no_input"]

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
