"""The numbers of one Label Studio server in this process, from which the metrics are read."""

from __future__ import annotations

import time
import weakref
from collections.abc import Callable
from itertools import count
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from label_studio_otel.metrics.counts import Backlog, Counts
from label_studio_otel.spool.writer import SpoolWriter

if TYPE_CHECKING:
    from opentelemetry.metrics import Histogram

DURATION = "otel.sdk.exporter.operation.duration"
LATENCY = "label_studio_otel.delivery.latency"
PROCESSOR = "label_studio_otel.LabelStudioSpanProcessor"
EXPORTER = "label_studio_otel.LabelStudioSpanExporter"
#: Seconds between two readings of the backlog, each of which is a query on the outbox.
BACKLOG_INTERVAL_S = 5.0


class ServerMetrics:
    """The numbers of one Label Studio server in this process. Only an application has `counts` and `writer`."""

    def __init__(self, url: str, counts: Counts | None = None, writer: SpoolWriter | None = None) -> None:
        parts, number = urlsplit(url), next(_numbers)
        #: One of the application's side, and one of each deliverer that there was. Their sums are reported.
        self.counts: tuple[Counts, ...] = (counts,) if counts else ()
        self.writer = writer
        #: As the delivering thread last read it; None where another process delivers.
        self.backlog: Backlog | None = None
        self.processor = {"otel.component.type": PROCESSOR, "otel.component.name": f"{PROCESSOR}/{number}"}
        self.exporter: dict[str, Any] = {
            "otel.component.type": EXPORTER,
            "otel.component.name": f"{EXPORTER}/{number}",
            "server.address": parts.hostname or "",
            "server.port": parts.port or (443 if parts.scheme == "https" else 80),
        }
        self._next_reading = 0.0
        global _servers  # noqa: PLW0603 - replaced as a whole: a callback may be reading it
        _servers = (*(one for one in _servers if one()), weakref.ref(self))

    def total(self, name: str) -> int:
        """Return the sum of the counts of this name."""
        return sum(getattr(one, name) for one in self.counts)

    def update_backlog(self, read: Callable[[], Backlog | None]) -> None:
        """Read the backlog, in the delivering thread; do nothing within `BACKLOG_INTERVAL_S` of the last reading."""
        now = time.monotonic()
        if now >= self._next_reading:
            self._next_reading = now + BACKLOG_INTERVAL_S
            self.backlog = read()

    def record_latency(self, seconds: float) -> None:
        """Record how long after its arrival a call became a task."""
        _record(LATENCY, seconds, self.exporter)

    def record_import(self, seconds: float, error: str | None = None) -> None:
        """Record how long a request to import tasks took, and the kind of its error."""
        _record(DURATION, seconds, {**self.exporter, "error.type": error} if error else self.exporter)


_numbers = count()
_servers: tuple[weakref.ref[ServerMetrics], ...] = ()
#: By name, once there are instruments.
histograms: dict[str, Histogram] = {}


def living() -> list[ServerMetrics]:
    """Return this process's `ServerMetrics` that are still in use."""
    return [server for one in _servers if (server := one())]


def _record(name: str, value: float, attributes: dict[str, Any]) -> None:
    histogram = histograms.get(name)
    if histogram is not None:
        histogram.record(value, attributes)
