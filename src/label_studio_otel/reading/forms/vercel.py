"""Messages of the Vercel AI SDK's prompt, which has the SDK's form for all providers.

https://github.com/vercel/ai/blob/ai%406.0.0/packages/provider/src/language-model/v3/language-model-v3-prompt.ts

A file is base64 or a link; no field says which of the two.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from label_studio_otel.generation import Message, Part
from label_studio_otel.reading.attributes import as_list, identifier
from label_studio_otel.reading.forms import parts

_ONLY_VERCEL = frozenset({"toolCallId", "mediaType"})


def is_message(raw: Mapping[str, Any]) -> bool:
    """Return whether a message has parts with keys that only this form has."""
    content = as_list(raw.get("content"))
    return any(isinstance(part, dict) and not _ONLY_VERCEL.isdisjoint(part) for part in content)


def message_of(raw: Any, default_role: str = "user") -> Message:
    """Return one message; a value that is no object becomes a message of the default role."""
    if not isinstance(raw, dict):
        return Message(default_role, (parts.text_or_unknown(raw),))
    content = raw.get("content")
    said = content if isinstance(content, list) else [content]
    return Message(identifier(raw, "role") or default_role, tuple(map(part_of, said)))


def part_of(raw: Any) -> Part:
    """Return one part; an unknown part as an `UnknownPart`."""
    return parts.part_by_type(raw, _READERS)


def file_of(raw: Mapping[str, Any]) -> Part | None:
    """Return a file of version 5 or later, or an image of version 4; None if its data is no text."""
    data = raw["data"] if "data" in raw else raw.get("image")
    if isinstance(data, dict):  # tagged since version 7
        data = data.get("data") or data.get("url")
    mime_type = raw.get("mediaType") or raw.get("mimeType") or ""
    if not isinstance(data, str) or not isinstance(mime_type, str):
        return None
    modality = "image" if "image" in (raw.get("type"), mime_type.partition("/")[0]) else "file"
    if "://" in data[:20]:
        return parts.by_reference(data, modality, mime_type)
    return parts.inline(data, "" if mime_type.endswith("/*") else mime_type, modality)


def tool_call_of(raw: Mapping[str, Any]) -> Part | None:
    """Return a tool call; None if the tool has no name."""
    arguments = raw["input"] if "input" in raw else raw.get("args")
    return parts.call(raw.get("toolName"), parts.arguments_of(arguments), raw.get("toolCallId"))


def _tool_result(raw: Mapping[str, Any]) -> Part:
    output = raw["output"] if "output" in raw else raw.get("result")
    # Since version 5 it is tagged as text, json, error-text, content, …
    if isinstance(output, dict) and isinstance(output.get("type"), str) and "value" in output:
        value = output["value"]
        output = parts.joined_texts(value, part_of) if output["type"] == "content" else value
    return parts.result(output, raw.get("toolCallId"))


_READERS: dict[str, Callable[[Mapping[str, Any]], Part | None]] = {
    "text": lambda raw: parts.text(raw.get("text")),
    "reasoning": lambda raw: parts.reasoning(raw.get("text")),
    **dict.fromkeys(("file", "image", "image-data", "file-data"), file_of),
    "tool-call": tool_call_of,
    "tool-result": _tool_result,
}
