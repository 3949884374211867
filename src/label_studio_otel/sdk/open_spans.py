"""Finds the LLM span that a log event belongs to, where the event itself does not name it.

OpenLLMetry writes the events of some packages without ids, or with those of the span around the LLM call.
"""

from __future__ import annotations

from contextvars import ContextVar
from threading import get_ident

from opentelemetry.context import Context
from opentelemetry.sdk.trace import ReadableSpan, Span, SpanProcessor

from label_studio_otel import reading
from label_studio_otel.sdk.boundary import scope_name_of

#: Spans that are remembered; some applications never end theirs.
MAX_OPEN_SPANS = 10_000
#: The spans that were started in this context, each with the id of the thread that started it.
_started_in_context: ContextVar[tuple[tuple[int, Span], ...]] = ContextVar(
    "label_studio_otel_started_in_context", default=()
)


class OpenSpans(SpanProcessor):
    """Knows the spans of a tracer provider that have not ended."""

    def __init__(self) -> None:
        self._open: dict[int, Span] = {}
        #: Scopes with an event that did not name its span. Only their spans are noted by context.
        self._scopes_without_ids: set[str] = set()

    def on_start(self, span: Span, parent_context: Context | None = None) -> None:
        """Note a span."""
        if len(self._open) < MAX_OPEN_SPANS:
            self._open[span.context.span_id] = span
        if self._scopes_without_ids and scope_name_of(span) in self._scopes_without_ids:
            still_open = [one for one in _started_in_context.get() if one[1].end_time is None]
            _started_in_context.set((*still_open, (get_ident(), span)))

    def on_end(self, span: ReadableSpan) -> None:
        """Forget a span."""
        if span.context is not None:
            self._open.pop(span.context.span_id, None)

    def owner(self, trace_id: int, span_id: int, scope_name: str) -> tuple[int, int] | None:
        """Return trace id and span id of the LLM span that an event belongs to.

        Return None if the event's own ids are right, and if more than one span, or none, can be the owner. The
        arguments are the event's; an id is 0 if it has none.
        """
        named = self._open.get(span_id)
        if named is not None and _is_llm_call(named, scope_name_of(named)):
            return None
        candidates = self._llm_spans(scope_name, trace_id)
        children = [one for one in candidates if span_id and one.parent is not None and one.parent.span_id == span_id]
        if span_id and named is None:
            candidates = children  # the named span is of another process or has ended: it may be the right one
        candidates = children or candidates
        self._scopes_without_ids.add(scope_name)
        if len(candidates) > 1:
            # Each thread and each asyncio task has a context of its own. A callback that a task runs in another thread
            # has a copy of the task's context, hence the id of the thread.
            here = {id(span) for thread, span in _started_in_context.get() if thread == get_ident()}
            candidates = [span for span in candidates if id(span) in here]
        if len(candidates) != 1:
            return None
        return candidates[0].context.trace_id, candidates[0].context.span_id

    def _llm_spans(self, scope_name: str, trace_id: int) -> list[Span]:
        """Return the open LLM spans of a scope, of one trace or, for 0, of all; none if not all spans are known."""
        if len(self._open) >= MAX_OPEN_SPANS:
            return []
        return [
            span
            for span in list(self._open.values())
            if scope_name_of(span) == scope_name
            and trace_id in (0, span.context.trace_id)
            and _is_llm_call(span, scope_name)
        ]


def _is_llm_call(span: Span, scope_name: str) -> bool:
    return bool(span.attributes) and reading.is_llm_call(span.attributes or {}, scope_name)
