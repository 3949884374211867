"""Values that an instrumentation wrote with Python's `str`, where JSON was meant."""

from __future__ import annotations

from typing import Any

__all__ = ["literal_of"]


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
