"""Content blocks of Anthropic's Messages API, as instrumentations copy them from the wire.

https://github.com/anthropics/anthropic-sdk-python/blob/v0.75.0/src/anthropic/types/content_block_param.py
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
from label_studio_otel.reading.forms import media

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

__all__ = ["KINDS", "block_of", "choices_of", "message_of", "system_of"]


def block_of(raw: Any) -> Part:
    """Read one block; one of a kind we do not know, or not in its kind's form, is kept as it came."""
    if isinstance(raw, str):
        return TextPart(raw)
    kind = raw.get("type") if isinstance(raw, dict) else None
    reader = _READERS.get(kind) if isinstance(kind, str) else None
    return (reader(raw) if reader else None) or UnknownPart(raw)


def message_of(raw: Mapping[str, Any]) -> Message:
    """Read a message of a request, or a response; one that holds nothing but results of tools is the tool's."""
    role, content = raw.get("role"), raw.get("content")
    parts = tuple(block_of(block) for block in content) if isinstance(content, list) else _plain(content)
    if parts and all(isinstance(part, ToolResponsePart) for part in parts):
        return Message("tool", parts)
    return Message(role if isinstance(role, str) and role else "user", parts)


def system_of(raw: Any) -> tuple[Part, ...]:
    """Read the request's `system`: a text or a list of blocks."""
    return tuple(block_of(block) for block in raw) if isinstance(raw, (list, tuple)) else _plain(raw)


def choices_of(response: Mapping[str, Any]) -> tuple[Choice, ...] | None:
    """Read the one answer of a response; None where it is none."""
    if response.get("role") != "assistant" or "stop_reason" not in response:
        return None
    return (Choice(message_of(response), finish_reason(response["stop_reason"])),)


def _plain(content: Any) -> tuple[Part, ...]:
    if content is None:
        return ()
    return (TextPart(content) if isinstance(content, str) else UnknownPart(content),)


def _text(raw: Mapping[str, Any]) -> Part | None:
    text = raw.get("text")
    return TextPart(text) if isinstance(text, str) else None


def _thinking(raw: Mapping[str, Any]) -> Part | None:
    text = raw.get("thinking")
    return ReasoningPart(text) if isinstance(text, str) else None


def _tool_use(raw: Mapping[str, Any]) -> Part | None:
    name, identifier = raw.get("name"), raw.get("id")
    if not isinstance(name, str):
        return None
    return ToolCallPart(name, raw.get("input"), identifier if isinstance(identifier, str) else None)


def _tool_result(raw: Mapping[str, Any]) -> Part:
    """Read what a tool answered; texts alone become one text, as they are what the model reads."""
    content, identifier = raw.get("content"), raw.get("tool_use_id")
    if isinstance(content, list):
        texts = [block.get("text") for block in content if isinstance(block, dict) and block.get("type") == "text"]
        if len(texts) == len(content) and all(isinstance(text, str) for text in texts):
            content = "".join(text for text in texts if isinstance(text, str))
    return ToolResponsePart(content, identifier if isinstance(identifier, str) else None)


def _media_of(raw: Mapping[str, Any]) -> Part | None:
    """Read an image or document; `source` says where it is."""
    modality = "image" if raw.get("type") == "image" else "file"
    source = raw.get("source")
    if not isinstance(source, dict):
        return None
    match source.get("type"):
        case "base64":
            return media.inline(source.get("data"), source.get("media_type"), modality)
        case "url":
            return media.by_reference(source.get("url"), modality)
        case "file":
            return media.by_id(source.get("file_id"), modality)
        case "text":
            text = source.get("data")
            return TextPart(text) if isinstance(text, str) else None
    return None


_READERS: dict[str, Callable[[Mapping[str, Any]], Part | None]] = {
    "text": _text,
    "thinking": _thinking,
    "tool_use": _tool_use,
    "server_tool_use": _tool_use,
    "tool_result": _tool_result,
    "image": _media_of,
    "document": _media_of,
}

#: The values of `type` that are read.
KINDS = frozenset(_READERS)
