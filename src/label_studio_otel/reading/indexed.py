"""Lists that an instrumentation wrote flat, one attribute a field: `gen_ai.prompt.0.role`, `gen_ai.prompt.1.role`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["indexed", "repair_first"]

_DIGITS = 9  # an index that no list reaches, and no work to read


def indexed(attributes: Mapping[str, Any], prefix: str) -> dict[int, dict[str, Any]]:
    """Return the fields of each item below `prefix`, in the order of the indices; indices may be missing.

    Args:
        attributes: where to look; items of items are read by a second call.
        prefix: with the dot before the index.
    """
    found: dict[int, dict[str, Any]] = {}
    for name, value in attributes.items():
        if name.startswith(prefix):
            index, _, field = name[len(prefix) :].partition(".")
            if _is_index(index):
                found.setdefault(int(index), {})[field] = value
    return dict(sorted(found.items()))


def repair_first(messages: dict[int, dict[str, Any]], role: str, content: str) -> None:
    """Complete the oldest message, of which the SDK can have evicted attributes; remove it where its role is not clear.

    Args:
        messages: in the order of the indices.
        role: the field that says who spoke.
        content: the field that holds the text.
    """
    if not messages:
        return
    first, *later = messages
    fields = messages[first]
    if role in fields:
        if len(fields) == 1:
            del messages[first]
        return
    following = messages[later[0]].get(role) if later else None
    if content in fields and isinstance(following, str) and following in _BEFORE:
        fields[role] = _BEFORE[following]
    else:
        del messages[first]


#: Who spoke before; a role that can follow several is not here.
_BEFORE = {"user": "assistant", "assistant": "user"}


def _is_index(text: str) -> bool:
    return text.isascii() and text.isdecimal() and len(text) <= _DIGITS
