"""Typed access to values that an emitter wrote: each helper returns the type that its name says, or an empty value."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = [
    "MAX_COUNT",
    "as_dict",
    "as_list",
    "as_text",
    "decoded",
    "first_integer",
    "first_text",
    "identifier",
    "integer",
    "json_of",
    "objects_of",
    "string_list",
]

#: 2^53: JSON's readers lose digits of what is above.
MAX_COUNT = 1 << 53


def as_text(value: Any) -> str | None:
    """Return a string, None for anything else."""
    return value if isinstance(value, str) else None


def as_dict(value: Any) -> dict[str, Any]:
    """Return an object, an empty one for anything else."""
    return value if isinstance(value, dict) else {}


def as_list(value: Any) -> list[Any]:
    """Return a list, also of a tuple; an empty one for anything else."""
    return value if isinstance(value, list) else list(value) if isinstance(value, tuple) else []


def json_of(text: str) -> Any:
    """Return the value of a JSON text, None where it is no JSON or nested beyond the interpreter's depth."""
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return None


def decoded(value: Any) -> Any:
    """Return the value of a JSON text, None where a text is no JSON; what is no text is returned as it is."""
    return json_of(value) if isinstance(value, str) else value


def objects_of(value: Any) -> tuple[dict[str, Any], ...]:
    """Return the objects of a list, or of the JSON of a list; each item can be JSON, too."""
    items = decoded(value)
    if not isinstance(items, (list, tuple)):
        return ()
    return tuple(item for item in map(decoded, items) if isinstance(item, dict))


def identifier(fields: Mapping[str, Any], *names: str) -> str | None:
    """Return the first of these fields that is a string and not empty."""
    for name in names:
        value = fields.get(name)
        if isinstance(value, str) and value:
            return value
    return None


def first_text(attributes: Mapping[str, Any], *names: str) -> str | None:
    """Return the first of these attributes that is a number or a string that is not empty, as a string."""
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
    for name in names:
        count = integer(attributes, name)
        if count is not None:
            return count
    return None


def string_list(value: Any) -> tuple[str, ...]:
    """Return the strings of a list, or of the JSON of a list."""
    if isinstance(value, str) and not value.startswith("["):
        return ()  # an error of the JSON decoder takes longer than all else
    return tuple(item for item in as_list(decoded(value)) if isinstance(item, str))
