"""Measures what `on_end` takes in the application's thread: `python on_end.py OPTIONS`, one process of a run.

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
    from collections.abc import Callable

    from opentelemetry.sdk.trace import ReadableSpan

#: Spans that a process makes back to back: of 2 KB as many as keep a deliverer busy for seconds.
BACK_TO_BACK = {"other": 10_000, "llm_2kb": 10_000, "llm_100kb": 300}
#: The pace of spans of 100 KB, beside that of the others.
LARGE = 0.1
#: LLM spans per second while a deliverer gets going.
WARM_UP_RATE = 50


class Loop(SpanProcessor):
    """A control: 40 µs of Python that needs nothing from anybody. Its p99 is the machine's."""

    def on_end(self, span: ReadableSpan) -> None:
        """Pass the time."""
        end = time.perf_counter_ns() + 40_000
        while time.perf_counter_ns() < end:
            pass


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


def processor(name: str, options: dict[str, Any]) -> SpanProcessor:
    """Return the processor to be measured."""
    if name == "empty":
        return SpanProcessor()
    if name == "loop":
        return Loop()
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
    """Return the times by kind of span."""
    timed = Timed(processor(options["processor"], options))
    provider = TracerProvider(resource=Resource.create({"service.name": "overhead"}), shutdown_on_exit=False)
    provider.add_span_processor(timed)
    make = makers(provider)
    clock_cost = _clock_cost()
    result: dict[str, list[float]] = {}
    time.sleep(max(0.0, options["begin"] - time.time()))
    _make(make["llm_2kb"], WARM_UP_RATE, int(WARM_UP_RATE * options["warm_up"]), first=1_000_000)
    for kind in options["kinds"]:
        timed.times = []
        rate = options["rate"] * (LARGE if kind == "llm_100kb" else 1)
        _make(make[kind], rate, int(rate * options["seconds"] or BACK_TO_BACK[kind] * options["fraction"]))
        result[kind] = [max(0.0, spent - clock_cost) for spent in timed.times]
    provider.shutdown()
    return result


def _make(make: Callable[[int], None], rate: float, count: int, first: int = 0) -> None:
    """Make spans at a pace, or back to back at rate 0."""
    begin = time.perf_counter()
    for number in range(count):
        if rate:
            time.sleep(max(0.0, begin + number / rate - time.perf_counter()))
        make(first + number)


def _clock_cost() -> float:
    clock = time.perf_counter_ns
    return statistics.median(-(clock() - clock()) for _ in range(2000))


if __name__ == "__main__":
    print(json.dumps(run(json.loads(sys.argv[1]))))
