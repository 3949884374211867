"""A row of a table of metrics, and a constructor for each kind of instrument."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

__all__ = ["Metric", "Values", "counter", "gauge", "histogram", "up_down_counter"]

#: Values with their attributes.
Values = Iterable[tuple[float, dict[str, Any]]]


class Metric(NamedTuple):
    """One metric."""

    name: str
    #: counter, up-down counter, gauge or histogram.
    kind: str
    #: In UCUM's notation.
    unit: str
    #: One sentence, in Markdown.
    meaning: str
    #: Returns the present values; None for a histogram, whose values are recorded.
    read: Callable[[Any], Values] | None = None
    #: Upper bounds of a histogram's buckets.
    boundaries: tuple[float, ...] = ()


def counter(name: str, unit: str, meaning: str, read: Callable[[Any], Values]) -> Metric:
    """Return a metric that only grows."""
    return Metric(name, "counter", unit, meaning, read)


def up_down_counter(name: str, unit: str, meaning: str, read: Callable[[Any], Values]) -> Metric:
    """Return a metric that grows and shrinks, and whose values can be added up."""
    return Metric(name, "up-down counter", unit, meaning, read)


def gauge(name: str, unit: str, meaning: str, read: Callable[[Any], Values]) -> Metric:
    """Return a metric whose values cannot be added up."""
    return Metric(name, "gauge", unit, meaning, read)


def histogram(name: str, unit: str, meaning: str, boundaries: tuple[float, ...]) -> Metric:
    """Return a metric of which every value is recorded."""
    return Metric(name, "histogram", unit, meaning, boundaries=boundaries)
