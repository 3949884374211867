"""What both encodings of OTLP have in common: names of enumerations, and the form of a result."""

from __future__ import annotations

from typing import Any, NamedTuple

#: SpanKind and StatusCode of trace.proto by number. Kind 0 is unspecified, which means INTERNAL.
KINDS = ("INTERNAL", "INTERNAL", "SERVER", "CLIENT", "PRODUCER", "CONSUMER")
STATUS_CODES = ("UNSET", "OK", "ERROR")


class Selected(NamedTuple):
    """The selected spans, or log records, of one request."""

    #: For `Span.from_fields` or `LogRecord.from_fields`.
    items: list[dict[str, Any]]
    #: The number of further selected ones that cannot be read.
    rejected: int
    #: The number of all spans or log records in the request, selected or not.
    span_count: int
