"""A row of a table of metrics, and a constructor for each kind of instrument."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import partial
from typing import Any, NamedTuple

#: Values with their attributes.
Values = Iterable[tuple[float, dict[str, Any]]]


class Metric(NamedTuple):
    """One metric."""

    #: counter, up-down counter, gauge or histogram.
    kind: str
    name: str
    #: In UCUM's notation.
    unit: str
    #: One sentence, in Markdown.
    meaning: str
    #: Returns the present values; None for a histogram, whose values are recorded.
    read: Callable[[Any], Values] | None = None
    #: Upper bounds of a histogram's buckets.
    boundaries: tuple[float, ...] = ()


counter = partial(Metric, "counter")
up_down_counter = partial(Metric, "up-down counter")
gauge = partial(Metric, "gauge")


def histogram(name: str, unit: str, meaning: str, boundaries: tuple[float, ...]) -> Metric:
    """Return a metric that records each value."""
    return Metric("histogram", name, unit, meaning, boundaries=boundaries)
