"""What an attribute holds, whatever it is wrapped in: JSON, JSON in JSON, a Python `repr`, bytes, or nothing."""

from __future__ import annotations

from typing import Any

from label_studio_otel.reading.attributes import json_of
from label_studio_otel.reading.python_repr import literal_of
from label_studio_otel.reading.truncated_json import beginning_of

__all__ = ["unwrapped"]

_OBJECTS = ("{", "[{", "[[")


def unwrapped(value: Any) -> tuple[Any, bool]:
    """Return the value that an attribute holds, and whether it is only the beginning of one that a length limit cut.

    A text that holds no list and no object is returned as it came: a text can look like JSON.
    """
    if isinstance(value, (bytes, bytearray)):
        value = value.decode("utf-8", "replace")
    if not isinstance(value, str):
        return value, False
    found = json_of(value)
    if isinstance(found, str) and found.startswith(("{", "[")):  # JSON in JSON
        found = json_of(found)
    if isinstance(found, (dict, list)):
        return found, False
    if found is not None or not value.startswith(_OBJECTS):
        return value, False
    shown = literal_of(value)
    if shown is not None:
        return shown, False
    return beginning_of(value), True
