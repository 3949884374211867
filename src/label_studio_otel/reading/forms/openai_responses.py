"""Requests and responses of OpenAI's Responses API: a list of items, of which several are one message.

https://github.com/openai/openai-python/blob/v2.8.0/src/openai/types/responses/response_input_item_param.py

One turn of the model is a series of items: its reasoning, its text, and each function call. They become one message, as
in all other forms.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from label_studio_otel.generation import Choice, Message, Part, ReasoningPart, TextPart, ToolCallPart, UnknownPart
from label_studio_otel.reading.attributes import as_list
from label_studio_otel.reading.finish_reason import finish_reason
from label_studio_otel.reading.forms import parts
from label_studio_otel.reading.forms.openai_parts import joined, part_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

__all__ = ["choices_of", "finish_of", "input_of", "is_item", "messages_of", "reasoning_of", "tool_call_of"]

_RESULTS = ("function_call_output", "custom_tool_call_output", "computer_call_output", "shell_call_output")
_CALLS = ("function_call", "custom_tool_call")


def input_of(request: Mapping[str, Any]) -> tuple[Message, ...]:
    """Return the messages of a request: the instructions, then the `input`, which is a text or a list of items."""
    said = request.get("input")
    messages = messages_of(said) if isinstance(said, list) else (Message("user", (TextPart(str(said)),)),)
    instructions = request.get("instructions")
    if isinstance(instructions, str) and instructions:
        return (Message("system", (TextPart(instructions),)), *messages)
    return messages


def choices_of(response: Mapping[str, Any]) -> tuple[Choice, ...]:
    """Return the one choice of a response."""
    said = tuple(part for raw in response["output"] for part in _item(raw)[1])
    return (Choice(Message("assistant", said), finish_of(response, said)),)


def messages_of(items: Iterable[Any]) -> tuple[Message, ...]:
    """Return the messages of items; the items of one turn of the model become one message."""
    messages: list[Message] = []
    for raw in items:
        role, said = _item(raw)
        last = messages[-1] if messages else None
        if last and role == last.role == "assistant" and _continues(raw, last):
            messages[-1] = Message(role, last.parts + said)
        else:
            messages.append(Message(role, said))
    return tuple(messages)


def is_item(raw: Any) -> bool:
    """Return whether a value is an item that is no message: a tool call, a tool result or reasoning."""
    return isinstance(raw, dict) and raw.get("type") in (*_RESULTS, *_CALLS, "reasoning")


def tool_call_of(raw: Mapping[str, Any]) -> Part:
    """Return a tool call. Its id is the `call_id`, which the result has too; `id` is the id of the item."""
    arguments = parts.arguments_of(raw["arguments"]) if "arguments" in raw else raw.get("input")
    return parts.call(raw.get("name"), arguments, raw.get("call_id") or raw.get("id")) or UnknownPart(raw)


def reasoning_of(raw: Mapping[str, Any]) -> tuple[Part, ...]:
    """Return the reasoning of an item: the whole text if the provider gives it, else the summary; often nothing."""
    for key in ("content", "summary"):
        texts = [part.get("text") for part in as_list(raw.get(key)) if isinstance(part, dict)]
        if thoughts := tuple(ReasoningPart(text) for text in texts if isinstance(text, str) and text):
            return thoughts
    return ()


def _item(raw: Any) -> tuple[str, tuple[Part, ...]]:
    """Return the role and the parts of an item."""
    if not isinstance(raw, dict):
        return "user", (part_of(raw),)
    kind = raw.get("type")
    if kind in _RESULTS:
        return "tool", (parts.result(joined(raw.get("output")), raw.get("call_id")),)
    if kind in _CALLS:
        return "assistant", (tool_call_of(raw),)
    if kind == "reasoning":
        return "assistant", reasoning_of(raw)
    role, content = raw.get("role"), raw.get("content")
    if not isinstance(role, str) or content is None:
        return "assistant", (UnknownPart(raw),)
    return role, tuple(map(part_of, content if isinstance(content, list) else [content]))


def _continues(raw: Any, last: Message) -> bool:
    """Return whether an item belongs to the message before it. A second text or reasoning begins a new turn."""
    if isinstance(raw, dict) and raw.get("type") in _CALLS:
        return True
    return all(isinstance(part, ReasoningPart) for part in last.parts)


def finish_of(response: Mapping[str, Any], said: tuple[Part, ...]) -> str | None:
    """Return the finish reason of a response, None if it is not known.

    It is the reason of an incomplete response, else `tool_call` if a complete one has tool calls, else its `status`.
    """
    details, status = response.get("incomplete_details"), response.get("status")
    if isinstance(details, dict) and details.get("reason"):
        return finish_reason(details["reason"])
    if status == "completed" and any(isinstance(part, ToolCallPart) for part in said):
        return "tool_call"
    return finish_reason(status)
