"""Parts of a message's content and tool calls, in the forms of OpenAI's APIs (see `openai`)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from label_studio_otel.generation import Part, UnknownPart
from label_studio_otel.reading.forms import anthropic, media, parts

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

__all__ = ["KINDS", "joined", "part_of", "tool_call_of"]


def part_of(raw: Any) -> Part:
    """Return one part of a message's content in the form of OpenAI or Anthropic; an unknown one as an `UnknownPart`."""
    return parts.part_by_type(raw, _READERS, anthropic.block_of)


def tool_call_of(raw: Any) -> Part:
    """Return one of a message's `tool_calls`: of a function, or of a custom tool, whose `input` is a text."""
    if not isinstance(raw, dict):
        return UnknownPart(raw)
    called = raw.get("function") or raw.get("custom") or raw
    if not isinstance(called, dict):
        return UnknownPart(raw)
    arguments = parts.arguments_of(called["arguments"]) if "arguments" in called else called.get("input")
    return parts.call(called.get("name"), arguments, raw.get("id")) or UnknownPart(raw)


def joined(content: Any) -> Any:
    """Return the result of a tool; a list that contains only texts as one text, as the model reads it."""
    return parts.joined_texts(content, part_of)


def _text(raw: Mapping[str, Any]) -> Part | None:
    text = raw.get("text")
    return parts.text(text.get("value") if isinstance(text, dict) else text)  # an object in the Assistants API


def _image(raw: Mapping[str, Any]) -> Part | None:
    image = raw.get("image_url")
    url = image.get("url") if isinstance(image, dict) else image
    return media.by_reference(url, "image") or media.by_id(raw.get("file_id"), "image")


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
    "refusal": lambda raw: parts.refusal(raw.get("refusal")),
    "image_url": _image,
    "input_image": _image,
    "input_audio": _audio,
    "file": _file,
    "input_file": _file,
}

#: The values of `type` that are read.
KINDS = frozenset(_READERS) | anthropic.KINDS
