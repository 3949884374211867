"""Decodes the value of an attribute, which may be JSON, JSON in JSON, a Python `repr`, bytes or a structured value."""

from __future__ import annotations

from typing import Any

from label_studio_otel.reading.attributes import json_of
from label_studio_otel.reading.python_repr import literal_of
from label_studio_otel.reading.truncated_json import beginning_of

__all__ = ["text_of", "unwrapped", "whole"]

_BEGINNINGS = ("{", "[", '"')
_OBJECTS = ("{", "[{", "[[")


def text_of(value: Any) -> Any:
    """Return bytes as a text, anything else unchanged."""
    return value.decode("utf-8", "replace") if isinstance(value, (bytes, bytearray)) else value


def whole(text: str) -> dict[str, Any] | list[Any] | None:
    """Return the object or list that a text holds as JSON, as JSON in JSON or as `repr`; None if it holds neither."""
    if text.lstrip()[:1] not in _BEGINNINGS:
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
    if found is not None or not text.startswith(_OBJECTS):
        return text if found is None else found, False
    return beginning_of(text), True
