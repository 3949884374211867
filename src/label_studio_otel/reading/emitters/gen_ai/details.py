"""`gen_ai.client.inference.operation.details`: the span's attributes once more, in an event, with the messages.

https://github.com/open-telemetry/semantic-conventions/blob/v1.37.0/docs/gen-ai/gen-ai-events.md

A log event has the messages structured; span and log can both have them. Strands writes span events of that name, each
with one of the instructions, the input and the output, as JSON.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

    from label_studio_otel.spans import Span

__all__ = ["DETAILS", "merged", "sources_of"]

DETAILS = "gen_ai.client.inference.operation.details"


def sources_of(span: Span) -> tuple[Mapping[str, Any], ...]:
    """Return the attributes of the span, and of its details in events and in the log."""
    events = (event.attributes for event in span.events if event.name == DETAILS)
    logs = (record.attributes for record in span.logs if record.event_name == DETAILS)
    return (span.attributes, *events, *logs)


def merged(sources: tuple[Mapping[str, Any], ...]) -> Mapping[str, Any]:
    """Return one mapping, in which the first of the sources wins that says something."""
    if len(sources) == 1:
        return sources[0]
    return {key: value for source in reversed(sources) for key, value in source.items() if value not in (None, "")}
