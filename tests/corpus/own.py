"""What the spans of a call hold, whatever the dialect makes of it: the upper bound of what can be read of them."""

from __future__ import annotations

import contextlib
import json
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable

    from corpus.leaves import Leaf

#: A text this short stands in other texts by chance.
_SHORT = 8


class Own:
    """The values of a span and its log events, JSON in them decoded."""

    def __init__(self, spans: Iterable[Any]) -> None:
        self._texts: set[str] = set()
        self._keys: set[str] = set()
        #: Only of attributes that count tokens: other numbers can be equal by chance.
        self._numbers: set[float] = set()
        self.failed = False
        for span in spans:
            self.failed |= span.status_code == "ERROR" or any(event.name == "exception" for event in span.events)
            for holder in (span, *span.events, *span.logs):
                for key, value in holder.attributes.items():
                    self._add(value, counts=_counts(key))
            for record in span.logs:
                self._add(record.body)
        self._all = "\0".join((*self._texts, *self._keys))

    def _add(self, value: Any, *, counts: bool = False) -> None:
        if isinstance(value, str):
            self._texts.add(value)
            if value[:1] in ("{", "[", '"'):
                with contextlib.suppress(ValueError, RecursionError):
                    self._add(json.loads(value), counts=counts)
        elif isinstance(value, dict):
            for key, item in value.items():
                self._keys.add(str(key))
                self._add(item, counts=(counts or _counts(key)) and "cache" not in key)
        elif isinstance(value, (list, tuple)):
            for item in value:
                self._add(item, counts=counts)
        elif counts and isinstance(value, (int, float)):
            self._numbers.add(value)

    def holds_value(self, value: Any) -> bool:
        """Tell whether a whole value is this one."""
        return value in (self._texts if isinstance(value, str) else self._numbers)

    def holds(self, value: Any) -> bool:
        if isinstance(value, (int, float)):
            return value in self._numbers
        return value in (self._texts if len(value) < _SHORT else self._all)

    def _holds_arguments(self, arguments: Any) -> bool:
        """Tell whether each argument stands beside its name: the same words are said elsewhere, too."""
        if not isinstance(arguments, dict):
            return self.holds(json.dumps(arguments))
        return all(
            any(form in self._all for form in _forms(name, value)) or (isinstance(value, str) and value in self._texts)
            for name, value in arguments.items()
        )

    def holds_leaf(self, leaf: Leaf, raw: tuple[str, ...] = ()) -> bool:
        if raw:
            return any(word in self._texts for word in (leaf.value, *raw))
        if leaf.kind == "call":
            name, arguments = leaf.value
            return self.holds_value(name) and self._holds_arguments(json.loads(arguments))
        if leaf.kind in ("image", "audio", "file") and " bytes " in str(leaf.value):
            return leaf.status.startswith(("exact", "payload-exact"))
        if leaf.kind == "result":
            return self.holds(leaf.value) or all(self.holds(text) for text in _texts(_loaded(leaf.value)))
        return self.holds(leaf.value)


def _forms(name: str, value: Any) -> Iterable[str]:
    """Return how JSON and Python write an argument."""
    for ascii_ in (True, False):
        text = json.dumps(value, ensure_ascii=ascii_)
        yield from (f'"{name}": {text}', f'"{name}":{text}')
    yield f"{name!r}: {value!r}"


def _counts(key: str) -> bool:
    return ("token" in key or "usage" in key.lower()) and "cache" not in key


def _loaded(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        return text


def _texts(value: Any) -> Iterable[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for item in value.values():
            yield from _texts(item)
    elif isinstance(value, list):
        for item in value:
            yield from _texts(item)
