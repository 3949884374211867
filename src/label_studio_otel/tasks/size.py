"""What Label Studio can hold: characters that PostgreSQL takes, and tasks of a bounded size."""

from __future__ import annotations

import json
import math
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

__all__ = ["clean", "clean_number", "cut", "fit", "json_size"]

#: Below this, a string says too little: there are too many of them, and some must go.
MIN_STRING = 400

_REPLACEMENT = "\ufffd"


def clean(value: Any) -> Any:
    """Return JSON data as PostgreSQL takes it: U+FFFD for NUL and lone surrogates, text for NaN and Infinity."""
    if isinstance(value, str):
        return _clean_text(value)
    if isinstance(value, dict):
        return {_clean_text(key): clean(item) for key, item in value.items()}
    if isinstance(value, list):
        return [clean(item) for item in value]
    return clean_number(value)


def clean_number(value: Any) -> Any:
    """Return a number that JSON has; others as text, anything else as it is."""
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    if isinstance(value, int) and value.bit_length() > 1_000:
        # Python refuses to write integers of more than 4,300 digits in decimals.
        return hex(value)
    return value


def _clean_text(text: str) -> str:
    if not text.isascii():
        try:
            text.encode()
        except UnicodeEncodeError:
            # Through UTF-16 a pair of surrogates becomes its character, only a lone one is replaced.
            text = text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")
    return text.replace("\0", _REPLACEMENT) if "\0" in text else text


def json_size(value: Any) -> int:
    """Return the length of a value's JSON in UTF-8."""
    return len(json.dumps(value, ensure_ascii=False).encode())


def fit(value: Any, max_bytes: int, shorten: Callable[[str, int], str], *, min_string: int = MIN_STRING) -> Any:
    """Return JSON data with its longest strings shortened so that it fits, None where they would become too short.

    `shorten` returns a text whose JSON has at most so many bytes; no string is left fewer than `min_string`.
    """
    sizes = sorted(json_size(text) for text in _strings(value))
    room = max_bytes - (json_size(value) - sum(sizes))
    for index, size in enumerate(sizes):
        share = room // (len(sizes) - index)
        if size > share:
            return _map_strings(value, share, shorten) if share >= min_string else None
        room -= size
    return value


def _strings(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for item in value.values():
            yield from _strings(item)
    elif isinstance(value, list):
        for item in value:
            yield from _strings(item)


def _map_strings(value: Any, limit: int, shorten: Callable[[str, int], str]) -> Any:
    if isinstance(value, str):
        # A character takes at most six bytes in JSON.
        return shorten(value, limit) if len(value) * 6 + 2 > limit and json_size(value) > limit else value
    if isinstance(value, dict):
        return {key: _map_strings(item, limit, shorten) for key, item in value.items()}
    if isinstance(value, list):
        return [_map_strings(item, limit, shorten) for item in value]
    return value


def cut(text: str, max_bytes: int) -> str:
    """Return a text's beginning and end with a visible note between them, its JSON at most so many bytes long."""
    kept = max(0, len(text) * max_bytes // json_size(text))
    while True:
        head = kept * 2 // 3
        tail = kept - head
        note = f"\n[… {len(text) - kept:,} of {len(text):,} characters cut …]\n"
        shortened = text[:head] + note + (text[-tail:] if tail else "")
        if not kept or json_size(shortened) <= max_bytes:
            return shortened
        kept = kept * 9 // 10 if kept > 10 else 0
