"""Requests and responses of OpenAI's Responses API: a list of items, of which several are one message.

https://github.com/openai/openai-python/blob/v2.8.0/src/openai/types/responses/response_input_item_param.py

A turn of the model is items in a row: what it thought, what it said, each function that it calls. They become one
message again, as they are everywhere else.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from label_studio_otel.generation import (
    Choice,
    Message,
    Part,
    ReasoningPart,
    TextPart,
    ToolCallPart,
    ToolResponsePart,
    UnknownPart,
)
from label_studio_otel.reading.finish_reason import finish_reason
from label_studio_otel.reading.forms.openai_parts import arguments_of, joined, part_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

__all__ = ["choices_of", "finish_of", "input_of", "is_item", "messages_of", "reasoning_of", "tool_call_of"]

_RESULTS = ("function_call_output", "custom_tool_call_output", "computer_call_output", "shell_call_output")
_CALLS = ("function_call", "custom_tool_call")


def input_of(request: Mapping[str, Any]) -> tuple[Message, ...]:
    """Read a request: the instructions, then the input, which is a text or items."""
    said = request.get("input")
    messages = messages_of(said) if isinstance(said, list) else (Message("user", (TextPart(str(said)),)),)
    instructions = request.get("instructions")
    if isinstance(instructions, str) and instructions:
        return (Message("system", (TextPart(instructions),)), *messages)
    return messages


def choices_of(response: Mapping[str, Any]) -> tuple[Choice, ...]:
    """Read the one answer of a response."""
    parts = tuple(part for raw in response["output"] for part in _item(raw)[1])
    return (Choice(Message("assistant", parts), finish_of(response, parts)),)


def messages_of(items: Iterable[Any]) -> tuple[Message, ...]:
    """Read items; those of one turn of the model become one message."""
    messages: list[Message] = []
    for raw in items:
        role, parts = _item(raw)
        last = messages[-1] if messages else None
        if last and role == last.role == "assistant" and _continues(raw, last):
            messages[-1] = Message(role, last.parts + parts)
        else:
            messages.append(Message(role, parts))
    return tuple(messages)


def is_item(raw: Any) -> bool:
    """Tell an item that is no plain message."""
    return isinstance(raw, dict) and raw.get("type") in (*_RESULTS, *_CALLS, "reasoning")


def tool_call_of(raw: Mapping[str, Any]) -> Part:
    """Read a function call; `id` names the item, `call_id` the call that the result refers to."""
    name, identifier = raw.get("name"), raw.get("call_id") or raw.get("id")
    if not isinstance(name, str):
        return UnknownPart(raw)
    arguments = arguments_of(raw["arguments"]) if "arguments" in raw else raw.get("input")
    return ToolCallPart(name, arguments, identifier if isinstance(identifier, str) else None)


def reasoning_of(raw: Mapping[str, Any]) -> tuple[Part, ...]:
    """Read what the model thought: in full where the provider gives it, else its summary; often neither."""
    for key in ("content", "summary"):
        value = raw.get(key)
        if isinstance(value, list):
            parts = [part.get("text") for part in value if isinstance(part, dict)]
            texts = [text for text in parts if isinstance(text, str) and text]
            if texts:
                return tuple(ReasoningPart(text) for text in texts)
    return ()


def _item(raw: Any) -> tuple[str, tuple[Part, ...]]:
    """Return the role and the parts of an item."""
    if not isinstance(raw, dict):
        return "user", (part_of(raw),)
    kind = raw.get("type")
    if kind in _RESULTS:
        return "tool", (_result(raw),)
    if kind in _CALLS:
        return "assistant", (tool_call_of(raw),)
    if kind == "reasoning":
        return "assistant", reasoning_of(raw)
    role, content = raw.get("role"), raw.get("content")
    if not isinstance(role, str) or content is None:
        return "assistant", (UnknownPart(raw),)
    parts = content if isinstance(content, list) else [content]
    return role, tuple(part_of(part) for part in parts)


def _continues(raw: Any, last: Message) -> bool:
    """Tell whether the item belongs to the message before it: a second text or thought starts a new turn."""
    if isinstance(raw, dict) and raw.get("type") in _CALLS:
        return True
    return all(isinstance(part, ReasoningPart) for part in last.parts)


def _result(raw: Mapping[str, Any]) -> ToolResponsePart:
    identifier = raw.get("call_id")
    return ToolResponsePart(joined(raw.get("output")), identifier if isinstance(identifier, str) else None)


def finish_of(response: Mapping[str, Any], parts: tuple[Part, ...]) -> str | None:
    """Return why the answer ended: the API says only that it did, and why not where it did not."""
    details, status = response.get("incomplete_details"), response.get("status")
    if isinstance(details, dict) and details.get("reason"):
        return finish_reason(details["reason"])
    if status == "completed" and any(isinstance(part, ToolCallPart) for part in parts):
        return "tool_call"
    return finish_reason(status)
