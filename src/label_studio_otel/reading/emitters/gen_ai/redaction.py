"""Placeholders that instrumentations write in place of content, and the setting that brings the content back."""

from __future__ import annotations

import re
from typing import Any

from label_studio_otel.generation import Part, TextPart

__all__ = ["placeholder_in", "scrubbed"]

_PLACEHOLDERS = (
    # https://github.com/pydantic/logfire/blob/v4.15.0/logfire/_internal/scrubbing.py
    (re.compile(r"\[Scrubbed due to '[^']*'\]"), "logfire.configure(scrubbing=…)"),
    # https://github.com/Arize-ai/openinference/blob/main/spec/configuration.md
    (re.compile(r"__REDACTED__"), "OPENINFERENCE_HIDE_INPUTS, OPENINFERENCE_HIDE_OUTPUTS"),
    # https://github.com/google/adk-python/blob/v1.18.0/src/google/adk/telemetry/tracing.py
    (re.compile(r"<elided>"), "OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT"),
    # https://docs.litellm.ai/docs/proxy/logging#redact-messages-response-content
    (re.compile(r"redacted-by-litellm"), "litellm.turn_off_message_logging"),
)
_BEGINNINGS = ("[", "_", "<", "r")


def scrubbed(value: Any) -> str | None:
    """Return the setting that brings the content back if a value is a placeholder; None for any other value."""
    if not isinstance(value, str) or value[:1] not in _BEGINNINGS:
        return None
    return next((switch for pattern, switch in _PLACEHOLDERS if pattern.fullmatch(value)), None)


def placeholder_in(part: Part) -> str | None:
    """Return the setting that brings the content back if a part of a message is a placeholder; else None."""
    return scrubbed(part.content) if isinstance(part, TextPart) else None
