"""Lists that an instrumentation wrote one attribute for each field: `gen_ai.prompt.0.role`, `gen_ai.prompt.1.role`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["indexed", "repair_first"]

_DIGITS = 9  # an index that no list reaches, and no work to read


def indexed(attributes: Mapping[str, Any], prefix: str) -> dict[int, dict[str, Any]]:
    """Return the items of such a list by index, in order, each as a dictionary of its fields. Indices may be missing.

    Args:
        attributes: of the span, or the fields of an item that contains a list itself.
        prefix: the beginning of the attributes' names, with the dot before the index.
    """
    found: dict[int, dict[str, Any]] = {}
    for name, value in attributes.items():
        if name.startswith(prefix):
            index, _, field = name[len(prefix) :].partition(".")
            if _is_index(index):
                found.setdefault(int(index), {})[field] = value
    return dict(sorted(found.items()))


def repair_first(messages: dict[int, dict[str, Any]], role: str, content: str) -> None:
    """Add the missing role of the oldest message; remove the message if its role is unclear.

    The SDK may have dropped attributes of that message.

    Args:
        messages: by index, in order; changed in place.
        role: name of the field for the role.
        content: name of the field for the text.
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
