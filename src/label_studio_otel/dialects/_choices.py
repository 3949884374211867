"""The answers of a model in `gen_ai.output.messages`: one message each, where the emitter keeps to the conventions.

What was met beyond them: Google's ADK writes each chunk of a stream as a message, without a finish reason but for the
last; OpenLLMetry writes each item of an answer of OpenAI's Responses API as a message, LiteLLM the user's role, and
OpenTelemetry's LangChain instrumentation "error" where it found no reason.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from label_studio_otel.dialects._attributes import string_list
from label_studio_otel.dialects._finish import finish_reason
from label_studio_otel.dialects._messages import message_of
from label_studio_otel.generation import Choice, Message, Part, TextPart

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from label_studio_otel.spans import Span

__all__ = ["FINISH_REASONS", "choices_of", "finish_reasons"]

# https://github.com/open-telemetry/semantic-conventions/blob/v1.37.0/docs/registry/attributes/gen-ai.md
FINISH_REASONS = "gen_ai.response.finish_reasons"
# https://github.com/microsoft/semantic-kernel/blob/python-1.37.0/python/semantic_kernel/utils/telemetry/model_diagnostics/gen_ai_attributes.py
FINISH_REASON = "gen_ai.response.finish_reason"
RESPONSE_ID = "gen_ai.response.id"

#: The ids of OpenAI's Responses API and of Anthropic, which have no n > 1.
_IDS_OF_ONE_ANSWER = ("resp_", "msg_")


def finish_reasons(attributes: Mapping[str, Any]) -> tuple[str, ...]:
    """Return the reasons that the span has, in their order."""
    single = attributes.get(FINISH_REASON)
    return string_list(attributes.get(FINISH_REASONS)) or (tuple(single.split(",")) if isinstance(single, str) else ())


def choices_of(items: Sequence[Any], attributes: Mapping[str, Any], span: Span) -> tuple[Choice, ...]:
    """Read the answers; those that are pieces of one become one."""
    reasons = finish_reasons(attributes)
    # OpenLLMetry writes each reason once, however many choices there are: only equal counts can be matched.
    known: Sequence[str | None] = reasons if len(reasons) == len(items) else (None,) * len(items)
    choices = [_choice(item, reason, span) for item, reason in zip(items, known, strict=True)]
    if len(choices) > 1 and _is_one_answer(items, attributes):
        return (_joined(choices, finish_reason(reasons[-1]) if reasons else None),)
    return tuple(choices)


def _choice(raw: Any, reason: str | None, span: Span) -> Choice:
    message = message_of(raw, "assistant")
    own = raw.get("finish_reason") if isinstance(raw, dict) else None
    word = finish_reason(own) or finish_reason(reason)
    if word == "error" and span.status_code != "ERROR":
        word = None
    return Choice(Message("assistant", message.parts, message.name), word)


def _is_one_answer(items: Sequence[Any], attributes: Mapping[str, Any]) -> bool:
    response = attributes.get(RESPONSE_ID)
    if isinstance(response, str) and response.startswith(_IDS_OF_ONE_ANSWER):
        return True
    return all(isinstance(item, dict) and item.get("finish_reason") == "" for item in items[:-1])


def _joined(choices: Sequence[Choice], reason: str | None) -> Choice:
    *before, last = choices
    chunks = _parts(before)
    # A stream can end with the whole answer.
    parts = chunks if not last.message.parts or last.message.parts == (TextPart(""),) else _parts(choices)
    if chunks and last.message.parts == chunks:
        parts = chunks
    reasons = [choice.finish_reason for choice in choices if choice.finish_reason]
    return Choice(Message("assistant", parts), reasons[-1] if reasons else reason)


def _parts(choices: Iterable[Choice]) -> tuple[Part, ...]:
    """Return the parts of these choices, texts that follow each other as one."""
    parts: list[Part] = []
    for part in (part for choice in choices for part in choice.message.parts):
        previous = parts[-1] if parts else None
        if isinstance(part, TextPart) and isinstance(previous, TextPart):
            parts[-1] = TextPart(previous.content + part.content)
        else:
            parts.append(part)
    return tuple(parts)
