"""Dialects of other packages, under the entry point group `label_studio_otel_dialect`.

An entry point names a module or an object with `name`, `keys`, `matches` and `read`, and perhaps `operation`. Without
`operation`, the operation is that of `read` for a span with nothing but the attributes. A dialect that cannot be loaded
is logged and left out. If `matches` raises, the span counts as not matched, because it runs in the application's
thread.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from label_studio_otel import log
from label_studio_otel.errors import DialectError
from label_studio_otel.generation import Generation
from label_studio_otel.spans import Span

GROUP = "label_studio_otel_dialect"


@dataclass(slots=True)
class Registered:
    """A dialect of another package. It raises no other error than `DialectError`."""

    name: str
    keys: frozenset[str]
    dialect: Any

    def matches(self, attributes: Mapping[str, Any], scope_name: str) -> bool:
        """Return what the dialect returns; False if it raises."""
        try:
            return bool(self.dialect.matches(attributes, scope_name))
        except Exception as error:  # whatever a stranger raises must not reach the application
            log.warn_once(f"dialect {self.name}", f"the dialect {self.name} failed to match with {log.kind(error)}")
            return False

    def operation(self, attributes: Mapping[str, Any], scope_name: str, span_name: str) -> str | None:
        """Return the operation that the dialect returns; None if it raises."""
        try:
            if hasattr(self.dialect, "operation"):
                operation = self.dialect.operation(attributes, scope_name, span_name)
                return None if operation is None else str(operation)
            return str(self.dialect.read(Span("", "", span_name, 0, 0, attributes, scope_name=scope_name)).operation)
        except Exception:  # whatever a stranger raises must not reach the application
            return None

    def read(self, span: Span) -> Generation:
        """Return the LLM call of a span.

        Raises:
            DialectError: the dialect raised this or any other error.
        """
        try:
            generation = self.dialect.read(span)
        except DialectError:
            raise
        except Exception as error:
            raise DialectError(f"span {span.span_id}: {self.name} failed with {type(error).__name__}") from None
        if not isinstance(generation, Generation):
            raise DialectError(f"span {span.span_id}: {self.name} returned no Generation")
        return generation


@functools.cache
def registered() -> tuple[Registered, ...]:
    """Return the dialects of installed packages. They are loaded at the first call."""
    try:
        from importlib.metadata import entry_points  # noqa: PLC0415 - slow, and needed at the first span only

        found = tuple(entry_points(group=GROUP))
    except Exception as error:  # broken metadata of a package, or an interpreter that ends and imports nothing more
        log.warn_once("dialects", f"dialects of other packages cannot be looked up: {log.kind(error)}")
        return ()
    return tuple(filter(None, map(_loaded, found)))


def _loaded(entry_point: Any) -> Registered | None:
    try:
        dialect = entry_point.load()
        _ = dialect.matches, dialect.read
        return Registered(str(dialect.name), frozenset(dialect.keys), dialect)
    except Exception as error:  # an import can raise anything
        log.warn_once(
            f"dialect {entry_point.name}",
            f"the dialect {entry_point.name} ({entry_point.value}) cannot be used: {log.kind(error)}",
        )
        return None
