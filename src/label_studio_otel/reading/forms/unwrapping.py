"""Decodes the value of an attribute, which may be JSON, JSON in JSON, a Python `repr`, bytes or a structured value."""

from __future__ import annotations

import ast
import re
from typing import Any

from label_studio_otel.reading.attributes import json_of
from label_studio_otel.reading.truncated_json import beginning_of

_TOKEN = re.compile(r"""'[^'\\]*(?:\\.[^'\\]*)*'|"[^"\\]*(?:\\.[^"\\]*)*"|[{}]""", re.DOTALL)


def text_of(value: Any) -> Any:
    """Return bytes as a text, anything else unchanged."""
    return value.decode("utf-8", "replace") if isinstance(value, (bytes, bytearray)) else value


def whole(text: str) -> dict[str, Any] | list[Any] | None:
    """Return the object or list that a text holds as JSON, as JSON in JSON or as `repr`; None if it holds neither."""
    if text.lstrip()[:1] not in ("{", "[", '"'):
        return None  # an error of the JSON decoder takes longer than all else
    found = json_of(text)
    if isinstance(found, str) and found.startswith(("{", "[")):
        found = json_of(found)
    if found is None:
        found = literal_of(text)
    return found if isinstance(found, (dict, list)) else None


def unwrapped(value: Any) -> tuple[Any, bool]:
    """Return the value of an attribute, and whether a length limit cut it, so that only the beginning was read.

    A text that holds neither a list nor an object is returned unchanged, because any text can look like JSON.
    """
    text = text_of(value)
    if not isinstance(text, str):
        return value, False
    found = whole(text)
    if found is not None or not text.startswith(("{", "[{", "[[")):
        return text if found is None else found, False
    return beginning_of(text), True


def literal_of(text: str) -> Any:
    """Return the list or dictionary of a `repr`; None if the text is no `repr` of one, or contains other objects."""
    if text[:1] not in ("{", "["):
        return None
    try:
        value = ast.literal_eval(text)
    except (ValueError, SyntaxError, MemoryError, RecursionError):
        return None
    return value if isinstance(value, (dict, list)) else None


def literals_of(text: str) -> tuple[list[dict[str, Any]], str]:
    """Return the dictionaries at the beginning of a text, and the rest of the text.

    The text is one `repr` after the other, without anything between them.
    """
    found: list[dict[str, Any]] = []
    start = depth = 0
    for match in _TOKEN.finditer(text):
        if depth == 0 and match.start() != start:
            break
        depth += {"{": 1, "}": -1}.get(match[0], 0)
        if match[0] != "}" or depth:
            continue
        value = literal_of(text[start : match.end()])
        if not isinstance(value, dict):
            break
        found.append(value)
        start = match.end()
    return found, text[start:]
