"""What Logfire wrote before it followed the conventions: the request and the response, as JSON of its own.

https://github.com/pydantic/logfire/blob/v3.25.0/logfire/_internal/integrations/llm_providers/llm_provider.py

A stream has two spans: the call's, without an answer, and a log when it is through, with both.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from label_studio_otel.reading.attributes import as_dict, decoded
from label_studio_otel.reading.forms import known_request

if TYPE_CHECKING:
    from collections.abc import Mapping

    from label_studio_otel.reading.forms import Request

__all__ = ["REQUEST", "RESPONSE", "TEMPLATE", "answers_of", "operation_of", "request_of"]

REQUEST = "request_data"
RESPONSE = "response_data"
TEMPLATE = "logfire.msg_template"

#: The beginnings of a call's template; embeddings and images have others.
_TEMPLATES = (
    ("Chat Completion with", "chat"),
    ("Completion with", "text_completion"),
    ("Message with", "chat"),
    ("Responses API with", "chat"),
    ("streaming response from", "chat"),
)


def operation_of(attributes: Mapping[str, Any]) -> str | None:
    """Return what a span of Logfire's did; None where it is no LLM call."""
    template = attributes.get(TEMPLATE)
    if not isinstance(template, str) or REQUEST not in attributes:
        return None
    return next((operation for beginning, operation in _TEMPLATES if template.startswith(beginning)), None)


def request_of(attributes: Mapping[str, Any]) -> Request | None:
    """Read the request; None where its messages are not there."""
    return known_request(decoded(attributes.get(REQUEST)))


def answers_of(attributes: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return the answer as a message; none where there is none."""
    response = as_dict(decoded(attributes.get(RESPONSE)))
    message = response.get("message")
    if isinstance(message, dict):
        return [message]
    text = next((response[key] for key in ("combined_chunk_content", "text") if key in response), None)
    return [{"content": text}] if isinstance(text, str) else []
