"""Tasks: recorded calls as they arrive, each tag, and what must hold for any call at all."""

# ruff: noqa: E501 - what was said is longer than a line
from __future__ import annotations

import base64
import json
import math
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from inline_snapshot import snapshot

from label_studio_otel import reading
from label_studio_otel.errors import DestinationBlocked
from label_studio_otel.generation import (
    BlobPart,
    Choice,
    FilePart,
    Gap,
    Generation,
    Message,
    Part,
    ReasoningPart,
    RefusalPart,
    TextPart,
    ToolCallPart,
    ToolResponsePart,
    UnknownPart,
    UriPart,
)
from label_studio_otel.spans import Span
from label_studio_otel.tasks.labeling_config import parse, template
from label_studio_otel.tasks.task import encode, render

CASES = Path(__file__).parents[2] / "cases" / "openllmetry-langchain-0.62.4"

PROMPT = parse(template("prompt"))
CHAT = parse(template("chat"))

SPAN = Span(
    trace_id="0af7651916cd43dd8448eb211c80319c",
    span_id="b7ad6b7169203331",
    name="ChatOpenAI.chat",
    start_time_unix_nano=1_700_000_000_123_456_789,
    end_time_unix_nano=1_700_000_001_623_456_789,
    attributes={},
    resource={"service.name": "shop"},
)


def recorded(name: str, config: Any, call: int = -1) -> dict[str, Any]:
    spans = [
        Span.from_fields(fields) for fields in json.loads((CASES / f"{name}.json").read_text(encoding="utf-8"))["spans"]
    ]
    calls = [span for span in spans if reading.is_llm_call(span.attributes, span.scope_name)]
    return render(calls[call], reading.read(calls[call]), config)


def user(*parts: Part | str) -> Message:
    return Message("user", tuple(TextPart(part) if isinstance(part, str) else part for part in parts))


def answer(*parts: Part | str, reason: str | None = None) -> Choice:
    return Choice(
        Message("assistant", tuple(TextPart(part) if isinstance(part, str) else part for part in parts)), reason
    )


def chat(*messages: Message, choices: tuple[Choice, ...] = (answer("Hi"),), **fields: Any) -> Generation:
    return Generation("chat", messages, choices, **fields)


def prediction_texts(task: dict[str, Any]) -> list[str]:
    return [prediction["result"][0]["value"]["text"][0] for prediction in task["predictions"]]


def shown(*parts: Part) -> str:
    task = render(SPAN, chat(Message("user", parts)), CHAT)
    return str(task["data"]["prompt"][0]["content"])


def only(xml: str, generation: Generation, **limits: int) -> Any:
    """Render for a config of one tag, and return what its variable `x` got."""
    return render(SPAN, generation, parse(f"<View>{xml}</View>"), **limits)["data"]["x"]


class TestRecordedCalls:
    def test_a_completion_in_prompt_mode_is_its_prompt(self) -> None:
        assert recorded("completion-00", PROMPT) == snapshot(
            {
                "data": {
                    "prompt": "Complete the sentence about avalanche safety: The slab is",
                    "model": "gpt-3.5-turbo-instruct",
                    "provider": "openai",
                    "operation": "text_completion",
                    "input_tokens": 23,
                    "output_tokens": 75,
                    "finish_reason": "stop",
                    "latency_ms": 16,
                    "start_time": "2026-11-22T14:32:31.562Z",
                    "service": "rig-app",
                    "key": "e7714508f94f12602716317d4a5c7f1f:e07caaa9c3eb7234:1795357951562341767",
                    "trace_id": "e7714508f94f12602716317d4a5c7f1f",
                    "span_id": "e07caaa9c3eb7234",
                    "response": "Measure the faceted snow before you touch the runout; it takes about 92 minutes. Measure the faceted snow before you touch the slope angle; it takes about 33 minutes. Measure the beacon before you touch the slab; it takes about 78 minutes. A common mistake in avalanche safety is to ignore the slab.",
                },
                "predictions": [
                    {
                        "model_version": "label-studio-otel",
                        "result": [
                            {
                                "id": "691075a3a3",
                                "from_name": "response",
                                "to_name": "prompt",
                                "type": "textarea",
                                "value": {
                                    "text": [
                                        "Measure the faceted snow before you touch the runout; it takes about 92 minutes. Measure the faceted snow before you touch the slope angle; it takes about 33 minutes. Measure the beacon before you touch the slab; it takes about 78 minutes. A common mistake in avalanche safety is to ignore the slab."
                                    ]
                                },
                            }
                        ],
                    }
                ],
            }
        )

    def test_a_chat_in_prompt_mode_is_a_transcript(self) -> None:
        assert recorded("chat-00", PROMPT)["data"]["prompt"] == snapshot("""\
System:
You are GotthardBot, an assistant for rail signalling.
Rules:
- be brief
- cite ETCS

User:
I was told in Gotthard that the headway matters more than the interlocking. Is that true? [case 47]\
""")

    def test_a_chat_in_chat_mode_keeps_its_roles(self) -> None:
        assert recorded("session-00", CHAT) == snapshot(
            {
                "data": {
                    "prompt": [
                        {
                            "role": "system",
                            "content": "Act as a teacher of tea cultivation; never mention the leaf grade.",
                        },
                        {"role": "user", "content": "How does the oolong affect the withering in tea cultivation?"},
                        {
                            "role": "assistant",
                            "content": "When the oolong fails, check the leaf grade and then the first flush. In Darjeeling, the tannin depends on the first flush. Step 3: adjust the leaf grade (not the terroir) until the tannin settles.",
                        },
                        {
                            "role": "user",
                            "content": "I was told in Darjeeling that the first flush matters more than the tannin. Is that true? [case 775]",
                        },
                        {
                            "role": "assistant",
                            "content": "A common mistake in tea cultivation is to ignore the oolong. \"oolong\" and 'withering' are often confused — they differ by a factor of 53. A common mistake in tea cultivation is to ignore the terroir.",
                        },
                        {
                            "role": "user",
                            "content": "I was told in Darjeeling that the tannin matters more than the first flush. Is that true? [case 110]",
                        },
                    ],
                    "model": "gpt-4o-mini-2024-07-18",
                    "provider": "openai",
                    "operation": "chat",
                    "input_tokens": 59,
                    "output_tokens": 61,
                    "finish_reason": "stop",
                    "latency_ms": 53,
                    "start_time": "2026-11-22T14:32:51.160Z",
                    "service": "rig-app",
                    "key": "7881052ebfef1b73e493422fcc5b35a8:34031084d68a9989:1795357971160735596",
                    "trace_id": "7881052ebfef1b73e493422fcc5b35a8",
                    "span_id": "34031084d68a9989",
                    "session_id": "sess-session-0",
                    "user_id": "user-532",
                    "conversation_id": "sess-session-0",
                    "response": """\
"oolong" and 'withering' are often confused — they differ by a factor of 71. In Darjeeling, the first flush depends on the terroir. In Darjeeling, the first flush depends on the terroir.

```python
print({"first flush": 17})
```\
""",
                },
                "predictions": [
                    {
                        "model_version": "label-studio-otel",
                        "result": [
                            {
                                "id": "e5701b5206",
                                "from_name": "response",
                                "to_name": "dialogue",
                                "type": "textarea",
                                "value": {
                                    "text": [
                                        """\
"oolong" and 'withering' are often confused — they differ by a factor of 71. In Darjeeling, the first flush depends on the terroir. In Darjeeling, the first flush depends on the terroir.

```python
print({"first flush": 17})
```\
"""
                                    ]
                                },
                            }
                        ],
                    }
                ],
            }
        )

    def test_tool_calls_and_results_are_readable(self) -> None:
        assert recorded("paralleltool-00", CHAT)["data"]["prompt"] == snapshot(
            [
                {"role": "system", "content": "Act as a teacher of sourdough baking; never mention the levain."},
                {"role": "user", "content": "Give me 251 facts about the hydration."},
                {
                    "role": "assistant",
                    "content": """\
[tool call: lookup_term, id call_C3J7ob5qui73S6EYJrFormei]
{
  "term": "hydration",
  "language": "日本語"
}

[tool call: convert_units, id call_r0kXfAhoHM7Kt1sjFMQXkZi7]
{
  "value": 2.5,
  "from_unit": "°F",
  "to_unit": "mi"
}\
""",
                },
                {
                    "role": "tool",
                    "content": """\
[tool response, id call_C3J7ob5qui73S6EYJrFormei]
{"definition": "The oven spring is usually 34% of the bannetone, according to notes from Rye.", "source": "Rye"}\
""",
                },
                {
                    "role": "tool",
                    "content": """\
[tool response, id call_r0kXfAhoHM7Kt1sjFMQXkZi7]
{"definition": "\\"starter\\" and 'oven spring' are often confused — they differ by a factor of 68.", "source": "Rye"}\
""",
                },
            ]
        )

    def test_an_answer_of_tool_calls_is_their_text(self) -> None:
        assert prediction_texts(recorded("paralleltool-00", CHAT, call=0)) == snapshot(
            [
                """\
[tool call: lookup_term, id call_C3J7ob5qui73S6EYJrFormei]
{
  "term": "hydration",
  "language": "日本語"
}

[tool call: convert_units, id call_r0kXfAhoHM7Kt1sjFMQXkZi7]
{
  "value": 2.5,
  "from_unit": "°F",
  "to_unit": "mi"
}\
"""
            ]
        )

    def test_a_completion_in_chat_mode_is_one_user_message(self) -> None:
        assert recorded("completion-03", CHAT)["data"]["prompt"] == snapshot(
            [
                {
                    "role": "user",
                    "content": """\
What should I check first: derailleur or cable housing?
I have 220 minutes.\
""",
                }
            ]
        )

    def test_images_become_a_note_of_their_type_size_and_hash(self) -> None:
        assert recorded("multimodal-11", CHAT)["data"]["prompt"] == snapshot(
            [
                {
                    "role": "system",
                    "content": """\
You are PortoBot, an assistant for tax filing for freelancers.
Rules:
- be brief
- cite quarterly estimate\
""",
                },
                {
                    "role": "user",
                    "content": """\
I was told in Porto that the home office matters more than the VAT. Is that true? [case 867]

[image: image/png, 532 bytes, sha256 c8e3606ca241…]

[image: https://images.example.com/porto/11.jpg?size=large&sig=a%2Fb]

Compare with: The quarterly estimate is usually 9% of the invoice, according to notes from Porto.\
""",
                },
            ]
        )

    def test_of_several_choices_the_first_is_the_newest_prediction(self) -> None:
        task = recorded("n2-03", PROMPT)

        assert task["predictions"] == snapshot(
            [
                {
                    "model_version": "label-studio-otel",
                    "result": [
                        {
                            "id": "9ce9dd58f6",
                            "from_name": "response",
                            "to_name": "prompt",
                            "type": "textarea",
                            "value": {
                                "text": [
                                    """\
The deduction is usually 31% of the invoice, according to notes from Porto. Step 66: adjust the invoice (not the home office) until the VAT settles. Step 32: adjust the home office (not the depreciation) until the VAT settles.

| term | value |
|---|---|
| deduction | 93 |\
"""
                                ]
                            },
                        }
                    ],
                },
                {
                    "model_version": "label-studio-otel",
                    "result": [
                        {
                            "id": "b3165db525",
                            "from_name": "response",
                            "to_name": "prompt",
                            "type": "textarea",
                            "value": {
                                "text": [
                                    """\
"quarterly estimate" and 'depreciation' are often confused — they differ by a factor of 68. Step 83: adjust the VAT (not the depreciation) until the home office settles.

```python
print({"VAT": 16})
```\
"""
                                ]
                            },
                        }
                    ],
                },
                {
                    "model_version": "label-studio-otel",
                    "result": [
                        {
                            "id": "a764bfc1b0",
                            "from_name": "response",
                            "to_name": "prompt",
                            "type": "textarea",
                            "value": {
                                "text": [
                                    """\
A common mistake in tax filing for freelancers is to ignore the invoice. When the deduction fails, check the invoice and then the home office.

- home office
- depreciation
- VAT\
"""
                                ]
                            },
                        }
                    ],
                },
            ]
        )
        assert {key: task["data"][key] for key in ("response", "response_2", "response_3", "other_responses")} == (
            snapshot(
                {
                    "response": """\
A common mistake in tax filing for freelancers is to ignore the invoice. When the deduction fails, check the invoice and then the home office.

- home office
- depreciation
- VAT\
""",
                    "response_2": """\
"quarterly estimate" and 'depreciation' are often confused — they differ by a factor of 68. Step 83: adjust the VAT (not the depreciation) until the home office settles.

```python
print({"VAT": 16})
```\
""",
                    "response_3": """\
The deduction is usually 31% of the invoice, according to notes from Porto. Step 66: adjust the invoice (not the home office) until the VAT settles. Step 32: adjust the home office (not the depreciation) until the VAT settles.

| term | value |
|---|---|
| deduction | 93 |\
""",
                    "other_responses": [
                        {
                            "title": "Answer 2 of 3",
                            "text": """\
"quarterly estimate" and 'depreciation' are often confused — they differ by a factor of 68. Step 83: adjust the VAT (not the depreciation) until the home office settles.

```python
print({"VAT": 16})
```\
""",
                        },
                        {
                            "title": "Answer 3 of 3",
                            "text": """\
The deduction is usually 31% of the invoice, according to notes from Porto. Step 66: adjust the invoice (not the home office) until the VAT settles. Step 32: adjust the home office (not the depreciation) until the VAT settles.

| term | value |
|---|---|
| deduction | 93 |\
""",
                        },
                    ],
                }
            )
        )

    def test_without_captured_content_the_task_says_why(self) -> None:
        assert recorded("chat-00-nocontent", CHAT) == snapshot(
            {
                "data": {
                    "prompt": [
                        {
                            "role": "note",
                            "content": "[The span holds no messages: content capture is off, set TRACELOOP_TRACE_CONTENT=true in the application.]",
                        }
                    ],
                    "model": "gpt-4o-mini-2024-07-18",
                    "provider": "openai",
                    "operation": "chat",
                    "input_tokens": 64,
                    "output_tokens": 72,
                    "finish_reason": "stop",
                    "latency_ms": 146,
                    "start_time": "2026-11-22T14:07:36.542Z",
                    "service": "rig-app",
                    "key": "3a789dd227e2cc6161d9b91063047ef3:f608bd65dd923eca:1795356456542904129",
                    "trace_id": "3a789dd227e2cc6161d9b91063047ef3",
                    "span_id": "f608bd65dd923eca",
                    "incomplete": "The span holds no messages: content capture is off, set TRACELOOP_TRACE_CONTENT=true in the application.",
                },
                "predictions": [],
            }
        )

    def test_a_failed_call_has_its_error_and_no_prediction(self) -> None:
        task = recorded("error-00", CHAT)

        assert task["predictions"] == []
        assert task["data"]["error"] == snapshot(
            "langchain_openai.chat_models.base.OpenAIAPIError: Error code: 500 - The server had an error while processing your request. Sorry about that!"
        )

    def test_an_empty_answer_is_an_empty_prediction(self) -> None:
        task = recorded("empty-00", PROMPT)

        assert (prediction_texts(task), task["data"]["response"]) == ([""], "")

    def test_a_long_call_fits_whole(self) -> None:
        task = recorded("long-00", PROMPT)

        assert len(task["data"]["prompt"]) == snapshot(23995)
        assert "incomplete" not in task["data"]


class TestMetadata:
    def test_metadata_stand_flat_in_the_data(self) -> None:
        generation = chat(
            user("Hello"),
            choices=(answer(ReasoningPart("Hm"), "Hi", reason="stop"),),
            provider="openai",
            response_model="gpt-1",
            input_tokens=0,
            output_tokens=2,
            error="Timeout: late",
            conversation_id="c",
            session_id="s",
            user_id="u",
            run_id="r",
            prompt_name="greeting",
            prompt_version="3",
            tools=({"name": "f"}, {"type": "function", "function": {"name": "g"}}, {"name": None}),
            incomplete=(Gap("one", "One thing."), Gap("another", "Another.")),
        )

        assert render(SPAN, generation, PROMPT)["data"] == snapshot(
            {
                "prompt": """\
User:
Hello\
""",
                "model": "gpt-1",
                "provider": "openai",
                "operation": "chat",
                "input_tokens": 0,
                "output_tokens": 2,
                "finish_reason": "stop",
                "latency_ms": 1500,
                "start_time": "2023-11-14T22:13:20.123Z",
                "service": "shop",
                "key": "0af7651916cd43dd8448eb211c80319c:b7ad6b7169203331:1700000000123456789",
                "trace_id": "0af7651916cd43dd8448eb211c80319c",
                "span_id": "b7ad6b7169203331",
                "session_id": "s",
                "user_id": "u",
                "conversation_id": "c",
                "run_id": "r",
                "prompt_name": "greeting",
                "prompt_version": "3",
                "tools": "f, g",
                "error": "Timeout: late",
                "incomplete": "One thing. Another.",
                "reasoning": "Hm",
                "response": "Hi",
            }
        )

    def test_unknown_metadata_have_no_key(self) -> None:
        span = Span("t", "s", "chat", 5, 4, {})

        assert render(span, Generation("chat", (user("Hello"),), ()), PROMPT)["data"] == snapshot(
            {
                "prompt": """\
User:
Hello\
""",
                "operation": "chat",
                "start_time": "1970-01-01T00:00:00.000Z",
                "key": "t:s:5",
                "trace_id": "t",
                "span_id": "s",
            }
        )

    @pytest.mark.parametrize("config", [PROMPT, CHAT])
    def test_a_task_has_a_link_to_its_trace_where_there_is_a_template(self, config: Any) -> None:
        template = "https://ui.honeycomb.io/acme/environments/prod/trace?trace_id={trace_id}&span={span_id}"

        assert render(SPAN, chat(user("Hello")), config, trace_link=template)["data"]["trace_link"] == snapshot(
            "https://ui.honeycomb.io/acme/environments/prod/trace?trace_id=0af7651916cd43dd8448eb211c80319c&span=b7ad6b7169203331"
        )

    @pytest.mark.parametrize(("trace_id", "span_id"), [("", "b7"), ("0a", ""), ('"><b>', "b7"), ("0a", "{trace_id}")])
    def test_there_is_no_link_with_ids_that_are_no_numbers(self, trace_id: str, span_id: str) -> None:
        span = Span(trace_id, span_id, "chat", 1, 2, {})
        task = render(span, chat(user("Hello")), PROMPT, trace_link="http://jaeger/trace/{trace_id}?uiFind={span_id}")

        assert "trace_link" not in task["data"]

    def test_a_config_of_ones_own_can_show_the_link(self) -> None:
        def shown(tag: str, **options: str) -> str:
            config = parse(f'<View><Text name="q" value="$prompt"/><{tag} name="t" value="$trace_link"/></View>')
            return str(render(SPAN, chat(user("Hello")), config, **options)["data"]["trace_link"])

        template = "http://jaeger/trace/{trace_id}?a='&uiFind={span_id}"

        assert [shown("HyperText", trace_link=template), shown("HyperText")] == snapshot(
            [
                '<a href="http://jaeger/trace/0af7651916cd43dd8448eb211c80319c?a=&#x27;&amp;uiFind=b7ad6b7169203331" target="_blank" rel="noopener noreferrer">http://jaeger/trace/0af7651916cd43dd8448eb211c80319c?a=&#x27;&amp;uiFind=b7ad6b7169203331</a>',
                "",
            ]
        )
        assert [shown("Text", trace_link=template), shown("Text")] == snapshot(
            ["http://jaeger/trace/0af7651916cd43dd8448eb211c80319c?a='&uiFind=b7ad6b7169203331", ""]
        )

    def test_a_link_is_left_out_rather_than_cut(self) -> None:
        generation = chat(*(user(f"Message {number} " + "x" * 5000) for number in range(40)))
        template = f"http://jaeger/{'a' * 900}/{{trace_id}}"

        def link(max_bytes: int) -> str:
            task, body = encode(SPAN, generation, CHAT, max_bytes=max_bytes, trace_link=template)
            assert len(body) <= max_bytes
            return str(task["data"]["trace_link"])

        whole = f"http://jaeger/{'a' * 900}/0af7651916cd43dd8448eb211c80319c"
        assert {link(max_bytes) for max_bytes in range(16384, 200_000, 3000)} == {whole, ""}

    def test_a_variable_of_the_config_wins_over_metadata_of_its_name(self) -> None:
        config = parse('<View><Paragraphs name="d" value="$response" layout="dialogue"/></View>')

        assert render(SPAN, chat(user("Hello")), config)["data"]["response"] == [{"author": "user", "text": "Hello"}]


class TestPredictions:
    def test_a_prediction_is_for_the_text_area_of_the_config(self) -> None:
        config = parse('<View><Text name="q" value="$q"/><TextArea name="a" toName="q"/></View>')

        assert render(SPAN, chat(user("Hello")), config)["predictions"] == snapshot(
            [
                {
                    "model_version": "label-studio-otel",
                    "result": [
                        {
                            "id": "992f0f0530",
                            "from_name": "a",
                            "to_name": "q",
                            "type": "textarea",
                            "value": {"text": ["Hi"]},
                        }
                    ],
                }
            ]
        )

    def test_their_ids_are_the_same_each_time_and_differ_by_choice_and_call(self) -> None:
        def ids(span: Span) -> list[str]:
            task = render(span, chat(user("Hello"), choices=(answer("a"), answer("b"))), PROMPT)
            return [prediction["result"][0]["id"] for prediction in task["predictions"]]

        other = Span(SPAN.trace_id, "b7ad6b7169203332", "chat", 1, 2, {})

        assert ids(SPAN) == ids(SPAN)
        assert len({*ids(SPAN), *ids(other)}) == 4

    def test_without_a_text_area_there_are_none(self) -> None:
        config = parse('<View><Text name="q" value="$q"/><Rating name="r" toName="q"/></View>')

        assert render(SPAN, chat(user("Hello")), config)["predictions"] == []

    def test_reasoning_is_not_part_of_the_answer(self) -> None:
        task = render(SPAN, chat(user("Hello"), choices=(answer(ReasoningPart("Hm"), "Hi"),)), PROMPT)

        assert prediction_texts(task) == ["Hi"]
        assert (task["data"]["response"], task["data"]["reasoning"]) == ("Hi", "Hm")

    def test_reasoning_alone_is_the_answer(self) -> None:
        task = render(SPAN, chat(user("Hello"), choices=(answer(ReasoningPart("Hm")),)), PROMPT)

        assert prediction_texts(task) == ["[reasoning]\nHm"]


class TestParts:
    @pytest.mark.parametrize(
        ("part", "text"),
        [
            (TextPart("  a\n\tb "), "  a\n\tb "),
            (ReasoningPart("Hm"), "[reasoning]\nHm"),
            (ToolCallPart("f", {"ä": [1]}, "c1"), '[tool call: f, id c1]\n{\n  "ä": [\n    1\n  ]\n}'),
            (ToolCallPart("f", "not json"), "[tool call: f]\nnot json"),
            (ToolCallPart("f"), "[tool call: f]"),
            (ToolResponsePart("42", "c1"), "[tool response, id c1]\n42"),
            (ToolResponsePart({"n": 42}), '[tool response]\n{\n  "n": 42\n}'),
            (ToolResponsePart(None), "[tool response]"),
            (BlobPart("image", "image/png", "aGk="), "[image: image/png, 2 bytes, sha256 8f434346648f…]"),
            (BlobPart("file", "", "x"), "[file: unknown type, 1 bytes, sha256 2d711642b726…]"),
            (UriPart("image", "https://example.com/a.png"), "[image: https://example.com/a.png]"),
            (
                UriPart("image", "data:image/svg+xml," + "x" * 2000),
                "[image: data:image/svg+xml,xxxxxxxxxxxxxxxxxxxxx… (2.0 KB)]",
            ),
            (
                ToolResponsePart([{"data": "A" * 9_000}]),
                '[tool response]\n[\n  {\n    "data": "' + "A" * 40 + '… (9.0 KB)"\n  }\n]',
            ),
            (ToolResponsePart("A" * 9_000), "[tool response]\n" + "A" * 40 + "… (9.0 KB)"),
            (ToolResponsePart("長" * 9_000), "[tool response]\n" + "長" * 9_000),
            (RefusalPart("I can't."), "[refusal]\nI can't."),
            (FilePart("file", "file-7"), "[file: file-7]"),
            (UnknownPart({"type": "hologram"}), '{\n  "type": "hologram"\n}'),
            (UnknownPart({"data": "A" * 3_000_000}), '{\n  "data": "' + "A" * 40 + '… (3.0 MB)"\n}'),
            (UnknownPart([math.nan, b"x", 10**400]), '[\n  "nan",\n  "<bytes>",\n  "' + hex(10**400) + '"\n]'),
        ],
    )
    def test_each_part_has_a_readable_form(self, part: Part, text: str) -> None:
        assert shown(part) == text

    def test_parts_stand_apart(self) -> None:
        assert shown(TextPart("Look:"), UriPart("image", "https://e.com/a")) == "Look:\n\n[image: https://e.com/a]"

    def test_values_nested_too_deeply_are_replaced_by_a_mark(self) -> None:
        value: Any = "deep"
        for _ in range(5_000):
            value = [value]

        assert shown(ToolCallPart("f", value)).count("[") == 22
        assert '"[…]"' in shown(ToolCallPart("f", value))


class TestTags:
    def test_a_text_shows_a_chat_as_a_transcript(self) -> None:
        generation = chat(Message("system", (TextPart("Be brief."),)), Message("user", (TextPart("Hello"),), "Bob"))

        assert only('<Text name="t" value="$x"/>', generation) == "System:\nBe brief.\n\nUser (Bob):\nHello"

    def test_a_text_shows_several_prompts_of_one_completion_under_their_roles(self) -> None:
        generation = Generation("text_completion", (user("One"), user("Two")), ())

        assert only('<Text name="t" value="$x"/>', generation) == "User:\nOne\n\nUser:\nTwo"

    @pytest.mark.parametrize(
        "xml",
        [
            '<Paragraphs name="t" value="$x" layout="dialogue" nameKey="role" textKey="content"/>',
            '<Chat name="t" value="$x"/>',
        ],
    )
    def test_a_dialogue_shows_roles_in_order(self, xml: str) -> None:
        roles = ("system", "user", "assistant", "tool", "user")
        generation = chat(*(Message(role, (TextPart(str(index)),)) for index, role in enumerate(roles)))

        assert only(xml, generation) == [
            {"role": "system", "content": "0"},
            {"role": "user", "content": "1"},
            {"role": "assistant", "content": "2"},
            {"role": "tool", "content": "3"},
            {"role": "user", "content": "4"},
        ]

    @pytest.mark.parametrize(
        ("incomplete", "note"),
        [((Gap("none", "Nothing was recorded."),), "[Nothing was recorded.]"), ((), "[The call has no messages.]")],
    )
    def test_a_dialogue_without_messages_is_a_note(self, incomplete: tuple[Gap, ...], note: str) -> None:
        generation = chat(incomplete=incomplete)

        assert only('<Paragraphs name="t" value="$x"/>', generation) == [{"author": "note", "text": note}]

    def test_hypertext_shows_markup_as_text(self) -> None:
        generation = chat(user("<script>alert('&')</script>\n  x"))

        assert only('<HyperText name="t" value="$x"/>', generation) == (
            '<h4>User</h4>\n<pre style="white-space: pre-wrap">&lt;script&gt;alert(&#x27;&amp;&#x27;)&lt;/script&gt;\n'
            "  x</pre>"
        )

    def test_an_image_shows_the_first_image(self) -> None:
        blob, link = BlobPart("image", "image/png", "aGk="), UriPart("image", "https://example.com/a.png")
        sound = BlobPart("audio", "audio/wav", "aGk=")

        assert only('<Image name="t" value="$x"/>', chat(user(sound, blob, link))) == "data:image/png;base64,aGk="
        assert only('<Image name="t" value="$x"/>', chat(user(link, blob))) == "https://example.com/a.png"

    def test_a_call_without_an_image_shows_a_transparent_pixel(self) -> None:
        assert only('<Image name="t" value="$x"/>', chat(user("Hello"))) == (
            "data:image/gif;base64,R0lGODlhAQABAIAAAAAAAP///yH5BAEAAAAALAAAAAABAAEAAAIBRAA7"
        )

    def test_a_note_stands_in_place_of_a_large_image(self) -> None:
        blob = BlobPart("image", "image/png", base64.b64encode(bytes(300_000)).decode())
        config = parse('<View><Image name="t" value="$x"/></View>')

        data = render(SPAN, chat(user(blob)), config)["data"]

        assert len(data["x"]) < 100
        assert (
            data["incomplete"]
            == "An image is too large to be shown: [image: image/png, 300.0 KB, sha256 886715e4051e…]"
        )
        assert only('<Image name="t" value="$x"/>', chat(user(blob)), max_image_bytes=300_000).endswith("AAAA")

    def test_a_list_shows_the_choices(self) -> None:
        generation = chat(user("Hello"), choices=(answer("a"), answer("b")))

        assert only('<List name="t" value="$x"/>', generation) == [
            {"id": "1", "title": "Choice 1", "body": "a"},
            {"id": "2", "title": "Choice 2", "body": "b"},
        ]

    def test_a_table_shows_the_metadata(self) -> None:
        table = only('<Table name="t" value="$x"/>', chat(user("Hello"), response_model="gpt-1"))

        assert (table["model"], table["response"]) == ("gpt-1", "Hi")
        assert "x" not in table

    def test_tags_with_the_name_of_metadata_show_it(self) -> None:
        config = parse(
            '<View><Text name="a" value="$model"/><HyperText name="b" value="$response"/>'
            '<Text name="c" value="$run_id"/>'
            '<Hologram name="d" value="$input_tokens"/></View>'
        )

        data = render(
            SPAN, chat(user("Hello"), response_model="gpt-1", input_tokens=7, choices=(answer("<b>"),)), config
        )["data"]

        assert {key: data[key] for key in ("model", "response", "run_id", "input_tokens")} == {
            "model": "gpt-1",
            "response": '<pre style="white-space: pre-wrap">&lt;b&gt;</pre>',
            "run_id": "",
            "input_tokens": "7",
        }

    def test_further_responses_are_metadata_by_their_number_only(self) -> None:
        config = parse('<View><Text name="a" value="$response_2"/><Text name="b" value="$response_text"/></View>')
        generation = Generation("text_completion", (user("Hello"),), (answer("Hi"), answer("Ho")))

        data = render(SPAN, generation, config)["data"]

        assert (data["response_2"], data["response_text"]) == ("Ho", "Hello")

    def test_several_texts_all_show_the_prompt(self) -> None:
        config = parse('<View><Text name="a" value="$x"/><Text name="b" value="$y"/></View>')

        data = render(SPAN, Generation("text_completion", (user("Hello"),), ()), config)["data"]

        assert (data["x"], data["y"]) == ("Hello", "Hello")

    def test_a_variable_of_two_tags_serves_the_one_that_needs_a_list(self) -> None:
        xml = '<Paragraphs name="a" value="$x"/><Text name="b" value="$x"/>'

        assert only(xml, chat(user("Hello"))) == [{"author": "user", "text": "Hello"}]

    def test_a_variable_inside_another_is_set_there(self) -> None:
        xml = '<Text name="a" value="$x.prompt.text"/><Text name="b" value="$x.other"/>'

        assert only(xml, Generation("text_completion", (user("Hello"),), ())) == {
            "prompt": {"text": "Hello"},
            "other": "Hello",
        }

    @pytest.mark.parametrize(
        ("xml", "named"),
        [
            ('<Audio name="sound" value="$x"/>', r'wants \$x for <Audio name="sound">'),
            ('<Text name="t" value="$x[0].text"/>', r'wants \$x\[0\].text for <Text name="t">'),
            ('<Text name="t" value="$x" valueType="url"/>', r'wants \$x for <Text name="t">'),
            ('<Text name="t" value="$x"/><Text name="u" value="$x.y"/>', r'wants \$x.y for <Text name="u">'),
            ('<Choices name="c" toName="t" value="$x"/>', r'wants \$x for <Choices name="c">'),
        ],
    )
    def test_a_variable_that_nobody_can_fill_blocks_the_project_by_name(self, xml: str, named: str) -> None:
        with pytest.raises(DestinationBlocked, match=named + r".*<Text>, <HyperText>.*\$model, \$provider") as raised:
            only(xml, chat(user("secret")))

        assert raised.value.passing is False
        assert "secret" not in str(raised.value)


PNG = base64.b64encode(b"\x89PNG\r\n\x1a\n" + b"p" * 10).decode()
JPEG = base64.b64encode(b"\xff\xd8\xff" + b"j" * 10).decode()


def images(generation: Generation, **limits: int) -> list[tuple[str, list[str]]]:
    data = render(SPAN, generation, CHAT, **limits)["data"]
    return [(image["title"], image["urls"]) for image in data.get("images", [])]


class TestImages:
    def test_each_says_in_which_message_it_stands(self) -> None:
        generation = chat(
            Message("system", (TextPart("Look."),)),
            user("What is this?", BlobPart("image", "image/png", PNG), BlobPart("image", "", JPEG)),
            Message("assistant", (TextPart("A cat."), BlobPart("audio", "audio/wav", "aGk="))),
            user(BlobPart("image", "image/jpeg", JPEG)),
            choices=(answer(BlobPart("image", "image/png", PNG)),),
        )

        assert images(generation) == snapshot(
            [
                (
                    "Image 1 of 2 in message 2 (user): image/png, 18 bytes, sha256 f7e0c510b9e3…",
                    ["data:image/png;base64,iVBORw0KGgpwcHBwcHBwcHBw"],
                ),
                (
                    "Image 2 of 2 in message 2 (user): unknown type, 13 bytes, sha256 4721090e4456…",
                    ["data:image/jpeg;base64,/9j/ampqampqampqag=="],
                ),
                (
                    "Image in message 4 (user): image/jpeg, 13 bytes, sha256 4721090e4456…",
                    ["data:image/jpeg;base64,/9j/ampqampqampqag=="],
                ),
                (
                    "Image in the answer: image/png, 18 bytes, sha256 f7e0c510b9e3…",
                    ["data:image/png;base64,iVBORw0KGgpwcHBwcHBwcHBw"],
                ),
            ]
        )

    def test_one_in_an_answer_has_the_number_of_the_answer(self) -> None:
        generation = chat(user("Draw."), choices=(answer("No."), answer(BlobPart("image", "image/png", PNG))))

        assert [title.partition(":")[0] for title, _ in images(generation)] == ["Image in answer 2"]

    @pytest.mark.parametrize(
        "block",
        [
            {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": PNG}},
            {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{PNG}"}},
            {"type": "input_image", "image_url": f"data:image/png;base64,{PNG}"},
            {"type": "image", "data": PNG, "mimeType": "image/png"},
            {"type": "image", "base64": PNG, "mime_type": "image/png"},
        ],
    )
    def test_those_in_a_tool_s_response_are_found(self, block: Any) -> None:
        tool = Message("tool", (ToolResponsePart([{"type": "text", "text": "Here:"}, block], "c1"),))

        assert [urls for _, urls in images(chat(user("Look."), tool))] == [[f"data:image/png;base64,{PNG}"]]
        assert [urls for _, urls in images(chat(user(UnknownPart(block))))] == [[f"data:image/png;base64,{PNG}"]]

    @pytest.mark.parametrize(
        "part",
        [
            UriPart("image", "https://images.example.com/a.png"),
            UriPart("image", "data:image/svg+xml,<svg/>"),
            BlobPart("image", "image/svg+xml", base64.b64encode(b"<svg onload='alert(1)'/>").decode()),
            BlobPart("image", "image/heic", base64.b64encode(b"....ftypheic").decode()),
            BlobPart("image", "image/png", "not base64"),
            BlobPart("image", "image/png", ""),
            BlobPart("audio", "image/png", PNG),
            FilePart("image", "file-7"),
            ToolResponsePart("https://images.example.com/a.png"),
            ToolResponsePart({"mime_type": "image/png", "data": 7, 8: {"url": "data:image/png;base64,"}}),
        ],
    )
    def test_an_image_that_a_browser_must_not_fetch_or_cannot_show_stays_text(self, part: Part) -> None:
        assert "images" not in render(SPAN, chat(user(part)), CHAT)["data"]

    def test_one_in_the_other_alphabet_of_base64_is_shown(self) -> None:
        content = base64.urlsafe_b64encode(b"\x89PNG\r\n\x1a\n\xff\xfe\xfb").decode().rstrip("=")

        assert images(chat(user(BlobPart("image", "image/png", content))))[0][1] == [
            "data:image/png;base64,iVBORw0KGgr//vs="
        ]

    def test_a_note_stands_in_place_of_a_large_one(self) -> None:
        small, large = BlobPart("image", "image/png", PNG), BlobPart("image", "image/jpeg", JPEG)

        data = render(SPAN, chat(user(large, small)), CHAT, max_image_bytes=12)["data"]

        assert "images" not in data
        data = render(SPAN, chat(user(large, small)), CHAT, max_image_bytes=13)["data"]
        assert [image["urls"] for image in data["images"]] == [[f"data:image/jpeg;base64,{JPEG}"]]
        assert data["incomplete"].startswith("An image is too large to be shown: [image: image/png, 18 bytes, sha256 ")

    def test_those_for_which_the_task_has_no_room_are_counted(self) -> None:
        def picture(size: int) -> BlobPart:
            return BlobPart("image", "image/png", base64.b64encode(b"\x89PNG\r\n\x1a\n" + bytes(size)).decode())

        task, body = encode(SPAN, chat(user(picture(6_000), picture(9_000), picture(900))), CHAT, max_bytes=16_384)

        assert [len(image["urls"][0]) for image in task["data"]["images"]] == [8_034, 1_234]
        assert task["data"]["incomplete"] == "Not shown, because the task would be too large: 1 images."
        assert len(body) <= 16_384

    def test_a_call_that_is_too_large_itself_has_none(self) -> None:
        task, body = encode(SPAN, chat(user("x" * 20_000, BlobPart("image", "image/png", PNG))), CHAT, max_bytes=16_384)

        assert "images" not in task["data"]
        assert len(body) <= 16_384

    def test_a_config_that_does_not_ask_for_them_gets_none(self) -> None:
        """The templates of earlier versions: their projects go on as they are."""
        earlier = parse(
            '<View><Paragraphs name="dialogue" value="$prompt" layout="dialogue" nameKey="role" textKey="content"/>'
            '<Header value="$incomplete"/><TextArea name="response" toName="dialogue" rows="8"/>'
            '<Repeater on="$other_responses" indexFlag="{{idx}}"><Header value="$other_responses[{{idx}}].text"/>'
            "</Repeater></View>"
        )

        task = render(SPAN, chat(user("Hello", BlobPart("image", "image/png", PNG))), earlier)

        assert "images" not in task["data"]
        assert task["data"]["prompt"][0]["content"].startswith("Hello\n\n[image: image/png, 18 bytes, sha256 ")

    def test_a_tag_that_shows_their_variable_wins(self) -> None:
        config = parse(
            '<View><Text name="t" value="$images"/><Repeater on="$images"><Header value="$images[{{idx}}].title"/>'
            "</Repeater></View>"
        )
        generation = Generation("text_completion", (user(BlobPart("image", "image/png", PNG)),), ())

        assert isinstance(render(SPAN, generation, config)["data"]["images"], str)

    @pytest.mark.parametrize("mode", ["prompt", "chat"])
    def test_both_templates_show_them(self, mode: str) -> None:
        task = render(SPAN, chat(user(BlobPart("image", "image/png", PNG))), parse(template(mode)))

        assert len(task["data"]["images"]) == 1


class TestEncoding:
    @pytest.mark.parametrize(
        "said",
        ["ä €", "a\0b", "a\ud800b", "\\u0000", "\ud83d\ude00"],
    )
    def test_the_bytes_are_those_of_the_task(self, said: str) -> None:
        task, body = encode(SPAN, chat(user(said), input_tokens=10**400), CHAT)

        assert json.loads(body) == task
        assert body == json.dumps(task, ensure_ascii=False, separators=(",", ":")).encode()

    def test_a_text_that_looks_like_an_escaped_nul_is_unchanged(self) -> None:
        assert render(SPAN, chat(user("\\u0000")), CHAT)["data"]["prompt"][0]["content"] == "\\u0000"

    @pytest.mark.parametrize(
        ("count", "shown"),
        [(7, 7), (10**400, hex(10**400)), (10**5_000, hex(10**5_000)), (math.nan, "nan")],
        ids=["small", "long", "too long to be written", "none"],
    )
    def test_a_number_that_json_cannot_have_is_text(self, count: Any, shown: Any) -> None:
        assert render(SPAN, chat(user("Hello"), input_tokens=count), CHAT)["data"]["input_tokens"] == shown


class TestLimits:
    def test_the_longest_texts_are_cut_with_a_note(self) -> None:
        generation = chat(user("short"), user("x" * 50_000 + "end"), choices=(answer("y" * 30_000), answer("z")))

        task = render(SPAN, generation, CHAT, max_bytes=20_000)

        first, long = (message["content"] for message in task["data"]["prompt"])
        assert first == "short"
        assert (long[:3], long[-4:]) == ("xxx", "xend")
        assert " of 50,003 characters cut …]\n" in long
        assert prediction_texts(task) == ["z", task["data"]["response"]]
        assert " of 30,000 characters cut …]\n" in task["data"]["response"]
        assert task["data"]["incomplete"] == "The call is too large for a task (20,000 bytes): parts of it are cut."
        assert 18_000 < len(json.dumps(task, ensure_ascii=False).encode()) <= 20_000

    def test_of_too_many_messages_the_first_and_the_last_stay(self) -> None:
        generation = chat(*(user(f"message {index} " * 20) for index in range(1_000)))

        task = render(SPAN, generation, CHAT, max_bytes=20_000)

        contents = [message["content"] for message in task["data"]["prompt"]]
        assert contents[0].startswith("message 0 ")
        assert contents[-1].startswith("message 999 ")
        assert "[… 938 messages cut …]" in contents
        assert len(json.dumps(task, ensure_ascii=False).encode()) <= 20_000

    def test_an_image_is_left_out_whole(self) -> None:
        blob = BlobPart("image", "image/png", base64.b64encode(bytes(100_000)).decode())

        image = only('<Image name="t" value="$x"/>', chat(user(blob)), max_bytes=20_000)

        assert image == "data:image/gif;base64,R0lGODlhAQABAIAAAAAAAP///yH5BAEAAAAALAAAAAABAAEAAAIBRAA7"

    @pytest.mark.parametrize(
        ("said", "arrives"),
        [
            ("a\0b", "a\ufffdb"),
            ("a\ud800b", "a\ufffdb"),
            ("a\udc00", "a\ufffd"),
            ("\ud83d\ude00 \U0001f600", "\U0001f600 \U0001f600"),
            ("ä\x1f\u2028", "ä\x1f\u2028"),
        ],
    )
    def test_characters_that_postgresql_refuses_are_replaced(self, said: str, arrives: str) -> None:
        task = render(SPAN, chat(user(said), response_model=said, choices=(answer(said),)), CHAT)

        assert task["data"]["prompt"][0]["content"] == arrives
        assert (task["data"]["model"], prediction_texts(task)) == (arrives, [arrives])


TEXTS = st.text(st.characters(exclude_categories=()), max_size=300)
RAW = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | TEXTS | st.binary(max_size=5),
    lambda values: st.lists(values, max_size=4) | st.dictionaries(TEXTS, values, max_size=4),
    max_leaves=20,
)
PARTS = st.one_of(
    st.builds(TextPart, TEXTS),
    st.builds(ReasoningPart, TEXTS),
    st.builds(RefusalPart, TEXTS),
    st.builds(FilePart, TEXTS, TEXTS, TEXTS),
    st.builds(ToolCallPart, TEXTS, RAW, st.none() | TEXTS),
    st.builds(ToolResponsePart, RAW, st.none() | TEXTS),
    st.builds(BlobPart, st.sampled_from(["image", "audio"]) | TEXTS, TEXTS, TEXTS),
    st.builds(UriPart, st.sampled_from(["image", "audio"]) | TEXTS, TEXTS, TEXTS),
    st.builds(UnknownPart, RAW),
)
MESSAGES = st.builds(Message, TEXTS, st.lists(PARTS, max_size=4).map(tuple), st.none() | TEXTS)
GENERATIONS = st.builds(
    Generation,
    st.sampled_from(["chat", "text_completion"]) | TEXTS,
    st.lists(MESSAGES, max_size=12).map(tuple),
    st.lists(st.builds(Choice, MESSAGES, st.none() | TEXTS), max_size=5).map(tuple),
    response_model=st.none() | TEXTS,
    input_tokens=st.none() | st.integers() | st.just(10**5_000),
    error=st.none() | TEXTS,
    incomplete=st.lists(st.builds(Gap, TEXTS, TEXTS), max_size=3).map(tuple),
    tools=st.lists(st.dictionaries(st.just("name") | TEXTS, RAW, max_size=2), max_size=2).map(tuple),
)
SPANS = st.builds(
    Span,
    trace_id=TEXTS,
    span_id=TEXTS,
    name=TEXTS,
    start_time_unix_nano=st.integers(0, 2**64 - 1),
    end_time_unix_nano=st.integers(0, 2**64 - 1),
    attributes=st.just({}),
    resource=st.dictionaries(st.just("service.name"), RAW),
)
EVERYTHING = parse(
    '<View><Paragraphs name="a" value="$a" layout="dialogue"/><Chat name="b" value="$b"/><Text name="c" value="$c"/>'
    '<HyperText name="d" value="$d"/><Image name="e" value="$e"/><List name="f" value="$f"/>'
    '<Table name="g" value="$g"/><Text name="h" value="$response"/><TextArea name="r" toName="c"/></View>'
)


def strings(value: Any) -> list[str]:
    if isinstance(value, str):
        return [value]
    if isinstance(value, dict):
        return [*value, *(text for item in value.values() for text in strings(item))]
    return [text for item in value for text in strings(item)] if isinstance(value, list) else []


@settings(max_examples=300)
@given(SPANS, GENERATIONS, st.sampled_from([PROMPT, CHAT, EVERYTHING]))
def test_any_call_becomes_a_task_that_label_studio_can_hold_and_show(
    span: Span, generation: Generation, config: Any
) -> None:
    task, encoded = encode(span, generation, config, max_bytes=32_768)

    assert json.loads(encoded) == task
    assert len(encoded) <= 32_768
    assert not [text for text in strings(task) if "\0" in text]
    for variable, key in (("a", "text"), ("b", "content"), ("prompt", "content")):
        dialogue = task["data"].get(variable, "")
        if isinstance(dialogue, list):
            assert dialogue
            assert {type(message[key]) for message in dialogue} == {str}
    assert len(task["predictions"]) == len(generation.choices)
    assert all(isinstance(text, str) for text in prediction_texts(task))
