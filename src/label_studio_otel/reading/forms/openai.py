"""Requests and responses of OpenAI's APIs, as instrumentations copy them from the wire.

The shapes, by OpenAI's names:

- Chat Completions: https://github.com/openai/openai-python/blob/v2.8.0/src/openai/types/chat/chat_completion_message_param.py
- Completions: https://github.com/openai/openai-python/blob/v2.8.0/src/openai/types/completion.py
- Responses: https://github.com/openai/openai-python/blob/v2.8.0/src/openai/types/responses/response_input_item_param.py

Everybody who speaks OpenAI's form with an addition of their own is read too: `reasoning_content` (DeepSeek, vLLM) and
`reasoning` (OpenRouter) beside `content`, Anthropic's blocks inside it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from label_studio_otel.generation import (
    Choice,
    Message,
    Part,
    ReasoningPart,
    RefusalPart,
    TextPart,
    ToolResponsePart,
    UnknownPart,
)
from label_studio_otel.reading.finish_reason import finish_reason
from label_studio_otel.reading.forms import anthropic, media, openai_responses
from label_studio_otel.reading.forms.openai_parts import joined, part_of, tool_call_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

__all__ = ["choices_of", "message_of", "messages_of"]


def messages_of(request: Mapping[str, Any]) -> tuple[Message, ...] | None:
    """Read the messages of a request to any of the three APIs, or to Anthropic's; None where it is none."""
    if isinstance(request.get("messages"), list):
        system = anthropic.system_of(request.get("system"))
        messages = tuple(message_of(raw) for raw in request["messages"])
        return (Message("system", system), *messages) if system else messages
    if isinstance(request.get("input"), (str, list)):
        return openai_responses.input_of(request)
    prompt = request.get("prompt")
    if isinstance(prompt, str):
        return (Message("user", (TextPart(prompt),)),)
    if isinstance(prompt, list) and prompt and all(isinstance(text, str) for text in prompt):
        return tuple(Message("user", (TextPart(text),)) for text in prompt)
    return None


def choices_of(response: Mapping[str, Any]) -> tuple[Choice, ...] | None:
    """Read the answers in a response of any of the three APIs, or of Anthropic's; None where it is none."""
    if isinstance(response.get("choices"), list):
        ordered = sorted(response["choices"], key=_index)
        return tuple(_choice(raw) for raw in ordered)
    if isinstance(response.get("output"), list):
        return openai_responses.choices_of(response)
    return anthropic.choices_of(response)


def message_of(raw: Any, default_role: str = "user") -> Message:
    """Read one message of Chat Completions; a text becomes a message of the default role."""
    if isinstance(raw, str):
        return Message(default_role, (TextPart(raw),))
    if not isinstance(raw, dict):
        return Message(default_role, (UnknownPart(raw),))
    role, name = raw.get("role"), raw.get("name")
    role = role if isinstance(role, str) and role else default_role
    parts = _tool_result(raw) if role in {"tool", "function"} else tuple(_parts(raw))
    if parts and role == "user" and all(isinstance(part, ToolResponsePart) for part in parts):
        role = "tool"
    return Message("tool" if role == "function" else role, parts, name if isinstance(name, str) and name else None)


def _tool_result(raw: Mapping[str, Any]) -> tuple[Part, ...]:
    content, identifier = raw.get("content"), raw.get("tool_call_id")
    return (ToolResponsePart(joined(content), identifier if isinstance(identifier, str) else None),)


def _parts(raw: Mapping[str, Any]) -> Iterator[Part]:
    thought = raw.get("reasoning_content") or raw.get("reasoning")
    if isinstance(thought, str) and thought:
        yield ReasoningPart(thought)
    calls = [tool_call_of(call) for call in _list(raw.get("tool_calls"))]
    if isinstance(raw.get("function_call"), dict):  # before tool_calls came, a message could have one
        calls.append(tool_call_of({"function": raw["function_call"]}))
    refusal = raw.get("refusal")
    yield from _content(raw.get("content"), has_more=bool(calls or refusal))
    if isinstance(refusal, str) and refusal:
        yield RefusalPart(refusal)
    yield from _spoken(raw.get("audio"))
    yield from calls


def _content(content: Any, *, has_more: bool) -> Iterator[Part]:
    if isinstance(content, list):
        yield from (part_of(part) for part in content)
    elif isinstance(content, str):
        # Beside a tool call or a refusal an empty text is how clients write that there is none.
        if content or not has_more:
            yield TextPart(content)
    elif content is not None:
        yield UnknownPart(content)


def _spoken(audio: Any) -> Iterator[Part]:
    """Read an answer that was spoken: its sound, and its words."""
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


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []
