"""Parts of messages in the JSON form of OpenTelemetry's GenAI conventions, as instrumentations really write them.

The schemas are gen-ai-input-messages.json and gen-ai-output-messages.json
(https://github.com/open-telemetry/semantic-conventions/tree/v1.37.0/docs/gen-ai). What was met beyond them:

- OpenLLMetry writes a data URL as `uri`, and sound and files as a text: the JSON of OpenAI's part;
- Pydantic AI says `thinking` for `reasoning`, `result` for `response`, `binary`/`media_type` for `blob`/`mime_type`,
  `image-url` for `uri`, and writes tool arguments as a JSON string;
- OpenLIT writes what it does not know as `{"type": kind, "content": repr(part)}`;
- Strands leaves Bedrock's own value beside the kind: `{"type": "image", "content": {"format": …, "source": …}}`;
- LiteLLM and OpenLLMetry leave parts in the provider's own form (`_openai_parts`, `_anthropic`).
"""

from __future__ import annotations

import base64
from typing import TYPE_CHECKING, Any

from label_studio_otel.generation import (
    BlobPart,
    Part,
    ReasoningPart,
    TextPart,
    ToolCallPart,
    ToolResponsePart,
    UnknownPart,
)
from label_studio_otel.reading.attributes import json_of
from label_studio_otel.reading.forms import bedrock, google, openai_parts
from label_studio_otel.reading.forms import media as _media
from label_studio_otel.reading.forms.openai_parts import arguments_of, tool_call_of
from label_studio_otel.reading.python_repr import literal_of
from label_studio_otel.reading.truncated_json import beginning_of

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

__all__ = ["dumped", "part_of", "withheld", "without_media"]

#: What Google's ADK writes for bytes on a span.
#: https://github.com/google/adk-python/blob/v1.18.0/src/google/adk/telemetry/tracing.py (_safe_json_serialize)
_NOT_RECORDED = ("<not serializable>", "")

#: Shorter base64 is nobody's recording.
_SHORTEST_MEDIA = 64


def part_of(raw: Any) -> Part:
    """Read one part of a message; one of a kind we do not know, or not in its kind's form, is kept as it came."""
    if isinstance(raw, str):
        return TextPart(raw)
    if not isinstance(raw, dict):
        return UnknownPart(raw)
    kind = raw.get("type", raw.get("kind"))
    if not isinstance(kind, str):
        return UnknownPart(raw) if kind else _without_kind(raw)
    reader = _READERS.get(kind)
    part = (reader(raw) if reader else None) or _wrapped(raw, kind) or openai_parts.part_of(raw)
    return _dumped_media(part) if isinstance(part, TextPart) else part


def _without_kind(raw: dict[str, Any]) -> Part:
    """Read a part of Google's or Bedrock's, or media whose kind Google's ADK leaves out."""
    if _mime_type(raw):
        return _blob(raw) or UnknownPart(raw)
    return bedrock.block_of(raw) if bedrock.are_blocks([raw]) else google.part_of(raw)


def without_media(part: Part) -> bool:
    """Tell a part whose media was replaced by a placeholder."""
    raw = part.raw if isinstance(part, UnknownPart) else None
    if not isinstance(raw, dict):
        return False
    content = raw.get("content", raw.get("data", raw.get("image")))
    source = content.get("source") if isinstance(content, dict) else None
    return content == _NOT_RECORDED[0] or (isinstance(source, dict) and source.get("bytes") == bedrock.PLACEHOLDER)


def withheld(part: Part) -> bool:
    """Tell a part of a known kind that came without its content: the emitter kept it to itself."""
    raw = part.raw if isinstance(part, UnknownPart) else None
    if not isinstance(raw, dict) or not isinstance(raw.get("type"), str):
        return False
    return raw["type"] in _READERS and _CONTENTS.isdisjoint(raw)


def dumped(text: str) -> Any:
    """Return the objects that a text was made of, by JSON or by Python's `repr`; None where it was none."""
    return (json_of(text) or literal_of(text)) if text[:1] in ("{", "[") else None


def _wrapped(raw: Mapping[str, Any], kind: str) -> Part | None:
    content = raw.get("content")
    if isinstance(content, dict):
        return bedrock.media_of(kind, content) or bedrock.reasoning_of(content)
    inner = dumped(content) if isinstance(content, str) else None
    return part_of(inner) if isinstance(inner, dict) and inner.get("type") == kind and "content" not in inner else None


def _dumped_media(part: TextPart) -> Part:
    """Read sound and files that were written as the JSON of their part; other text that looks like JSON stays text."""
    if not part.content.startswith(_DUMPED):
        return part
    media = openai_parts.part_of(json_of(part.content) or beginning_of(part.content))
    return media if isinstance(media, BlobPart) and len(media.content) >= _SHORTEST_MEDIA else part


_DUMPED = tuple(f'{{"type": "{kind}", "{kind}": {{' for kind in ("input_audio", "file", "image_url"))


def _text(raw: Mapping[str, Any]) -> Part | None:
    text = raw.get("content", raw.get("text"))
    return TextPart(text) if isinstance(text, str) else None


def _reasoning(raw: Mapping[str, Any]) -> Part | None:
    text = next((raw[key] for key in ("content", "thinking", "reasoning", "text", "summary") if key in raw), None)
    # OpenAI's summaries: a list of texts, or the JSON of one.
    blocks = json_of(text) if isinstance(text, str) and text.startswith("[{") else text
    if isinstance(blocks, list):
        texts = [block.get("text") for block in blocks if isinstance(block, dict)]
        if texts and len(texts) == len(blocks) and all(isinstance(one, str) for one in texts):
            text = "\n".join(one for one in texts if isinstance(one, str))
    return ReasoningPart(text) if isinstance(text, str) else None


def _tool_call(raw: Mapping[str, Any]) -> Part | None:
    if "args" in raw and "arguments" not in raw:
        raw = {**raw, "arguments": raw["args"]}
    part = tool_call_of(raw)
    return part if isinstance(part, ToolCallPart) else None


def _function_call(raw: Mapping[str, Any]) -> Part | None:
    """Read a tool call as OpenAI's Responses API has it; its results carry `call_id`."""
    name = raw.get("name")
    if not isinstance(name, str):
        return None
    return ToolCallPart(name, arguments_of(raw.get("arguments")), _identifier(raw, "call_id", "id"))


def _tool_response(raw: Mapping[str, Any]) -> Part | None:
    for key in ("response", "result", "output", "content"):
        if key in raw:
            response = bedrock.text_of(raw[key])
            return ToolResponsePart(response, _identifier(raw, "id", "tool_call_id", "tool_use_id", "call_id"))
    return None


def _identifier(raw: Mapping[str, Any], *keys: str) -> str | None:
    values = (raw.get(key) for key in keys)
    return next((value for value in values if isinstance(value, str) and value), None)


def _tool_use(raw: Mapping[str, Any]) -> Part | None:
    """Read Anthropic's block as LangChain keeps it of a stream: the arguments stand beside the empty input."""
    arguments = raw.get("partial_json")
    if raw.get("input") or not isinstance(arguments, str):
        return None
    return _function_call({"name": raw.get("name"), "arguments": arguments, "id": raw.get("id")})


def _blob(raw: Mapping[str, Any]) -> Part | None:
    content = raw.get("content", raw.get("data", raw.get("binary_content")))
    if isinstance(content, (bytes, bytearray)):  # a log event can hold them as they are
        content = base64.b64encode(content).decode("ascii")
    if content in _NOT_RECORDED:
        return None
    return _media.inline(content, _mime_type(raw), _modality(raw))


def _uri(raw: Mapping[str, Any]) -> Part | None:
    uri = raw.get("uri") or raw.get("url") or raw.get("image_url")
    if isinstance(uri, dict):
        uri = uri.get("url")
    return _media.by_reference(uri, _modality(raw), _mime_type(raw))


def _file(raw: Mapping[str, Any]) -> Part | None:
    by_id = _media.by_id(raw.get("file_id"), _modality(raw))
    return by_id or _uri(raw) or (_blob(raw) if _mime_type(raw) else None)


def _mime_type(raw: Mapping[str, Any]) -> str:
    return _identifier(raw, "mime_type", "media_type", "mediaType") or ""


def _modality(raw: Mapping[str, Any]) -> str:
    modality = raw.get("modality")
    if isinstance(modality, str) and modality:
        return modality
    words = (
        _mime_type(raw).partition("/")[0],
        str(raw.get("type", raw.get("kind"))).partition("-")[0].partition("_")[0],
    )
    return next((word for word in words if word in ("image", "audio", "video")), "file")


_READERS: dict[str, Callable[[Mapping[str, Any]], Part | None]] = {
    "text": _text,
    "reasoning": _reasoning,
    "thinking": _reasoning,
    "tool_call": _tool_call,
    "tool_use": _tool_use,
    "function_call": _function_call,
    "tool_call_response": _tool_response,
    "tool_result": _tool_response,
    "function_call_output": _tool_response,
    "blob": _blob,
    "binary": _blob,
    "file": _file,
    "uri": _uri,
    "image": _uri,
    "image_url": _uri,
    "image-url": _uri,
    "audio-url": _uri,
    "video-url": _uri,
    "document-url": _uri,
}

#: Where the kinds above have their content.
_CONTENTS = frozenset(
    {"arguments", "content", "data", "file_id", "image_url", "name", "output", "response", "result", "text"}
    | {"thinking", "uri", "url", "source", "file", "summary", "reasoning"}
)
