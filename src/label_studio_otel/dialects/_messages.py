"""Messages in the JSON form of OpenTelemetry's GenAI conventions, as instrumentations really write it.

The schemas are gen-ai-input-messages.json and gen-ai-output-messages.json
(https://github.com/open-telemetry/semantic-conventions/tree/v1.37.0/docs/gen-ai). What was met beyond them:

- OpenLLMetry writes the role of a streamed answer as "unknown", an empty answer as `parts: []`, a data URL as `uri`,
  and a tool call of Anthropic or of OpenAI's Responses API twice: as `tool_call` and as a text, the JSON of its block;
- Pydantic AI says `thinking` for `reasoning`, `result` for `response`, `binary`/`media_type` for `blob`/`mime_type`,
  and writes tool arguments as a JSON string;
- LiteLLM leaves `tool_calls` beside `parts`, and parts in OpenAI's own form;
- a length limit of the SDK cuts the JSON in the middle, without a mark.

Nothing is dropped: a part or message that nobody knows becomes an `UnknownPart`, text that is no JSON stays text.
"""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any

from label_studio_otel.dialects._attributes import json_of
from label_studio_otel.generation import (
    BlobPart,
    Message,
    Part,
    ReasoningPart,
    TextPart,
    ToolCallPart,
    ToolResponsePart,
    UnknownPart,
    UriPart,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

__all__ = ["message_of", "part_of", "split"]

_CUT_LIST = re.compile(r'\[\s*\{\s*"\w+"\s*:')
_SEPARATORS = re.compile(r"[\s,]*")
_ROLE = re.compile(r'\{\s*"role"\s*:\s*"(\w+)"')


def split(value: Any) -> tuple[list[Any], str, bool]:
    """Take a list of messages or parts apart: its items, the text after them that is no JSON, and whether it was cut.

    Raises:
        TypeError: neither text nor structured.
    """
    if isinstance(value, str):
        decoded = json_of(value)
        if not isinstance(decoded, (list, dict)):
            return _whole_items(value) if _CUT_LIST.match(value) else ([], value, False)
        value = decoded
    if isinstance(value, dict):
        return [value], "", False
    if isinstance(value, (list, tuple)):
        # An attribute can be an array of strings, each the JSON of one message.
        return [_decoded_object(item) for item in value], "", False
    raise TypeError(type(value).__name__)


def _whole_items(text: str) -> tuple[list[Any], str, bool]:
    """Return what is whole in a JSON list that a length limit cut, and the rest."""
    decoder = json.JSONDecoder()
    items: list[Any] = []
    position = 1
    while True:
        start = _SEPARATORS.match(text, position).end()  # type: ignore[union-attr]  # it matches nothing, too
        try:
            item, position = decoder.raw_decode(text, start)
        except (ValueError, RecursionError):
            return items, text[start:] if items else text, True
        items.append(item)


def _decoded_object(item: Any) -> Any:
    if not isinstance(item, str):
        return item
    decoded = json_of(item)
    return decoded if isinstance(decoded, dict) else item


def message_of(raw: Any, default_role: str) -> Message:
    """Read one message; a text becomes a message of the default role."""
    if isinstance(raw, str):
        found = _ROLE.match(raw.removeprefix("["))
        return Message(found[1] if found else default_role, (TextPart(raw),))
    if not isinstance(raw, dict):
        return Message(default_role, (UnknownPart(raw),))
    role, name = raw.get("role"), raw.get("name")
    return Message(
        role if isinstance(role, str) and role else default_role,
        _without_echoes(tuple(_parts(raw))),
        name if isinstance(name, str) and name else None,
    )


def _parts(raw: Mapping[str, Any]) -> Iterator[Part]:
    content = raw.get("parts", raw.get("content"))
    calls = raw.get("tool_calls")
    if isinstance(content, list):
        yield from map(part_of, content)
    elif isinstance(content, str):
        yield TextPart(content)
    elif content is not None or not calls:
        yield UnknownPart(raw)
    if isinstance(calls, list):
        yield from (
            _tool_call(call) or UnknownPart(call) if isinstance(call, dict) else UnknownPart(call) for call in calls
        )


def _without_echoes(parts: tuple[Part, ...]) -> tuple[Part, ...]:
    """Drop the texts that are the JSON of a tool call's block, where the same message has that call."""
    calls = {part.id for part in parts if isinstance(part, ToolCallPart) and part.id}
    return tuple(part for part in parts if not _echoes(part, calls)) if calls else parts


def _echoes(part: Part, calls: set[str]) -> bool:
    if not isinstance(part, TextPart) or not part.content.startswith("{"):
        return False
    block = json_of(part.content)
    if not isinstance(block, dict) or block.get("type") not in {"tool_use", "function_call"}:
        return False
    identifier = block.get("call_id", block.get("id"))
    return isinstance(identifier, str) and identifier in calls


def part_of(raw: Any) -> Part:
    """Read one part of a message; one of a kind we do not know, or not in its kind's form, is kept as it came."""
    if isinstance(raw, str):
        return TextPart(raw)
    kind = raw.get("type") if isinstance(raw, dict) else None
    reader = _READERS.get(kind) if isinstance(kind, str) else None
    return (reader(raw) if reader else None) or UnknownPart(raw)


def _text(raw: Mapping[str, Any]) -> Part | None:
    text = raw.get("content", raw.get("text"))
    return TextPart(text) if isinstance(text, str) else None


def _reasoning(raw: Mapping[str, Any]) -> Part | None:
    text = raw.get("content", raw.get("thinking"))
    return ReasoningPart(text) if isinstance(text, str) else None


def _tool_call(raw: Mapping[str, Any]) -> Part | None:
    function = raw.get("function")
    call = function if isinstance(function, dict) else raw
    name, arguments = call.get("name"), call.get("arguments")
    if not isinstance(name, str):
        return None
    if isinstance(arguments, str):
        decoded = json_of(arguments)
        arguments = decoded if isinstance(decoded, (dict, list)) else arguments
    return ToolCallPart(name, arguments, _identifier(raw))


def _tool_response(raw: Mapping[str, Any]) -> Part | None:
    for key in ("response", "result"):
        if key in raw:
            return ToolResponsePart(raw[key], _identifier(raw))
    return None


def _identifier(raw: Mapping[str, Any]) -> str | None:
    value = raw.get("id")
    return value if isinstance(value, str) and value else None


def _blob(raw: Mapping[str, Any]) -> Part | None:
    content = raw.get("content", raw.get("data"))
    mime_type = raw.get("mime_type") or raw.get("media_type") or ""
    if not isinstance(content, str) or not isinstance(mime_type, str):
        return None
    return _inline(content, raw, mime_type) or BlobPart(_modality(raw, mime_type), mime_type, content)


def _uri(raw: Mapping[str, Any]) -> Part | None:
    uri = raw.get("uri") or raw.get("url") or raw.get("image_url")
    if isinstance(uri, dict):
        uri = uri.get("url")
    mime_type = raw.get("mime_type") or raw.get("media_type") or ""
    if not isinstance(uri, str) or not isinstance(mime_type, str):
        return None
    return _inline(uri, raw, mime_type) or UriPart(_modality(raw, mime_type), uri, mime_type)


def _inline(uri: str, raw: Mapping[str, Any], mime_type: str) -> BlobPart | None:
    """Read a data URL in base64 as the media that it holds."""
    if not uri.startswith("data:"):
        return None
    header, _, content = uri[5:].partition(",")
    declared, *parameters = header.split(";")
    if "base64" not in parameters:
        return None
    mime_type = declared or mime_type
    return BlobPart(_modality(raw, mime_type), mime_type, content)


def _modality(raw: Mapping[str, Any], mime_type: str) -> str:
    modality = raw.get("modality")
    if isinstance(modality, str) and modality:
        return modality
    family = mime_type.partition("/")[0]
    if family in {"image", "audio", "video"}:
        return family
    return "image" if str(raw.get("type")).startswith("image") else "file"


_READERS: dict[str, Callable[[Mapping[str, Any]], Part | None]] = {
    "text": _text,
    "reasoning": _reasoning,
    "thinking": _reasoning,
    "tool_call": _tool_call,
    "tool_call_response": _tool_response,
    "blob": _blob,
    "binary": _blob,
    "uri": _uri,
    "image": _uri,
    "image_url": _uri,
    "image-url": _uri,
}
