"""Reads the beginning of JSON that a length limit cut.

The SDK cuts a long attribute at a number of characters, at any place and without a mark
(https://opentelemetry.io/docs/specs/otel/common/#attribute-limits).
"""

from __future__ import annotations

import re
from typing import Any

from label_studio_otel.reading.attributes import json_of

_SIGN = re.compile(r'"[^"\\]*(?:\\.[^"\\]*)*(?P<end>"?)|[\[\]{}:,]|[^\s"\[\]{}:,]+', re.DOTALL)
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
    """Return the value of the beginning of a JSON text; None if nothing can be read.

    A text at the end is kept up to the cut. What is useless in part is left out: numbers, keys, names, ids and types.
    """
    scan = _Scan(text)
    for match in _SIGN.finditer(text):
        if not scan.take(match):
            break
    return json_of(scan.closed())


class _Scan:
    """Reads token after token, and keeps the open brackets and the end of the last value that can be kept."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._open: list[str] = []
        self._key = ""
        self._is_key = False
        self._kept = ""
        self._whole = 0

    def closed(self) -> str:
        """Return the text up to the end of the last value that can be kept, with all open brackets closed."""
        return self._text[: self._whole] + self._kept + "".join(reversed(self._open))

    def take(self, match: re.Match[str]) -> bool:
        """Read one token; return False if the text is not JSON."""
        sign = match[0]
        if sign in _CLOSING:
            self._open.append(_CLOSING[sign])
            self._key, self._is_key, self._whole = "", sign == "{", match.end()
        elif sign in _CLOSING.values():
            if not self._open or self._open.pop() != sign:
                return False
            self._key, self._whole = "", match.end()
        elif sign in (",", ":"):
            self._is_key = sign == "," and self._open[-1:] == ["}"]
        elif self._is_key:
            self._key = sign.strip('"')
        else:
            self._value(match)
        return True

    def _value(self, match: re.Match[str]) -> None:
        sign = match[0]
        is_text = sign[0] == '"'
        # A word is whole at the very end, too; a number may go on.
        if match["end"] if is_text else sign in ("true", "false", "null") or match.end() < len(self._text):
            self._whole = match.end()
        elif is_text and self._key not in _NAMES:
            beginning = _WHOLE_ESCAPES.match(sign)
            self._whole = match.start()
            self._kept = (beginning[0] if beginning else '"') + '"'
