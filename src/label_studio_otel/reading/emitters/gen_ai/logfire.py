"""Attributes that Logfire wrote before it followed the conventions: request and response, as JSON in its own form.

https://github.com/pydantic/logfire/blob/v3.25.0/logfire/_internal/integrations/llm_providers/llm_provider.py

A streamed call has two spans: the first has no answer; the second, written when the stream has ended, has both.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from label_studio_otel.reading.attributes import as_dict, decoded
from label_studio_otel.reading.forms import known_request

if TYPE_CHECKING:
    from label_studio_otel.reading.forms import Request

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
    """Return the operation of a span of Logfire; None if it is no LLM call."""
    template = attributes.get(TEMPLATE)
    if not isinstance(template, str) or REQUEST not in attributes:
        return None
    return next((operation for beginning, operation in _TEMPLATES if template.startswith(beginning)), None)


def request_of(attributes: Mapping[str, Any]) -> Request | None:
    """Return the request; None if it has no messages."""
    return known_request(decoded(attributes.get(REQUEST)))


def answers_of(attributes: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return a list with the answer as a message; an empty list if there is no answer."""
    response = as_dict(decoded(attributes.get(RESPONSE)))
    message = response.get("message")
    if isinstance(message, dict):
        return [message]
    text = next((response[key] for key in ("combined_chunk_content", "text") if key in response), None)
    return [{"content": text}] if isinstance(text, str) else []
