"""Content blocks of Amazon Bedrock's Converse API: objects with one key, which is the kind of the block.

https://docs.aws.amazon.com/bedrock/latest/APIReference/API_runtime_ContentBlock.html. Strands writes them for the
models of all providers.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, TypeGuard

from label_studio_otel.generation import Message, Part, UnknownPart
from label_studio_otel.reading.attributes import as_dict, as_text
from label_studio_otel.reading.forms import parts


def are_blocks(value: Any) -> TypeGuard[list[dict[str, Any]]]:
    """Return whether a value is a list that contains only such blocks."""
    return isinstance(value, list) and all(isinstance(item, dict) and _kind(item) is not None for item in value)


def block_of(raw: dict[str, Any]) -> Part:
    """Return a block as a part; an unknown block as an `UnknownPart`."""
    kind = _kind(raw) or ""
    reader = _READERS.get(kind)
    return (reader(raw[kind]) if reader else None) or UnknownPart(raw)


def is_message(raw: Mapping[str, Any]) -> bool:
    """Return whether the content of a message is a list of such blocks."""
    return bool(raw.get("content")) and are_blocks(raw["content"])


def message_of(raw: Mapping[str, Any], default_role: str) -> Message:
    """Return the message of a value for which `is_message` is true."""
    return parts.message(str(raw.get("role", default_role)), tuple(map(block_of, raw["content"])))


def text_of(content: Any) -> Any:
    """Return a tool's result: several texts as one text, a single `json` as its value, any other content unchanged."""
    if not isinstance(content, list) or not content or not all(isinstance(item, dict) for item in content):
        return content
    if len(content) == 1 and content[0].keys() == {"json"}:
        return content[0]["json"]
    texts = [_plain_text(item) for item in content]
    return content if None in texts else "".join(text for text in texts if text is not None)


def _plain_text(item: dict[str, Any]) -> str | None:
    """Return the text of a block with only a text, in Bedrock's form, Anthropic's or the conventions'; else None."""
    if item.keys() not in ({"text"}, {"type", "text"}, {"type", "content"}) or item.get("type", "text") != "text":
        return None
    return as_text(item.get("text", item.get("content")))


def _kind(raw: dict[str, Any]) -> str | None:
    return next((key for key in raw if key in _KINDS), None) if len(raw) == 1 else None


def reasoning_of(raw: Any) -> Part | None:
    """Return the reasoning in the value of `reasoningContent`; None if it has no text."""
    text = as_dict(raw).get("reasoningText")
    return parts.reasoning(text.get("text") if isinstance(text, dict) else text)


def media_of(kind: str, raw: Any) -> Part | None:
    """Return the media in the value of `image`, `document` or `video`; None if they are not there."""
    source = as_dict(raw).get("source")
    if not isinstance(source, dict) or source.get("bytes") == PLACEHOLDER:
        return None
    family = kind if kind in ("image", "video") else "file"
    form = raw.get("format")
    mime_type = f"{'application' if family == 'file' else family}/{form}" if isinstance(form, str) else ""
    uri = as_dict(source.get("location") or source.get("s3Location")).get("uri")
    return parts.inline(source.get("bytes"), mime_type, family) or parts.by_reference(uri, family, mime_type)


#: What Strands writes for bytes.
#: https://github.com/strands-agents/sdk-python/blob/v1.18.0/src/strands/telemetry/tracer.py (JSONEncoder)
PLACEHOLDER = "<replaced>"

_READERS: dict[str, Callable[[Any], Part | None]] = {
    "text": parts.text,
    "toolUse": lambda raw: parts.call(*map(as_dict(raw).get, ("name", "input", "toolUseId"))),
    "toolResult": lambda raw: (
        parts.result(text_of(raw.get("content")), raw.get("toolUseId")) if isinstance(raw, dict) else None
    ),
    "reasoningContent": reasoning_of,
    "image": lambda raw: media_of("image", raw),
    "document": lambda raw: media_of("document", raw),
    "video": lambda raw: media_of("video", raw),
}

_KINDS = frozenset(_READERS) | {"cachePoint", "citationsContent", "guardContent"}
