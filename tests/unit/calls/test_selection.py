"""Which LLM calls the settings ask for."""

from __future__ import annotations

import json
from typing import Any

import pytest

from label_studio_otel import reading
from label_studio_otel.calls.selection import Selection, is_wanted, operation_names
from label_studio_otel.settings import load

MESSAGES = json.dumps({"messages": [{"role": "user", "content": "Hi"}]})
GEN_AI = "gen_ai.operation.name"
CHATS: dict[str, dict[str, Any]] = {
    "openinference": {"openinference.span.kind": "LLM", "llm.input_messages.0.message.role": "user"},
    "openllmetry": {"llm.request.type": "chat", "gen_ai.prompt.0.role": "user"},
    "openllmetry 0.53": {GEN_AI: "llm_request"},
    "vercel": {"ai.operationId": "ai.generateText.doGenerate", "ai.model.provider": "openai.chat"},
    "langsmith": {"langsmith.span.kind": "llm", "gen_ai.prompt": MESSAGES},
    "langfuse": {"langfuse.observation.type": "generation", "langfuse.observation.input": MESSAGES},
    "langfuse, an object for a text": {
        "langfuse.observation.type": "generation",
        "langfuse.observation.input": "Hi",
        "langfuse.observation.output": json.dumps({"role": "assistant", "content": "Hello"}),
    },
    "mlflow": {"mlflow.spanType": '"CHAT_MODEL"', "mlflow.spanInputs": MESSAGES},
    "haystack": {"haystack.agent.step.llm.input": MESSAGES},
    "google_adk": {"gcp.vertex.agent.llm_request": "{}"},
    "gen_ai": {GEN_AI: "chat"},
    "google's name": {GEN_AI: "generate_content"},
    "litellm": {GEN_AI: "acompletion"},
    "a name that nobody knows": {GEN_AI: "chat.completions", "openinference.span.kind": "LLM"},
}
COMPLETIONS: dict[str, dict[str, Any]] = {
    "openinference": {"openinference.span.kind": "LLM", "llm.prompts": ["Once"]},
    "openinference, named otherwise": {"openinference.span.kind": "LLM", "llm.prompts": ["Once"], GEN_AI: "chat"},
    "openllmetry": {"llm.request.type": "completion"},
    "vercel": {"ai.operationId": "ai.generateText.doGenerate", "ai.model.provider": "openai.completion"},
    "langsmith": {"langsmith.span.kind": "llm", "gen_ai.prompt": '{"prompt": "Once"}'},
    "langfuse": {"langfuse.observation.type": "generation", "langfuse.observation.input": "Once"},
    "mlflow": {"mlflow.spanType": '"LLM"', "mlflow.spanInputs": '"Once"'},
    "gen_ai": {GEN_AI: "text_completion"},
}


def wanted(attributes: dict[str, Any], *operations: str) -> bool:
    assert reading.is_llm_call(attributes, "")
    return is_wanted(load({"operations": operations}, {}), attributes, "", "call", failed=False)


@pytest.mark.parametrize("attributes", CHATS.values(), ids=CHATS)
def test_chat_chooses_what_is_read_as_chat(attributes: dict[str, Any]) -> None:
    assert (wanted(attributes, "chat"), wanted(attributes, "text_completion")) == (True, False)


@pytest.mark.parametrize("attributes", COMPLETIONS.values(), ids=COMPLETIONS)
def test_text_completion_chooses_what_is_read_as_one(attributes: dict[str, Any]) -> None:
    assert (wanted(attributes, "chat"), wanted(attributes, "text_completion")) == (False, True)


@pytest.mark.parametrize("name", ["acompletion", "llm_request", "generate_content"])
def test_the_name_that_a_span_gives_chooses_it_too(name: str) -> None:
    assert wanted({GEN_AI: name}, name)
    assert not wanted({GEN_AI: "chat"}, name)


def test_anthropic_s_chat_under_openllmetry_is_told_by_the_name_of_the_span() -> None:
    attributes = {"llm.request.type": "completion"}
    assert operation_names(attributes, "", "anthropic.chat") == ("chat",)
    assert operation_names(attributes, "", "anthropic.completion") == ("text_completion",)


def test_a_call_that_cannot_be_read_is_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("label_studio_otel.reading.emitters.vercel.first_text", lambda *_: {}["absent"])
    assert operation_names(CHATS["vercel"], "", "call") == ()
    assert wanted(CHATS["vercel"], "text_completion")


def test_calls_that_came_over_the_wire_are_chosen_likewise() -> None:
    span = {"scope": {"name": ""}, "name": "call", "startTimeUnixNano": 1, "status": {"code": "UNSET"}}
    spans = [{**span, "attributes": attributes} for attributes in (*CHATS.values(), *COMPLETIONS.values())]
    selection = Selection(load({"operations": ["text_completion"]}, {}))
    assert len(list(selection.calls(spans))) == 8
    assert selection.filtered == 14
