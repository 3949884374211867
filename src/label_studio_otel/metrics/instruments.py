"""Makes the instruments of the tables of metrics, with the meter provider of the application or of the bridge."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any

from label_studio_otel import log, process
from label_studio_otel._version import __version__
from label_studio_otel.metrics import server_metrics
from label_studio_otel.metrics.metric import Metric, Values
from label_studio_otel.metrics.table import METRICS

if TYPE_CHECKING:
    from opentelemetry.metrics import CallbackOptions, Histogram, Meter, MeterProvider, Observation

_registered = False


def register(*, late: bool = False, provider: MeterProvider | None = None) -> None:
    """Make the instruments, once per process; a child has its parent's. Never raises.

    An application that has a meter provider has imported the metrics API. So a thread of the application does nothing
    where nobody has imported it.

    Args:
        late: import the metrics API if nobody has, which takes milliseconds. For the delivering thread, after the
            application's thread has tried: the SDK logs a warning if the provider is shut down by then.
        provider: the bridge's own, in place of the application's.
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

        meter = metrics.get_meter("label_studio_otel", __version__, provider)
        server_metrics.histograms.update(instruments(meter, METRICS, server_metrics.living))
    except Exception as error:  # of somebody else's meter provider
        log.warn_once("metrics", f"there are no metrics about delivery: {log.kind(error)}")


def instruments(meter: Meter, table: Iterable[Metric], sources: Callable[[], Iterable[Any]]) -> dict[str, Histogram]:
    """Make the instruments of a table; return the histograms by name.

    Args:
        sources: returns the objects that the other instruments are read from, at each reading.
    """
    create = {
        "counter": meter.create_observable_counter,
        "up-down counter": meter.create_observable_up_down_counter,
        "gauge": meter.create_observable_gauge,
    }
    histograms = {}
    for one in table:
        options = {"unit": one.unit, "description": one.meaning.replace("`", "")}
        if one.read is None:
            histograms[one.name] = meter.create_histogram(
                one.name, **options, explicit_bucket_boundaries_advisory=one.boundaries
            )
        else:
            create[one.kind](one.name, [_callback(one.read, sources)], **options)
    return histograms


def _callback(
    read: Callable[[Any], Values], sources: Callable[[], Iterable[Any]]
) -> Callable[[CallbackOptions], list[Observation]]:
    from opentelemetry.metrics import Observation  # noqa: PLC0415

    return lambda _: [Observation(value, attributes) for source in sources() for value, attributes in read(source)]
