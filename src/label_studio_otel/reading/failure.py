"""The error of a failed call, from the span's exception event, its `error.type` and its status.

https://github.com/open-telemetry/semantic-conventions/blob/v1.37.0/docs/exceptions/exceptions-spans.md
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from label_studio_otel.reading.attributes import first_text
from label_studio_otel.spans import Span

ERROR_TYPE = "error.type"
EXCEPTION_TYPE = "exception.type"
EXCEPTION_MESSAGE = "exception.message"


def error_of(span: Span) -> str | None:
    """Return the error of a failed call as "Type: message"; None if the call did not fail.

    Both come from the exception event; without one, from `error.type` and the message of the status.
    """
    if span.status_code != "ERROR":
        return None
    kind = error_type_of(span)
    message = first_text(exception_of(span), EXCEPTION_MESSAGE) or span.status_message
    if kind and message and not message.startswith(kind):
        return f"{kind}: {message}"
    return message or kind or "error"


def error_type_of(span: Span) -> str | None:
    """Return the class of the exception of a failed call, else its `error.type`; None if the call did not fail."""
    if span.status_code != "ERROR":
        return None
    return first_text(exception_of(span), EXCEPTION_TYPE) or first_text(span.attributes, ERROR_TYPE)


def exception_of(span: Span) -> Mapping[str, Any]:
    """Return the attributes of the last exception event, an empty mapping if there is no such event."""
    events = [event for event in span.events if event.name == "exception"]
    return events[-1].attributes if events else {}
