"""What is read of the recorded calls is the same in every form and order in which their telemetry can come."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import pytest

from corpus.otlp_json import json_of
from corpus.recordings import Variant, runs, variants
from corpus.score import telemetry
from label_studio_otel.cli.genai_json import convert
from label_studio_otel.otlp import files as otlp
from label_studio_otel.spans import LogRecord, Span

VARIANTS = variants(Path(__file__).parents[1] / "cases")


def lines(spans: list[Span], logs: list[LogRecord]) -> list[dict[str, Any]]:
    found = convert(spans, logs, lambda span, error: pytest.fail(f"{span.name}: {error}"))
    return sorted(found, key=lambda line: (line["start_time"], line["trace_id"], line["span_id"]))


@pytest.mark.parametrize("variant", VARIANTS, ids=lambda variant: f"{variant.family}/{variant.name}")
def test_the_order_in_which_spans_and_log_events_come_changes_nothing(variant: Variant) -> None:
    chance = random.Random(7)
    for run in runs(variant):
        spans, logs = telemetry(run)
        expected = lines(spans, logs)
        assert lines(spans[::-1], logs[::-1]) == expected, run.name
        assert lines(chance.sample(spans, len(spans)), chance.sample(logs, len(logs))) == expected, run.name


@pytest.mark.parametrize("variant", VARIANTS, ids=lambda variant: f"{variant.family}/{variant.name}")
def test_protobuf_and_json_say_the_same(variant: Variant) -> None:
    for run in runs(variant):
        for name, body in run.requests:
            assert otlp.decode(json_of(body), name) == otlp.decode(body, name), run.name
