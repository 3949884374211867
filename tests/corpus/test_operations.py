"""The operation by which `operations` chooses a call is the one that the whole call is read as."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING

from inline_snapshot import snapshot

from corpus.recordings import runs, variants
from label_studio_otel import reading
from label_studio_otel.errors import DialectError
from label_studio_otel.otlp import files as otlp
from label_studio_otel.spans import Span

if TYPE_CHECKING:
    from collections.abc import Iterator

CASES = Path(__file__).parents[1] / "cases"


def recorded() -> Iterator[Span]:
    """Yield every recorded span."""
    for variant in variants(CASES):
        for run in runs(variant):
            for name, body in run.requests:
                yield from map(Span.from_fields, otlp.decode(body, name).spans)
    for path in (CASES / "openllmetry-langchain-0.62.4").glob("*.json"):
        yield from map(Span.from_fields, json.loads(path.read_text("utf-8"))["spans"])


def test_every_recorded_call_is_chosen_by_the_operation_that_it_is_read_as() -> None:
    met: Counter[tuple[str, str]] = Counter()
    for span in recorded():
        if not reading.is_llm_call(span.attributes, span.scope_name):
            continue
        try:
            read = reading.read(span).operation
        except DialectError:
            continue
        found = reading.operation(span.attributes, span.scope_name, span.name)
        assert found == read, f"{reading.dialect_of(span).name}: {span}"
        met[reading.dialect_of(span).name, read] += 1
    assert met == snapshot(
        Counter(
            {
                ("openinference", "chat"): 435,
                ("gen_ai", "chat"): 1427,
                ("openinference", "text_completion"): 10,
                ("gen_ai", "text_completion"): 15,
                ("gen_ai", "generate_content"): 110,
                ("haystack", "chat"): 35,
                ("langfuse", "chat"): 85,
                ("langfuse", "text_completion"): 2,
                ("langsmith", "chat"): 97,
                ("langsmith", "text_completion"): 2,
                ("mlflow", "chat"): 60,
                ("mlflow", "text_completion"): 2,
                ("openllmetry", "chat"): 330,
                ("openllmetry", "text_completion"): 9,
                ("vercel", "chat"): 132,
            }
        )
    )
