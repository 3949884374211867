"""Makes parts and messages of fields of any type, for all forms.

A function returns None where a field does not have the type that its part needs; the caller then tries another reader,
or keeps the value as it came.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from label_studio_otel.generation import (
    Message,
    Part,
    ReasoningPart,
    RefusalPart,
    TextPart,
    ToolCallPart,
    ToolResponsePart,
    UnknownPart,
)
from label_studio_otel.reading.attributes import as_text, decoded

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

__all__ = [
    "arguments_of",
    "call",
    "joined_texts",
    "message",
    "part_by_type",
    "plain",
    "prompts",
    "reasoning",
    "refusal",
    "result",
    "text",
    "text_or_unknown",
    "with_calls",
]


def text(value: Any) -> TextPart | None:
    """Return a string as a text."""
    return TextPart(value) if isinstance(value, str) else None


def reasoning(value: Any) -> ReasoningPart | None:
    """Return a string as a thought."""
    return ReasoningPart(value) if isinstance(value, str) else None


def refusal(value: Any) -> RefusalPart | None:
    """Return a string as a refusal."""
    return RefusalPart(value) if isinstance(value, str) else None


def call(name: Any, arguments: Any, identifier: Any) -> ToolCallPart | None:
    """Return a tool call, its arguments as they came; None where the tool has no name."""
    return ToolCallPart(name, arguments, as_text(identifier) or None) if isinstance(name, str) else None


def result(response: Any, identifier: Any) -> ToolResponsePart:
    """Return the result of a tool."""
    return ToolResponsePart(response, as_text(identifier) or None)


def text_or_unknown(value: Any) -> Part:
    """Return a string as a text, anything else as it came."""
    return text(value) or UnknownPart(value)


def plain(content: Any) -> tuple[Part, ...]:
    """Return content that is no list of parts: nothing for None."""
    return () if content is None else (text_or_unknown(content),)


def prompts(texts: Iterable[str]) -> tuple[Message, ...]:
    """Return texts that a model goes on with, or that are all that was asked: a message of the user each."""
    return tuple(Message("user", (TextPart(one),)) for one in texts)


def part_by_type(
    raw: Any,
    readers: Mapping[str, Callable[[Mapping[str, Any]], Part | None]],
    otherwise: Callable[[Any], Part] = UnknownPart,
) -> Part:
    """Read a part whose `type` says what it is.

    Args:
        raw: an object, or a string, which is a text.
        readers: a reader for each type.
        otherwise: reads an object whose type has no reader, or whose reader returned None.
    """
    if isinstance(raw, str):
        return TextPart(raw)
    kind = raw.get("type") if isinstance(raw, dict) else None
    reader = readers.get(kind) if isinstance(kind, str) else None
    return (reader(raw) if reader else None) or otherwise(raw)


def arguments_of(value: Any) -> Any:
    """Return a tool call's arguments as an object; a text that is no JSON of one, such as one cut short, stays text."""
    found = decoded(value)
    return found if isinstance(found, (dict, list)) else value


def joined_texts(content: Any, part_of: Callable[[Any], Part]) -> Any:
    """Return a list of nothing but texts as one text, as the model reads the result of a tool; else the content."""
    parts = [part_of(raw) for raw in content] if isinstance(content, list) else []
    texts = [part.content for part in parts if isinstance(part, TextPart)]
    return "".join(texts) if texts and len(texts) == len(parts) else content


def message(role: str, parts: tuple[Part, ...], name: Any = None) -> Message:
    """Return a message; one of nothing but results of tools is the tool's, whatever its role is."""
    if parts and isinstance(parts[0], ToolResponsePart) and all(isinstance(part, ToolResponsePart) for part in parts):
        role = "tool"
    return Message(role, parts, name if isinstance(name, str) and name else None)


def with_calls(content: Iterable[Part], calls: Iterable[Part]) -> Iterator[Part]:
    """Yield the content, then the calls; a call that stands in both is yielded once, in its place in the content.

    LangChain has a call twice: in the provider's block, where a stream leaves its arguments empty, and in its own form.
    """
    waiting = list(calls)
    by_id = {call.id: call for call in waiting if isinstance(call, ToolCallPart) and call.id}
    for part in content:
        if isinstance(part, ToolCallPart) and part.id in by_id:
            yield by_id.pop(part.id)
        else:
            yield part
    yield from (call for call in waiting if not isinstance(call, ToolCallPart) or not call.id or call.id in by_id)
