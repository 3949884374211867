"""`Span` and `LogRecord` are ended spans and log records as frozen values, not yet interpreted.

`fields_of` and `log_fields_of` return the fields of the OpenTelemetry SDK's objects under the names of OTLP's JSON
(opentelemetry-proto 1.x), with attributes as plain mappings; `from_fields` builds the values from them.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

    from opentelemetry.sdk.trace import ReadableSpan

__all__ = ["MESSAGE_EVENTS", "Event", "LogRecord", "Span", "fields_of", "log_fields_of"]

#: Names of the events in which instrumentations write messages.
#: https://github.com/open-telemetry/semantic-conventions/blob/v1.36.0/docs/gen-ai/gen-ai-events.md (one per message)
#: https://github.com/open-telemetry/semantic-conventions/blob/v1.37.0/docs/gen-ai/gen-ai-events.md (one per call)
#: https://github.com/open-telemetry/semantic-conventions/blob/v1.27.0/docs/gen-ai/gen-ai-events.md (prompt, completion)
MESSAGE_EVENTS = frozenset(
    {
        "gen_ai.system.message",
        "gen_ai.developer.message",
        "gen_ai.user.message",
        "gen_ai.assistant.message",
        "gen_ai.tool.message",
        "gen_ai.choice",
        "gen_ai.client.inference.operation.details",
        "gen_ai.content.prompt",
        "gen_ai.content.completion",
    }
)


@dataclass(frozen=True, slots=True)
class Event:
    """A span event."""

    name: str
    attributes: Mapping[str, Any]
    time_unix_nano: int = 0


@dataclass(frozen=True, slots=True)
class LogRecord:
    """A log record; some instrumentations write the messages of a call as log events."""

    #: The record's event name, else its attribute `event.name`; empty if it has neither.
    event_name: str
    #: Text, numbers, lists and mappings.
    body: Any
    attributes: Mapping[str, Any]
    time_unix_nano: int = 0
    #: Empty if the record has no trace context.
    trace_id: str = ""
    span_id: str = ""
    scope_name: str = ""
    resource: Mapping[str, Any] = field(default_factory=dict)

    @classmethod
    def from_fields(cls, fields: Mapping[str, Any]) -> LogRecord:
        """Return the log record of what `log_fields_of` returned."""
        attributes = fields.get("attributes", {})
        return cls(
            event_name=str(fields.get("eventName") or attributes.get("event.name") or ""),
            body=fields.get("body"),
            attributes=attributes,
            time_unix_nano=fields.get("timeUnixNano") or fields.get("observedTimeUnixNano") or 0,
            trace_id=fields.get("traceId", ""),
            span_id=fields.get("spanId", ""),
            scope_name=fields.get("scope", {}).get("name", ""),
            resource=fields.get("resource", {}),
        )


@dataclass(frozen=True, slots=True)
class Span:
    """An ended span."""

    #: 32 hexadecimal digits.
    trace_id: str
    #: 16 hexadecimal digits.
    span_id: str
    name: str
    start_time_unix_nano: int
    end_time_unix_nano: int
    attributes: Mapping[str, Any]
    parent_span_id: str | None = None
    #: The name of OTLP's SpanKind: INTERNAL, SERVER, CLIENT, PRODUCER, CONSUMER.
    kind: str = "INTERNAL"
    #: UNSET, OK or ERROR.
    status_code: str = "UNSET"
    status_message: str | None = None
    events: tuple[Event, ...] = ()
    resource: Mapping[str, Any] = field(default_factory=dict)
    scope_name: str = ""
    scope_version: str = ""
    #: Number of attributes that the SDK's limits removed; it removes the oldest ones first.
    dropped_attributes: int = 0
    dropped_events: int = 0
    #: The log events of this span, by their times.
    logs: tuple[LogRecord, ...] = ()

    @property
    def key(self) -> str:
        """The identity of the span; ids alone can repeat, because the SDK draws them from `random`."""
        return f"{self.trace_id}:{self.span_id}:{self.start_time_unix_nano}"

    @classmethod
    def from_fields(cls, fields: Mapping[str, Any]) -> Span:
        """Return the span of what `fields_of` returned.

        Raises:
            KeyError: a required field is missing.
        """
        status = fields.get("status", {})
        scope = fields.get("scope", {})
        return cls(
            trace_id=fields["traceId"],
            span_id=fields["spanId"],
            name=fields["name"],
            start_time_unix_nano=fields["startTimeUnixNano"],
            end_time_unix_nano=fields["endTimeUnixNano"],
            attributes=fields["attributes"],
            parent_span_id=fields.get("parentSpanId"),
            kind=fields.get("kind", "INTERNAL"),
            status_code=status.get("code", "UNSET"),
            status_message=status.get("message"),
            events=tuple(_event(event) for event in fields.get("events", ())),
            resource=fields.get("resource", {}),
            scope_name=scope.get("name", ""),
            scope_version=scope.get("version", ""),
            dropped_attributes=fields.get("droppedAttributesCount", 0),
            dropped_events=fields.get("droppedEventsCount", 0),
        )


def _event(fields: Mapping[str, Any]) -> Event:
    return Event(fields["name"], fields.get("attributes", {}), fields.get("timeUnixNano", 0))


def fields_of(span: ReadableSpan) -> dict[str, Any]:
    """Return the fields of an ended span of the SDK, without its resource.

    Only the SDK's public interface is used; SDK 1.30 and 1.45 give the same fields.

    Raises:
        ValueError: the span has no context, so no ids.
    """
    context = span.get_span_context()
    if context is None:
        raise ValueError("a span without a context has no identity")
    status = span.status
    scope = span.instrumentation_scope
    fields: dict[str, Any] = {
        "traceId": f"{context.trace_id:032x}",
        "spanId": f"{context.span_id:016x}",
        "name": span.name,
        "kind": span.kind.name,
        "startTimeUnixNano": span.start_time or 0,
        "endTimeUnixNano": span.end_time or 0,
        "attributes": _copied(span.attributes),
        "status": {"code": status.status_code.name, "message": status.description},
    }
    if span.parent is not None:
        fields["parentSpanId"] = f"{span.parent.span_id:016x}"
    if scope is not None:
        fields["scope"] = {"name": scope.name, "version": scope.version or ""}
    if span.events:
        fields["events"] = [_event_fields(event) for event in span.events]
    if span.links:
        fields["links"] = [_link_fields(link) for link in span.links]
    if span.dropped_attributes:
        fields["droppedAttributesCount"] = span.dropped_attributes
    if span.dropped_events:
        fields["droppedEventsCount"] = span.dropped_events
    return fields


def log_fields_of(record: Any, event_name: str, trace_id: int, span_id: int, scope_name: str) -> dict[str, Any]:
    """Return the fields of a log record of the SDK, without its resource; an id of 0 stands for none."""
    return {
        "traceId": f"{trace_id:032x}" if trace_id else "",
        "spanId": f"{span_id:016x}" if span_id else "",
        "eventName": event_name,
        "timeUnixNano": record.timestamp or record.observed_timestamp or 0,
        "scope": {"name": scope_name},
        "attributes": _copied(record.attributes),
        "body": record.body,
    }


def _copied(attributes: Any) -> dict[str, Any]:
    # `dict` alone would call the SDK's mapping in Python for each key.
    copy = getattr(attributes, "copy", None)
    return dict(copy() if copy else attributes or {})


def _event_fields(event: Any) -> dict[str, Any]:
    return {"name": event.name, "timeUnixNano": event.timestamp, "attributes": dict(event.attributes or {})}


def _link_fields(link: Any) -> dict[str, Any]:
    context = link.context
    return {"traceId": f"{context.trace_id:032x}", "spanId": f"{context.span_id:016x}"}
