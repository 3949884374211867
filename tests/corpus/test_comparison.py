"""The scorer finds what is wrong, and calls nothing wrong that is not."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable
from typing import Any

import pytest

from corpus.recordings import Run
from corpus.score import Score, score_run

CALL = {
    "api": "chat.completions",
    "provider": "openai",
    "model": "gpt-4o",
    "response_model": "gpt-4o-2024-08-06",
    "messages": [
        {"role": "system", "content": "Be brief and friendly."},
        {"role": "user", "content": "Where is my order?"},
        {"role": "assistant", "content": None, "tool_calls": [{"id": "c1", "name": "look", "arguments": {"n": "7x"}}]},
        {"role": "tool", "content": "in the post office", "tool_call_id": "c1"},
    ],
    "tools": ["look"],
    "response": {"choices": [{"role": "assistant", "content": "In the post.", "finish_reason": "stop"}]},
    "input_tokens": 11,
    "output_tokens": 5,
    "usage_on_wire": True,
}
WHOLE = {
    "messages": [
        {"role": "system", "content": [["text", "exact"]]},
        {"role": "user", "content": [["text", "exact"]]},
        {"role": "assistant", "content": [], "tool_calls": [["look", "exact", "exact"]]},
        {"role": "tool", "content": [["text", "exact"]]},
    ],
    "response": [{"content": [["text", "exact"]], "finish_reason": "exact"}],
    "model": "exact",
    "response_model": "exact",
    "input_tokens": "found",
    "output_tokens": "found",
    "carriers": ["chat [acme] bbbbbbbbbbbbbbbb"],
}
SAID: dict[str, Any] = {
    "gen_ai.operation.name": "chat",
    "gen_ai.provider.name": "openai",
    "gen_ai.request.model": "gpt-4o",
    "gen_ai.response.model": "gpt-4o-2024-08-06",
    "gen_ai.usage.input_tokens": 11,
    "gen_ai.usage.output_tokens": 5,
    "gen_ai.input.messages": [
        {"role": "system", "parts": [{"type": "text", "content": "Be brief and friendly."}]},
        {"role": "user", "parts": [{"type": "text", "content": "Where is my order?"}]},
        {
            "role": "assistant",
            "parts": [{"type": "tool_call", "id": "c1", "name": "look", "arguments": {"n": "7x"}}],
        },
        {"role": "tool", "parts": [{"type": "tool_call_response", "id": "c1", "response": "in the post office"}]},
    ],
    "gen_ai.output.messages": [
        {"role": "assistant", "parts": [{"type": "text", "content": "In the post."}], "finish_reason": "stop"}
    ],
    "gen_ai.tool.definitions": [{"type": "function", "name": "look"}],
}


def request(*spans: dict[str, Any], scope: str = "acme") -> tuple[str, bytes]:
    written = []
    for number, attributes in enumerate(spans):
        values = [
            {"key": key, "value": {"intValue": value} if isinstance(value, int) else {"stringValue": value}}
            for key, value in (
                (key, json.dumps(value) if isinstance(value, list) else value) for key, value in attributes.items()
            )
        ]
        written.append(
            {
                "traceId": f"{number + 1:032x}",
                "spanId": "b" * 16 if number == 0 else f"{number:016x}",
                "name": "chat",
                "startTimeUnixNano": str(10**18 + number),
                "endTimeUnixNano": str(10**18 + number + 1),
                "attributes": values,
            }
        )
    body = {"resourceSpans": [{"scopeSpans": [{"scope": {"name": scope}, "spans": written}]}]}
    return "traces.json", json.dumps(body).encode()


def scored(*spans: dict[str, Any], observable: dict[str, Any] = WHOLE, calls: int = 1) -> Score:
    run = Run("acme", "1.0", "tool", 0, {"calls": [CALL] * calls}, {"calls": [observable] * calls}, [request(*spans)])
    score = Score("acme/1.0")
    score_run(run, score)
    return score


def cells(score: Score) -> dict[str, int]:
    names = ("exact", "observable", "wrong", "missed", "no span", "extra", "elsewhere", "otherwise", "unsaid")
    return {name: score.counts[name] for name in names if score.counts[name]}


def test_a_call_that_was_read_is_exact() -> None:
    score = scored(SAID)
    assert cells(score) == {"exact": 1}
    assert (score.counts["leaves"], score.counts["recovered"]) == (10, 10)
    assert score.details == []


def change(path: str, value: Any) -> dict[str, Any]:
    said = copy.deepcopy(SAID)
    *way, last = path.split("/")
    place: Any = said
    for step in way:
        place = place[int(step) if isinstance(place, list) else step]
    place[int(last) if isinstance(place, list) else last] = value
    return said


@pytest.mark.parametrize(
    ("path", "value", "sentence"),
    [
        ("gen_ai.input.messages/1/parts/0/content", "Where was my order?", "is not true"),
        ("gen_ai.input.messages/2/parts/0/arguments", {"n": "8x"}, "is not true"),
        ("gen_ai.input.messages/3/parts/0/response", "at home", "is not true"),
        ("gen_ai.output.messages/0/parts/0/content", "At home.", "is not true"),
        ("gen_ai.output.messages", SAID["gen_ai.output.messages"] * 2, "2 choices instead of 1"),
    ],
)
def test_what_was_never_said_is_wrong(path: str, value: Any, sentence: str) -> None:
    score = scored(change(path, value), observable={**WHOLE, "messages": WHOLE["messages"]})
    assert cells(score)["wrong"] == 1
    assert sentence in score.details[0]


def test_another_order_is_wrong() -> None:
    messages = SAID["gen_ai.input.messages"]
    assert cells(scored({**SAID, "gen_ai.input.messages": [messages[1], messages[0], *messages[2:]]}))["wrong"] == 1


def test_messages_that_were_run_together_are_wrong() -> None:
    messages = copy.deepcopy(SAID["gen_ai.input.messages"])
    both = {
        "role": "user",
        "parts": [{"type": "text", "content": "Where is"}, {"type": "text", "content": "my order?"}],
    }
    call = copy.deepcopy(CALL)
    call["messages"][1:2] = [{"role": "user", "content": text} for text in ("Where is", "my order?")]
    observable = {**WHOLE, "messages": [WHOLE["messages"][0], WHOLE["messages"][1], *WHOLE["messages"][1:]]}
    run = Run("a", "1", "tool", 0, {"calls": [call]}, {"calls": [observable]})
    run.requests.append(request({**SAID, "gen_ai.input.messages": [messages[0], both, *messages[2:]]}))
    score = Score("a/1")
    score_run(run, score)
    assert cells(score) == {"wrong": 1}


def test_what_the_span_holds_and_was_not_read_is_wrong() -> None:
    said = {name: value for name, value in SAID.items() if name != "gen_ai.output.messages"}
    score = scored({**said, "acme.answer": "In the post.", "acme.reason": "stop"})
    assert cells(score)["wrong"] == 1
    assert "choice 0 assistant text 'In the post.' was not read (exact)" in score.details[0]


def test_what_stands_only_in_another_span_is_observable() -> None:
    said = {name: value for name, value in SAID.items() if name != "gen_ai.output.messages"}
    score = scored(said, {"gen_ai.operation.name": "invoke_agent", "acme.answer": "In the post."})
    assert cells(score) == {"observable": 1, "elsewhere": 1}


def test_what_stands_nowhere_is_observable_and_should_be_said() -> None:
    status = copy.deepcopy(WHOLE)
    status["messages"][1]["content"] = [["text", "missing"]]
    messages = SAID["gen_ai.input.messages"]
    score = scored({**SAID, "gen_ai.input.messages": [messages[0], *messages[2:]]}, observable=status)
    assert cells(score) == {"observable": 1, "unsaid": 1}


def test_what_the_span_says_otherwise_is_no_fault_of_the_reader() -> None:
    assert cells(scored({**SAID, "gen_ai.usage.output_tokens": 10})) == {"observable": 1, "otherwise": 1}


@pytest.mark.parametrize(
    ("spans", "expected"),
    [
        ([SAID, {**SAID, "gen_ai.provider.name": "other"}], {"exact": 1, "extra": 1}),
        ([{"gen_ai.operation.name": "invoke_agent"}], {"no span": 1}),
        ([{"openinference.span.kind": "AGENT"}], {"no span": 1}),
    ],
)
def test_calls_are_counted(spans: list[dict[str, Any]], expected: dict[str, int]) -> None:
    assert cells(scored(*spans)) == expected


def test_a_call_that_a_span_claims_and_no_line_tells_is_missed(monkeypatch: pytest.MonkeyPatch) -> None:
    nothing: Callable[..., list[dict[str, Any]]] = lambda *_arguments: []  # noqa: E731
    monkeypatch.setattr("corpus.score.convert", nothing)
    assert cells(scored(SAID)) == {"missed": 1}


def test_lines_are_taken_for_the_calls_that_they_resemble() -> None:
    other = change("gen_ai.output.messages/0/parts/0/content", "At home.")
    call = copy.deepcopy(CALL)
    call["response"]["choices"][0]["content"] = "At home."
    run = Run("a", "1", "tool", 0, {"calls": [call, CALL]}, {"calls": [WHOLE, WHOLE]}, [request(SAID, other)])
    score = Score("a/1")
    score_run(run, score)
    assert cells(score) == {"exact": 2}
