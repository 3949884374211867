"""`doctor` on the run that it watched."""

from __future__ import annotations

import json

from inline_snapshot import snapshot

from label_studio_otel.cli.doctor import observed
from support.examined import line, set_up

BEGAN = {"began": 1, "python": "python"}


def call(number: int = 1, operation: str = "chat", **other: object) -> dict[str, object]:
    fields = {"scope": "langchain", "operation": operation, "incomplete": [], "taken": True, "error": False}
    return {**fields, "key": f"{1:032x}:{number:016x}:1", **other}


def told(*lines: dict[str, object], code: int = 0, in_code: bool = False, **settings: object) -> list[str]:
    seen = observed.read([json.dumps(one) for one in lines], code)
    return [line(one) for one in observed.findings(seen, set_up(**settings).settings, in_code=in_code)]


def test_the_calls_among_the_spans_are_counted() -> None:
    assert told(BEGAN, {"scope": "urllib3"}, call(1, "text_completion"), call(2)) == snapshot(
        ["ok: LLM calls found: 2, among spans: 3"]
    )


def test_an_unfinished_line_is_skipped() -> None:
    seen = observed.read([json.dumps(BEGAN), json.dumps(call()), '{"scope": "lang'], 0)
    assert (seen.processes, seen.llm_calls) == (1, 1)


def test_a_run_without_our_hook() -> None:
    assert told(code=3) == snapshot(
        [
            "warning: the application ended with exit code 3 → see what it wrote above; run it to its end",
            (
                "error: OpenTelemetry was not set up in the application: opentelemetry-instrument "
                "stopped before our hook → mend the errors named here and in the application's log "
                "('Failed to auto initialize OpenTelemetry')"
            ),
        ]
    )
    assert told(in_code=True) == snapshot(
        ["error: no Python process with label-studio-otel was seen → start it with the application's Python"]
    )


def test_a_run_without_llm_calls() -> None:
    assert told(BEGAN) == snapshot(
        [
            (
                "error: the run made no spans → let the run ask a model, and install the instrumentation "
                "of the library that it uses"
            )
        ]
    )
    assert told(BEGAN, {"scope": "urllib3"}) == snapshot(
        [
            (
                "error: 1 span came, and no LLM call among them → let the run ask a model, and install "
                "the instrumentation of the library that it uses"
            )
        ]
    )


def test_calls_that_our_processor_did_not_see() -> None:
    (_, missed) = told(BEGAN, call(taken=False), call(2), mode="chat")
    assert missed == snapshot(
        "error: 1 of 2 LLM calls went to a provider without our span processor → where the "
        "provider is made: provider.add_span_processor(LabelStudioSpanProcessor()); see "
        "docs/set-ups.md"
    )


def test_calls_without_content_and_why() -> None:
    sentences = [
        "The span holds no messages: content capture is off, set TRACELOOP_TRACE_CONTENT=true in the application.",
        "The span holds no answer of the model.",
    ]
    (_, *lacking) = told(BEGAN, call(incomplete=sentences), call(2, incomplete=sentences[:1]), call(3), mode="chat")
    assert lacking == snapshot(
        [
            (
                "error: 2 of 3 LLM calls: The span holds no messages: content capture is off, set "
                "TRACELOOP_TRACE_CONTENT=true in the application. → export TRACELOOP_TRACE_CONTENT=true"
            ),
            (
                "error: 1 of 3 LLM calls: The span holds no answer of the model. → look at these spans "
                "where your traces are shown"
            ),
        ]
    )


def test_spans_that_are_chat_ask_for_chat_mode() -> None:
    assert told(BEGAN, call())[1:] == snapshot(
        ["warning: your spans are chat, and the mode is prompt → export LABEL_STUDIO_OTEL_MODE=chat"]
    )
    assert told(BEGAN, call(), call(2, "text_completion"))[1:] == []


def test_spans_that_are_completions_ask_for_prompt_mode() -> None:
    assert told(BEGAN, call(1, "text_completion"), mode="chat")[1:] == snapshot(
        ["warning: your spans are text_completion, and the mode is chat → export LABEL_STUDIO_OTEL_MODE=prompt"]
    )


def test_operations_that_are_left_out() -> None:
    assert told(BEGAN, call(), operations={"text_completion"}, mode="chat")[1:] == snapshot(
        ["warning: LABEL_STUDIO_OTEL_OPERATIONS leaves out chat → export LABEL_STUDIO_OTEL_OPERATIONS=chat"]
    )


def test_operations_that_choose_a_call_by_another_of_its_names() -> None:
    gemini = call(1, "generate_content", names=["generate_content", "chat"])
    assert told(BEGAN, gemini, operations={"chat"}, mode="chat")[1:] == []
    assert told(BEGAN, gemini, operations={"text_completion"}, mode="chat")[1:] == [
        "warning: LABEL_STUDIO_OTEL_OPERATIONS leaves out generate_content → "
        "export LABEL_STUDIO_OTEL_OPERATIONS=generate_content"
    ]


def test_failed_calls_become_no_tasks_unless_asked_for() -> None:
    assert told(BEGAN, call(error=True), mode="chat")[1:] == snapshot(
        [
            (
                "warning: 1 LLM call failed; failed calls become no tasks → export "
                "LABEL_STUDIO_OTEL_INCLUDE_ERRORS=true, if people shall see them"
            )
        ]
    )
    assert told(BEGAN, call(error=True), mode="chat", include_errors=True)[1:] == []


def test_span_ids_that_repeat() -> None:
    again = {**call(), "key": f"{1:032x}:{1:016x}:2"}
    assert told(BEGAN, call(), again, mode="chat")[1:] == snapshot(
        [
            (
                "warning: 1 span id came more than once in this run: OpenTelemetry draws them from "
                "`random`, and the application seeds it. Each call is still a task; in trace backends "
                "they overwrite each other → seed a generator of your own, random.Random(seed), instead "
                "of random.seed(seed)"
            )
        ]
    )
