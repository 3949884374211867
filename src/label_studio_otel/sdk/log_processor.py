"""The log record processor: instrumentations that write messages as log events get them into tasks too.

Of every log record that is no such event it costs a microsecond. The SDK's interface for logs is not stable: up to
1.35 or so a processor has `emit` and is given a `LogData`, later `on_emit` and a `ReadWriteLogRecord`; both have the
record and its scope under the same names, and both methods are here.
"""

from __future__ import annotations

from contextvars import ContextVar
from threading import get_ident
from typing import TYPE_CHECKING, Any

from opentelemetry.sdk._logs import LogRecordProcessor
from opentelemetry.sdk.trace import SpanProcessor

from label_studio_otel import log, reading
from label_studio_otel.sdk.boundary import Boundary
from label_studio_otel.spans import MESSAGE_EVENTS, log_fields_of

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from opentelemetry.context import Context
    from opentelemetry.sdk.trace import ReadableSpan, Span
    from typing_extensions import Unpack

    from label_studio_otel.settings import SettingsArguments

__all__ = ["LabelStudioLogRecordProcessor", "OpenSpans"]

#: Spans that began in this context and the threads they began in.
_begun_here: ContextVar[tuple[tuple[int, Span], ...]] = ContextVar("label_studio_otel_begun_here", default=())
#: Spans that never end must not be kept for ever.
MAX_OPEN_SPANS = 10_000


class OpenSpans(SpanProcessor):
    """Knows which spans are under way, to tell whose a log event is that does not say so.

    OpenLLMetry writes the events of some packages without ids, or with those of the span around the call.
    """

    def __init__(self) -> None:
        self._open: dict[int, Span] = {}
        #: Scopes of which an event did not say whose it is.
        self._silent: set[str] = set()

    def on_start(self, span: Span, parent_context: Context | None = None) -> None:
        """Note a span."""
        if len(self._open) < MAX_OPEN_SPANS:
            self._open[span.context.span_id] = span
        if self._silent and _scope_of(span) in self._silent:
            begun = [one for one in _begun_here.get() if one[1].end_time is None]
            _begun_here.set((*begun, (get_ident(), span)))

    def on_end(self, span: ReadableSpan) -> None:
        """Forget a span."""
        context = span.context
        if context is not None:
            self._open.pop(context.span_id, None)

    def owner(self, trace_id: int, span_id: int, scope_name: str) -> tuple[int, int] | None:
        """Return the ids of the span that an event is of; None where its own ids are right, or two can be meant."""
        named = self._open.get(span_id)
        if named is not None and _is_call(named, _scope_of(named)):
            return None
        found = self._calls(scope_name, trace_id)
        below = [span for span in found if span_id and span.parent is not None and span.parent.span_id == span_id]
        if span_id and named is None:
            found = below  # a span of another process, or one that has ended: perhaps the right one
        found = below or found
        self._silent.add(scope_name)
        if len(found) > 1:
            # Threads and tasks have contexts of their own, a task's callbacks in other threads copies of its own.
            here = {id(span) for thread, span in _begun_here.get() if thread == get_ident()}
            found = [span for span in found if id(span) in here]
        return (found[0].context.trace_id, found[0].context.span_id) if len(found) == 1 else None

    def _calls(self, scope_name: str, trace_id: int) -> list[Span]:
        if len(self._open) >= MAX_OPEN_SPANS:
            return []  # some are not known
        return [
            span
            for span in list(self._open.values())
            if _scope_of(span) == scope_name and trace_id in (0, span.context.trace_id) and _is_call(span, scope_name)
        ]


def _scope_of(span: Span) -> str:
    scope = span.instrumentation_scope
    return scope.name if scope else ""


def _is_call(span: Span, scope_name: str) -> bool:
    return bool(span.attributes) and reading.is_llm_call(span.attributes or {}, scope_name)


class LabelStudioLogRecordProcessor(LogRecordProcessor):
    """Keeps the log events in which instrumentations write messages, for the tasks of their spans.

    It goes with a `LabelStudioSpanProcessor` that has the same settings. Making one does nothing and never raises.

    Args:
        open_spans: added to the tracer provider; without it, events that do not say whose they are come to nothing.
        **settings: those of `LabelStudioSpanProcessor`; of them, `url` and `state_dir` matter.
    """

    def __init__(self, *, open_spans: OpenSpans | None = None, **settings: Unpack[SettingsArguments]) -> None:
        self._boundary = Boundary({**settings, "flush": "durable"})  # an event never becomes a task of its own
        self._open_spans = open_spans

    @property
    def directory(self) -> Path:
        """Where events wait for their spans."""
        return self._boundary.settings.directory

    def on_emit(self, log_record: Any) -> None:
        """Keep the record where it is such an event. Never raises."""
        try:
            record = log_record.log_record
            name = getattr(record, "event_name", None) or (record.attributes or {}).get("event.name")
            if name in MESSAGE_EVENTS:
                self._keep(log_record, record, name)
        except Exception as error:
            log.warn_once("log event", f"a log event could not be kept: {log.kind(error)}")

    def emit(self, log_data: Any) -> None:
        """`on_emit` as older SDKs call it."""
        self.on_emit(log_data)

    def enabled(self, *, event_name: str | None = None, **_: Any) -> bool:
        """Return False for events that are not kept; a record without a name may still have it as an attribute."""
        return event_name is None or event_name in MESSAGE_EVENTS

    def shutdown(self) -> None:
        """Do nothing: what was kept is durable, and delivery is the span processor's."""

    def force_flush(self, timeout_millis: int = 30000) -> bool:
        """Return True when every event that was kept is durable."""
        return self._boundary.force_flush(timeout_millis / 1000)

    def _keep(self, data: Any, record: Any, name: str) -> None:
        scope = data.instrumentation_scope
        scope_name = scope.name if scope else ""
        trace_id, span_id = record.trace_id or 0, record.span_id or 0
        if self._open_spans is not None:
            trace_id, span_id = self._open_spans.owner(trace_id, span_id, scope_name) or (trace_id, span_id)
        if not span_id:
            return
        resource = getattr(data, "resource", None) or getattr(record, "resource", None)
        fields: Mapping[str, Any] = log_fields_of(record, name, trace_id, span_id, scope_name)
        self._boundary.on_event(fields, resource)
