"""The choices in `gen_ai.output.messages`. By the conventions each message is one choice.

Emitters differ from the conventions:

- Google's ADK writes each chunk of a stream as a message, and only the last one has a finish reason;
- OpenLLMetry writes each item of a response of OpenAI's Responses API as a message;
- LiteLLM writes the role of the user;
- OpenTelemetry's LangChain instrumentation writes the finish reason "error" if it finds none;
- OpenLLMetry and OpenLIT write none or "stop" for Anthropic's tool calls, and Gemini itself says "stop": the finish
  reason of an answer that ends with a tool call is read as `tool_call`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from label_studio_otel.generation import Choice, Message, Part, TextPart, ToolCallPart
from label_studio_otel.reading.attributes import as_dict, string_list
from label_studio_otel.reading.finish_reason import finish_reason
from label_studio_otel.reading.forms.gen_ai import message_of
from label_studio_otel.spans import Span

# https://github.com/open-telemetry/semantic-conventions/blob/v1.37.0/docs/registry/attributes/gen-ai.md
FINISH_REASONS = "gen_ai.response.finish_reasons"
# https://github.com/microsoft/semantic-kernel/blob/python-1.37.0/python/semantic_kernel/utils/telemetry/model_diagnostics/gen_ai_attributes.py
FINISH_REASON = "gen_ai.response.finish_reason"


def finish_reasons(attributes: Mapping[str, Any]) -> tuple[str, ...]:
    """Return the finish reasons of the span, in their order."""
    single = attributes.get(FINISH_REASON)
    return string_list(attributes.get(FINISH_REASONS)) or (tuple(single.split(",")) if isinstance(single, str) else ())


def choices_of(items: Sequence[Any], attributes: Mapping[str, Any], span: Span) -> tuple[Choice, ...]:
    """Return the choices; chunks of a stream and items of one answer become one choice."""
    reasons = finish_reasons(attributes)
    # OpenLLMetry writes each reason once, however many choices there are: only equal counts can be matched.
    known: Sequence[str | None] = reasons if len(reasons) == len(items) else (None,) * len(items)
    choices = [_choice(item, reason, span) for item, reason in zip(items, known, strict=True)]
    if len(choices) < 2:
        return tuple(choices)
    last = finish_reason(reasons[-1]) if reasons else None
    own = [as_dict(item).get("finish_reason") for item in items]
    if own[-1] and all(reason == "" for reason in own[:-1]):  # the chunks of a stream
        return (_joined(choices, _of_chunks(choices), last),)
    # OpenAI's Responses API and Anthropic have no n > 1.
    if str(attributes.get("gen_ai.response.id")).startswith(("resp_", "msg_")) or "anthropic" in (
        attributes.get("gen_ai.provider.name"),
        attributes.get("gen_ai.system"),
    ):
        parts = (part for choice in choices for part in choice.message.parts)
        return (_joined(choices, tuple(part for part in parts if part != TextPart("")), last),)
    return tuple(choices)


def choices_without_content(attributes: Mapping[str, Any], span: Span) -> tuple[Choice, ...]:
    """Return an empty choice for each finish reason: of an answer without content often only the reason is written."""
    return choices_of([{"parts": []} for _ in finish_reasons(attributes)], attributes, span)


def _choice(raw: Any, reason: str | None, span: Span) -> Choice:
    message = message_of(raw, "assistant")
    own = raw.get("finish_reason") if isinstance(raw, dict) else None
    word = finish_reason(own) or finish_reason(reason)
    if word == "error" and span.status_code != "ERROR":
        word = None
    if word in (None, "stop") and isinstance(message.parts[-1] if message.parts else None, ToolCallPart):
        word = "tool_call"
    return Choice(Message("assistant", message.parts, message.name), word)


def _joined(choices: Sequence[Choice], parts: tuple[Part, ...], reason: str | None) -> Choice:
    reasons = [choice.finish_reason for choice in choices if choice.finish_reason]
    return Choice(Message("assistant", parts), reasons[-1] if reasons else reason)


def _of_chunks(choices: Sequence[Choice]) -> tuple[Part, ...]:
    """Return the parts of all chunks of a stream; a last chunk that repeats all others is left out."""
    *before, last = choices
    parts = _texts_joined(before)
    return parts if last.message.parts == parts else _texts_joined(choices)


def _texts_joined(choices: Iterable[Choice]) -> tuple[Part, ...]:
    parts: list[Part] = []
    for part in (part for choice in choices for part in choice.message.parts):
        previous = parts[-1] if parts else None
        if part == TextPart("") and parts:
            continue
        if isinstance(part, TextPart) and isinstance(previous, TextPart):
            parts[-1] = TextPart(previous.content + part.content)
        else:
            parts.append(part)
    return tuple(parts)
