"""What tests of dialects share: spans by hand, and values of every type for their attributes."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from hypothesis import strategies as st

from label_studio_otel import reading
from label_studio_otel.errors import DialectError
from label_studio_otel.spans import Span

if TYPE_CHECKING:
    from collections.abc import Iterable

    from label_studio_otel.generation import Generation

__all__ = ["any_attributes", "any_value", "anything", "indexed_names", "read_or_refuse", "reasons", "span"]


def span(attributes: dict[str, Any], scope: str = "", name: str = "a call", **fields: Any) -> Span:
    return Span("0" * 32, "1" * 16, name, 1, 2, attributes, scope_name=scope, **fields)


def reasons(generation: Generation) -> list[str]:
    return [gap.reason for gap in generation.incomplete]


def any_value(*texts: str) -> st.SearchStrategy[Any]:
    """Values of every type that an attribute or a careless exporter can have, these texts among them."""
    simple = st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.binary()
    lists = st.lists(st.text() | st.integers() | st.dictionaries(st.text(), st.text()))
    return simple | lists | st.dictionaries(st.text(), st.integers()) | st.sampled_from(texts)


def indexed_names(lists: Iterable[str], fields: Iterable[str]) -> st.SearchStrategy[str]:
    """Names of the fields of flattened lists; some of their indices are none."""
    index = st.integers(0, 3) | st.sampled_from(["", "x", "²", "99999999999999"])
    return st.builds("{}.{}.{}".format, st.sampled_from(sorted(lists)), index, st.sampled_from(sorted(fields)))


def anything(keys: Iterable[str]) -> st.SearchStrategy[Any]:
    """Values of any type, of objects that have these keys among others."""
    leaves = st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.sampled_from(sorted(keys))
    return st.recursive(
        leaves,
        lambda values: st.lists(values) | st.dictionaries(st.sampled_from(sorted(keys)) | st.text(), values),
        max_leaves=12,
    )


def any_attributes(names: Iterable[str], keys: Iterable[str]) -> st.SearchStrategy[dict[str, Any]]:
    """Attributes of these names, each with a value of any type, or its JSON, or the beginning of it."""
    value = anything(keys)
    text = st.builds(lambda one, length: json.dumps(one)[:length], value, st.integers(1, 300))
    return st.dictionaries(st.sampled_from(sorted(names)), value | text)


def read_or_refuse(one: Span) -> None:
    """Read a span; nothing but `DialectError` may be raised, and what is read is messages of parts."""
    try:
        generation = reading.read(one)
    except DialectError:
        return
    messages = (*generation.messages, *(choice.message for choice in generation.choices))
    assert all(isinstance(message.role, str) and isinstance(message.parts, tuple) for message in messages)
