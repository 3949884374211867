"""Every metric about ourselves, and what it is read from: the documentation's table is made from this one.

Names follow the semantic conventions for SDK components where they have one (`otel.sdk.*`), and begin with
`label_studio_otel.` elsewhere.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from label_studio_otel.metrics.instruments import Source

__all__ = ["DURATION", "LATENCY", "METRICS", "Metric"]

DURATION = "otel.sdk.exporter.operation.duration"
LATENCY = "label_studio_otel.delivery.latency"
DURATION_BOUNDARIES = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60)
LATENCY_BOUNDARIES = (0.5, 1, 2.5, 5, 10, 30, 60, 300, 900, 3600, 14400, 86400)

Values = dict[str, Any]


class Metric(NamedTuple):
    """One metric."""

    name: str
    #: Counter, up-down counter, gauge or histogram.
    kind: str
    #: In UCUM's notation.
    unit: str
    #: One sentence, in Markdown.
    meaning: str
    #: Gives values with their attributes, beside those of the component; a histogram's are recorded.
    read: Callable[[Any], Iterable[tuple[float, Values]]] | None = None
    boundaries: tuple[float, ...] = ()


def _processed(source: Source) -> Iterator[tuple[float, Values]]:
    if source.writer is not None:
        yield source.writer.taken, source.processor
        yield source.writer.lost, {**source.processor, "error.type": "queue_full"}
        yield source.total("failed"), {**source.processor, "error.type": "_OTHER"}


def _in_memory(source: Source) -> Iterator[tuple[float, Values]]:
    if source.writer is not None:
        yield source.writer.backlog, source.processor


def _in_application(name: str) -> Callable[[Source], Iterator[tuple[float, Values]]]:
    """Return what reads a count of an application's process."""

    def read(source: Source) -> Iterator[tuple[float, Values]]:
        if source.writer is not None:
            yield source.total(name), source.processor

    return read


def _exported(source: Source) -> Iterator[tuple[float, Values]]:
    yield source.total("delivered"), source.exporter
    yield source.total("parked"), {**source.exporter, "error.type": "rejected"}
    yield source.total("expired"), {**source.exporter, "error.type": "expired"}


def _in_flight(source: Source) -> Iterator[tuple[float, Values]]:
    if source.depth is not None:
        yield sum(number for state, number in source.depth.states.items() if state != "parked"), source.exporter


def _waiting(source: Source) -> Iterator[tuple[float, Values]]:
    if source.depth is not None:
        for state, number in source.depth.states.items():
            yield number, {**source.exporter, "label_studio_otel.state": state}


def _age(source: Source) -> Iterator[tuple[float, Values]]:
    if source.depth is not None:
        oldest = source.depth.oldest
        yield 0.0 if oldest is None else max(0.0, time.time() - oldest), source.exporter


def _seen(name: str) -> Callable[[Source], Iterator[tuple[float, Values]]]:
    """Return what reads a number of the last look."""

    def read(source: Source) -> Iterator[tuple[float, Values]]:
        if source.depth is not None:
            yield getattr(source.depth, name), source.exporter

    return read


def _counted(name: str) -> Callable[[Source], Iterator[tuple[float, Values]]]:
    """Return what reads a count."""

    def read(source: Source) -> Iterator[tuple[float, Values]]:
        yield source.total(name), source.exporter

    return read


#: Every metric, in the order of the documentation.
METRICS = (
    Metric(
        "otel.sdk.processor.span.processed",
        "counter",
        "{span}",
        "LLM calls that were kept; with `error.type` `queue_full`, lost because the disk refused and the memory for it "
        "was full; with `_OTHER`, lost to an error of ours",
        _processed,
    ),
    Metric(
        "otel.sdk.processor.span.queue.size",
        "up-down counter",
        "{span}",
        "LLM calls that wait in memory because the disk refuses",
        _in_memory,
    ),
    Metric(
        "otel.sdk.exporter.span.exported",
        "counter",
        "{span}",
        "calls that became tasks; with `error.type` `rejected`, parked: refused, or not readable; with `expired`, "
        "given up after `LABEL_STUDIO_OTEL_MAX_AGE`",
        _exported,
    ),
    Metric(
        "otel.sdk.exporter.span.inflight",
        "up-down counter",
        "{span}",
        "calls in the outbox that are still to be delivered: the depth",
        _in_flight,
    ),
    Metric(
        DURATION,
        "histogram",
        "s",
        "how long requests took that import tasks; `error.type` is the kind of failure",
        boundaries=DURATION_BOUNDARIES,
    ),
    Metric(
        "label_studio_otel.calls.filtered",
        "counter",
        "{call}",
        "LLM calls that settings left out: failed ones, other operations, not sampled",
        _in_application("filtered"),
    ),
    Metric(
        "label_studio_otel.events",
        "counter",
        "{event}",
        "log events that were kept for their calls",
        _in_application("events"),
    ),
    Metric(
        "label_studio_otel.calls.accepted",
        "counter",
        "{call}",
        "calls that came into the outbox",
        _counted("accepted"),
    ),
    Metric(
        "label_studio_otel.calls.duplicates",
        "counter",
        "{call}",
        "calls that were there already: the same span twice",
        _counted("duplicates"),
    ),
    Metric(
        "label_studio_otel.calls.doubles",
        "counter",
        "{call}",
        "calls that another instrumentation's span had told already, or told more fully",
        _counted("doubles"),
    ),
    Metric(
        "label_studio_otel.calls.waiting",
        "up-down counter",
        "{call}",
        "calls in the outbox, by `label_studio_otel.state`: `pending`, `leased` (being sent), `uncertain` (sent, and "
        "no answer came), `parked`",
        _waiting,
    ),
    Metric(
        "label_studio_otel.calls.oldest.age",
        "gauge",
        "s",
        "how long the oldest call waits that is still to be delivered; 0 where none does",
        _age,
    ),
    Metric(
        LATENCY,
        "histogram",
        "s",
        "from a call's arrival in the outbox to its task",
        boundaries=LATENCY_BOUNDARIES,
    ),
    Metric(
        "label_studio_otel.destinations.blocked",
        "up-down counter",
        "{destination}",
        "projects that nothing is sent to; `label-studio-otel status` says why",
        _seen("blocked"),
    ),
    Metric(
        "label_studio_otel.predictions.repaired",
        "counter",
        "{prediction}",
        "predictions that an import had lost and that were added",
        _counted("repaired_predictions"),
    ),
    Metric(
        "label_studio_otel.batches.reconciled",
        "counter",
        "{batch}",
        "batches in doubt that were settled by looking them up",
        _counted("reconciled_batches"),
    ),
    Metric(
        "label_studio_otel.tasks.removed",
        "counter",
        "{task}",
        "surplus copies of a task that were removed",
        _counted("removed_copies"),
    ),
    Metric(
        "label_studio_otel.outbox.size",
        "up-down counter",
        "By",
        "bytes of the outbox, which is full at `LABEL_STUDIO_OTEL_MAX_STATE_BYTES`",
        _seen("outbox_bytes"),
    ),
    Metric(
        "label_studio_otel.spool.size",
        "up-down counter",
        "By",
        "bytes of spool files",
        _seen("spool_bytes"),
    ),
    Metric(
        "label_studio_otel.spool.damaged",
        "counter",
        "By",
        "bytes of spool files that could not be read",
        _counted("damaged_bytes"),
    ),
)
