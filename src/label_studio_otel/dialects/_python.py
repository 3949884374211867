"""Values that an instrumentation wrote with Python's `str`, where JSON was meant."""

from __future__ import annotations

import re
from typing import Any

__all__ = ["literal_of", "literals_of"]

_TOKEN = re.compile(r"""'[^'\\]*(?:\\.[^'\\]*)*'|"[^"\\]*(?:\\.[^"\\]*)*"|[{}]""", re.DOTALL)


def literal_of(text: str) -> Any:
    """Return the list or dictionary that a `repr` shows, None where it shows none or what no literal can say."""
    if text[:1] not in ("{", "["):
        return None
    import ast  # only few calls need it

    try:
        value = ast.literal_eval(text)
    except (ValueError, SyntaxError, MemoryError, RecursionError):
        return None
    return value if isinstance(value, (dict, list)) else None


def literals_of(text: str) -> list[dict[str, Any]] | None:
    """Return the dictionaries of which a text is made, one `repr` joined to the next; None where it is not."""
    found: list[dict[str, Any]] = []
    start = depth = 0
    for match in _TOKEN.finditer(text):
        depth += {"{": 1, "}": -1}.get(match[0], 0)
        if match[0] != "}" or depth:
            continue
        value = literal_of(text[start : match.end()])
        if not isinstance(value, dict):
            return None
        found.append(value)
        start = match.end()
    return found if found and start == len(text) else None
