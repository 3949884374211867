"""What all parts of delivery report to and read from their caller, as one value."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from label_studio_otel.metrics.counts import Counts


def _do_nothing(*_: Any) -> None:
    """Ignore the call."""


@dataclass(frozen=True, slots=True)
class Hooks:
    """The numbers and functions by which delivery reports to its caller, and the clocks that it reads."""

    counts: Counts = field(default_factory=Counts)
    #: Called with the seconds between the arrival of a call and that of its task.
    observe_latency: Callable[[float], None] = _do_nothing
    #: Called with the seconds that an import took, and the name of the error that it raised, or None.
    observe_import: Callable[[float, str | None], None] = _do_nothing
    #: Called between two items, to let the application's threads run.
    pause: Callable[[], None] = _do_nothing
    #: Called with a destination and the reason why nothing is sent to it; with None when it is open again.
    report: Callable[[str, str | None], None] = _do_nothing
    #: Called while Label Studio works on an import.
    meanwhile: Callable[[], object] = _do_nothing
    #: Returns seconds since the epoch.
    clock: Callable[[], float] = time.time
    #: Returns seconds of a clock that nobody sets.
    steady_clock: Callable[[], float] = time.monotonic
