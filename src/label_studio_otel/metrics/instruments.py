"""Metrics about ourselves, through the application's own meter provider.

What counts adds to plain integers; a callback reads them when the SDK collects, and touches neither disk nor database
nor network: what waits was looked up by the delivering thread before. No attribute holds anything that was said.
"""

from __future__ import annotations

import sys
import time
import weakref
from itertools import count
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from label_studio_otel import log, process
from label_studio_otel._version import __version__
from label_studio_otel.metrics.table import DURATION, LATENCY, METRICS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from opentelemetry.metrics import CallbackOptions, Histogram, Meter, MeterProvider, Observation

    from label_studio_otel.metrics.counts import Counts, Depth
    from label_studio_otel.metrics.table import Metric
    from label_studio_otel.spool.writer import SpoolWriter

__all__ = ["Source", "instruments", "register"]

#: Seconds between two looks at what waits.
LOOK_INTERVAL = 5.0
PROCESSOR = "label_studio_otel.LabelStudioSpanProcessor"
EXPORTER = "label_studio_otel.LabelStudioSpanExporter"


class Source:
    """One Label Studio server as this process serves it.

    Args:
        url: base URL of the server.
        counts: what counting adds to, in an application's process.
        writer: of the spool, in an application's process.
    """

    def __init__(self, url: str, counts: Counts | None = None, writer: SpoolWriter | None = None) -> None:
        parts, number = urlsplit(url), next(_numbers)
        #: One for the application's side, and one for each deliverer that there was: their sums are reported.
        self.counts: tuple[Counts, ...] = (counts,) if counts else ()
        self.writer = writer
        #: What waits, as the delivering thread last saw it; None where another process delivers.
        self.depth: Depth | None = None
        self.processor = {"otel.component.type": PROCESSOR, "otel.component.name": f"{PROCESSOR}/{number}"}
        self.exporter: dict[str, Any] = {
            "otel.component.type": EXPORTER,
            "otel.component.name": f"{EXPORTER}/{number}",
            "server.address": parts.hostname or "",
            "server.port": parts.port or (443 if parts.scheme == "https" else 80),
        }
        self._next_look = 0.0
        global _sources  # noqa: PLW0603 - replaced as a whole: a callback may be reading it
        _sources = (*(one for one in _sources if one()), weakref.ref(self))

    def forget(self, counts: Counts) -> None:
        """Begin from nothing, in a forked child."""
        counts.reset()
        self.counts, self.depth = (counts,), None

    def total(self, name: str) -> int:
        """Return what was counted under this name."""
        return sum(getattr(one, name) for one in self.counts)

    def look(self, depth: Callable[[], Depth | None]) -> None:
        """Let the delivering thread look what waits, where the last look was seconds ago."""
        now = time.monotonic()
        if now >= self._next_look:
            self._next_look = now + LOOK_INTERVAL
            self.depth = depth()

    def delivered_after(self, seconds: float) -> None:
        """Note how long a call waited until its task was in Label Studio."""
        _record(LATENCY, seconds, self.exporter)

    def imported_in(self, seconds: float, error: str | None = None) -> None:
        """Note how long a request took that imported tasks, and what kind of error ended it."""
        failure = {"error.type": error} if error else {}
        _record(DURATION, seconds, {**self.exporter, **failure})


_numbers = count()
_sources: tuple[weakref.ref[Source], ...] = ()
_histograms: dict[str, Histogram] = {}
_registered = False


def register(*, late: bool = False, provider: MeterProvider | None = None) -> None:
    """Make the instruments, once per process; a child has its parent's. Never raises.

    Args:
        late: import the metrics API if nobody did yet, which takes milliseconds: not for a thread that must not wait.
            Who has a meter provider has imported it; and a thread that comes to it later may find the provider shut
            down, which the SDK says aloud.
        provider: the one of a service of ours, in place of the application's.
    """
    global _registered  # noqa: PLW0603
    if not late and "opentelemetry.metrics" not in sys.modules:
        return
    with process.lock:
        if _registered and provider is None:
            return
        _registered = True
    try:  # not under the lock: the meter provider and the handlers of the log are the application's
        from opentelemetry import metrics  # noqa: PLC0415

        _make(metrics.get_meter("label_studio_otel", __version__, provider), metrics.Observation)
    except Exception as error:  # of somebody else's meter provider
        log.warn_once("metrics", f"there are no metrics about delivery: {log.kind(error)}")


def _make(meter: Meter, observation: type[Observation]) -> None:
    _histograms.update(instruments(meter, observation, METRICS, _alive))


def _alive() -> list[Source]:
    return [source for one in _sources if (source := one())]


def instruments(
    meter: Meter, observation: type[Observation], table: Iterable[Metric], sources: Callable[[], Iterable[Any]]
) -> dict[str, Histogram]:
    """Make the instruments of a table; return the histograms by name.

    Args:
        sources: gives what the others are read from whenever they are.
    """
    create = {
        "counter": meter.create_observable_counter,
        "up-down counter": meter.create_observable_up_down_counter,
        "gauge": meter.create_observable_gauge,
    }
    histograms = {}
    for one in table:
        said = {"unit": one.unit, "description": one.meaning.replace("`", "")}
        if one.read is None:
            histograms[one.name] = meter.create_histogram(
                one.name, **said, explicit_bucket_boundaries_advisory=one.boundaries
            )
        else:
            create[one.kind](one.name, [_callback(one.read, observation, sources)], **said)
    return histograms


def _callback(
    read: Callable[[Any], Iterable[tuple[float, dict[str, Any]]]],
    observation: type[Observation],
    sources: Callable[[], Iterable[Any]],
) -> Callable[[CallbackOptions], list[Observation]]:
    def observe(_: CallbackOptions) -> list[Observation]:
        return [observation(value, attributes) for source in sources() for value, attributes in read(source)]

    return observe


def _record(name: str, value: float, attributes: dict[str, Any]) -> None:
    histogram = _histograms.get(name)
    if histogram is not None:
        histogram.record(value, attributes)
