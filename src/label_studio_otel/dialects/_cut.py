"""JSON that a length limit cut: what can be read of it.

The SDK cuts a long attribute at a number of characters, anywhere and without a mark
(https://opentelemetry.io/docs/specs/otel/common/#attribute-limits).
"""

from __future__ import annotations

import re
from typing import Any

from label_studio_otel.dialects._attributes import json_of

__all__ = ["beginning_of"]

_TOKEN = re.compile(r'"[^"\\]*(?:\\.[^"\\]*)*(?P<end>"?)|[\[\]{}:,]|[^\s"\[\]{}:,]+', re.DOTALL)
#: A string's beginning up to half an escape, or half an emoji.
_WHOLE_ESCAPES = re.compile(
    r'"[^\\]*(?:(?:\\[^u]|\\u(?![dD][89abAB])[0-9a-fA-F]{4}|\\u[dD][89abAB][0-9a-fA-F]{2}'
    r"(?:\\u[dD][c-fC-F][0-9a-fA-F]{2}|(?=[^\\]|\\[^u])))[^\\]*)*",
    re.DOTALL,
)
_CLOSING = {"[": "]", "{": "}"}

#: Values that mean something only when they are whole.
_NAMES = frozenset(
    {"finish_reason", "id", "media_type", "mime_type", "modality", "model", "model_name", "name", "role"}
    | {"tool_call_id", "toolUseId", "type"}
)


def beginning_of(text: str) -> Any:
    """Return what the beginning of a JSON text says: a text that is cut stays with what is there of it.

    Half a name, number, key or identifier is left out. None where nothing can be read.
    """
    return json_of(_closed(text))


def _closed(text: str) -> str:
    """Close what is open, behind the last value that is whole or is a text's beginning."""
    open_: list[str] = []
    key, is_key, whole = "", False, 0
    for match in _TOKEN.finditer(text):
        token = match[0]
        if token in _CLOSING:
            open_.append(_CLOSING[token])
            key, is_key, whole = "", token == "{", match.end()
        elif token in ("]", "}"):
            if not open_ or open_.pop() != token:
                break
            key, whole = "", match.end()
        elif token == ",":
            is_key = open_[-1:] == ["}"]
        elif token == ":":
            is_key = False
        elif is_key:
            key = token.strip('"')
        elif token[0] != '"':
            # A number at the end may go on.
            whole = match.end() if match.end() < len(text) or token in ("true", "false", "null") else whole
        elif match["end"]:
            whole = match.end()
        elif key not in _NAMES:
            beginning = _WHOLE_ESCAPES.match(token)
            return text[: match.start()] + (beginning[0] if beginning else '"') + '"' + "".join(reversed(open_))
    return text[:whole] + "".join(reversed(open_))
