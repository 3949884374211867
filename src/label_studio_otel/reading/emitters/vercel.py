"""The Vercel AI SDK's own telemetry: versions 4 to 6, and 7 with its `LegacyOpenTelemetry`.

A call of the SDK (`ai.generateText`) is a span around one span for each call of the model
(`ai.generateText.doGenerate`, `ai.streamText.doStream`); only the latter are LLM calls. The writers:
https://github.com/vercel/ai/blob/ai%404.3.19/packages/ai/core/generate-text/generate-text.ts
https://github.com/vercel/ai/blob/ai%406.0.0/packages/ai/src/generate-text/generate-text.ts
https://github.com/vercel/ai/blob/%40ai-sdk/otel%401.0.0/packages/otel/src/legacy-open-telemetry.ts
and the prompt's parts:
https://github.com/vercel/ai/blob/ai%406.0.0/packages/provider/src/language-model/v3/language-model-v3-prompt.ts

The prompt is in the SDK's own form, whoever the provider is. A file is base64 or a link without a mark which of them.
What the model said is spread over attributes; a text with tool calls beside it can be empty.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from label_studio_otel.generation import (
    Choice,
    Gap,
    Generation,
    Message,
    Part,
    ReasoningPart,
    TextPart,
    ToolCallPart,
    ToolResponsePart,
    UnknownPart,
)
from label_studio_otel.reading import gaps
from label_studio_otel.reading.attributes import first_integer, first_text, json_of, string_list
from label_studio_otel.reading.failure import error_of, error_type_of
from label_studio_otel.reading.finish_reason import finish_reason
from label_studio_otel.reading.forms import media
from label_studio_otel.reading.forms.openai_parts import arguments_of
from label_studio_otel.reading.truncated_json import beginning_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from label_studio_otel.spans import Span

__all__ = ["keys", "matches", "name", "operation", "read"]

name = "vercel"

OPERATION_ID = "ai.operationId"
PROVIDER = "ai.model.provider"
REQUEST_MODEL = "ai.model.id"
MESSAGES = "ai.prompt.messages"
TOOLS = "ai.prompt.tools"
TEXT = "ai.response.text"
OBJECT = "ai.response.object"  # what generateObject and streamObject ask for
REASONING = "ai.response.reasoning"
TOOL_CALLS = "ai.response.toolCalls"
FILES = "ai.response.files"
FINISH_REASON = "ai.response.finishReason"
RESPONSE_MODEL = "ai.response.model"
RESPONSE_ID = "ai.response.id"
INPUT_TOKENS = ("gen_ai.usage.input_tokens", "ai.usage.inputTokens", "ai.usage.promptTokens")
OUTPUT_TOKENS = ("gen_ai.usage.output_tokens", "ai.usage.outputTokens", "ai.usage.completionTokens")
#: The application's own words (`experimental_telemetry.metadata`).
METADATA = "ai.telemetry.metadata."

keys = frozenset({OPERATION_ID})

_SWITCH = "leave recordInputs and recordOutputs of its telemetry settings on"

_OPERATIONS = frozenset(
    {
        "ai.generateText.doGenerate",
        "ai.streamText.doStream",
        "ai.generateObject.doGenerate",
        "ai.streamObject.doStream",
    }
)


def matches(attributes: Mapping[str, Any], scope_name: str) -> bool:
    """Tell a call of the model from the SDK's calls around it, from its tools and embeddings."""
    identifier = attributes.get(OPERATION_ID)
    return isinstance(identifier, str) and identifier in _OPERATIONS


def operation(attributes: Mapping[str, Any], scope_name: str, span_name: str) -> str:
    """Return what `read` gives as the operation."""
    provider = first_text(attributes, PROVIDER)
    return "text_completion" if provider and provider.endswith(".completion") else "chat"


def read(span: Span) -> Generation:
    """Read a call of the model."""
    attributes = span.attributes
    incomplete: list[Gap] = []
    messages = _messages(attributes, incomplete)
    choices = _choices(attributes)
    error = error_of(span)
    output_tokens = first_integer(attributes, *OUTPUT_TOKENS)
    # An empty answer has no text, like one that was not to be recorded: the latter had tokens.
    answers = tuple(choice for choice in choices if choice.message.parts or not output_tokens)
    incomplete += gaps.missing(span, messages, answers, _SWITCH, failed=error is not None)
    provider = first_text(attributes, PROVIDER)
    return Generation(
        operation=operation(attributes, span.scope_name, span.name),
        messages=messages,
        choices=choices,
        # `openai.responses`: the provider and which of its APIs.
        provider=provider.partition(".")[0] if provider else None,
        request_model=first_text(attributes, REQUEST_MODEL),
        response_model=first_text(attributes, RESPONSE_MODEL),
        response_id=first_text(attributes, RESPONSE_ID),
        input_tokens=first_integer(attributes, *INPUT_TOKENS),
        output_tokens=output_tokens,
        error=error,
        error_type=error_type_of(span),
        conversation_id=_metadata(attributes, "conversationId", "conversation_id", "threadId", "thread_id", "chatId"),
        session_id=_metadata(attributes, "sessionId", "session_id", "session.id"),
        user_id=_metadata(attributes, "userId", "user_id", "user.id"),
        tools=_tools(attributes),
        incomplete=tuple(incomplete),
    )


def _metadata(attributes: Mapping[str, Any], *names: str) -> str | None:
    return first_text(attributes, *(f"{METADATA}{name}" for name in names))


def _messages(attributes: Mapping[str, Any], incomplete: list[Gap]) -> tuple[Message, ...]:
    value = attributes.get(MESSAGES)
    items = json_of(value) if isinstance(value, str) else value
    if items is None and isinstance(value, str) and value:
        items = beginning_of(value)
        incomplete.append(gaps.truncated(MESSAGES))
    if isinstance(items, (list, tuple)):
        return tuple(map(_message, items))
    return (Message("user", (TextPart(value) if isinstance(value, str) else UnknownPart(value),)),) if value else ()


def _message(raw: Any) -> Message:
    if not isinstance(raw, dict):
        return Message("user", (TextPart(raw) if isinstance(raw, str) else UnknownPart(raw),))
    role, content = raw.get("role"), raw.get("content")
    parts = content if isinstance(content, list) else [content]
    return Message(role if isinstance(role, str) and role else "user", tuple(map(_part, parts)))


def _part(raw: Any) -> Part:
    if isinstance(raw, str):
        return TextPart(raw)
    kind = raw.get("type") if isinstance(raw, dict) else None
    reader = _READERS.get(kind) if isinstance(kind, str) else None
    return (reader(raw) if reader else None) or UnknownPart(raw)


def _text(raw: Mapping[str, Any]) -> Part | None:
    text = raw.get("text")
    return TextPart(text) if isinstance(text, str) else None


def _reasoning(raw: Mapping[str, Any]) -> Part | None:
    text = raw.get("text")
    return ReasoningPart(text) if isinstance(text, str) else None


def _file(raw: Mapping[str, Any]) -> Part | None:
    """Read a file of version 5 and later, or an image of version 4."""
    data = raw["data"] if "data" in raw else raw.get("image")
    if isinstance(data, dict):  # tagged since version 7
        data = data.get("data") or data.get("url")
    mime_type = raw.get("mediaType") or raw.get("mimeType") or ""
    if not isinstance(data, str) or not isinstance(mime_type, str):
        return None
    modality = "image" if "image" in (raw.get("type"), mime_type.partition("/")[0]) else "file"
    if "://" in data[:20]:
        return media.by_reference(data, modality, mime_type)
    return media.inline(data, "" if mime_type.endswith("/*") else mime_type, modality)


def _tool_call(raw: Mapping[str, Any]) -> Part | None:
    tool, arguments = raw.get("toolName"), raw["input"] if "input" in raw else raw.get("args")
    return ToolCallPart(tool, arguments_of(arguments), _call_id(raw)) if isinstance(tool, str) else None


def _tool_result(raw: Mapping[str, Any]) -> Part:
    output = raw["output"] if "output" in raw else raw.get("result")
    return ToolResponsePart(_untagged(output), _call_id(raw))


def _untagged(output: Any) -> Any:
    """Return what a tool gave: since version 5 it is tagged as text, json, error-text, content, …"""
    if not isinstance(output, dict) or not isinstance(output.get("type"), str) or "value" not in output:
        return output
    value = output["value"]
    parts = [_part(item) for item in value] if output["type"] == "content" and isinstance(value, list) else []
    texts = [part.content for part in parts if isinstance(part, TextPart)]
    return "".join(texts) if texts and len(texts) == len(parts) else value


def _call_id(raw: Mapping[str, Any]) -> str | None:
    value = raw.get("toolCallId")
    return value if isinstance(value, str) and value else None


_READERS: dict[str, Callable[[Mapping[str, Any]], Part | None]] = {
    "text": _text,
    "reasoning": _reasoning,
    "file": _file,
    "image": _file,
    "image-data": _file,
    "file-data": _file,
    "tool-call": _tool_call,
    "tool-result": _tool_result,
}


def _choices(attributes: Mapping[str, Any]) -> tuple[Choice, ...]:
    parts = tuple(_said(attributes))
    reason = next((reason for reason in _reasons(attributes) if reason), None)
    return (Choice(Message("assistant", parts), reason),) if parts or reason else ()


def _reasons(attributes: Mapping[str, Any]) -> Iterator[str | None]:
    yield finish_reason(attributes.get(FINISH_REASON))
    yield from map(finish_reason, string_list(attributes.get("gen_ai.response.finish_reasons")))


def _said(attributes: Mapping[str, Any]) -> Iterator[Part]:
    if reasoning := first_text(attributes, REASONING):
        yield ReasoningPart(reasoning)
    calls = tuple(_listed(attributes.get(TOOL_CALLS), _tool_call))
    text = attributes[TEXT] if isinstance(attributes.get(TEXT), str) else attributes.get(OBJECT)
    if isinstance(text, str) and (text or not calls):
        yield TextPart(text)
    yield from _listed(attributes.get(FILES), _file)
    yield from calls


def _listed(value: Any, reader: Callable[[Mapping[str, Any]], Part | None]) -> Iterator[Part]:
    """Read a JSON list of parts; a text that is none, such as one cut short, stays text."""
    if not isinstance(value, str):
        return
    items = json_of(value)
    for item in items if isinstance(items, list) else [value]:
        yield (reader(item) if isinstance(item, dict) else None) or _part(item)


def _tools(attributes: Mapping[str, Any]) -> tuple[Mapping[str, Any], ...]:
    value = attributes.get(TOOLS)
    tools = value if isinstance(value, (list, tuple)) else ()
    decoded = (json_of(tool) if isinstance(tool, str) else tool for tool in tools)
    return tuple(tool for tool in decoded if isinstance(tool, dict))
