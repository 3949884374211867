"""Google's Agent Development Kit before it followed the conventions: `call_llm` spans, with JSON in Gemini's form.

https://github.com/google/adk-python/blob/v1.18.0/src/google/adk/telemetry/tracing.py (trace_call_llm)

Later versions write the conventions' `generate_content`, which `gen_ai` reads. Spans of tools have an empty request.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from label_studio_otel.reading import table

REQUEST = "gcp.vertex.agent.llm_request"
RESPONSE = "gcp.vertex.agent.llm_response"
# https://github.com/open-telemetry/semantic-conventions/blob/v1.36.0/docs/registry/attributes/gen-ai.md
OPERATION = "gen_ai.operation.name"
TOOL_NAME = "gen_ai.tool.name"
# https://github.com/Arize-ai/openinference/blob/main/spec/semantic_conventions.md
OPENINFERENCE_KIND = "openinference.span.kind"


def _tells(attributes: Mapping[str, Any], scope_name: str) -> bool:
    """Return whether a span is an LLM call: it has a request, and neither an operation nor the name of a tool."""
    return (
        attributes.get(REQUEST) is not None
        and attributes.get(OPERATION) is None
        and attributes.get(TOOL_NAME) is None
        and attributes.get(OPENINFERENCE_KIND) in (None, "LLM")
    )


DIALECT = table.AttributeTable(
    name="google_adk",
    written_by=__doc__,
    marks={REQUEST: frozenset()},
    switch="set ADK_CAPTURE_MESSAGE_CONTENT_IN_SPANS=true",
    request=(REQUEST,),
    response=(RESPONSE,),
    finish_reason=("gen_ai.response.finish_reasons", "gen_ai.response.finish_reason"),
    provider=("gen_ai.system",),
    request_model=("gen_ai.request.model",),
    input_tokens=("gen_ai.usage.input_tokens",),
    output_tokens=("gen_ai.usage.output_tokens",),
    session_id=("gcp.vertex.agent.session_id",),
    also=(OPERATION, TOOL_NAME, OPENINFERENCE_KIND),
    hidden_is_empty=True,
    tells=_tells,
    operates=lambda attributes, scope_name, span_name: "generate_content",
)
