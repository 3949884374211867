"""One task per call, where two instrumentations tell it, in whatever order their spans and log events arrive."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from label_studio_otel.outbox.items import NewItem
from label_studio_otel.spool import record
from label_studio_otel.testing import FakeLabelStudio, Fault, span
from support.delivering import PROMPTS, Bench, State, all_tasks, payload, run, states_of

if TYPE_CHECKING:
    from label_studio_otel.spans import Span

OTHER = "opentelemetry.instrumentation.openai.v1"
RESPONSE = {"gen_ai.response.id": "chatcmpl-1"}


def outer(**attributes: Any) -> Span:
    return span("Say hello.", number=1, attributes={**RESPONSE, "session.id": "s-1", **attributes})


def inner(**fields: Any) -> Span:
    return span("Say hello.", number=2, attributes=RESPONSE, scope_name=OTHER, **fields)


def put(bench: Bench, *spans: Span, due_in: float = 0.0) -> None:
    taken = [
        NewItem(PROMPTS, one.key, payload(one), one.scope_name, one.start_time_unix_nano, one.end_time_unix_nano)
        for one in spans
    ]
    bench.outbox.accept(taken, "1.spool", 0, bench.clock() + due_in)


def keys(fake: FakeLabelStudio) -> list[str]:
    return [task["data"]["span_id"][-1] for task in all_tasks(fake)]


def test_two_spans_of_one_call_become_one_task_of_the_fuller_one(bench: Bench, fake: FakeLabelStudio) -> None:
    put(bench, inner(), outer())
    bench.run()
    assert keys(fake) == ["1"]
    assert bench.states == {"delivered": 1, "doubled": 1}


def test_one_that_still_settles_is_known_already(bench: Bench, fake: FakeLabelStudio) -> None:
    put(bench, inner())
    put(bench, outer(), due_in=2.0)
    bench.run()
    assert keys(fake) == []
    bench.run_later(3)
    assert keys(fake) == ["1"]
    assert bench.states == {"delivered": 1, "doubled": 1}


def test_one_that_comes_after_the_delivery_is_kept_as_a_double_and_nothing_is_patched(
    bench: Bench, fake: FakeLabelStudio
) -> None:
    put(bench, inner())
    put(bench, span("Something else", number=9))  # the second instrumentation is known
    bench.run()
    put(bench, outer())
    bench.run_later(1)
    assert sorted(keys(fake)) == ["2", "9"]
    assert bench.states == {"delivered": 2, "doubled": 1}


def test_a_third_span_of_a_call_finds_the_one_that_was_kept(bench: Bench, fake: FakeLabelStudio) -> None:
    put(bench, inner(), outer())
    bench.run()
    put(bench, replace(inner(), span_id="00000000000000ff", scope_name="langfuse-sdk"))
    bench.run_later(1)
    assert keys(fake) == ["1"]
    assert bench.states == {"delivered": 1, "doubled": 2}


def test_a_span_finds_the_other_one_of_its_call_among_those_in_doubt(bench: Bench, fake: FakeLabelStudio) -> None:
    put(bench, inner(), span("Something else", number=9))
    fake.fail(Fault(drop="before"))
    bench.run()
    put(bench, outer())
    bench.run_later(2)
    assert keys(fake) == []
    assert bench.states == {"uncertain": 2, "doubled": 1}


def test_a_second_equal_call_is_not_taken_for_the_double_of_the_first(bench: Bench, fake: FakeLabelStudio) -> None:
    put(bench, inner(), outer())
    bench.run()
    put(bench, replace(outer(), span_id="00000000000000ff"))
    bench.run_later(1)
    assert sorted(keys(fake)) == ["1", "f"]
    assert bench.states == {"delivered": 2, "doubled": 1}


def test_equal_calls_of_one_instrumentation_stay_as_many(bench: Bench, fake: FakeLabelStudio) -> None:
    put(bench, *(span("Say hello.", number=number) for number in range(1, 201)))
    put(bench, span("Something else", number=999, scope_name=OTHER))
    bench.run()
    assert bench.states == {"delivered": 201}


def test_a_double_is_forgotten_with_the_keys_of_what_was_delivered(bench: Bench, fake: FakeLabelStudio) -> None:
    put(bench, inner(), outer())
    bench.run()
    bench.clock.sleep(60)
    assert bench.outbox.expire(bench.clock()) == 2
    assert bench.states == {}


class TestWhatOnlyADoubleKnows:
    """The inner span holds more of what was said, the outer one knows the session."""

    def test_is_in_the_task(self, bench: Bench, fake: FakeLabelStudio) -> None:
        put(bench, outer(), fuller())
        bench.run()
        assert bench.states == {"delivered": 1, "doubled": 1}
        assert sessions(fake) == [("2", "s-1")]

    def test_is_in_the_task_where_the_double_still_settles(self, bench: Bench, fake: FakeLabelStudio) -> None:
        put(bench, fuller())
        put(bench, outer(), due_in=2.0)
        bench.run()
        assert sessions(fake) == [("2", "s-1")]

    def test_is_in_the_task_where_the_fuller_one_still_settles(self, bench: Bench, fake: FakeLabelStudio) -> None:
        put(bench, fuller(), due_in=2.0)
        put(bench, outer())
        bench.run()
        bench.run_later(3)
        assert sessions(fake) == [("2", "s-1")]

    def test_is_in_the_task_that_is_sent_again(self, bench: Bench, fake: FakeLabelStudio) -> None:
        put(bench, outer(), fuller())
        fake.fail(Fault(status=429))
        bench.run()
        assert bench.states == {"pending": 1, "doubled": 1}
        bench.run_later(600)
        assert sessions(fake) == [("2", "s-1")]


def fuller() -> Span:
    instructions = [{"type": "text", "content": "Be brief."}]
    return replace(inner(), attributes={**inner().attributes, "gen_ai.system_instructions": json.dumps(instructions)})


def sessions(fake: FakeLabelStudio) -> list[tuple[str, str | None]]:
    return [(task["data"]["span_id"][-1], task["data"].get("session_id")) for task in all_tasks(fake)]


class TestLogEvents:
    def test_they_give_a_span_its_messages_whichever_comes_first(self, state: State, fake: FakeLabelStudio) -> None:
        for number in (1, 2):
            without = {"gen_ai.input.messages": None, "gen_ai.output.messages": None}
            bare = span(number=number, scope_name="opentelemetry.instrumentation.openai_v2", attributes=without)
            bare = replace(bare, attributes={key: value for key, value in bare.attributes.items() if value is not None})
            if number == 1:
                state.put(bare)
            for name, body in (
                ("gen_ai.user.message", {"content": f"Question {number}"}),
                ("gen_ai.choice", {"index": 0, "finish_reason": "stop", "message": {"content": f"Answer {number}"}}),
            ):
                state.writer.append(record.encode_log("{}", _event(bare, name, body)))
            if number == 2:
                state.put(bare)
        deliverer = state.deliverer()
        run(deliverer)
        assert states_of(deliverer) == {"delivered": 2}
        shown = [(task["data"]["prompt"], task["data"]["response"]) for task in all_tasks(fake)]
        assert shown == [("User:\nQuestion 1", "Answer 1"), ("User:\nQuestion 2", "Answer 2")]


def _event(of: Span, name: str, body: Any) -> dict[str, Any]:
    return {
        "eventName": name,
        "body": body,
        "attributes": {},
        "timeUnixNano": of.start_time_unix_nano + (1 if name == "gen_ai.choice" else 0),
        "traceId": of.trace_id,
        "spanId": of.span_id,
        "scope": {"name": of.scope_name},
    }


class TestLogfireStreams:
    """Its first span ends when the stream begins, and holds no answer; one without length comes when it has ended."""

    def test_the_second_span_is_sent_and_the_first_waits_for_it(self, bench: Bench, fake: FakeLabelStudio) -> None:
        bench.delivery.patient = True
        put(bench, begun())
        bench.run()
        bench.run_later(60)
        assert bench.states == {"pending": 1}
        put(bench, ended())
        bench.run()
        assert bench.states == {"delivered": 1, "doubled": 1}
        assert [task["data"]["response"] for task in all_tasks(fake)] == ["Streamed."]

    def test_a_stream_that_never_ends_is_sent_without_its_answer(self, bench: Bench, fake: FakeLabelStudio) -> None:
        bench.delivery.patient = True
        put(bench, begun())
        bench.run()
        bench.run_later(601)
        assert bench.states == {"delivered": 1}
        assert "answer" in all_tasks(fake)[0]["data"]["incomplete"]

    def test_at_the_end_nothing_waits(self, bench: Bench, fake: FakeLabelStudio) -> None:
        put(bench, begun())
        bench.run()
        assert bench.states == {"delivered": 1}


def begun() -> Span:
    whole = span("Stream it.", number=1, scope_name="logfire.openai", attributes={"logfire.span_type": "span"})
    answer = ("gen_ai.output", "gen_ai.response", "gen_ai.usage")
    return replace(
        whole, attributes={key: said for key, said in whole.attributes.items() if not key.startswith(answer)}
    )


def ended() -> Span:
    at = begun().end_time_unix_nano + 90_000_000_000
    return span(
        "Stream it.",
        "Streamed.",
        number=3,
        scope_name="logfire.openai",
        attributes={"logfire.span_type": "log", "gen_ai.response.id": ""},
        start_time_unix_nano=at,
        end_time_unix_nano=at,
    )


def test_the_scopes_are_read_once_for_each_batch(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    put(bench, *(span(f"Question {number}", number=number) for number in range(1, 1201)))
    asked: list[int] = []
    scopes = bench.outbox.destinations.scopes
    monkeypatch.setattr(bench.outbox.destinations, "scopes", lambda target: asked.append(target) or scopes(target))

    bench.run()

    assert bench.states == {"delivered": 1200}
    assert asked == [1, 1, 1]
