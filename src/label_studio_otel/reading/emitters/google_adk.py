"""Spans of Google's Agent Development Kit before it followed the conventions: `call_llm`, with Gemini's own JSON.

https://github.com/google/adk-python/blob/v1.18.0/src/google/adk/telemetry/tracing.py (trace_call_llm)

Later versions write the conventions' `generate_content`, which `gen_ai` reads; spans of tools have an empty request.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from label_studio_otel.reading import gaps, table
from label_studio_otel.reading.emitters.gen_ai.choices import FINISH_REASON, FINISH_REASONS, choices_without_content
from label_studio_otel.reading.forms import Response, request_of, response_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from label_studio_otel.generation import Gap, Generation
    from label_studio_otel.reading.forms import Request
    from label_studio_otel.spans import Span

__all__ = ["DIALECT"]

REQUEST = "gcp.vertex.agent.llm_request"
RESPONSE = "gcp.vertex.agent.llm_response"
# https://github.com/open-telemetry/semantic-conventions/blob/v1.36.0/docs/registry/attributes/gen-ai.md
OPERATION = "gen_ai.operation.name"
TOOL_NAME = "gen_ai.tool.name"
# https://github.com/Arize-ai/openinference/blob/main/spec/semantic_conventions.md
OPENINFERENCE_KIND = "openinference.span.kind"


def _tells(attributes: Mapping[str, Any], scope_name: str) -> bool:
    """Return whether a span is a call, by its request; what a tool did has an operation or the tool's name."""
    return (
        attributes.get(REQUEST) is not None
        and attributes.get(OPERATION) is None
        and attributes.get(TOOL_NAME) is None
        and attributes.get(OPENINFERENCE_KIND) in (None, "LLM")
    )


def _read(span: Span) -> Generation:
    attributes = span.attributes
    request, response = request_of(attributes.get(REQUEST)), response_of(attributes.get(RESPONSE))
    if not response.choices:
        response = Response(choices_without_content(attributes, span), is_cut=response.is_cut)
    incomplete = tuple(_incomplete(span, request, response))
    return table.read(DIALECT, span, request, response, incomplete=incomplete)


def _incomplete(span: Span, request: Request, response: Response) -> Iterator[Gap]:
    if span.dropped_attributes:
        yield gaps.attributes_dropped(span.dropped_attributes)
    for said, attribute in ((request, REQUEST), (response, RESPONSE)):
        if said.is_cut:
            yield gaps.truncated(attribute)
    if not request.messages and not any(choice.message.parts for choice in response.choices):
        yield gaps.content_not_captured(DIALECT.switch)
    elif not response.choices and span.status_code != "ERROR":
        yield gaps.no_output()


DIALECT = table.AttributeTable(
    name="google_adk",
    written_by=__doc__,
    marks={REQUEST: frozenset()},
    switch="set ADK_CAPTURE_MESSAGE_CONTENT_IN_SPANS=true",
    request=(REQUEST,),
    response=(RESPONSE,),
    provider=("gen_ai.system",),
    request_model=("gen_ai.request.model",),
    input_tokens=("gen_ai.usage.input_tokens",),
    output_tokens=("gen_ai.usage.output_tokens",),
    session_id=("gcp.vertex.agent.session_id",),
    also=(OPERATION, TOOL_NAME, OPENINFERENCE_KIND, FINISH_REASONS, FINISH_REASON),
    tells=_tells,
    operates=lambda attributes, scope_name, span_name: "generate_content",
    reads=_read,
)
