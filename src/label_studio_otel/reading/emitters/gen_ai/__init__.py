"""OpenTelemetry's GenAI conventions, as written by every emitter whose spans have a `gen_ai.operation.name`.

OpenLLMetry (langchain and openai from 0.55, anthropic from 0.54), OpenTelemetry's own GenAI instrumentations, Pydantic
AI, Logfire, OpenLIT, Strands, Semantic Kernel, Agent Framework, Google ADK, LiteLLM, the AI SDK 7 and others.
https://github.com/open-telemetry/semantic-conventions/blob/v1.37.0/docs/gen-ai/gen-ai-spans.md

The operation distinguishes an LLM call from the spans around it (`invoke_agent`, `execute_task`, …), which have the
same messages. The messages are in attributes of the span, in one event with all details, or in one event for each
message (`events`), or in two of these places; the first place that has them is read. The system message becomes the
first message, wherever it was.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from label_studio_otel.generation import Generation
from label_studio_otel.reading import table
from label_studio_otel.reading.attributes import decoded, first_text
from label_studio_otel.reading.emitters.gen_ai import content, logfire
from label_studio_otel.reading.emitters.gen_ai.capture_settings import GEN_AI
from label_studio_otel.reading.emitters.gen_ai.choices import FINISH_REASON, FINISH_REASONS
from label_studio_otel.reading.emitters.gen_ai.events import EVENTS, merged, sources_of
from label_studio_otel.reading.forms import Request, Response
from label_studio_otel.reading.table import USER_ID
from label_studio_otel.spans import Span

# https://github.com/open-telemetry/semantic-conventions/blob/v1.37.0/docs/registry/attributes/gen-ai.md
OPERATION = "gen_ai.operation.name"
# https://github.com/pydantic/logfire/blob/v4.15.0/logfire/_internal/integrations/llm_providers/semconv.py
RAW_USAGE = "gen_ai.usage.raw"
# https://github.com/traceloop/openllmetry/blob/0.62.4/packages/opentelemetry-semantic-conventions-ai/opentelemetry/semconv_ai/__init__.py
TRACELOOP_KIND = "traceloop.span.kind"
LLM_REQUEST_TYPE = "llm.request.type"
LANGSMITH_KIND = "langsmith.span.kind"  # prompts have an operation, too
# https://github.com/Arize-ai/openinference/blob/main/spec/semantic_conventions.md
OPENINFERENCE_KIND = "openinference.span.kind"

#: The conventions' three; LiteLLM writes the name of its function, OpenLLMetry 0.53 "llm_request".
#: https://github.com/BerriAI/litellm/blob/v1.79.0-stable/litellm/types/utils.py (CallTypes)
_OPERATIONS = {
    **{name: name for name in ("chat", "text_completion", "generate_content")},
    **dict.fromkeys(
        ("acompletion", "anthropic_messages", "aresponses", "completion", "llm_request", "responses"), "chat"
    ),
    "agenerate_content": "generate_content",
    "atext_completion": "text_completion",
}

#: The Anthropic SDK's own span stands beside every instrumentation's and never holds a message (`anthropic_sdk`).
SCOPES_WITHOUT_MESSAGES = ("com.anthropic.sdk.python",)


def _tells(attributes: Mapping[str, Any], scope_name: str) -> bool:
    """Return whether a span is an LLM call: its operation is one, and no attribute of another dialect excludes it."""
    return (
        _known_operation(attributes) is not None
        and scope_name not in SCOPES_WITHOUT_MESSAGES
        and attributes.get(OPENINFERENCE_KIND) in (None, "LLM")
        and attributes.get(TRACELOOP_KIND) is None
        and attributes.get(LANGSMITH_KIND) is None
        and attributes.get(LLM_REQUEST_TYPE) not in ("embedding", "rerank")
    )


def _known_operation(attributes: Mapping[str, Any]) -> str | None:
    named = attributes.get(OPERATION)
    if named is None:
        return logfire.operation_of(attributes)
    return _OPERATIONS.get(named) if isinstance(named, str) else None


def _read(span: Span) -> Generation:
    """Return the LLM call of a span.

    Raises:
        DialectError: an attribute that should hold messages is neither text nor structured.
    """
    sources = sources_of(span)
    attributes = merged(sources)
    said = content.Content(span, sources, attributes)
    provider = first_text(attributes, *DIALECT.provider)
    asked, answered = (first_text(attributes, *names) for names in (DIALECT.request_model, DIALECT.response_model))
    return table.read(
        DIALECT,
        span,
        Request(said.messages),
        Response(said.choices),
        attributes=_with_raw_usage(attributes),
        operation=_known_operation(span.attributes) or "chat",
        # OpenLIT's LangChain instrumentation writes the provider where it finds no model.
        request_model=None if asked == provider else asked,
        response_model=None if answered == provider else answered,
        tools=said.tools,
        incomplete=tuple(said.gaps),
    )


def _with_raw_usage(attributes: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return the attributes with the provider's token counts; Logfire's own add Anthropic's cached tokens."""
    usage = decoded(attributes.get(RAW_USAGE))
    if not isinstance(usage, dict):
        return attributes
    return {**attributes, **{f"gen_ai.usage.{name}": value for name, value in usage.items()}}


DIALECT = table.AttributeTable(
    name="gen_ai",
    written_by=__doc__,
    marks=dict.fromkeys((OPERATION, logfire.REQUEST), frozenset()),
    switch=f"{GEN_AI}=SPAN_ONLY",
    request=(content.SYSTEM_INSTRUCTIONS, content.INPUT_MESSAGES, logfire.REQUEST),
    response=(content.OUTPUT_MESSAGES, content.REASONING, logfire.RESPONSE),
    tools=(content.TOOL_DEFINITIONS,),
    provider=("gen_ai.provider.name", "gen_ai.system"),  # the second before 1.37
    request_model=("gen_ai.request.model",),
    response_model=("gen_ai.response.model",),
    response_id=("gen_ai.response.id",),
    input_tokens=("gen_ai.usage.input_tokens", "gen_ai.usage.prompt_tokens"),  # the second before 1.27
    output_tokens=("gen_ai.usage.output_tokens", "gen_ai.usage.completion_tokens"),
    # https://docs.litellm.ai/docs/observability/opentelemetry_integration and
    # https://github.com/openlit/openlit/blob/openlit-1.35.0/sdk/python/src/openlit/semcov/__init__.py
    user_id=(*USER_ID, "enduser.id", "llm.user", "gen_ai.request.user"),
    also=(
        *(RAW_USAGE, content.CHOICE_COUNT, content.PARAMETERS, logfire.TEMPLATE),
        *(FINISH_REASONS, FINISH_REASON, *EVENTS),
        *(TRACELOOP_KIND, LLM_REQUEST_TYPE, LANGSMITH_KIND, OPENINFERENCE_KIND),
    ),
    tells=_tells,
    operates=lambda attributes, scope_name, span_name: _known_operation(attributes) or "chat",
    reads=_read,
)
