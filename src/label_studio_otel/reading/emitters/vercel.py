"""The Vercel AI SDK's own telemetry: versions 4 to 6, and 7 with its `LegacyOpenTelemetry`.

A call of the SDK (`ai.generateText`) is a span around one span for each call of the model
(`ai.generateText.doGenerate`, `ai.streamText.doStream`); only the latter are LLM calls. The writers:
https://github.com/vercel/ai/blob/ai%404.3.19/packages/ai/core/generate-text/generate-text.ts
https://github.com/vercel/ai/blob/ai%406.0.0/packages/ai/src/generate-text/generate-text.ts
https://github.com/vercel/ai/blob/%40ai-sdk/otel%401.0.0/packages/otel/src/legacy-open-telemetry.ts

The prompt has the SDK's own form (`forms.vercel`). The answer is in several attributes; its text can be empty beside
tool calls.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from label_studio_otel.generation import Choice, Generation, Message, Part, ReasoningPart, TextPart
from label_studio_otel.reading import table
from label_studio_otel.reading.attributes import decoded, first_text, json_of
from label_studio_otel.reading.forms import Request, Response, parts, vercel
from label_studio_otel.reading.truncated_json import beginning_of
from label_studio_otel.spans import Span

MESSAGES = "ai.prompt.messages"
PROVIDER = "ai.model.provider"
TEXT = "ai.response.text"
OBJECT = "ai.response.object"  # what generateObject and streamObject ask for
REASONING = "ai.response.reasoning"
TOOL_CALLS = "ai.response.toolCalls"
FILES = "ai.response.files"
METADATA = "ai.telemetry.metadata."  # the application's own words (`experimental_telemetry.metadata`)

_CALLS = frozenset(
    f"ai.{call}"
    for call in ("generateText.doGenerate", "streamText.doStream", "generateObject.doGenerate", "streamObject.doStream")
)


def _read(span: Span) -> Generation:
    attributes = span.attributes
    provider, said = first_text(attributes, PROVIDER), tuple(_parts(attributes))
    return table.read(
        DIALECT,
        span,
        _request(attributes.get(MESSAGES)),
        Response((Choice(Message("assistant", said)),) if said else ()),
        # `openai.responses`: the provider and which of its APIs.
        provider=provider.partition(".")[0] if provider else None,
    )


def _request(value: Any) -> Request:
    items = decoded(value)
    is_cut = items is None and bool(value)
    if is_cut:
        items = beginning_of(value)
    if isinstance(items, (list, tuple)):
        return Request(tuple(map(vercel.message_of, items)), is_cut=is_cut)
    return Request((Message("user", (parts.text_or_unknown(value),)),) if value else (), is_cut=is_cut)


def _parts(attributes: Mapping[str, Any]) -> Iterator[Part]:
    if reasoning := first_text(attributes, REASONING):
        yield ReasoningPart(reasoning)
    calls = tuple(_listed(attributes.get(TOOL_CALLS), vercel.tool_call_of))
    text = attributes[TEXT] if isinstance(attributes.get(TEXT), str) else attributes.get(OBJECT)
    if isinstance(text, str) and (text or not calls):
        yield TextPart(text)
    yield from _listed(attributes.get(FILES), vercel.file_of)
    yield from calls


def _listed(value: Any, reader: Callable[[Mapping[str, Any]], Part | None]) -> Iterator[Part]:
    """Yield the parts of a JSON list, read by `reader`; a text that is not JSON, as one that was cut, stays a text."""
    if not isinstance(value, str):
        return
    items = json_of(value)
    for item in items if isinstance(items, list) else [value]:
        yield (reader(item) if isinstance(item, dict) else None) or vercel.part_of(item)


DIALECT = table.AttributeTable(
    name="vercel",
    written_by=__doc__,
    marks={"ai.operationId": _CALLS},
    switch="leave recordInputs and recordOutputs of its telemetry settings on",
    request=(MESSAGES,),
    response=(TEXT, OBJECT, REASONING, TOOL_CALLS, FILES),
    tools=("ai.prompt.tools",),
    finish_reason=("ai.response.finishReason", "gen_ai.response.finish_reasons"),
    provider=(PROVIDER,),
    request_model=("ai.model.id",),
    response_model=("ai.response.model",),
    response_id=("ai.response.id",),
    input_tokens=("gen_ai.usage.input_tokens", "ai.usage.inputTokens", "ai.usage.promptTokens"),
    output_tokens=("gen_ai.usage.output_tokens", "ai.usage.outputTokens", "ai.usage.completionTokens"),
    conversation_id=tuple(
        f"{METADATA}{name}" for name in ("conversationId", "conversation_id", "threadId", "thread_id", "chatId")
    ),
    session_id=tuple(f"{METADATA}{name}" for name in ("sessionId", "session_id", "session.id")),
    user_id=tuple(f"{METADATA}{name}" for name in ("userId", "user_id", "user.id")),
    hidden_is_empty=True,
    operates=lambda attributes, scope_name, span_name: (
        "text_completion" if (first_text(attributes, PROVIDER) or "").endswith(".completion") else "chat"
    ),
    reads=_read,
)
