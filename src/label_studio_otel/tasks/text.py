"""Messages as text and HTML for labelers: Label Studio's Community edition shows text, so each part becomes text."""

from __future__ import annotations

import base64
import binascii
import hashlib
import html
import json
import re
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from label_studio_otel import generation
from label_studio_otel.tasks.size import sanitize_number

_ENCODED = re.compile(r"(?:data:[\w.+/;=-]+,)?[A-Za-z0-9+/_-]+={0,2}")


def transcript(messages: Iterable[generation.Message]) -> str:
    """Return a conversation as text, each message under its role."""
    return "\n\n".join(f"{_speaker(message)}:\n{message_text(message)}" for message in messages)


def message_html(messages: Iterable[generation.Message]) -> str:
    """Return a conversation as HTML; the texts of the messages are escaped."""
    return "\n".join(
        f"<h4>{html.escape(_speaker(message))}</h4>\n{preformatted(message_text(message))}" for message in messages
    )


def preformatted(text: str) -> str:
    """Return a text as HTML, its newlines and indentation kept."""
    return f'<pre style="white-space: pre-wrap">{html.escape(text)}</pre>'


def anchor(url: str) -> str:
    """Return a link as HTML; it opens in a new tab, so that an edit in the labeler's tab is not lost."""
    shown = html.escape(url)
    return f'<a href="{shown}" target="_blank" rel="noopener noreferrer">{shown}</a>' if url else ""


def _speaker(message: generation.Message) -> str:
    role = message.role[:1].upper() + message.role[1:]
    return f"{role} ({message.name})" if message.name else role


def message_text(message: generation.Message) -> str:
    """Return a message as text, with an empty line between its parts."""
    return "\n\n".join(map(part_text, message.parts))


def response_text(choice: generation.Choice) -> str:
    """Return the text that the labeler edits: the answer without the reasoning, unless there is nothing else."""
    parts = [part for part in choice.message.parts if not isinstance(part, generation.ReasoningPart)]
    return "\n\n".join(map(part_text, parts or choice.message.parts))


def part_text(part: generation.Part) -> str:
    """Return a part as text, media as a note."""
    if isinstance(part, generation.TextPart):
        return part.content
    if isinstance(part, generation.ReasoningPart):
        return f"[reasoning]\n{part.content}"
    if isinstance(part, generation.RefusalPart):
        return f"[refusal]\n{part.content}"
    if isinstance(part, generation.ToolCallPart):
        return _headed(f"[tool call: {part.name}{_reference(part.id)}]", part.arguments)
    if isinstance(part, generation.ToolResponsePart):
        return _headed(f"[tool response{_reference(part.id)}]", part.response, _short_base64)
    if isinstance(part, generation.BlobPart):
        return media_note(part)
    if isinstance(part, generation.UriPart):
        return f"[{part.modality}: {_short(part.uri)}]"
    if isinstance(part, generation.FilePart):
        return f"[{part.modality}: {part.file_id}]"
    return _indented(part.raw, _short_base64)


def _reference(identifier: str | None) -> str:
    return f", id {identifier}" if identifier else ""


def _headed(head: str, value: Any, text: Callable[[str], str] = str) -> str:
    if value is None:
        return head
    return f"{head}\n{text(value) if isinstance(value, str) else _indented(value, text)}"


def media_note(part: generation.BlobPart) -> str:
    """Return a note in place of inline media, which a text cannot show: their type, size and hash."""
    content = blob_bytes(part)
    digest = hashlib.sha256(content).hexdigest()[:12]
    return f"[{part.modality}: {part.mime_type or 'unknown type'}, {_size(len(content))}, sha256 {digest}…]"


def blob_bytes(part: generation.BlobPart) -> bytes:
    """Return the bytes of inline media; those of the text itself where it is no base64."""
    try:
        return base64.b64decode(part.content)
    except (binascii.Error, ValueError):
        return part.content.encode("utf-8", "replace")


def _size(count: int) -> str:
    if count < 1000:
        return f"{count} bytes"
    return f"{count / 1000:.1f} KB" if count < 1_000_000 else f"{count / 1_000_000:.1f} MB"


def _short(uri: str) -> str:
    """Return a link unchanged, but of a data URL only its first characters and its size."""
    return f"{uri[:40]}… ({_size(len(uri))})" if uri.startswith("data:") and len(uri) > 100 else uri


def _indented(value: Any, text: Callable[[str], str]) -> str:
    """Return a value as indented JSON; values that are no JSON or nested too deeply are replaced by a mark."""
    # Label Studio answers 500 to JSON of 2,000 levels.
    return json.dumps(_plain(value, 20, text), indent=2, ensure_ascii=False, allow_nan=False)


def _plain(value: Any, depth: int, text: Callable[[str], str]) -> Any:
    if isinstance(value, str):
        return text(value)
    if value is None or isinstance(value, (bool, int, float)):
        return sanitize_number(value)
    if isinstance(value, Mapping):
        return {str(key): _plain(item, depth - 1, text) for key, item in value.items()} if depth else "{…}"
    if isinstance(value, (list, tuple)):
        return [_plain(item, depth - 1, text) for item in value] if depth else "[…]"
    return f"<{type(value).__name__}>"


def _short_base64(text: str) -> str:
    """Return a text unchanged, but of a long base64 text, which nobody can read, only its first characters and size."""
    return f"{text[:40]}… ({_size(len(text))})" if len(text) > 2_000 and _ENCODED.fullmatch(text) else text
