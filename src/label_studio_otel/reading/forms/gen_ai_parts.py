"""Parts of messages in the JSON form of OpenTelemetry's GenAI conventions, as instrumentations really write them.

Instrumentations differ from the schemas, for which see `gen_ai`:

- OpenLLMetry writes a data URL as `uri`, and sound and files as a text: the JSON of OpenAI's part;
- Pydantic AI says `thinking` for `reasoning`, `result` for `response`, `binary`/`media_type` for `blob`/`mime_type`,
  `image-url` for `uri`, and writes tool arguments as a JSON string;
- OpenLIT writes what it does not know as `{"type": kind, "content": repr(part)}`;
- Strands leaves Bedrock's own value beside the kind: `{"type": "image", "content": {"format": …, "source": …}}`;
- LiteLLM and OpenLLMetry leave parts in the provider's own form (`openai`, `anthropic`).
"""

from __future__ import annotations

import base64
from collections.abc import Callable, Mapping
from typing import Any

from label_studio_otel.generation import BlobPart, Part, TextPart, UnknownPart
from label_studio_otel.reading.attributes import as_dict, identifier, json_of
from label_studio_otel.reading.forms import bedrock, google, openai, parts
from label_studio_otel.reading.forms.unwrapping import literal_of
from label_studio_otel.reading.truncated_json import beginning_of

#: What Google's ADK writes for bytes on a span.
#: https://github.com/google/adk-python/blob/v1.18.0/src/google/adk/telemetry/tracing.py (_safe_json_serialize)
_NOT_RECORDED = ("<not serializable>", "")


def part_of(raw: Any) -> Part:
    """Return one part of a message; a part of an unknown kind, or with unexpected fields, as an `UnknownPart`."""
    if not isinstance(raw, dict):
        return parts.text_or_unknown(raw)
    kind = raw.get("type", raw.get("kind"))
    if not isinstance(kind, str):
        return UnknownPart(raw) if kind else _without_kind(raw)
    reader = _READERS.get(kind)
    part = (reader(raw) if reader else None) or _wrapped(raw, kind) or openai.part_of(raw)
    return _dumped_media(part) if isinstance(part, TextPart) else part


def _without_kind(raw: dict[str, Any]) -> Part:
    """Return a part of Google's or Bedrock's, or media for which Google's ADK writes no kind."""
    if _mime_type(raw):
        return _blob(raw) or UnknownPart(raw)
    return bedrock.block_of(raw) if bedrock.are_blocks([raw]) else google.part_of(raw)


def media_withheld(part: Part) -> bool:
    """Return whether the emitter wrote a placeholder for the media of a part."""
    raw = as_dict(part.raw) if isinstance(part, UnknownPart) else {}
    content = raw.get("content", raw.get("data", raw.get("image")))
    source = as_dict(as_dict(content).get("source"))
    return content == _NOT_RECORDED[0] or source.get("bytes") == bedrock.PLACEHOLDER


def content_withheld(part: Part) -> bool:
    """Return whether a part of a known kind has no content, because the emitter does not record content."""
    raw = as_dict(part.raw) if isinstance(part, UnknownPart) else {}
    return identifier(raw, "type") in _READERS and _CONTENTS.isdisjoint(raw)


def dumped(text: str) -> Any:
    """Return the value of a text that is JSON or a Python `repr` of an object or list; None for any other text."""
    return (json_of(text) or literal_of(text)) if text[:1] in ("{", "[") else None


def _wrapped(raw: Mapping[str, Any], kind: str) -> Part | None:
    content = raw.get("content")
    if isinstance(content, dict):
        return bedrock.media_of(kind, content) or bedrock.reasoning_of(content)
    inner = dumped(content) if isinstance(content, str) else None
    return part_of(inner) if isinstance(inner, dict) and inner.get("type") == kind and "content" not in inner else None


def _dumped_media(part: TextPart) -> Part:
    """Return the sound, image or file whose JSON a text is; any other text unchanged, also if it is JSON."""
    if not part.content.startswith(_DUMPED):
        return part
    found = openai.part_of(json_of(part.content) or beginning_of(part.content))
    # Base64 that is shorter is no recording.
    return found if isinstance(found, BlobPart) and len(found.content) >= 64 else part


_DUMPED = tuple(f'{{"type": "{kind}", "{kind}": {{' for kind in ("input_audio", "file", "image_url"))


def _reasoning(raw: Mapping[str, Any]) -> Part | None:
    text = next((raw[key] for key in ("content", "thinking", "reasoning", "text", "summary") if key in raw), None)
    # OpenAI's summaries: a list of texts, or the JSON of one.
    blocks = json_of(text) if isinstance(text, str) and text.startswith("[{") else text
    if isinstance(blocks, list):
        texts = [block.get("text") for block in blocks if isinstance(block, dict)]
        if texts and len(texts) == len(blocks) and all(isinstance(one, str) for one in texts):
            text = "\n".join(map(str, texts))
    return parts.reasoning(text)


def _tool_response(raw: Mapping[str, Any]) -> Part | None:
    for key in ("response", "result", "output", "content"):
        if key in raw:
            result_of = identifier(raw, "id", "tool_call_id", "tool_use_id", "call_id")
            return parts.result(bedrock.text_of(raw[key]), result_of)
    return None


def _tool_use(raw: Mapping[str, Any]) -> Part | None:
    """Return Anthropic's tool call as LangChain keeps it of a stream, its arguments in `partial_json`; else None."""
    arguments = raw.get("partial_json")
    if raw.get("input") or not isinstance(arguments, str):
        return None
    return parts.call(raw.get("name"), parts.arguments_of(arguments), raw.get("id"))


def _blob(raw: Mapping[str, Any]) -> Part | None:
    content = raw.get("content", raw.get("data", raw.get("binary_content")))
    if isinstance(content, (bytes, bytearray)):  # a log event can hold them as they are
        content = base64.b64encode(content).decode("ascii")
    if content in _NOT_RECORDED:
        return None
    return parts.inline(content, _mime_type(raw), _modality(raw))


def _uri(raw: Mapping[str, Any]) -> Part | None:
    uri = raw.get("uri") or raw.get("url") or raw.get("image_url")
    if isinstance(uri, dict):
        uri = uri.get("url")
    return parts.by_reference(uri, _modality(raw), _mime_type(raw))


def _mime_type(raw: Mapping[str, Any]) -> str:
    return identifier(raw, "mime_type", "media_type", "mediaType") or ""


def _modality(raw: Mapping[str, Any]) -> str:
    kind = str(raw.get("type", raw.get("kind"))).replace("-", "_")
    words = (_mime_type(raw).partition("/")[0], kind.partition("_")[0])
    return identifier(raw, "modality") or next((word for word in words if word in ("image", "audio", "video")), "file")


_READERS: dict[str, Callable[[Mapping[str, Any]], Part | None]] = {
    "text": lambda raw: parts.text(raw.get("content", raw.get("text"))),
    **dict.fromkeys(("reasoning", "thinking"), _reasoning),
    "tool_call": lambda raw: parts.called({"arguments": raw["args"], **raw} if "args" in raw else raw),
    "tool_use": _tool_use,
    # OpenAI's Responses API; the results carry `call_id`.
    "function_call": lambda raw: parts.call(
        raw.get("name"), parts.arguments_of(raw.get("arguments")), identifier(raw, "call_id", "id")
    ),
    **dict.fromkeys(("tool_call_response", "tool_result", "function_call_output"), _tool_response),
    **dict.fromkeys(("blob", "binary"), _blob),
    "file": lambda raw: (
        parts.by_id(raw.get("file_id"), _modality(raw)) or _uri(raw) or (_blob(raw) if _mime_type(raw) else None)
    ),
    **dict.fromkeys(("uri", "image", "image_url", "image-url", "audio-url", "video-url", "document-url"), _uri),
}

#: Where the kinds above have their content.
_CONTENTS = frozenset(
    {"arguments", "content", "data", "file_id", "image_url", "name", "output", "response", "result", "text"}
    | {"thinking", "uri", "url", "source", "file", "summary", "reasoning"}
)
