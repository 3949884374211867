"""Every metric about this package, and what it is read from; docs/metrics.md is generated from this table.

Names follow the semantic conventions for SDK components where they have one (`otel.sdk.*`), and begin with
`label_studio_otel.` elsewhere.
"""

from __future__ import annotations

import time
from collections.abc import Callable

from label_studio_otel.metrics.metric import Values, counter, gauge, histogram, up_down_counter
from label_studio_otel.metrics.server_metrics import DURATION, LATENCY, ServerMetrics


def _processed(server: ServerMetrics) -> Values:
    if server.writer is not None:
        yield server.writer.taken, server.processor
        yield server.writer.lost, {**server.processor, "error.type": "queue_full"}
        yield server.total("failed"), {**server.processor, "error.type": "_OTHER"}


def _processor_count(name: str) -> Callable[[ServerMetrics], Values]:
    """Return a function that reads a count of the processor; there is none outside an application's process."""
    return lambda server: [(server.total(name), server.processor)] if server.writer is not None else []


def _exporter_count(name: str) -> Callable[[ServerMetrics], Values]:
    """Return a function that reads a count of the exporter."""
    return lambda server: [(server.total(name), server.exporter)]


def _exported(server: ServerMetrics) -> Values:
    yield server.total("delivered"), server.exporter
    yield server.total("parked"), {**server.exporter, "error.type": "rejected"}
    yield server.total("expired"), {**server.exporter, "error.type": "expired"}


def _in_flight(server: ServerMetrics) -> Values:
    if server.backlog is not None:
        yield sum(number for state, number in server.backlog.states.items() if state != "parked"), server.exporter


def _waiting(server: ServerMetrics) -> Values:
    if server.backlog is not None:
        for state, number in server.backlog.states.items():
            yield number, {**server.exporter, "label_studio_otel.state": state}


def _age(server: ServerMetrics) -> Values:
    if server.backlog is not None:
        oldest = server.backlog.oldest
        yield 0.0 if oldest is None else max(0.0, time.time() - oldest), server.exporter


def _in_backlog(name: str) -> Callable[[ServerMetrics], Values]:
    """Return a function that reads a number of the backlog."""
    return lambda server: [(getattr(server.backlog, name), server.exporter)] if server.backlog is not None else []


#: Every metric, in the order of the documentation.
METRICS = (
    counter(
        "otel.sdk.processor.span.processed",
        "{span}",
        "LLM calls that were kept; with `error.type` `queue_full`, lost because the disk refused and the memory for it "
        "was full; with `_OTHER`, lost to an error of ours",
        _processed,
    ),
    up_down_counter(
        "otel.sdk.processor.span.queue.size",
        "{span}",
        "LLM calls that wait in memory because the disk refuses",
        lambda server: [(server.writer.backlog, server.processor)] if server.writer is not None else [],
    ),
    counter(
        "otel.sdk.exporter.span.exported",
        "{span}",
        "calls that became tasks; with `error.type` `rejected`, parked: refused, or not readable; with `expired`, "
        "given up after `LABEL_STUDIO_OTEL_MAX_AGE`",
        _exported,
    ),
    up_down_counter(
        "otel.sdk.exporter.span.inflight",
        "{span}",
        "calls in the outbox that are still to be delivered: the depth",
        _in_flight,
    ),
    histogram(
        DURATION,
        "s",
        "how long requests took that import tasks; `error.type` is the kind of failure",
        (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60),
    ),
    counter(
        "label_studio_otel.calls.filtered",
        "{call}",
        "LLM calls that settings left out: failed ones, other operations, not sampled",
        _processor_count("filtered"),
    ),
    counter(
        "label_studio_otel.events", "{event}", "log events that were kept for their calls", _processor_count("events")
    ),
    counter(
        "label_studio_otel.calls.accepted", "{call}", "calls that came into the outbox", _exporter_count("accepted")
    ),
    counter(
        "label_studio_otel.calls.duplicates",
        "{call}",
        "calls that were there already: the same span twice",
        _exporter_count("duplicates"),
    ),
    counter(
        "label_studio_otel.calls.doubles",
        "{call}",
        "calls that were merged into another span of the same call",
        _exporter_count("doubles"),
    ),
    up_down_counter(
        "label_studio_otel.calls.waiting",
        "{call}",
        "calls in the outbox, by `label_studio_otel.state`: `pending`, `leased` (being sent), `uncertain` (sent, and "
        "no answer came), `parked`",
        _waiting,
    ),
    gauge(
        "label_studio_otel.calls.oldest.age",
        "s",
        "how long the oldest call waits that is still to be delivered; 0 where none does",
        _age,
    ),
    histogram(
        LATENCY,
        "s",
        "from a call's arrival in the outbox to its task",
        (0.5, 1, 2.5, 5, 10, 30, 60, 300, 900, 3600, 14400, 86400),
    ),
    up_down_counter(
        "label_studio_otel.destinations.blocked",
        "{destination}",
        "projects that nothing is sent to; `label-studio-otel status` says why",
        _in_backlog("blocked"),
    ),
    counter(
        "label_studio_otel.predictions.repaired",
        "{prediction}",
        "predictions that an import had lost and that were added",
        _exporter_count("repaired_predictions"),
    ),
    counter(
        "label_studio_otel.batches.reconciled",
        "{batch}",
        "uncertain batches that were resolved by looking them up in Label Studio",
        _exporter_count("reconciled_batches"),
    ),
    counter(
        "label_studio_otel.tasks.removed",
        "{task}",
        "surplus tasks that were deleted",
        _exporter_count("removed_copies"),
    ),
    up_down_counter(
        "label_studio_otel.outbox.size",
        "By",
        "bytes of the outbox, which is full at `LABEL_STUDIO_OTEL_MAX_STATE_BYTES`",
        _in_backlog("outbox_bytes"),
    ),
    up_down_counter("label_studio_otel.spool.size", "By", "bytes of spool files", _in_backlog("spool_bytes")),
    counter(
        "label_studio_otel.spool.damaged",
        "By",
        "bytes of spool files that could not be read",
        _exporter_count("damaged_bytes"),
    ),
)
