"""Requests and responses of OpenAI's APIs, as instrumentations copy them.

The forms, by OpenAI's names:

- Chat Completions: https://github.com/openai/openai-python/blob/v2.8.0/src/openai/types/chat/chat_completion_message_param.py
- Completions: https://github.com/openai/openai-python/blob/v2.8.0/src/openai/types/completion.py
- Responses: https://github.com/openai/openai-python/blob/v2.8.0/src/openai/types/responses/response_input_item_param.py

Additions of other providers are read too: `reasoning_content` (DeepSeek, vLLM) and `reasoning` (OpenRouter) beside
`content`, and Anthropic's blocks in `content`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from label_studio_otel.generation import Choice, Message, Part, ReasoningPart, RefusalPart, TextPart, UnknownPart
from label_studio_otel.reading.attributes import as_list, identifier
from label_studio_otel.reading.finish_reason import finish_reason
from label_studio_otel.reading.forms import anthropic, media, openai_responses, parts
from label_studio_otel.reading.forms.openai_parts import joined, part_of, tool_call_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

__all__ = ["choices_of", "content_of", "message_of", "messages_of"]


def messages_of(request: Mapping[str, Any]) -> tuple[Message, ...] | None:
    """Return the messages of a request to one of the three APIs, or to Anthropic's; None if it is no such request."""
    if isinstance(request.get("messages"), list):
        system = anthropic.system_of(request.get("system"))
        messages = tuple(message_of(raw) for raw in request["messages"])
        return (Message("system", system), *messages) if system else messages
    if isinstance(request.get("input"), (str, list)):
        return openai_responses.input_of(request)
    prompt = request.get("prompt")
    texts = [prompt] if isinstance(prompt, str) else prompt
    if isinstance(texts, list) and texts and all(isinstance(text, str) for text in texts):
        return parts.prompts(texts)
    return None


def choices_of(response: Mapping[str, Any]) -> tuple[Choice, ...] | None:
    """Return the choices of a response of one of the three APIs, or of Anthropic's; None if it is no such response."""
    if isinstance(response.get("choices"), list):
        ordered = sorted(response["choices"], key=_index)
        return tuple(_choice(raw) for raw in ordered)
    if isinstance(response.get("output"), list):
        return openai_responses.choices_of(response)
    return anthropic.choices_of(response)


def message_of(raw: Any, default_role: str = "user") -> Message:
    """Return one message of Chat Completions; a text becomes a message of the default role."""
    if not isinstance(raw, dict):
        return Message(default_role, (parts.text_or_unknown(raw),))
    role = identifier(raw, "role") or default_role
    if role in {"tool", "function"}:
        result = parts.result(joined(raw.get("content")), raw.get("tool_call_id"))
        return parts.message("tool", (result,), raw.get("name"))
    return parts.message(role, tuple(_parts(raw)), raw.get("name"))


def _parts(raw: Mapping[str, Any]) -> Iterator[Part]:
    thought = raw.get("reasoning_content") or raw.get("reasoning")
    if isinstance(thought, str) and thought:
        yield ReasoningPart(thought)
    calls = list(map(tool_call_of, as_list(raw.get("tool_calls"))))
    if isinstance(raw.get("function_call"), dict):  # before tool_calls came, a message could have one
        calls.append(tool_call_of({"function": raw["function_call"]}))
    refusal = raw.get("refusal")
    yield from content_of(raw.get("content"), has_more=bool(calls or refusal))
    if isinstance(refusal, str) and refusal:
        yield RefusalPart(refusal)
    yield from _spoken(raw.get("audio"))
    yield from calls


def content_of(content: Any, *, has_more: bool) -> Iterator[Part]:
    """Yield the parts of a message's content.

    Args:
        content: a text or a list of parts.
        has_more: the message has a tool call or a refusal. Beside these, clients write an empty text for no content.
    """
    if isinstance(content, list):
        yield from map(part_of, content)
    elif content != "" or not has_more:
        yield from parts.plain(content)


def _spoken(audio: Any) -> Iterator[Part]:
    """Yield the parts of a spoken answer: its transcript and its sound."""
    if not isinstance(audio, dict):
        return
    if isinstance(audio.get("transcript"), str) and audio["transcript"]:
        yield TextPart(audio["transcript"])
    sound = media.inline(audio.get("data"), "", "audio") or media.by_id(audio.get("id"), "audio")
    if sound:
        yield sound


def _choice(raw: Any) -> Choice:
    if not isinstance(raw, dict):
        return Choice(Message("assistant", (UnknownPart(raw),)))
    said = raw.get("message") or raw.get("delta")
    if said is None:  # Completions
        said = {"content": raw.get("text")}
    return Choice(message_of(said, "assistant"), finish_reason(raw.get("finish_reason")))


def _index(raw: Any) -> int:
    index = raw.get("index") if isinstance(raw, dict) else None
    return index if isinstance(index, int) else 0
