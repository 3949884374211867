"""The dialects in which instrumentations write an LLM call, and who reads which span.

A dialect is a module with `name`, `keys`, `matches` and `read` (`Dialect`); a new one is a file, a line in
`DIALECTS`, and recorded spans under tests/cases. The first that matches reads the whole span: fields of two dialects
are never mixed.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

from label_studio_otel.dialects import gen_ai
from label_studio_otel.errors import DialectError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from label_studio_otel.generation import Generation
    from label_studio_otel.spans import Span

__all__ = ["DIALECTS", "Dialect", "is_llm_call", "read"]


class Dialect(Protocol):
    """What a dialect's module offers."""

    #: As logs and `DialectError` name it.
    name: str
    #: Attributes of which a span of this dialect has at least one.
    keys: frozenset[str]

    def matches(self, attributes: Mapping[str, Any], scope_name: str) -> bool:
        """Tell an LLM call of this dialect from every other span; wrappers around a call are none."""
        ...

    def read(self, span: Span) -> Generation:
        """Read a span that `matches`.

        Raises:
            DialectError: an attribute has a type that no emitter writes.
        """
        ...


#: In order: the first that matches reads.
DIALECTS: tuple[Dialect, ...] = (gen_ai,)

_KEYS = frozenset[str]().union(*(dialect.keys for dialect in DIALECTS))


def is_llm_call(attributes: Mapping[str, Any], scope_name: str) -> bool:
    """Tell whether this span is an LLM call; runs in the application's thread for every span that ends.

    `isdisjoint` walks the attributes once; `in` takes the lock of the SDK's attribute mapping for each key.
    """
    if _KEYS.isdisjoint(attributes):
        return False
    return any(dialect.matches(attributes, scope_name) for dialect in DIALECTS)


def read(span: Span) -> Generation:
    """Read an LLM call.

    Raises:
        DialectError: no dialect knows the span, or its dialect cannot read it.
    """
    for dialect in DIALECTS:
        if dialect.matches(span.attributes, span.scope_name):
            return _read(dialect, span)
    raise DialectError(f"span {span.span_id} is no LLM call that a dialect knows (scope {span.scope_name!r})")


def _read(dialect: Dialect, span: Span) -> Generation:
    try:
        return dialect.read(span)
    except (ArithmeticError, AttributeError, LookupError, RecursionError, TypeError, ValueError) as error:
        # Only the kind: the message of such an error can quote what the user said.
        raise DialectError(f"span {span.span_id}: {dialect.name} failed with {type(error).__name__}") from None
