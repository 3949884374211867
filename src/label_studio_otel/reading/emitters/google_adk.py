"""Spans of Google's Agent Development Kit before it followed the conventions: `call_llm`, with Gemini's own JSON.

https://github.com/google/adk-python/blob/v1.18.0/src/google/adk/telemetry/tracing.py (trace_call_llm)

Later versions write the conventions' `generate_content`, which `gen_ai` reads; spans of tools have an empty request.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from label_studio_otel.generation import Generation
from label_studio_otel.reading import gaps as _gaps
from label_studio_otel.reading.attributes import first_text, integer, json_of
from label_studio_otel.reading.emitters.gen_ai.choices import choices_of, finish_reasons
from label_studio_otel.reading.failure import error_of, error_type_of
from label_studio_otel.reading.forms import google
from label_studio_otel.reading.identities import identities
from label_studio_otel.reading.truncated_json import beginning_of

if TYPE_CHECKING:
    from collections.abc import Mapping

    from label_studio_otel.generation import Gap
    from label_studio_otel.spans import Span

__all__ = ["keys", "matches", "name", "operation", "read"]

name = "google_adk"

REQUEST = "gcp.vertex.agent.llm_request"
RESPONSE = "gcp.vertex.agent.llm_response"
SESSION_ID = "gcp.vertex.agent.session_id"
# https://github.com/open-telemetry/semantic-conventions/blob/v1.36.0/docs/registry/attributes/gen-ai.md
OPERATION = "gen_ai.operation.name"
SYSTEM = "gen_ai.system"
REQUEST_MODEL = "gen_ai.request.model"
INPUT_TOKENS = "gen_ai.usage.input_tokens"
OUTPUT_TOKENS = "gen_ai.usage.output_tokens"
TOOL_NAME = "gen_ai.tool.name"
# https://github.com/Arize-ai/openinference/blob/main/spec/semantic_conventions.md
OPENINFERENCE_KIND = "openinference.span.kind"

SWITCH = "set ADK_CAPTURE_MESSAGE_CONTENT_IN_SPANS=true"

keys = frozenset({REQUEST})


def matches(attributes: Mapping[str, Any], scope_name: str) -> bool:
    """Tell a call by its request; what a tool did has an operation or the tool's name."""
    return (
        attributes.get(REQUEST) is not None
        and attributes.get(OPERATION) is None
        and attributes.get(TOOL_NAME) is None
        and attributes.get(OPENINFERENCE_KIND) in (None, "LLM")
    )


def operation(attributes: Mapping[str, Any], scope_name: str, span_name: str) -> str:
    """Return what `read` gives as the operation."""
    return "generate_content"


def read(span: Span) -> Generation:
    """Read an LLM call; what the span does not hold is named in `incomplete`."""
    attributes = span.attributes
    gaps: list[Gap] = [_gaps.attributes_dropped(span.dropped_attributes)] if span.dropped_attributes else []
    request, response = _read(attributes, REQUEST, gaps), _read(attributes, RESPONSE, gaps)
    messages = google.messages_of(request) or ()
    choices = google.choices_of(response) or choices_of(
        [{"parts": []} for _ in finish_reasons(attributes)], attributes, span
    )
    if not request and not response:
        gaps.append(_gaps.content_not_captured(SWITCH))
    elif not choices and span.status_code != "ERROR":
        gaps.append(_gaps.no_output())
    return Generation(
        operation=operation(attributes, span.scope_name, span.name),
        messages=messages,
        choices=choices,
        provider=first_text(attributes, SYSTEM),
        request_model=first_text(attributes, REQUEST_MODEL) or first_text(request, "model"),
        response_model=first_text(response, "model_version"),
        input_tokens=integer(attributes, INPUT_TOKENS),
        output_tokens=integer(attributes, OUTPUT_TOKENS),
        error=error_of(span),
        error_type=error_type_of(span),
        tools=_tools(request),
        incomplete=tuple(gaps),
        **(identities(attributes) | {"session_id": first_text(attributes, SESSION_ID)}),
    )


def _read(attributes: Mapping[str, Any], attribute: str, gaps: list[Gap]) -> Mapping[str, Any]:
    value = attributes.get(attribute)
    decoded = json_of(value) if isinstance(value, str) else value
    if decoded is None and isinstance(value, str) and value:
        decoded = beginning_of(value)
        gaps.append(_gaps.truncated(attribute))
    return decoded if isinstance(decoded, dict) else {}


def _tools(request: Mapping[str, Any]) -> tuple[Mapping[str, Any], ...]:
    config = request.get("config")
    groups = config.get("tools") if isinstance(config, dict) else None
    declared = [
        group.get("function_declarations")
        for group in (groups if isinstance(groups, list) else ())
        if isinstance(group, dict)
    ]
    return tuple(tool for tools in declared if isinstance(tools, list) for tool in tools if isinstance(tool, dict))
