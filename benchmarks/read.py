"""What it costs to read a span, for each dialect.

    python benchmarks/read.py           # half a minute
    python benchmarks/read.py --quick   # does it work?

The spans are recorded ones (tests/cases), the text of their user grown until the call has 2 KB and 100 KB. *Read* is
what the deliverer does with an LLM call, *told* what the application's thread does with every span that ends: is it an
LLM call? *Other* is a span of the same run that is none, *HTTP* one of an HTTP client. Microseconds, the best of
several repetitions.
"""

from __future__ import annotations

import argparse
import json
import sys
import timeit
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

TESTS = Path(__file__).parents[1] / "tests"
sys.path[:0] = [str(TESTS), str(Path(__file__).parent)]

from spans import http_attributes  # noqa: E402

from corpus.recordings import Run, runs, variants  # noqa: E402
from corpus.score import telemetry  # noqa: E402
from label_studio_otel import reading  # noqa: E402
from label_studio_otel.calls.log_events import join  # noqa: E402

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from label_studio_otel.spans import Span

SIZES = (2_000, 100_000)


@dataclass
class Sample:
    """Spans of one dialect."""

    variant: str
    call: Span
    #: What the user said in the call.
    said: str
    other: Span | None


def samples() -> dict[str, Sample]:
    """Return a recorded call for each dialect."""
    found: dict[str, Sample] = {}
    for variant in variants(TESTS / "cases"):
        for run in runs(variant):
            if run.scenario in ("agent", "chat", "tool"):
                for name, sample in _samples_of(run):
                    # A run with wrappers around its calls tells more.
                    if name not in found or (found[name].other is None and sample.other is not None):
                        found[name] = sample
    return found


def _samples_of(run: Run) -> Iterator[tuple[str, Sample]]:
    spans, logs = telemetry(run)
    others = [span for span in spans if not reading.is_llm_call(span.attributes, span.scope_name)]
    other = max(others, key=lambda span: len(span.attributes), default=None)
    messages = [message for call in run.expected["calls"] for message in call["messages"] if message["role"] == "user"]
    said = [message["content"] for message in messages if _plain(message["content"])]
    for span in join(spans, logs):
        text = next((text for text in said if text in _held(span)), None)
        if text is not None and reading.is_llm_call(span.attributes, span.scope_name):
            yield reading.dialect_of(span).name, Sample(f"{run.family}/{run.variant}", span, text, other)


def _plain(text: Any) -> bool:
    """Tell whether a text stands in JSON as it is."""
    return isinstance(text, str) and json.dumps(text) == f'"{text}"'


def _held(span: Span) -> str:
    holders = [*span.events, *span.logs]
    return json.dumps(
        [dict(span.attributes), [dict(one.attributes) for one in holders], [log.body for log in span.logs]]
    )


def grown(sample: Sample, size: int) -> Span:
    """Return the sample's call with a longer text of its user."""
    text = sample.said + " and so on" * max(0, (size - len(_held(sample.call))) // 10)

    def longer(value: Any) -> Any:
        if isinstance(value, str):
            return value.replace(sample.said, text)
        if isinstance(value, dict):
            return {name: longer(item) for name, item in value.items()}
        return [longer(item) for item in value] if isinstance(value, (list, tuple)) else value

    span = sample.call
    return replace(
        span,
        attributes=longer(dict(span.attributes)),
        events=tuple(replace(event, attributes=longer(dict(event.attributes))) for event in span.events),
        logs=tuple(replace(log, attributes=longer(dict(log.attributes)), body=longer(log.body)) for log in span.logs),
    )


def microseconds(function: Callable[[], Any], seconds: float) -> str:
    """Return the best time of a call."""
    once = max(timeit.timeit(function, number=1), 1e-7)
    number = max(1, int(seconds / 5 / once))
    return f"{min(timeit.repeat(function, number=number, repeat=5)) / number * 1e6:.1f}"


def told(attributes: Any, scope: str) -> Callable[[], bool]:
    """Return what the application's thread does with a span."""
    return lambda: reading.is_llm_call(attributes, scope)


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true")
    seconds = 0.005 if parser.parse_args().quick else 0.4
    print(f"{'dialect':<16}{'recorded of':<34}{'read 2 KB':>11}{'read 100 KB':>13}{'told':>8}{'other told':>12}")
    found = samples()
    for name, sample in sorted(found.items()):
        small, large = (grown(sample, size) for size in SIZES)
        cells = [
            microseconds(lambda: reading.read(small), seconds),  # noqa: B023 - it is called at once
            microseconds(lambda: reading.read(large), seconds),  # noqa: B023
            microseconds(told(small.attributes, small.scope_name), seconds),
            microseconds(told(sample.other.attributes, sample.other.scope_name), seconds) if sample.other else "-",
        ]
        print(f"{name:<16}{sample.variant:<34}{cells[0]:>11}{cells[1]:>13}{cells[2]:>8}{cells[3]:>12}")
    for dialect in reading.DIALECTS:
        if dialect.name not in found:
            print(f"{dialect.name:<16}nothing recorded")
    http = microseconds(told(http_attributes(1), "opentelemetry.instrumentation.requests"), seconds)
    print(f"HTTP span told: {http}")


if __name__ == "__main__":
    main()
