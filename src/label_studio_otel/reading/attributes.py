"""How far to trust an attribute: each helper gives the value in the type asked for, or None."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["MAX_COUNT", "first_integer", "first_text", "integer", "json_of", "string_list"]

#: 2^53: JSON's readers lose digits of what is above.
MAX_COUNT = 1 << 53


def first_text(attributes: Mapping[str, Any], *names: str) -> str | None:
    """Return the first of these attributes that says something, as text; numbers count, empty strings do not."""
    for name in names:
        value = attributes.get(name)
        if isinstance(value, str) and value:
            return value
        if isinstance(value, (int, float)) and not isinstance(value, bool):
            return str(value)
    return None


def integer(attributes: Mapping[str, Any], name: str) -> int | None:
    """Return a count; 0 is a count, text, booleans and what is below 0 or beyond a double's whole numbers are none."""
    value = attributes.get(name)
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 <= value <= MAX_COUNT:
        return None
    return int(value) if value == int(value) else None


def first_integer(attributes: Mapping[str, Any], *names: str) -> int | None:
    """Return the first of these attributes that is a count."""
    return next((count for name in names if (count := integer(attributes, name)) is not None), None)


def json_of(text: str) -> Any:
    """Return what a JSON text says, None where it is no JSON or nested beyond the interpreter's depth."""
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return None


def string_list(value: Any) -> tuple[str, ...]:
    """Return a list of strings from a list, or from a JSON text of one (Logfire writes finish reasons so)."""
    if isinstance(value, str):
        value = json_of(value)
    return tuple(item for item in value if isinstance(item, str)) if isinstance(value, (list, tuple)) else ()
