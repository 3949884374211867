"""From spans and log events to calls: each once, with all that was said, in whatever order they came."""

from __future__ import annotations

import itertools
import json
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from label_studio_otel.calls.assembly import calls
from label_studio_otel.calls.fingerprint import fingerprint
from label_studio_otel.calls.log_events import attach, join
from label_studio_otel.generation import TextPart
from label_studio_otel.reading import read
from label_studio_otel.spans import LogRecord
from label_studio_otel.testing import START_TIME, span

if TYPE_CHECKING:
    from label_studio_otel.errors import DialectError
    from label_studio_otel.generation import Generation
    from label_studio_otel.spans import Span

SECOND = 1_000_000_000
OPENAI = "opentelemetry.instrumentation.openai_v2"
ANTHROPIC = "opentelemetry.instrumentation.anthropic"


def said(generation: Generation) -> list[str]:
    """Return all texts of a call, the answers last."""
    messages = [*generation.messages, *(choice.message for choice in generation.choices)]
    return [part.content for message in messages for part in message.parts if isinstance(part, TextPart)]


def without_content(number: int, start: float = 0.0, end: float = 1.0, **fields: Any) -> Span:
    """Return the span of a call whose messages are log events."""
    one = span(
        number=number,
        start_time_unix_nano=START_TIME + int(start * SECOND),
        end_time_unix_nano=START_TIME + int(end * SECOND),
        scope_name=ANTHROPIC,
        **fields,
    )
    return replace(one, attributes={name: value for name, value in one.attributes.items() if "messages" not in name})


def event(name: str, content: str, at: float, of: Span | None = None, **fields: Any) -> LogRecord:
    """Return a log event, with the ids of a span or without any."""
    body: dict[str, Any] = {"content": content}
    if name == "gen_ai.choice":
        body = {"index": 0, "finish_reason": "stop", "message": {"content": content}}
    ids = {"trace_id": of.trace_id, "span_id": of.span_id} if of else {}
    return LogRecord(name, body, {}, START_TIME + int(at * SECOND), **{**ids, "scope_name": ANTHROPIC, **fields})


def conversation(text: str, start: float, end: float, of: Span | None = None, **fields: Any) -> list[LogRecord]:
    return [
        event("gen_ai.system.message", "Be brief.", start + 0.01, of, **fields),
        event("gen_ai.user.message", text, start + 0.02, of, **fields),
        event("gen_ai.choice", f"You said: {text}", end - 0.01, of, **fields),
    ]


def texts(spans: list[Span]) -> dict[int, list[str]]:
    return {int(one.span_id, 16): said(read(one)) for one in spans}


class TestDoubles:
    def test_one_call_in_two_spans_is_the_fuller_one(self) -> None:
        fuller = span(number=1, system="Be brief.")
        other = span(number=2, scope_name=OPENAI, attributes={"gen_ai.response.id": "chatcmpl-1"})
        (call,) = calls([other, fuller])
        assert (call.span, call.dialect, call.aliases) == (fuller, "gen_ai", (other.key,))
        assert call.generation == read(fuller)

    def test_facts_that_the_fuller_span_lacks_are_those_of_the_other(self) -> None:
        unknown = {"gen_ai.usage.input_tokens": None, "gen_ai.response.id": None, "gen_ai.provider.name": None}
        fuller = span(number=1, system="Be brief.", attributes={**unknown, "gen_ai.usage.output_tokens": 0})
        (call,) = calls([fuller, span(number=2, scope_name=OPENAI, attributes={"session.id": "s-1"})])
        assert call.span == fuller
        assert (call.generation.provider, call.generation.response_id) == ("openai", "chatcmpl-2")
        assert (call.generation.input_tokens, call.generation.output_tokens) == (12, 0)
        assert call.generation.session_id == "s-1"

    @pytest.mark.parametrize("system", ["Be brief.", None])
    def test_a_response_model_that_repeats_the_request_model_is_replaced(self, system: str | None) -> None:
        outer = span(number=1, system=system, attributes={"gen_ai.response.model": "gpt-4o-mini"})
        (call,) = calls([outer, span(number=2, scope_name=OPENAI, attributes={"gen_ai.response.id": None})])
        assert call.generation.response_model == "gpt-4o-mini-2026-01-15"

    def test_an_answer_gets_the_finish_reason_of_the_other_span(self) -> None:
        answer = json.dumps([{"role": "assistant", "parts": [{"type": "text", "content": "Hello!"}]}])
        unfinished = {"gen_ai.output.messages": answer, "gen_ai.response.finish_reasons": None}
        fuller = span(number=1, system="Be brief.", attributes=unfinished)
        assert read(fuller).choices[0].finish_reason is None
        (call,) = calls([fuller, span(number=2, scope_name=OPENAI, attributes={"gen_ai.response.id": None})])
        assert [choice.finish_reason for choice in call.generation.choices] == ["stop"]

    def test_answers_keep_their_finish_reasons_if_the_other_span_has_fewer(self) -> None:
        answers = json.dumps([{"role": "assistant", "parts": [{"type": "text", "content": text}]} for text in "ab"])
        fuller = span(number=1, attributes={"gen_ai.output.messages": answers, "gen_ai.response.finish_reasons": None})
        (call,) = calls(
            [fuller, span(number=2, response="a", scope_name=OPENAI, attributes={"gen_ai.response.id": ""})]
        )
        assert [choice.finish_reason for choice in call.generation.choices] == [None, None]

    def test_calls_come_in_the_order_of_their_start(self) -> None:
        spans = [span(number=number, start_time_unix_nano=START_TIME + number) for number in (3, 1, 2)]
        assert [int(call.span.span_id, 16) for call in calls(spans)] == [1, 2, 3]

    def test_one_span_twice_is_one_call(self) -> None:
        (call,) = calls([span(), span()])
        assert call.aliases == ()

    def test_what_is_no_call_is_left_out(self) -> None:
        assert calls([span(attributes={"gen_ai.operation.name": "invoke_agent"})]) == []

    def test_what_cannot_be_read_is_reported_and_the_rest_goes_on(self) -> None:
        broken = span(number=2, attributes={"gen_ai.input.messages": 7})
        reported: list[tuple[Span, DialectError]] = []
        (call,) = calls([broken, span(number=1)], lambda one, error: reported.append((one, error)))
        assert call.span.span_id == span(number=1).span_id
        assert [one for one, _ in reported] == [broken]

    def test_200_calls_at_once_with_equal_texts_stay_200(self) -> None:
        spans = [span(number=number, attributes={"gen_ai.response.id": ""}) for number in range(1, 201)]
        assert len(calls(spans)) == 200

    def test_tool_calls_are_compared_by_name_and_decoded_arguments(self) -> None:
        def asking(arguments: Any, number: int, scope: str) -> Span:
            part = {"type": "tool_call", "id": f"call_{number}", "name": "weather", "arguments": arguments}
            answer = json.dumps([{"role": "assistant", "parts": [part]}])
            attributes = {"gen_ai.output.messages": answer, "gen_ai.response.id": None}
            return span(number=number, scope_name=scope, attributes=attributes)

        first = asking({"city": "Porto", "days": 2}, 1, ANTHROPIC)
        assert len(calls([first, asking('{"days":2,"city":"Porto"}', 2, OPENAI)])) == 1
        assert len(calls([first, asking('{"days":3,"city":"Porto"}', 2, OPENAI)])) == 2

    def test_an_id_that_a_framework_generated_is_ignored(self) -> None:
        first = span(number=1, attributes={"gen_ai.response.id": "run-7a"})
        assert fingerprint(first, read(first)).response == ""

    def test_the_window_of_a_stream_of_logfire_covers_its_two_spans(self) -> None:
        unfinished = {"gen_ai.response.finish_reasons": ()}

        def told(kind: str, **fields: Any) -> tuple[int, int]:
            one = span(scope_name="logfire.openai", attributes={"logfire.span_type": kind, **unfinished}, **fields)
            window = fingerprint(one, read(one)).window
            return (START_TIME - window[0]) // SECOND, (window[1] - START_TIME) // SECOND

        assert told("span") == (0, 1)
        assert told("span", response=[]) == (0, 601)
        assert told("span", response=[], status_code="ERROR") == (0, 1)
        assert told("log") == (600, 1)

    def test_a_fingerprint_holds_no_content(self) -> None:
        secret = span("my secret", "your secret", system="a secret")
        assert "secret" not in fingerprint(secret, read(secret)).encode()


class TestLogEvents:
    def test_events_belong_to_the_span_whose_ids_they_have(self) -> None:
        one, two = without_content(1), without_content(2)
        logs = [*conversation("One", 0, 1, one), *conversation("Two", 0, 1, two)]
        assert texts(join([one, two], logs)) == {
            1: ["Be brief.", "One", "You said: One"],
            2: ["Be brief.", "Two", "You said: Two"],
        }

    def test_the_order_of_arrival_does_not_matter(self) -> None:
        one = without_content(1)
        for logs in itertools.permutations(conversation("One", 0, 1, one)):
            assert texts(join([one], logs)) == {1: ["Be brief.", "One", "You said: One"]}

    def test_an_answer_comes_after_the_question_of_the_same_time(self) -> None:
        one = without_content(1)
        logs = [event("gen_ai.choice", "Hello", 0.5, one), event("gen_ai.user.message", "Hi", 0.5, one)]
        assert [log.event_name for log in attach(one, logs).logs] == ["gen_ai.user.message", "gen_ai.choice"]

    def test_an_event_that_arrives_twice_is_added_once(self) -> None:
        one = without_content(1)
        logs = conversation("One", 0, 1, one)
        assert attach(one, [*logs, *logs]).logs == tuple(logs)

    def test_other_log_records_of_a_call_are_left_out(self) -> None:
        one = without_content(1)
        assert join([one], [event("", "HTTP Request: POST", 0.5, one)]) == [one]

    def test_spans_that_are_no_calls_are_left_out(self) -> None:
        assert join([span(attributes={"gen_ai.operation.name": "invoke_agent"})], []) == []


class TestEventsWithoutIds:
    def test_they_belong_to_the_only_call_that_was_under_way(self) -> None:
        spans = [without_content(1, 0, 1), without_content(2, 2, 3)]
        logs = [*conversation("One", 0, 1), *conversation("Two", 2, 3)]
        expected = {1: ["Be brief.", "One", "You said: One"], 2: ["Be brief.", "Two", "You said: Two"]}
        assert texts(join(spans, logs)) == expected
        assert texts(join(spans[::-1], logs[::-1])) == expected

    def test_events_with_the_ids_of_the_parent_span_belong_to_the_call_below_it(self) -> None:
        task = span(number=9, attributes={"gen_ai.operation.name": "execute_task"})
        one = without_content(1, trace_id=task.trace_id, parent_span_id=task.span_id)
        other = without_content(2, trace_id=task.trace_id, parent_span_id="00000000000000ff")
        found = join([task, one, other], conversation("One", 0, 1, task))
        assert texts(found) == {1: ["Be brief.", "One", "You said: One"], 2: []}

    def test_two_calls_at_one_time_get_none_of_them(self) -> None:
        spans = [without_content(1, 0, 2), without_content(2, 1, 3), without_content(3, 4, 5)]
        logs = [*conversation("One", 0, 2), *conversation("Two", 1, 3), *conversation("Three", 4, 5)]
        assert texts(join(spans, logs)) == {1: [], 2: [], 3: ["Be brief.", "Three", "You said: Three"]}

    @pytest.mark.parametrize(
        "fields",
        [
            pytest.param({"scope_name": OPENAI}, id="another scope"),
            pytest.param({"trace_id": "f" * 32}, id="another trace"),
            pytest.param({"resource": {"service.name": "another"}}, id="another process"),
            pytest.param({"time_unix_nano": START_TIME - 1}, id="another time"),
        ],
    )
    def test_events_of_another_scope_trace_or_process_are_not_added(self, fields: dict[str, Any]) -> None:
        logs = [LogRecord("gen_ai.user.message", {"content": "Hi"}, {}, **{**known(), **fields})]
        assert texts(join([without_content(1)], logs)) == {1: []}
        logs = [LogRecord("gen_ai.user.message", {"content": "Hi"}, {}, **known())]
        assert texts(join([without_content(1)], logs)) == {1: ["Hi"]}

    def test_a_call_that_has_its_messages_takes_no_others(self) -> None:
        one = span("One", "Uno", scope_name=ANTHROPIC)
        assert join([one], conversation("Another", 0, 1)) == [one]

    def test_the_answer_of_a_stream_joins_the_question(self) -> None:
        one = without_content(1)
        question, answer = event("gen_ai.user.message", "Hi", 0.1, one), event("gen_ai.choice", "Hello", 0.9)
        assert texts(join([one], [answer, question])) == {1: ["Hi", "Hello"]}

    @given(st.lists(st.tuples(st.integers(0, 50), st.integers(1, 20)), min_size=1, max_size=8), st.randoms())
    def test_no_call_gets_the_messages_of_another_call(self, times: list[tuple[int, int]], chance: Any) -> None:
        spans = [without_content(number, start, start + length) for number, (start, length) in enumerate(times, 1)]
        logs: list[LogRecord] = []
        for number, (start, length) in enumerate(times, 1):
            logs += conversation(str(number), start, start + length)
        chance.shuffle(spans)
        chance.shuffle(logs)
        for number, found in texts(join(spans, logs)).items():
            assert found in ([], ["Be brief.", str(number), f"You said: {number}"])


def known() -> dict[str, Any]:
    return {"time_unix_nano": START_TIME + 1, "scope_name": ANTHROPIC, "resource": {"service.name": "test-app"}}


def sdk(number: int, start: float = 0.1, end: float = 0.9, **attributes: Any) -> Span:
    """Return the Anthropic SDK's own span, which never holds a message."""
    known = {
        "gen_ai.operation.name": "chat",
        "gen_ai.provider.name": "anthropic",
        "gen_ai.request.model": "claude-4",
        "gen_ai.response.model": "claude-4-1",
        "gen_ai.usage.input_tokens": 30,
        "gen_ai.usage.cache_read.input_tokens": 10,
        "gen_ai.usage.output_tokens": 7,
        "anthropic.message.stop_reason": "max_tokens",
        **attributes,
    }
    one = span(
        number=number,
        start_time_unix_nano=START_TIME + int(start * SECOND),
        end_time_unix_nano=START_TIME + int(end * SECOND),
        scope_name="com.anthropic.sdk.python",
    )
    return replace(one, attributes=known)


def instrumented(number: int, start: float = 0.0, end: float = 1.0, **attributes: Any) -> Span:
    """Return the instrumentation's span of a call: its messages, and no facts."""
    answer = [{"role": "assistant", "parts": [{"type": "text", "content": "Hi."}]}]
    kept = {"gen_ai.operation.name": "chat", "gen_ai.output.messages": json.dumps(answer), **attributes}
    return replace(without_content(number, start, end), attributes=kept)


class TestSpansThatOnlyKnowFacts:
    @staticmethod
    def facts(*spans: Span) -> list[tuple[str | None, int | None, str | None]]:
        """Return response model, input tokens and finish reason of each call."""
        found = calls(join(spans, []), supplements=spans)
        return [
            (one.generation.response_model, one.generation.input_tokens, one.generation.choices[0].finish_reason)
            for one in found
        ]

    def test_supplement_the_only_call_at_their_time(self) -> None:
        assert self.facts(sdk(2), instrumented(1)) == [("claude-4-1", 20, "length")]

    def test_do_not_replace_what_the_call_has(self) -> None:
        one = instrumented(1, **{"gen_ai.usage.input_tokens": 25, "gen_ai.response.model": "claude-4"})
        assert self.facts(one, sdk(2)) == [("claude-4", 25, "length")]

    def test_are_no_calls(self) -> None:
        assert self.facts(sdk(1)) == []

    @pytest.mark.parametrize(
        "other",
        [
            sdk(2, 1.5, 1.9),
            sdk(2, **{"gen_ai.request.model": "claude-3", "gen_ai.response.model": "claude-3"}),
            sdk(2, **{"gen_ai.response.id": "msg_2"}),
        ],
        ids=["time", "model", "id"],
    )
    def test_do_not_supplement_another_call(self, other: Span) -> None:
        one = instrumented(1, **{"gen_ai.request.model": "claude-4", "gen_ai.response.id": "msg_1"})
        assert self.facts(one, other) == [(None, None, None)]

    def test_supplement_no_call_where_two_are_possible(self) -> None:
        assert self.facts(instrumented(1), instrumented(3), sdk(2)) == [(None, None, None)] * 2

    def test_are_matched_by_the_response_id_among_many(self) -> None:
        pairs = [
            (
                instrumented(number, **{"gen_ai.response.id": f"msg_{number}"}),
                sdk(100 + number, **{"gen_ai.response.id": f"msg_{number}", "gen_ai.usage.input_tokens": number + 10}),
            )
            for number in range(1, 6)
        ]
        found = self.facts(*itertools.chain(*pairs))
        assert [tokens for _, tokens, _ in found] == [1, 2, 3, 4, 5]


class TestLogfireStreamTimes:
    """Logfire's second span of a stream has all messages, and ends when it starts."""

    BEGUN, ENDED = START_TIME + 2 * SECOND, START_TIME + 9 * SECOND

    def ended(self, **attributes: Any) -> Span:
        return span(
            number=2,
            scope_name="logfire.openai",
            start_time_unix_nano=self.ENDED,
            end_time_unix_nano=self.ENDED,
            attributes={"logfire.span_type": "log", **attributes},
        )

    def test_begin_with_the_first_span(self) -> None:
        first = span(
            number=1,
            scope_name="logfire.openai",
            start_time_unix_nano=self.BEGUN,
            end_time_unix_nano=self.BEGUN + SECOND,
            attributes={"logfire.span_type": "span"},
        )
        kept = {key: said for key, said in first.attributes.items() if not key.startswith("gen_ai.output")}
        [call] = calls([self.ended(duration=5.5), replace(first, attributes=kept)])
        assert (call.span.span_id[-1], call.start_time_unix_nano) == ("2", self.BEGUN)

    @pytest.mark.parametrize(
        ("duration", "ago"), [(5.5, 5_500_000_000), (-1, 0), (float("nan"), 0), (float("inf"), 0), ("5", 0), (True, 0)]
    )
    def test_begin_before_the_end_by_the_duration_of_the_stream(self, duration: Any, ago: int) -> None:
        [call] = calls([self.ended(duration=duration)])
        assert call.start_time_unix_nano == self.ENDED - ago
