"""OpenTelemetry's GenAI conventions with the messages as JSON on the span.

Written by OpenLLMetry (langchain and openai from 0.55, anthropic from 0.54), OpenTelemetry's own GenAI
instrumentations, Pydantic AI, Logfire, OpenLIT and others. The conventions:
https://github.com/open-telemetry/semantic-conventions/blob/v1.37.0/docs/gen-ai/gen-ai-spans.md
and OpenLLMetry's writer:
https://github.com/traceloop/openllmetry/blob/0.62.4/packages/opentelemetry-instrumentation-langchain/opentelemetry/instrumentation/langchain/span_utils.py

The operation tells an LLM call from the spans around it, which carry the same messages (`invoke_agent`,
`execute_task`, …). The system message stands apart from the others and becomes the first one again.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from label_studio_otel.dialects import _gaps
from label_studio_otel.dialects._attributes import first_text, integer, json_of, string_list
from label_studio_otel.dialects._messages import message_of, part_of, split
from label_studio_otel.errors import DialectError
from label_studio_otel.generation import Choice, Gap, Generation, Message, Part, TextPart

if TYPE_CHECKING:
    from collections.abc import Mapping

    from label_studio_otel.spans import Span

__all__ = ["keys", "matches", "name", "read"]

name = "gen_ai"

# https://github.com/open-telemetry/semantic-conventions/blob/v1.37.0/docs/registry/attributes/gen-ai.md
OPERATION = "gen_ai.operation.name"
PROVIDER = "gen_ai.provider.name"
SYSTEM = "gen_ai.system"  # the provider's name before 1.37
REQUEST_MODEL = "gen_ai.request.model"
RESPONSE_MODEL = "gen_ai.response.model"
RESPONSE_ID = "gen_ai.response.id"
INPUT_TOKENS = "gen_ai.usage.input_tokens"
OUTPUT_TOKENS = "gen_ai.usage.output_tokens"
FINISH_REASONS = "gen_ai.response.finish_reasons"
SYSTEM_INSTRUCTIONS = "gen_ai.system_instructions"
INPUT_MESSAGES = "gen_ai.input.messages"
OUTPUT_MESSAGES = "gen_ai.output.messages"
TOOL_DEFINITIONS = "gen_ai.tool.definitions"
CONVERSATION_ID = "gen_ai.conversation.id"
PROMPT_NAME = "gen_ai.prompt.name"
PROMPT_VERSION = "gen_ai.prompt.version"
# https://github.com/open-telemetry/semantic-conventions/blob/v1.37.0/docs/registry/attributes/
SESSION_ID = "session.id"
USER_ID = "user.id"
ERROR_TYPE = "error.type"
# https://github.com/open-telemetry/semantic-conventions/blob/v1.37.0/docs/exceptions/exceptions-spans.md
EXCEPTION_EVENT = "exception"
EXCEPTION_TYPE = "exception.type"
EXCEPTION_MESSAGE = "exception.message"
# https://github.com/traceloop/openllmetry/blob/0.62.4/packages/opentelemetry-semantic-conventions-ai/opentelemetry/semconv_ai/__init__.py
ASSOCIATION = "traceloop.association.properties."  # metadata of LangChain's RunnableConfig ends here
GEN_AI_USER = "gen_ai.user"
TRACELOOP_PROMPT_KEY = "traceloop.prompt.key"
TRACELOOP_PROMPT_VERSION = "traceloop.prompt.version"

keys = frozenset({OPERATION})

_OPERATIONS = frozenset({"chat", "text_completion", "generate_content"})

#: The Anthropic SDK's own span stands beside every instrumentation's and never holds a message.
_SCOPES_WITHOUT_MESSAGES = frozenset({"com.anthropic.sdk.python"})

_TRACELOOP_SCOPES = tuple(
    f"opentelemetry.instrumentation.{package}"
    for package in ("langchain", "openai.v1", "anthropic", "bedrock", "google_generativeai", "llamaindex", "vertexai")
)


def matches(attributes: Mapping[str, Any], scope_name: str) -> bool:
    """Tell an LLM call by its operation; agents, tasks, tools and embeddings have others."""
    operation = attributes.get(OPERATION)
    return isinstance(operation, str) and operation in _OPERATIONS and scope_name not in _SCOPES_WITHOUT_MESSAGES


def read(span: Span) -> Generation:
    """Read an LLM call; what the span does not hold is named in `incomplete`.

    Raises:
        DialectError: an attribute that should hold messages is neither text nor structured.
    """
    attributes = span.attributes
    incomplete: list[Gap] = []
    messages = _messages(span, incomplete)
    choices = _choices(span, incomplete)
    incomplete += _missing(span, messages, choices)
    return Generation(
        operation=str(attributes.get(OPERATION)),
        messages=messages,
        choices=choices,
        provider=first_text(attributes, PROVIDER, SYSTEM),
        request_model=first_text(attributes, REQUEST_MODEL),
        response_model=first_text(attributes, RESPONSE_MODEL),
        response_id=first_text(attributes, RESPONSE_ID),
        input_tokens=integer(attributes, INPUT_TOKENS),
        output_tokens=integer(attributes, OUTPUT_TOKENS),
        error=_error(span),
        error_type=_error_type(span),
        tools=_tools(span, incomplete),
        incomplete=tuple(incomplete),
        **_identities(attributes),
    )


def _identities(attributes: Mapping[str, Any]) -> dict[str, str | None]:
    """Return who and what the call belonged to; the application's own words come after the conventions'."""
    return {
        "conversation_id": first_text(
            attributes, CONVERSATION_ID, f"{ASSOCIATION}conversation_id", f"{ASSOCIATION}thread_id"
        ),
        "session_id": first_text(attributes, SESSION_ID, f"{ASSOCIATION}session_id"),
        "user_id": first_text(attributes, USER_ID, f"{ASSOCIATION}user_id", GEN_AI_USER),
        "run_id": first_text(attributes, f"{ASSOCIATION}run_id"),
        "prompt_name": first_text(attributes, PROMPT_NAME, f"{ASSOCIATION}prompt_name", TRACELOOP_PROMPT_KEY),
        "prompt_version": first_text(
            attributes, PROMPT_VERSION, f"{ASSOCIATION}prompt_version", TRACELOOP_PROMPT_VERSION
        ),
    }


def _messages(span: Span, incomplete: list[Gap]) -> tuple[Message, ...]:
    items, rest = _split(span, INPUT_MESSAGES, incomplete)
    messages = [message_of(item, "user") for item in items]
    if rest:
        messages.append(message_of(rest, "user"))
    instructions = _instructions(span, incomplete)
    if instructions and _leading_system_parts(messages)[: len(instructions)] != instructions:
        messages.insert(0, Message("system", instructions))
    return tuple(messages)


def _instructions(span: Span, incomplete: list[Gap]) -> tuple[Part, ...]:
    """Return the parts of the system message; some emitters write it as plain text, which may look like JSON."""
    value = span.attributes.get(SYSTEM_INSTRUCTIONS)
    if not value:
        return ()
    items, rest = _split(span, SYSTEM_INSTRUCTIONS, incomplete)
    if isinstance(value, str) and not all(isinstance(item, dict) and "type" in item for item in items):
        return (TextPart(value),)
    parts = [part_of(item) for item in items]
    return tuple(parts) + ((TextPart(rest),) if rest else ())


def _leading_system_parts(messages: list[Message]) -> tuple[Part, ...]:
    parts: list[Part] = []
    for message in messages:
        if message.role not in {"system", "developer"}:
            break
        parts += message.parts
    return tuple(parts)


def _choices(span: Span, incomplete: list[Gap]) -> tuple[Choice, ...]:
    items, rest = _split(span, OUTPUT_MESSAGES, incomplete)
    if rest:
        items.append(rest)
    reasons = string_list(span.attributes.get(FINISH_REASONS))
    # OpenLLMetry writes each reason once, however many choices there are: only equal counts can be matched.
    known = reasons if len(reasons) == len(items) else (None,) * len(items)
    return tuple(_choice(item, reason) for item, reason in zip(items, known, strict=True))


def _choice(raw: Any, reason: str | None) -> Choice:
    message = message_of(raw, "assistant")
    if message.role == "unknown":  # OpenLLMetry's name for the role of a streamed answer
        message = Message("assistant", message.parts, message.name)
    own = raw.get("finish_reason") if isinstance(raw, dict) else None
    return Choice(message, (own if isinstance(own, str) else None) or reason or None)


def _split(span: Span, attribute: str, incomplete: list[Gap]) -> tuple[list[Any], str]:
    value = span.attributes.get(attribute)
    if value is None:
        return [], ""
    try:
        items, rest, cut = split(value)
    except TypeError as error:
        raise DialectError(f"span {span.span_id}: {name} cannot read {attribute} of type {error}") from None
    if cut:
        incomplete.append(_gaps.truncated(attribute))
    return items, rest


def _tools(span: Span, incomplete: list[Gap]) -> tuple[Mapping[str, Any], ...]:
    value = span.attributes.get(TOOL_DEFINITIONS)
    decoded = json_of(value) if isinstance(value, str) else value
    if isinstance(value, str) and value and decoded is None:
        incomplete.append(_gaps.truncated(TOOL_DEFINITIONS))
    return tuple(tool for tool in decoded if isinstance(tool, dict)) if isinstance(decoded, (list, tuple)) else ()


def _missing(span: Span, messages: tuple[Message, ...], choices: tuple[Choice, ...]) -> list[Gap]:
    gaps = []
    if span.dropped_attributes:
        gaps.append(_gaps.attributes_dropped(span.dropped_attributes))
    if not messages and not choices:
        gaps.append(_gaps.content_not_captured(_capture_switch(span.scope_name)))
    elif not messages:
        gaps.append(_gaps.no_input())
    elif not choices and span.status_code != "ERROR":
        gaps.append(_gaps.no_output())
    return gaps


def _capture_switch(scope_name: str) -> str:
    if scope_name.startswith(_TRACELOOP_SCOPES):
        return "set TRACELOOP_TRACE_CONTENT=true"
    return "set OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT"


def _error(span: Span) -> str | None:
    """Return a failed call's error as "Type: message", from the exception, else the status."""
    if span.status_code != "ERROR":
        return None
    kind = _error_type(span)
    message = first_text(_exception(span), EXCEPTION_MESSAGE) or span.status_message
    if kind and message and not message.startswith(kind):
        return f"{kind}: {message}"
    return message or kind or "error"


def _error_type(span: Span) -> str | None:
    if span.status_code != "ERROR":
        return None
    return first_text(_exception(span), EXCEPTION_TYPE) or first_text(span.attributes, ERROR_TYPE)


def _exception(span: Span) -> Mapping[str, Any]:
    events = [event for event in span.events if event.name == EXCEPTION_EVENT]
    return events[-1].attributes if events else {}
