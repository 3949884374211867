"""What the spans of a call hold, whatever the dialect makes of it: the upper bound of what can be read of them."""

from __future__ import annotations

import contextlib
import json
import re
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable

    from corpus.leaves import Leaf

#: A text this short stands in other texts by chance.
_SHORT = 8

#: What a provider's answer has beside its status.
_OF_AN_ANSWER = {"model", "model_name", "output"}

_ASKED = re.compile("input|prompt|request", re.IGNORECASE)
_REASON = re.compile("finish|stop|status|reason", re.IGNORECASE)


class Own:
    """The values of a span and its log events, JSON in them decoded."""

    def __init__(self, spans: Iterable[Any]) -> None:
        self._texts: set[str] = set()
        self._keys: set[str] = set()
        #: Those that are not in what was asked.
        self._answered: set[str] = set()
        self._asked = False
        self._pairs: set[tuple[str, str]] = set()
        #: Only of attributes that count tokens: other numbers can be equal by chance.
        self._numbers: set[float] = set()
        #: Why the model stopped: the same words name kinds of content.
        self._reasons: set[str] = set()
        #: Who said what, where a message holds both.
        self._spoken: set[tuple[str, str]] = set()
        self.failed = False
        #: What the line tells of the span, kinds and values.
        self.told: set[tuple[str, Any]] = set()
        for span in spans:
            self.failed |= span.status_code == "ERROR" or any(event.name == "exception" for event in span.events)
            for holder in (span, *span.events, *span.logs):
                for key, value in holder.attributes.items():
                    self._asked = _ASKED.search(key) is not None
                    self._add(value, key, counts=_counts(key))
            for record in span.logs:
                self._add(record.body)
        self._all = "\0".join((*self._texts, *self._keys))

    def _add(self, value: Any, key: str = "", *, counts: bool = False) -> None:
        if isinstance(value, str):
            self._texts.add(value)
            # The answers of earlier calls stand in what is asked, with their models and reasons.
            if not self._asked:
                self._answered.add(value)
                if _REASON.search(key):
                    self._reasons.add(value)
            if value[:1] in ("{", "[", '"'):
                with contextlib.suppress(ValueError, RecursionError):
                    self._add(json.loads(value), key, counts=counts)
        elif isinstance(value, dict):
            self._spoken |= {(str(value.get("role")), text) for text in _texts(value)} if "role" in value else set()
            for name, item in value.items():
                self._keys.add(str(name))
                self._pairs.add((str(name), json.dumps(item)))
                # Calls and results in the input have a status, too.
                key = "" if name == "status" and value.keys().isdisjoint(_OF_AN_ANSWER) else str(name)
                self._add(item, key, counts=(counts or _counts(name)) and "cache" not in name)
        elif isinstance(value, (list, tuple)):
            for item in value:
                self._add(item, key, counts=counts)
        elif counts and isinstance(value, (int, float)):
            self._numbers.add(value)

    def holds_value(self, value: Any) -> bool:
        """Tell whether a whole value is this one."""
        return value in (self._texts if isinstance(value, str) else self._numbers)

    def says_otherwise(self, true: Leaf, found: Leaf) -> bool:
        """Tell whether a text stands here under another role or kind, and has none of the true one."""
        if true.kind != found.kind:
            return not any(
                word in key for word in ("reason", "think", "refus") for key in self._keys - {"finish_reason"}
            )
        if (found.role, found.value) in self._spoken:
            return (true.role, true.value) not in self._spoken
        return not self.holds_value(true.role)

    def holds_reason(self, words: Iterable[str]) -> bool:
        """Tell whether the span says that the model stopped for one of these reasons."""
        return any(word in self._reasons for word in words)

    def holds(self, value: Any) -> bool:
        if isinstance(value, (int, float)):
            return value in self._numbers
        return value in (self._texts if len(value) < _SHORT else self._all)

    def _holds_arguments(self, arguments: Any) -> bool:
        """Tell whether each argument stands beside its name: the same words are said elsewhere, too."""
        if not isinstance(arguments, dict):
            return self.holds(json.dumps(arguments))
        return all(
            (name, json.dumps(value)) in self._pairs or any(form in self._all for form in _forms(name, value))
            for name, value in arguments.items()
        )

    def holds_leaf(self, leaf: Leaf, raw: tuple[str, ...] = ()) -> bool:
        if raw:
            return self.holds_reason((leaf.value, *raw))
        if leaf.kind in ("request_model", "response_model"):
            return leaf.value in (self._answered if leaf.kind == "response_model" else self._texts)
        if leaf.kind == "text" and leaf.status == "substring":
            return self.holds_value(leaf.value)  # inside of another text, nobody can tell where it begins
        if leaf.kind == "call":
            name, arguments = leaf.value
            return self.holds_value(name) and self._holds_arguments(json.loads(arguments))
        if leaf.kind in ("image", "audio", "file") and " bytes " in str(leaf.value):
            return leaf.status.startswith(("exact", "payload-exact"))
        if leaf.kind == "result":
            texts = list(_texts(parsed(leaf.value)))
            return self.holds(leaf.value) or (bool(texts) and all(map(self.holds, texts)))
        return self.holds(leaf.value)


def _forms(name: str, value: Any) -> Iterable[str]:
    """Return how JSON and Python write an argument."""
    for ascii_ in (True, False):
        text = json.dumps(value, ensure_ascii=ascii_)
        yield from (f'"{name}": {text}', f'"{name}":{text}')
    yield f"{name!r}: {value!r}"


def _counts(key: str) -> bool:
    return ("token" in key or "usage" in key.lower()) and "cache" not in key


def parsed(text: str) -> Any:
    """Return what JSON says; other text stays."""
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
