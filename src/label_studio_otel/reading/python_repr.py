"""Reads values that an instrumentation wrote with Python's `repr` in place of JSON."""

from __future__ import annotations

import ast
import re
from typing import Any

__all__ = ["literal_of", "literals_of"]

_TOKEN = re.compile(r"""'[^'\\]*(?:\\.[^'\\]*)*'|"[^"\\]*(?:\\.[^"\\]*)*"|[{}]""", re.DOTALL)


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
