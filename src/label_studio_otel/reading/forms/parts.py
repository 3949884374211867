"""Makes parts and messages from fields of any type, for all forms.

A function returns None if a field does not have the type that its part needs. The caller then tries another reader, or
keeps the value as an `UnknownPart`.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

from label_studio_otel.generation import (
    BlobPart,
    FilePart,
    Message,
    Part,
    ReasoningPart,
    RefusalPart,
    TextPart,
    ToolCallPart,
    ToolResponsePart,
    UnknownPart,
    UriPart,
)
from label_studio_otel.reading.attributes import as_text, decoded

_DATA_URL = re.compile(r"data:([^;,]*)(?:;[^;,]*)*?;base64,", re.IGNORECASE)
_FAMILIES = frozenset({"image", "audio", "video"})


def text(value: Any) -> TextPart | None:
    """Return a string as a text part, None for any other value."""
    return TextPart(value) if isinstance(value, str) else None


def reasoning(value: Any) -> ReasoningPart | None:
    """Return a string as a reasoning part, None for any other value."""
    return ReasoningPart(value) if isinstance(value, str) else None


def thoughts(value: Any) -> tuple[Part, ...]:
    """Return a string that is not empty as a thought, nothing for anything else."""
    return (ReasoningPart(value),) if isinstance(value, str) and value else ()


def refusal(value: Any) -> RefusalPart | None:
    """Return a string as a refusal part, None for any other value."""
    return RefusalPart(value) if isinstance(value, str) else None


def call(name: Any, arguments: Any, identifier: Any) -> ToolCallPart | None:
    """Return a tool call with these arguments, unchanged; None if the name is no string."""
    return ToolCallPart(name, arguments, as_text(identifier) or None) if isinstance(name, str) else None


def called(raw: Mapping[str, Any]) -> ToolCallPart | None:
    """Return a tool call in OpenAI's form: a function's, or a custom tool's, whose input is a text."""
    named = raw.get("function") or raw.get("custom") or raw
    if not isinstance(named, dict):
        return None
    arguments = arguments_of(named["arguments"]) if "arguments" in named else named.get("input")
    return call(named.get("name"), arguments, raw.get("id"))


def result(response: Any, identifier: Any) -> ToolResponsePart:
    """Return a tool result with this response, unchanged, and the id of its call."""
    return ToolResponsePart(response, as_text(identifier) or None)


def text_or_unknown(value: Any) -> Part:
    """Return a string as a text part, any other value as an `UnknownPart`."""
    return text(value) or UnknownPart(value)


def plain(content: Any) -> tuple[Part, ...]:
    """Return a content that is no list as its one part; no part for None."""
    return () if content is None else (text_or_unknown(content),)


def prompts(texts: Iterable[str]) -> tuple[Message, ...]:
    """Return texts that were given to a completion model, each as a message of the user."""
    return tuple(Message("user", (TextPart(one),)) for one in texts)


def part_by_type(
    raw: Any,
    readers: Mapping[str, Callable[[Mapping[str, Any]], Part | None]],
    otherwise: Callable[[Any], Part] = UnknownPart,
) -> Part:
    """Return a part whose kind is in the key `type`.

    `otherwise` reads an object whose type has no reader, or whose reader returned None.
    """
    if isinstance(raw, str):
        return TextPart(raw)
    kind = raw.get("type") if isinstance(raw, dict) else None
    reader = readers.get(kind) if isinstance(kind, str) else None
    return (reader(raw) if reader else None) or otherwise(raw)


def arguments_of(value: Any) -> Any:
    """Return the arguments of a tool call, decoded if they are JSON of an object or a list, else unchanged."""
    found = decoded(value)
    return found if isinstance(found, (dict, list)) else value


def joined_texts(content: Any, part_of: Callable[[Any], Part]) -> Any:
    """Return a list of nothing but texts as one text, as the model reads a tool result; any other content unchanged."""
    parts = [part_of(raw) for raw in content] if isinstance(content, list) else []
    texts = [part.content for part in parts if isinstance(part, TextPart)]
    return "".join(texts) if texts and len(texts) == len(parts) else content


def are_all(parts: Sequence[Part], kind: type[Part]) -> bool:
    """Return whether there are parts, and all are of one kind."""
    return bool(parts) and isinstance(parts[0], kind) and all(isinstance(part, kind) for part in parts)


def message(role: str, parts: tuple[Part, ...], name: Any = None) -> Message:
    """Return a message; its role is `tool` if it contains only tool results, whatever role is given."""
    if are_all(parts, ToolResponsePart):
        role = "tool"
    return Message(role, parts, name if isinstance(name, str) and name else None)


def with_calls(content: Iterable[Part], calls: Iterable[Part]) -> Iterator[Part]:
    """Yield the content, then the calls; a call that is in both is yielded once, at its place in the content.

    LangChain has a call twice: in the provider's block, whose arguments are empty after a stream, and in its own form.
    What is yielded is the one in `calls`.
    """
    waiting = list(calls)
    by_id = {call.id: call for call in waiting if isinstance(call, ToolCallPart) and call.id}
    for part in content:
        if isinstance(part, ToolCallPart) and part.id in by_id:
            yield by_id.pop(part.id)
        else:
            yield part
    yield from (call for call in waiting if not isinstance(call, ToolCallPart) or not call.id or call.id in by_id)


def by_reference(uri: Any, modality: str, mime_type: Any = "") -> BlobPart | UriPart | None:
    """Return the part for a link; a data URL in base64 becomes inline media. None if it is no text."""
    if not isinstance(uri, str) or not uri:
        return None
    header = _DATA_URL.match(uri[:200])
    mime_type = mime_type if isinstance(mime_type, str) else ""
    if header is None:
        return UriPart(modality, uri, mime_type)
    mime_type = header[1] or mime_type
    return BlobPart(family_of(mime_type, modality), mime_type, uri[header.end() :])


def inline(content: Any, mime_type: Any, modality: str) -> BlobPart | UriPart | None:
    """Return the part for base64 or for a data URL, which some write in its place. None if it is no text."""
    if not isinstance(content, str) or not content:
        return None
    if content.startswith("data:"):
        return by_reference(content, modality, mime_type)
    mime_type = mime_type if isinstance(mime_type, str) else ""
    return BlobPart(family_of(mime_type, modality), mime_type, content)


def by_id(file_id: Any, modality: str) -> FilePart | None:
    """Return the part for media that the provider keeps under an id. None if there is no id."""
    return FilePart(modality, file_id) if isinstance(file_id, str) and file_id else None


def family_of(mime_type: str, modality: str = "file") -> str:
    """Return the modality of media by their type, else the one that is given."""
    family = mime_type.partition("/")[0]
    return family if family in _FAMILIES else modality
