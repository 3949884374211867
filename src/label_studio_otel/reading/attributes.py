"""Helpers for values of any type: each returns a value of the type that its name says, or an empty value."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

#: 2^53: JSON's readers lose digits of what is above.
MAX_COUNT = 1 << 53


def as_text(value: Any) -> str | None:
    """Return the value if it is a string, else None."""
    return value if isinstance(value, str) else None


def as_dict(value: Any) -> dict[str, Any]:
    """Return the value if it is a dictionary, else an empty one."""
    return value if isinstance(value, dict) else {}


def as_list(value: Any) -> list[Any]:
    """Return the value if it is a list; a tuple as a list; an empty list for anything else."""
    return value if isinstance(value, list) else list(value) if isinstance(value, tuple) else []


def json_of(text: str) -> Any:
    """Return the decoded value of a JSON text; None for invalid JSON or JSON that is nested too deeply for Python."""
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return None


def decoded(value: Any) -> Any:
    """Return the decoded value of a JSON text, None for a text that is not JSON; anything but a text unchanged."""
    return json_of(value) if isinstance(value, str) else value


def index_of(value: Any) -> int:
    """Return the `index` of an object, 0 if it has none."""
    index = as_dict(value).get("index")
    return index if isinstance(index, int) else 0


def objects_of(value: Any) -> tuple[dict[str, Any], ...]:
    """Return the dictionaries in a list. The list and each of its items may also be JSON texts."""
    items = decoded(value)
    if not isinstance(items, (list, tuple)):
        return ()
    return tuple(item for item in map(decoded, items) if isinstance(item, dict))


def identifier(fields: Mapping[str, Any], *names: str) -> str | None:
    """Return the first of these fields whose value is a string that is not empty; None if there is none."""
    for name in names:
        value = fields.get(name)
        if isinstance(value, str) and value:
            return value
    return None


def first_text(attributes: Mapping[str, Any], *names: str) -> str | None:
    """Return the first of these attributes that is a number or a non-empty string, as a string; None for none."""
    for name in names:
        value = attributes.get(name)
        if isinstance(value, str) and value:
            return value
        if isinstance(value, (int, float)) and not isinstance(value, bool):
            return str(value)
    return None


def first_json_text(attributes: Mapping[str, Any], *names: str) -> str | None:
    """Return what `first_text` does, for attributes that hold JSON; a text that is not JSON is taken as it is."""
    for name in names:
        value = attributes.get(name)
        if isinstance(value, str) and value[:1] in ('"', "[", "{"):
            found = json_of(value)
            # A text of which a quote was cut says nothing.
            value = value if found is None and value[0] != '"' else found
        elif value in ("null", "true", "false"):
            continue
        if value is not None and (text := first_text({name: value}, name)):
            return text
    return None


def first_integer(attributes: Mapping[str, Any], *names: str) -> int | None:
    """Return the first of these attributes that is a count; None if there is none.

    A count is a whole number from 0 to `MAX_COUNT`; a text or a boolean is none.
    """
    for name in names:
        value = attributes.get(name)
        if value is None or isinstance(value, bool) or not isinstance(value, (int, float)):
            continue
        if 0 <= value <= MAX_COUNT and value == int(value):
            return int(value)
    return None


def string_list(value: Any) -> tuple[str, ...]:
    """Return the strings in a list. The list may also be a JSON text."""
    if isinstance(value, str) and not value.startswith("["):
        return ()  # an error of the JSON decoder takes longer than all else
    return tuple(item for item in as_list(decoded(value)) if isinstance(item, str))
