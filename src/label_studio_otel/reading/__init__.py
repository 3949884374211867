"""Reads an LLM call: a span comes in, a `Generation` goes out, whichever emitter wrote the span.

`emitters` name the attributes that each emitter writes, `forms` read the values of these attributes, and `table` reads
a span by both. A dialect reads the spans of one emitter. The first dialect in `DIALECTS` that matches a span reads the
whole span, so fields of two dialects are never mixed. A span around a call matches none. What a span lacks is named in
`incomplete` (`gaps`). Dialects of other packages (`registered`) are asked before ours, because somebody installed them
on purpose.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping
from typing import Any, Protocol

from label_studio_otel.errors import DialectError
from label_studio_otel.generation import Generation
from label_studio_otel.reading.emitters import (
    anthropic_sdk,
    gen_ai,
    google_adk,
    haystack,
    langfuse,
    langsmith,
    mlflow,
    openinference,
    openllmetry,
    vercel,
)
from label_studio_otel.reading.registered import registered
from label_studio_otel.spans import Span

__all__ = [
    "DIALECTS",
    "Dialect",
    "dialect_of",
    "is_llm_call",
    "is_supplement",
    "keys",
    "operation",
    "read",
    "read_supplement",
]


class Dialect(Protocol):
    """Reads the spans of one emitter. Our dialects are tables (`table.AttributeTable`)."""

    @property
    def name(self) -> str:
        """The name in logs, in `DialectError` and in the output of `convert`."""
        ...

    @property
    def keys(self) -> frozenset[str]:
        """Names of attributes. A span of this dialect has at least one of them."""
        ...

    def matches(self, attributes: Mapping[str, Any], scope_name: str) -> bool:
        """Return whether a span is an LLM call of this dialect; False for a span around a call."""
        ...

    def operation(self, attributes: Mapping[str, Any], scope_name: str, span_name: str) -> str | None:
        """Return the operation that `read` gives to the `Generation`; called only for a span that `matches`.

        Runs in the application's thread for every LLM call if the setting `operations` is set, so it must be fast.
        """
        ...

    def read(self, span: Span) -> Generation:
        """Return the LLM call of a span; called only for a span that `matches`.

        Raises:
            DialectError: an attribute has a type that no emitter writes.
        """
        ...


#: In order: the first that matches reads.
DIALECTS: tuple[Dialect, ...] = (
    mlflow.DIALECT,
    langsmith.DIALECT,
    langfuse.DIALECT,
    vercel.DIALECT,
    openinference.DIALECT,
    haystack.DIALECT,
    openllmetry.DIALECT,
    google_adk.DIALECT,
    gen_ai.DIALECT,
)

#: What a dialect raises at an attribute that has another form than every emitter writes.
_FAILURES = (ArithmeticError, AttributeError, LookupError, RecursionError, TypeError, ValueError)


@functools.cache
def _known() -> tuple[frozenset[str], tuple[Dialect, ...]]:
    """Return the names of all attributes that dialects know, and all dialects, those of other packages first."""
    known: tuple[Dialect, ...] = (*registered(), *DIALECTS)
    return frozenset[str]().union(*(dialect.keys for dialect in known)), known


def keys() -> frozenset[str]:
    """Return the names of attributes of which every LLM call has at least one, whatever its dialect."""
    return _known()[0]


def is_llm_call(attributes: Mapping[str, Any], scope_name: str) -> bool:
    """Return whether a span is an LLM call. Runs in the application's thread for every span that ends.

    `isdisjoint` reads the attributes once; `in` would take the lock of the SDK's attribute mapping for each key.
    """
    known_keys, known = _known()
    if known_keys.isdisjoint(attributes):
        return False
    for dialect in known:  # noqa: SIM110 - a generator takes half as long again, and this is the application's time
        if dialect.matches(attributes, scope_name):
            return True
    return False


def operation(attributes: Mapping[str, Any], scope_name: str, span_name: str) -> str | None:
    """Return the operation that `read` gives to an LLM call; None if the call cannot be read."""
    for dialect in _known()[1]:
        if dialect.matches(attributes, scope_name):
            try:
                return dialect.operation(attributes, scope_name, span_name)
            except _FAILURES:
                return None
    return None


def read(span: Span) -> Generation:
    """Return the LLM call of a span.

    Raises:
        DialectError: no dialect matches the span, or its dialect cannot read it.
    """
    return _read(dialect_of(span), span)


def is_supplement(attributes: Mapping[str, Any], scope_name: str) -> bool:
    """Return whether a span has no messages, but facts of an LLM call: its models, ids and token counts."""
    return anthropic_sdk.DIALECT.matches(attributes, scope_name)


def read_supplement(span: Span) -> Generation:
    """Return the facts of a span for which `is_supplement` is true, as a `Generation` without messages.

    Raises:
        DialectError: the span cannot be read.
    """
    return _read(anthropic_sdk.DIALECT, span)


def dialect_of(span: Span) -> Dialect:
    """Return the dialect that reads a span.

    Raises:
        DialectError: no dialect matches the span.
    """
    for dialect in _known()[1]:
        if dialect.matches(span.attributes, span.scope_name):
            return dialect
    raise DialectError(f"span {span.span_id} is no LLM call that a dialect knows (scope {span.scope_name!r})")


def _read(dialect: Dialect, span: Span) -> Generation:
    try:
        return dialect.read(span)
    except _FAILURES as error:
        # Only the kind: the message of such an error can quote what the user said.
        raise DialectError(f"span {span.span_id}: {dialect.name} failed with {type(error).__name__}") from None
