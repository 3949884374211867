"""Measures what `on_end` takes in the application's thread: `python on_end.py JSON`, one process of a run.

The spans are made by a tracer, one at a time, and each `on_end` is timed where the SDK calls it, garbage collection
and all. Times are nanoseconds, the clock's own cost taken off.
"""

from __future__ import annotations

import json
import statistics
import sys
import time
from typing import TYPE_CHECKING, Any

from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import SpanProcessor, TracerProvider

from spans import makers

if TYPE_CHECKING:
    from opentelemetry.sdk.trace import ReadableSpan

#: Seconds before measuring, in which a deliverer gets going.
WARM_UP = 3.5


class Timed(SpanProcessor):
    """Notes how long another processor's `on_end` takes."""

    def __init__(self, inner: SpanProcessor) -> None:
        self.inner = inner
        self.times: list[int] = []

    def on_end(self, span: ReadableSpan) -> None:
        """Pass on and measure."""
        on_end, clock = self.inner.on_end, time.perf_counter_ns
        begin = clock()
        on_end(span)
        self.times.append(clock() - begin)

    def shutdown(self) -> None:
        """Pass on."""
        self.inner.shutdown()


class Busy(SpanProcessor):
    """A control: Python code as long as our LLM span takes, warm, that needs nothing from anybody."""

    def on_end(self, span: ReadableSpan) -> None:
        """Pass 40 µs."""
        end = time.perf_counter_ns() + 40_000
        while time.perf_counter_ns() < end:
            pass


def clock_cost() -> float:
    """Return the nanoseconds that lie between two readings of the clock."""
    clock = time.perf_counter_ns
    return statistics.median(-(clock() - clock()) for _ in range(2000))


def processor(name: str, options: dict[str, Any]) -> SpanProcessor:
    """Return the processor to be measured."""
    if name == "busy":
        return Busy()
    if name == "empty":
        return SpanProcessor()
    if name == "batch":
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
        from opentelemetry.sdk.trace.export import BatchSpanProcessor

        return BatchSpanProcessor(OTLPSpanExporter(endpoint=f"{options['otlp']}/v1/traces"))
    from label_studio_otel import LabelStudioSpanProcessor

    return LabelStudioSpanProcessor(
        url=options["label_studio"],
        api_key=options["token"],
        project_name="Overhead",
        mode="chat",
        state_dir=options["state_dir"],
        delivery=options["delivery"],
        shutdown_timeout=0.5,
    )


def run(options: dict[str, Any]) -> dict[str, list[float]]:
    """Return the times by kind of span.

    Options: processor, seconds per kind, rate (LLM spans per second, 0 is back to back), begin (time.time() at which
    all processes of the run begin).
    """
    timed = Timed(processor(options["processor"], options))
    provider = TracerProvider(resource=Resource.create({"service.name": "overhead"}), shutdown_on_exit=False)
    provider.add_span_processor(timed)
    make = makers(provider)
    cost = clock_cost()
    result: dict[str, list[float]] = {}
    time.sleep(max(0.0, options["begin"] - time.time()))
    if options["delivery"] == "thread":
        _spin(make["llm_2kb"], options["rate"] or 50, WARM_UP, number=10_000_000)
    for kind in options["kinds"]:
        timed.times = []
        rate = options["rate"] * (0.1 if kind == "llm_100kb" else 1)
        _spin(make[kind], rate, options["seconds"])
        result[kind] = [max(0.0, spent - cost) for spent in timed.times]
    provider.shutdown()
    return result


def _spin(make: Any, rate: float, seconds: float, number: int = 0) -> None:
    end = time.perf_counter() + seconds
    at = time.perf_counter()
    while time.perf_counter() < end and (rate or number < 5000):
        make(number)
        number += 1
        if rate:
            at += 1 / rate
            time.sleep(max(0.0, at - time.perf_counter()))


if __name__ == "__main__":
    print(json.dumps(run(json.loads(sys.argv[1]))))
