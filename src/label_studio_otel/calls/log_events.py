"""Which log event belongs to which call's span.

An event belongs to the span whose ids it has. Some emitters write no ids, or those of the span around the call
(OpenLLMetry's for LangChain and Anthropic, and for OpenAI where it streams). Such an event belongs to the only call of
its scope that was under way when it was written, and only if that one lacks what the event says. Where two can be
meant, neither gets any: a wrong text in somebody's conversation is worse than none.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from label_studio_otel import reading
from label_studio_otel.errors import DialectError
from label_studio_otel.spans import MESSAGE_EVENTS

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from label_studio_otel.spans import LogRecord, Span

__all__ = ["attach", "join"]

_ANSWERS = frozenset({"gen_ai.choice", "gen_ai.content.completion"})
#: Questions and answer in one event.
_WHOLE = "gen_ai.client.inference.operation.details"


def join(spans: Iterable[Span], logs: Iterable[LogRecord]) -> list[Span]:
    """Return the LLM calls' spans with their log events, each span once.

    Args:
        spans: all that can be had, in any order; those that are no LLM calls are left out.
        logs: all that can be had, in any order.
    """
    found = {span.key: span for span in spans if reading.is_llm_call(span.attributes, span.scope_name)}
    own: dict[tuple[str, str], list[LogRecord]] = {(span.trace_id, span.span_id): [] for span in found.values()}
    orphans: list[LogRecord] = []
    for log in logs:
        if log.event_name in MESSAGE_EVENTS:
            own.get((log.trace_id, log.span_id), orphans).append(log)
    joined = [attach(span, own[span.trace_id, span.span_id]) for span in found.values()]
    if orphans:
        adopted = _adopted(joined, orphans)
        joined = [_adopt(span, adopted[span.key]) if span.key in adopted else span for span in joined]
    return joined


def attach(span: Span, logs: Iterable[LogRecord]) -> Span:
    """Return the span with these log events of it, in the order in which they were written; each only once."""
    once = {(log.time_unix_nano, log.event_name, repr(log.body), repr(log.attributes)): log for log in logs}
    return replace(span, logs=tuple(sorted(once.values(), key=_moment)))


def _moment(log: LogRecord) -> tuple[int, bool]:
    # A coarse clock gives a question and its answer the same time.
    return log.time_unix_nano, log.event_name in _ANSWERS


def _adopted(spans: list[Span], orphans: list[LogRecord]) -> dict[str, list[LogRecord]]:
    """Return the events of each span (by key) that is the only one they can belong to."""
    found: dict[str, list[LogRecord]] = {}
    doubtful: set[str] = set()
    for log, under_way in _under_way(spans, orphans):
        candidates = _candidates(log, under_way)
        if len(candidates) == 1:
            found.setdefault(candidates[0].key, []).append(log)
        else:
            doubtful.update(span.key for span in candidates)
    return {key: logs for key, logs in found.items() if key not in doubtful}


def _under_way(spans: list[Span], orphans: list[LogRecord]) -> Iterator[tuple[LogRecord, list[Span]]]:
    """Yield each event with the spans that had begun and not ended when it was written."""
    waiting = sorted(spans, key=lambda span: span.start_time_unix_nano, reverse=True)
    under_way: list[Span] = []
    for log in sorted(orphans, key=_moment):
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


def _adopt(span: Span, logs: list[LogRecord]) -> Span:
    """Return the span with those of the events that say what it lacks."""
    try:
        generation = reading.read(span)
    except DialectError:
        return span
    answers = [choice.message for choice in generation.choices]
    wanted = {True: not any(message.parts for message in answers), False: not generation.messages}
    fitting = [log for log in logs if any(wanted.values()) and (log.event_name == _WHOLE or wanted[_is_answer(log)])]
    return attach(span, [*span.logs, *fitting]) if fitting else span


def _is_answer(log: LogRecord) -> bool:
    return log.event_name in _ANSWERS
