"""Parts of a message's content and tool calls, in the forms of OpenAI's APIs (see `_openai`)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from label_studio_otel.generation import Part, RefusalPart, TextPart, ToolCallPart, UnknownPart
from label_studio_otel.reading.attributes import json_of
from label_studio_otel.reading.forms import anthropic, media

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

__all__ = ["KINDS", "arguments_of", "joined", "part_of", "tool_call_of", "with_calls"]


def part_of(raw: Any) -> Part:
    """Read one part of a message's content; one of a kind that nobody knows is kept as it came."""
    if isinstance(raw, str):
        return TextPart(raw)
    kind = raw.get("type") if isinstance(raw, dict) else None
    if not isinstance(kind, str):
        return UnknownPart(raw)
    reader = _READERS.get(kind)
    return (reader(raw) if reader else None) or anthropic.block_of(raw)


def tool_call_of(raw: Any) -> Part:
    """Read one of a message's `tool_calls`: a function's, or a custom tool's, whose input is a text."""
    if not isinstance(raw, dict):
        return UnknownPart(raw)
    call = raw.get("function") or raw.get("custom") or raw
    name = call.get("name") if isinstance(call, dict) else None
    if not isinstance(name, str):
        return UnknownPart(raw)
    identifier = raw.get("id")
    arguments = arguments_of(call["arguments"]) if "arguments" in call else call.get("input")
    return ToolCallPart(name, arguments, identifier if isinstance(identifier, str) and identifier else None)


def arguments_of(value: Any) -> Any:
    """Return a tool call's arguments as an object; a text that is none, such as one cut short, stays text."""
    if not isinstance(value, str):
        return value
    decoded = json_of(value)
    return decoded if isinstance(decoded, (dict, list)) else value


def joined(content: Any) -> Any:
    """Return a list of nothing but texts as one text: that is how the model reads a tool's result."""
    parts = [part_of(raw) for raw in content] if isinstance(content, list) else []
    texts = [part.content for part in parts if isinstance(part, TextPart)]
    return "".join(texts) if texts and len(texts) == len(parts) else content


def with_calls(content: Iterable[Part], calls: Iterable[Part]) -> Iterator[Part]:
    """Yield the content, each call that stands in it as it stands beside it, then the other calls.

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


def _text(raw: Mapping[str, Any]) -> Part | None:
    text = raw.get("text")
    if isinstance(text, dict):  # the Assistants API
        text = text.get("value")
    return TextPart(text) if isinstance(text, str) else None


def _refusal(raw: Mapping[str, Any]) -> Part | None:
    text = raw.get("refusal")
    return RefusalPart(text) if isinstance(text, str) else None


def _image(raw: Mapping[str, Any]) -> Part | None:
    image = raw.get("image_url")
    if isinstance(image, dict):
        image = image.get("url")
    return media.by_reference(image, "image") or media.by_id(raw.get("file_id"), "image")


def _audio(raw: Mapping[str, Any]) -> Part | None:
    audio = raw.get("input_audio")
    if not isinstance(audio, dict):
        return None
    kind = audio.get("format")
    return media.inline(audio.get("data"), f"audio/{kind}" if isinstance(kind, str) and kind else "", "audio")


def _file(raw: Mapping[str, Any]) -> Part | None:
    nested = raw.get("file")
    file = nested if isinstance(nested, dict) else raw
    return (
        media.inline(file.get("file_data"), "", "file")
        or media.by_reference(file.get("file_url"), "file")
        or media.by_id(file.get("file_id"), "file")
    )


_READERS: dict[str, Callable[[Mapping[str, Any]], Part | None]] = {
    "text": _text,
    "input_text": _text,
    "output_text": _text,
    "refusal": _refusal,
    "image_url": _image,
    "input_image": _image,
    "input_audio": _audio,
    "file": _file,
    "input_file": _file,
}

#: The values of `type` that are read.
KINDS = frozenset(_READERS) | anthropic.KINDS
