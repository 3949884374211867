"""`metadata_of` returns a call's metadata for a task's `data`: flat, for columns and filters in the Data Manager."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from datetime import datetime, timezone
from typing import Any

from label_studio_otel.generation import Generation, ReasoningPart
from label_studio_otel.spans import Span
from label_studio_otel.tasks.size import sanitize_number

#: The keys in their order: fields of a `Generation`, and what `metadata_of` makes. The second choice is `response_2`,
#: the third one `response_3`, and so on.
METADATA = (
    "model",
    "provider",
    "operation",
    "input_tokens",
    "output_tokens",
    "finish_reason",
    "latency_ms",
    "start_time",
    "service",
    "key",
    "trace_id",
    "span_id",
    "trace_link",
    "session_id",
    "user_id",
    "conversation_id",
    "run_id",
    "prompt_name",
    "prompt_version",
    "tools",
    "error",
    "incomplete",
    "reasoning",
    "response",
)


def metadata_of(
    span: Span, generation: Generation, responses: Sequence[str], link: str | None = None
) -> dict[str, Any]:
    """Return the metadata of a call; a value that is not known has no key."""
    first = generation.choices[0] if generation.choices else None
    parts = first.message.parts if first else ()
    service = span.resource.get("service.name")
    made = {
        "finish_reason": first and first.finish_reason,
        "latency_ms": _milliseconds(span),
        "start_time": _iso(span.start_time_unix_nano),
        "service": service if isinstance(service, str) else None,
        "key": span.key,
        "trace_id": span.trace_id,
        "span_id": span.span_id,
        "trace_link": link,
        "tools": ", ".join(tool_names(generation)) or None,
        "incomplete": sentences(generation) or None,
        "reasoning": "\n\n".join(part.content for part in parts if isinstance(part, ReasoningPart)) or None,
        "response": responses[0] if responses else None,
    }
    values = {key: made[key] if key in made else sanitize_number(getattr(generation, key)) for key in METADATA}
    further = {f"response_{number}": text for number, text in enumerate(responses[1:], 2)}
    return {key: value for key, value in values.items() if value is not None} | further


def link_to(span: Span, template: str | None) -> str | None:
    """Return the URL of a span's trace; None without a template, or if an id is no hexadecimal number."""
    if template is None or not re.fullmatch("[0-9A-Fa-f]+:[0-9A-Fa-f]+", f"{span.trace_id}:{span.span_id}"):
        return None
    return template.replace("{trace_id}", span.trace_id).replace("{span_id}", span.span_id)


def sentences(generation: Generation) -> str:
    """Return the sentences about the call's gaps as one text."""
    return " ".join(gap.sentence for gap in generation.incomplete)


def tool_names(generation: Generation) -> Iterator[str]:
    """Yield the names of the tools that the model could call."""
    for tool in generation.tools:
        function = tool.get("function")
        name = (function if isinstance(function, dict) else tool).get("name")
        if isinstance(name, str):
            yield name


def _milliseconds(span: Span) -> int | None:
    """Return how long the call took, in milliseconds; None if the span has no start or no end."""
    elapsed = span.end_time_unix_nano - span.start_time_unix_nano
    return elapsed // 1_000_000 if span.start_time_unix_nano and elapsed >= 0 else None


def _iso(unix_nano: int) -> str | None:
    if not unix_nano:
        return None
    # Integers: a float has not enough digits for nanoseconds.
    seconds, rest = divmod(unix_nano, 1_000_000_000)
    moment = datetime.fromtimestamp(seconds, timezone.utc).isoformat()  # six times as fast as strftime
    return f"{moment[:19]}.{rest // 1_000_000:03d}Z"
