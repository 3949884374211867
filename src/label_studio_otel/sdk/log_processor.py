"""The log record processor: it keeps the log events in which some instrumentations record the messages of an LLM call.

A log record that is no such event costs a microsecond. The SDK's interface for logs is not stable. Up to about 1.35 a
processor has `emit` and receives a `LogData`, later `on_emit` and a `ReadWriteLogRecord`. Both have the record and its
scope under the same names, and this processor has both methods.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from opentelemetry.sdk._logs import LogRecordProcessor

from label_studio_otel import log
from label_studio_otel.sdk.boundary import Boundary, scope_name_of
from label_studio_otel.settings import SettingsArguments
from label_studio_otel.spans import MESSAGE_EVENTS, log_fields_of

if TYPE_CHECKING:
    from typing_extensions import Unpack

    from label_studio_otel.sdk.open_spans import OpenSpans


class LabelStudioLogRecordProcessor(LogRecordProcessor):
    """Keeps the log events in which instrumentations write messages, for the tasks of their spans.

    It goes with a `LabelStudioSpanProcessor` that has the same settings. The constructor does nothing else than read
    its settings, and never raises.

    Args:
        open_spans: added to the tracer provider; without it, events that do not name their span are not kept.
        **settings: those of `LabelStudioSpanProcessor`; of them, `url` and `state_dir` matter.
    """

    def __init__(self, *, open_spans: OpenSpans | None = None, **settings: Unpack[SettingsArguments]) -> None:
        self._boundary = Boundary({**settings, "flush": "durable"})  # an event never becomes a task of its own
        #: Where events wait for their spans.
        self.directory = self._boundary.settings.directory
        self._open_spans = open_spans

    def on_emit(self, log_record: Any) -> None:
        """Keep the record if it is such an event. Never raises."""
        try:
            record = log_record.log_record
            name = getattr(record, "event_name", None) or (record.attributes or {}).get("event.name")
            if name in MESSAGE_EVENTS:
                self._keep(log_record, record, name)
        except Exception as error:
            log.warn_once("log event", f"a log event could not be kept: {log.kind(error)}")

    emit = on_emit  # its name in older SDKs

    def enabled(self, *, event_name: str | None = None, **_: Any) -> bool:
        """Return False for events that are not kept; a record without a name may have it as an attribute."""
        return event_name is None or event_name in MESSAGE_EVENTS

    def shutdown(self) -> None:
        """Do nothing: events are durable already, and the span processor delivers."""

    def force_flush(self, timeout_millis: int = 30000) -> bool:
        """Return True when every event that was kept is durable."""
        return self._boundary.force_flush(timeout_millis / 1000)

    def _keep(self, data: Any, record: Any, name: str) -> None:
        scope_name = scope_name_of(data)
        trace_id, span_id = record.trace_id or 0, record.span_id or 0
        if self._open_spans is not None:
            trace_id, span_id = self._open_spans.owner(trace_id, span_id, scope_name) or (trace_id, span_id)
        if span_id:
            resource = getattr(data, "resource", None) or getattr(record, "resource", None)
            self._boundary.on_event(log_fields_of(record, name, trace_id, span_id, scope_name), resource)
