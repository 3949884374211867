"""Messages of Anthropic's Messages API, as instrumentations copy them from the request and the response.

https://github.com/anthropics/anthropic-sdk-python/blob/v0.75.0/src/anthropic/types/content_block_param.py
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from label_studio_otel.generation import Choice, Message, Part
from label_studio_otel.reading.attributes import as_dict, identifier
from label_studio_otel.reading.finish_reason import finish_reason
from label_studio_otel.reading.forms import parts


def block_of(raw: Any) -> Part:
    """Return a content block as a part; an unknown block as an `UnknownPart`."""
    return parts.part_by_type(raw, _READERS)


def message_of(raw: Mapping[str, Any]) -> Message:
    """Return a message of a request, or a response, as a message."""
    return parts.message(identifier(raw, "role") or "user", system_of(raw.get("content")))


def system_of(raw: Any) -> tuple[Part, ...]:
    """Return the parts of a content: a text or a list of blocks, as `system` of a request is."""
    return tuple(map(block_of, raw)) if isinstance(raw, (list, tuple)) else parts.plain(raw)


def choices_of(response: Mapping[str, Any]) -> tuple[Choice, ...] | None:
    """Return the one choice of a response; None if the value is no response."""
    if response.get("role") != "assistant" or "stop_reason" not in response:
        return None
    return (Choice(message_of(response), finish_reason(response["stop_reason"])),)


def _tool_use(raw: Mapping[str, Any]) -> Part | None:
    return parts.call(raw.get("name"), raw.get("input"), raw.get("id"))


def _media(raw: Mapping[str, Any]) -> Part | None:
    """Return an image or a document, by its `source`; None if that has no known type."""
    modality = "image" if raw.get("type") == "image" else "file"
    source = as_dict(raw.get("source"))
    match source.get("type"):
        case "base64":
            return parts.inline(source.get("data"), source.get("media_type"), modality)
        case "url":
            return parts.by_reference(source.get("url"), modality)
        case "file":
            return parts.by_id(source.get("file_id"), modality)
        case "text":
            return parts.text(source.get("data"))
    return None


_READERS: dict[str, Callable[[Mapping[str, Any]], Part | None]] = {
    "text": lambda raw: parts.text(raw.get("text")),
    "thinking": lambda raw: parts.reasoning(raw.get("thinking")),
    **dict.fromkeys(("tool_use", "server_tool_use"), _tool_use),
    "tool_result": lambda raw: parts.result(
        "" if raw.get("content") == [] else parts.joined_texts(raw.get("content"), block_of), raw.get("tool_use_id")
    ),
    **dict.fromkeys(("image", "document"), _media),
}

#: The values of `type` that are read.
KINDS = frozenset(_READERS)
