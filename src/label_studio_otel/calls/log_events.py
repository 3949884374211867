"""`join` and `attach` add log events to the spans of their LLM calls.

A log event belongs to the span whose ids it has. Some instrumentations write no ids, or those of the span around the
call (OpenLLMetry's for LangChain and Anthropic, and for OpenAI if it streams). Such an event belongs to the only call
of its scope that was under way when it was written, and only if that call lacks the event's content. If it can belong
to two calls, neither gets it: a wrong text in a conversation is worse than a missing one.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace

from label_studio_otel import reading
from label_studio_otel.errors import DialectError
from label_studio_otel.spans import MESSAGE_EVENTS, LogRecord, Span

_ANSWER_EVENTS = frozenset({"gen_ai.choice", "gen_ai.content.completion"})


def join(spans: Iterable[Span], logs: Iterable[LogRecord]) -> list[Span]:
    """Return the spans of LLM calls with their log events, each span once.

    Args:
        spans: of any kind and in any order; those that are no LLM calls are left out.
        logs: of any kind and in any order.
    """
    found = {span.key: span for span in spans if reading.is_llm_call(span.attributes, span.scope_name)}
    own: dict[tuple[str, str], list[LogRecord]] = {(span.trace_id, span.span_id): [] for span in found.values()}
    orphans: list[LogRecord] = []
    for log in logs:
        if log.event_name in MESSAGE_EVENTS:
            own.get((log.trace_id, log.span_id), orphans).append(log)
    joined = [attach(span, own[span.trace_id, span.span_id]) for span in found.values()]
    if orphans:
        events_of = _unambiguous(joined, orphans)
        joined = [_with_lacking(span, events_of[span.key]) if span.key in events_of else span for span in joined]
    return joined


def attach(span: Span, logs: Iterable[LogRecord]) -> Span:
    """Return the span with these log events, each once and in the order in which they were written."""
    once = {(log.time_unix_nano, log.event_name, repr(log.body), repr(log.attributes)): log for log in logs}
    return replace(span, logs=tuple(sorted(once.values(), key=_written)))


def _written(log: LogRecord) -> tuple[int, bool]:
    # A coarse clock gives a question and its answer the same time; the answer comes last.
    return log.time_unix_nano, log.event_name in _ANSWER_EVENTS


def _unambiguous(spans: list[Span], orphans: list[LogRecord]) -> dict[str, list[LogRecord]]:
    """Return, by the key of a span, the log events that can belong only to this span."""
    found: dict[str, list[LogRecord]] = {}
    ambiguous: set[str] = set()
    for log, under_way in _under_way(spans, orphans):
        candidates = _candidates(log, under_way)
        if len(candidates) == 1:
            found.setdefault(candidates[0].key, []).append(log)
        else:
            ambiguous.update(span.key for span in candidates)
    return {key: logs for key, logs in found.items() if key not in ambiguous}


def _under_way(spans: list[Span], orphans: list[LogRecord]) -> Iterator[tuple[LogRecord, list[Span]]]:
    """Yield each log event with the spans that were under way when it was written."""
    waiting = sorted(spans, key=lambda span: span.start_time_unix_nano, reverse=True)
    under_way: list[Span] = []
    for log in sorted(orphans, key=_written):
        while waiting and waiting[-1].start_time_unix_nano <= log.time_unix_nano:
            under_way.append(waiting.pop())
        under_way = [span for span in under_way if span.end_time_unix_nano >= log.time_unix_nano]
        yield log, under_way


def _candidates(log: LogRecord, under_way: list[Span]) -> list[Span]:
    found = [
        span
        for span in under_way
        if span.scope_name == log.scope_name
        and log.trace_id in ("", span.trace_id)
        and (not log.resource or log.resource == span.resource)
    ]
    below = [span for span in found if log.span_id and span.parent_span_id == log.span_id]
    return below or found


def _with_lacking(span: Span, logs: list[LogRecord]) -> Span:
    """Return the span with those of the log events whose content the span itself lacks."""
    try:
        generation = reading.read(span)
    except DialectError:
        return span
    lacks_answer = not any(choice.message.parts for choice in generation.choices)
    lacks_messages = not generation.messages
    fitting = [
        log
        for log in logs
        if (lacks_answer if log.event_name in _ANSWER_EVENTS else lacks_messages)
        # This event has the whole call.
        or (lacks_answer and log.event_name == "gen_ai.client.inference.operation.details")
    ]
    return attach(span, [*span.logs, *fitting]) if fitting else span
