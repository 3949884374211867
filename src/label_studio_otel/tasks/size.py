"""Makes JSON data that Label Studio can store: only characters that PostgreSQL accepts, and not too many bytes."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterator
from typing import Any


def sanitize(value: Any) -> Any:
    """Return JSON data that PostgreSQL accepts: U+FFFD for NUL and lone surrogates, text for NaN and Infinity."""
    if isinstance(value, str):
        return _sanitize_text(value)
    if isinstance(value, dict):
        return {_sanitize_text(key): sanitize(item) for key, item in value.items()}
    if isinstance(value, list):
        return [sanitize(item) for item in value]
    return sanitize_number(value)


def sanitize_number(value: Any) -> Any:
    """Return a number that JSON cannot have, or that is too long, as text; any other value unchanged."""
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    if isinstance(value, int) and value.bit_length() > 1_000:
        # Python refuses to write integers of more than 4,300 digits in decimals.
        return hex(value)
    return value


def _sanitize_text(text: str) -> str:
    if not text.isascii():
        try:
            text.encode()
        except UnicodeEncodeError:
            # UTF-16 makes one character of a pair of surrogates, so that only a lone surrogate is replaced.
            text = text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")
    return text.replace("\0", "\ufffd") if "\0" in text else text


def json_size(value: Any) -> int:
    """Return the length of a value's JSON in UTF-8."""
    return len(json.dumps(value, ensure_ascii=False).encode())


def shrink_to_fit(value: Any, max_bytes: int, shorten: Callable[[str, int], str], *, min_string: int = 400) -> Any:
    """Return JSON data of at most `max_bytes`, its longest strings shortened; None if they become too short.

    Args:
        max_bytes: limit of the JSON in UTF-8.
        shorten: returns a text of which the JSON has at most the given number of bytes.
        min_string: the fewest bytes of JSON that a shortened string may have; None is returned where they do not fit.
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


def truncate_middle(text: str, max_bytes: int) -> str:
    """Return the beginning and the end of a text with a note between them; its JSON has at most `max_bytes`."""
    kept = max(0, len(text) * max_bytes // json_size(text))
    while True:
        head = kept * 2 // 3
        tail = kept - head
        note = f"\n[… {len(text) - kept:,} of {len(text):,} characters cut …]\n"
        shortened = text[:head] + note + (text[-tail:] if tail else "")
        if not kept or json_size(shortened) <= max_bytes:
            return shortened
        kept = kept * 9 // 10 if kept > 10 else 0
