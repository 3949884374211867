"""OpenTelemetry's GenAI conventions, as all write them whose span has a `gen_ai.operation.name`.

OpenLLMetry (langchain and openai from 0.55, anthropic from 0.54), OpenTelemetry's own GenAI instrumentations, Pydantic
AI, Logfire, OpenLIT, Strands, Semantic Kernel, Agent Framework, Google ADK, LiteLLM, the AI SDK 7 and others.
https://github.com/open-telemetry/semantic-conventions/blob/v1.37.0/docs/gen-ai/gen-ai-spans.md

The operation tells an LLM call from the spans around it, which carry the same messages (`invoke_agent`,
`execute_task`, …). The messages stand on the span, in an event of details (`_details`), in an event each (`_events`),
or in two of these places; the first that has them is read. The system message becomes the first one, wherever it was.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from label_studio_otel.generation import Generation
from label_studio_otel.reading.attributes import first_text, integer, json_of
from label_studio_otel.reading.emitters.gen_ai import content as _content
from label_studio_otel.reading.emitters.gen_ai import logfire
from label_studio_otel.reading.emitters.gen_ai.details import merged, sources_of
from label_studio_otel.reading.failure import error_of, error_type_of
from label_studio_otel.reading.identities import identities

if TYPE_CHECKING:
    from collections.abc import Mapping

    from label_studio_otel.spans import Span

__all__ = ["keys", "matches", "name", "operation", "read"]

name = "gen_ai"

# https://github.com/open-telemetry/semantic-conventions/blob/v1.37.0/docs/registry/attributes/gen-ai.md
OPERATION = "gen_ai.operation.name"
PROVIDER = "gen_ai.provider.name"
SYSTEM = "gen_ai.system"  # the provider's name before 1.37
REQUEST_MODEL = "gen_ai.request.model"
RESPONSE_MODEL = "gen_ai.response.model"
RESPONSE_ID = "gen_ai.response.id"
INPUT_TOKENS = ("gen_ai.usage.input_tokens", "gen_ai.usage.prompt_tokens")  # the second before 1.27
OUTPUT_TOKENS = ("gen_ai.usage.output_tokens", "gen_ai.usage.completion_tokens")
# https://github.com/pydantic/logfire/blob/v4.15.0/logfire/_internal/integrations/llm_providers/semconv.py
RAW_USAGE = "gen_ai.usage.raw"
# https://github.com/traceloop/openllmetry/blob/0.62.4/packages/opentelemetry-semantic-conventions-ai/opentelemetry/semconv_ai/__init__.py
TRACELOOP_KIND = "traceloop.span.kind"
LLM_REQUEST_TYPE = "llm.request.type"
LANGSMITH_KIND = "langsmith.span.kind"  # prompts have an operation, too
# https://github.com/Arize-ai/openinference/blob/main/spec/semantic_conventions.md
OPENINFERENCE_KIND = "openinference.span.kind"

# https://docs.litellm.ai/docs/observability/opentelemetry_integration and
# https://github.com/openlit/openlit/blob/openlit-1.35.0/sdk/python/src/openlit/semcov/__init__.py
USER_NAMES = ("enduser.id", "llm.user", "gen_ai.request.user")

keys = frozenset({OPERATION, logfire.REQUEST})

#: The conventions' three; LiteLLM writes the name of its function, OpenLLMetry 0.53 "llm_request".
#: https://github.com/BerriAI/litellm/blob/v1.79.0-stable/litellm/types/utils.py (CallTypes)
_OPERATIONS = {
    "chat": "chat",
    "text_completion": "text_completion",
    "generate_content": "generate_content",
    "acompletion": "chat",
    "agenerate_content": "generate_content",
    "anthropic_messages": "chat",
    "aresponses": "chat",
    "atext_completion": "text_completion",
    "completion": "chat",
    "llm_request": "chat",
    "responses": "chat",
}

_REQUESTS_OF_NO_LLM = ("embedding", "rerank")

#: The Anthropic SDK's own span stands beside every instrumentation's and never holds a message (`_anthropic_sdk`).
SCOPES_WITHOUT_MESSAGES = frozenset({"com.anthropic.sdk.python"})


def matches(attributes: Mapping[str, Any], scope_name: str) -> bool:
    """Tell an LLM call by its operation; agents, tasks, tools and embeddings have others, or another kind."""
    return (
        _operation(attributes) is not None
        and scope_name not in SCOPES_WITHOUT_MESSAGES
        and attributes.get(OPENINFERENCE_KIND) in (None, "LLM")
        and attributes.get(TRACELOOP_KIND) is None
        and attributes.get(LANGSMITH_KIND) is None
        and attributes.get(LLM_REQUEST_TYPE) not in _REQUESTS_OF_NO_LLM
    )


def _operation(attributes: Mapping[str, Any]) -> str | None:
    named = attributes.get(OPERATION)
    if named is None:
        return logfire.operation_of(attributes)
    return _OPERATIONS.get(named) if isinstance(named, str) else None


def operation(attributes: Mapping[str, Any], scope_name: str, span_name: str) -> str:
    """Return what `read` gives as the operation."""
    return _operation(attributes) or "chat"


def read(span: Span) -> Generation:
    """Read an LLM call; what the span does not hold is named in `incomplete`.

    Raises:
        DialectError: an attribute that should hold messages is neither text nor structured.
    """
    sources = sources_of(span)
    attributes = merged(sources)
    content = _content.read(span, sources, attributes)
    provider = first_text(attributes, PROVIDER, SYSTEM)
    request_model, response_model = first_text(attributes, REQUEST_MODEL), first_text(attributes, RESPONSE_MODEL)
    return Generation(
        operation=operation(span.attributes, span.scope_name, span.name),
        messages=content.messages,
        choices=content.choices,
        provider=provider,
        # OpenLIT's LangChain instrumentation writes the provider where it finds no model.
        request_model=None if request_model == provider else request_model,
        response_model=None if response_model == provider else response_model,
        response_id=first_text(attributes, RESPONSE_ID),
        input_tokens=_count(attributes, INPUT_TOKENS),
        output_tokens=_count(attributes, OUTPUT_TOKENS),
        error=error_of(span),
        error_type=error_type_of(span),
        tools=content.tools,
        incomplete=tuple(content.gaps),
        **identities(attributes, *USER_NAMES),
    )


def _count(attributes: Mapping[str, Any], names: tuple[str, ...]) -> int | None:
    raw = attributes.get(RAW_USAGE)
    usage = json_of(raw) if isinstance(raw, str) else raw
    if isinstance(usage, dict):
        # The provider's own counts; Logfire adds those of the cache to Anthropic's input.
        attributes = {**attributes, **{f"gen_ai.usage.{name}": value for name, value in usage.items()}}
    counts = (integer(attributes, name) for name in names)
    return next((count for count in counts if count is not None), None)
