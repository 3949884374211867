"""Lists that an instrumentation wrote one attribute for each field: `gen_ai.prompt.0.role`, `gen_ai.prompt.1.role`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def indexed(attributes: Mapping[str, Any], prefix: str) -> dict[int, dict[str, Any]]:
    """Return the items of such a list by index, in order, each as a dictionary of its fields. Indices may be missing.

    `prefix` ends in the dot before the index. A list within an item is read by a call with the fields of the item.
    """
    found: dict[int, dict[str, Any]] = {}
    for name, value in attributes.items():
        if name.startswith(prefix):
            index, _, field = name[len(prefix) :].partition(".")
            if index.isascii() and index.isdecimal() and len(index) < 10:  # no list is longer
                found.setdefault(int(index), {})[field] = value
    return dict(sorted(found.items()))


def repair_first(messages: dict[int, dict[str, Any]], role: str, content: str) -> None:
    """Add the missing role of the oldest message; remove the message if its role is unclear.

    The SDK may have dropped attributes of that message. `role` and `content` are the names of its fields.
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
