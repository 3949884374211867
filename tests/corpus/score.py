"""Score what `convert` reads against recorded truth: a table of families and variants.

    python tests/corpus/score.py FOLDER [--family F] [--variant V] [--scenario S] [--details N] [--json FILE]

All requests of a run are one input of `convert`. Per variant:

- calls: in the truth; found: lines that `convert` printed;
- exact: everything that was said was read;
- observable: short of the truth, but everything that the call's spans hold was read, and nothing else;
- wrong: something was read that is not true, or something that the span holds was not read;
- missed: no line, though a span claims to be that call; no span: no span claims to be it;
- extra: lines that are no call; unreadable: spans that no dialect could read;
- leaves: share of what observable.json says can be recovered that was; elsewhere: calls of which something stands only
  in spans of others; otherwise: calls of which the span states something else than the wire did; unsaid: texts are
  missing, and `incomplete` is empty;
- provider, operation, tools, session_id, user_id, ids (of tool calls and results): share of calls that agree.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import multiprocessing
import sys
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

sys.path.insert(0, str(Path(__file__).parents[1]))

from corpus import leaves
from corpus.comparison import BOUNDED, EXACT, WRONG, Outcome, compare
from corpus.own import Own
from corpus.recordings import Run, Variant, runs, variants
from label_studio_otel.cli.genai_json import convert
from label_studio_otel.otlp import files as otlp
from label_studio_otel.spans import LogRecord, Span

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

COLUMNS = ("calls", "found", EXACT, BOUNDED, WRONG, "missed", "no span", "extra", "unreadable")
ALSO = ("provider", "operation", "tools", "session_id", "user_id", "ids")


@dataclass
class Score:
    """Of one variant."""

    name: str
    counts: Counter[str] = field(default_factory=Counter)
    #: What is wrong, a paragraph for each call.
    details: list[str] = field(default_factory=list)

    def row(self) -> list[str]:
        shares = [_share(self.counts["recovered"], self.counts["leaves"])]
        shares += [str(self.counts[name] or "") for name in ("elsewhere", "otherwise", "unsaid")]
        shares += [_share(self.counts[name], self.counts[f"{name} known"]) for name in ALSO]
        return [self.name, *(str(self.counts[name] or "") for name in COLUMNS), *shares]


def score_variant(variant: Variant, scenario: str | None = None) -> Score:
    """Score all runs of a variant."""
    score = Score(f"{variant.family}/{variant.name}")
    for run in runs(variant):
        if scenario in (None, run.scenario):
            score_run(run, score)
    return score


def score_run(run: Run, score: Score) -> None:
    """Add one run to its variant's score."""
    spans, logs = telemetry(run)
    unreadable: list[str] = []
    lines = list(convert(spans, logs, lambda _span, error: unreadable.append(str(error))))
    calls, counts = run.expected["calls"], score.counts
    counts["calls"] += len(calls)
    counts["found"] += len(lines)
    counts["unreadable"] += len(unreadable)
    by_id = {(span.trace_id, span.span_id): span for span in spans}
    matched = dict(_matched(run, lines))
    for number in range(len(calls)):
        if number in matched:
            line = lines[matched[number]]
            own = Own([_with_logs(by_id[line["trace_id"], line["span_id"]], logs)])
            outcome = compare(run, number, line, own)
            _add(outcome, counts)
            problems = [*outcome.wrong, *(f"(elsewhere) {sentence}" for sentence in outcome.elsewhere)]
            problems += [f"(otherwise) {sentence}" for sentence in outcome.otherwise]
            problems += [f"(also) {name} differs" for name, agrees in outcome.also.items() if not agrees]
            if outcome.unsaid:
                problems += [f"(unsaid) {sentence}" for sentence in outcome.missing if " text " in sentence]
            if problems:
                head = f"{outcome.verdict}: {run.name} call {number}, span {line['span_id']}, {line['dialect']}"
                score.details.append("\n    ".join([head, *problems]))
        else:
            kind = "missed" if _claimed(run, number, spans, lines) else "no span"
            counts[kind] += 1
            if kind == "missed":
                score.details.append(f"missed: {run.name} call {number} ({calls[number]['api']})")
    for index in set(range(len(lines))) - set(matched.values()):
        counts["extra"] += 1
        span = by_id[lines[index]["trace_id"], lines[index]["span_id"]]
        score.details.append(f"extra: {run.name} span {span.span_id} {span.name!r} [{span.scope_name}]")
    score.details += [f"unreadable: {run.name}: {sentence}" for sentence in unreadable]


def telemetry(run: Run) -> tuple[list[Span], list[LogRecord]]:
    """Decode all requests of a run."""
    spans, logs = [], []
    for name, body in run.requests:
        decoded = otlp.decode(body, name)
        spans += map(Span.from_fields, decoded.spans)
        logs += map(LogRecord.from_fields, decoded.logs)
    return spans, logs


def _with_logs(span: Span, logs: list[LogRecord]) -> Span:
    # Some writers leave a log event's ids empty; then its time tells.
    near = range(span.start_time_unix_nano, span.end_time_unix_nano + 10**7)
    own = (
        record
        for record in logs
        if record.span_id == span.span_id or (not record.span_id and record.time_unix_nano in near)
    )
    return dataclasses.replace(span, logs=tuple(own))


def _add(outcome: Outcome, counts: Counter[str]) -> None:
    counts[outcome.verdict] += 1
    counts["leaves"] += outcome.observable
    counts["recovered"] += outcome.recovered
    counts["elsewhere"] += bool(outcome.elsewhere)
    counts["otherwise"] += bool(outcome.otherwise)
    counts["unsaid"] += outcome.unsaid
    for name, agrees in outcome.also.items():
        counts[f"{name} known"] += 1
        counts[name] += agrees


def _matched(run: Run, lines: list[dict[str, Any]]) -> Iterator[tuple[int, int]]:
    """Yield which line is taken for which call: those that agree most first, else in their order."""
    likeness = []
    told = [_told(line) for line in lines]
    for number, (call, observable) in enumerate(zip(run.expected["calls"], run.observable["calls"], strict=True)):
        sent = {leaf.said for message in leaves.true_messages(call, observable) for leaf in message}
        got = {leaf.said for choice in leaves.true_choices(call, observable) for leaf in choice}
        for index, line in enumerate(lines):
            input_, output = told[index]
            values = (
                line["request_model"] == call["model"],
                line["response_model"] == call["response_model"],
                line["usage"]["output_tokens"] == call["output_tokens"],
                bool(line["error"]) == bool(call.get("error")),
            )
            # A history repeats in the calls that follow: what is too much counts, too.
            shared = 8 * len(got & output) + 2 * len(sent & input_) - len(input_ - sent)
            likeness.append((-shared - sum(values), abs(number - index), number, index))
    numbers, indices = set(), set()
    for _, _, number, index in sorted(likeness):
        if number not in numbers and index not in indices:
            numbers.add(number)
            indices.add(index)
            yield number, index


def _told(line: dict[str, Any]) -> tuple[set[Any], set[Any]]:
    input_, output = (
        {leaf.said for message in leaves.messages(line, side) for leaf in message} for side in ("input", "output")
    )
    return input_, output


def _claimed(run: Run, number: int, spans: list[Span], lines: list[dict[str, Any]]) -> bool:
    """Tell whether a span claims to be this call, of which there is no line."""
    carriers = {carrier.rpartition(" ")[2] for carrier in run.observable["calls"][number].get("carriers", ())}
    read = {line["span_id"] for line in lines}
    claimants = {span.span_id for span in spans if _claims(span)} - read
    return bool(claimants & carriers) or (not carriers and bool(claimants))


def _claims(span: Span) -> bool:
    """Tell whether a span says that it is an LLM call, in the words of any instrumentation; independent of dialects."""
    get = span.attributes.get
    if span.scope_name == "com.anthropic.sdk.python":
        return False
    if kind := get("openinference.span.kind"):
        return kind == "LLM"
    return (
        get("gen_ai.operation.name") in ("chat", "text_completion", "generate_content", "acompletion")
        or (get("llm.request.type") in ("chat", "completion") and get("traceloop.span.kind") is None)
        or get("langsmith.span.kind") == "llm"
        or get("langfuse.observation.type") == "generation"
        or str(get("ai.operationId")).endswith((".doGenerate", ".doStream"))
        or get("mlflow.spanType") in ('"CHAT_MODEL"', '"LLM"')
        or str(get("haystack.component.type")).endswith("Generator")
    )


def _share(part: int, whole: int) -> str:
    if not whole:
        return ""
    return "100" if part == whole else f"{min(99.99, 100 * part / whole):.2f}"


def _score(task: tuple[Variant, str | None]) -> Score:
    return score_variant(*task)


def scores(
    folder: Path, family: str | None = None, variant: str | None = None, scenario: str | None = None, processes: int = 2
) -> list[Score]:
    """Score a folder; the scores come in the order of their names."""
    found_variants = sorted(variants(folder, family, variant), key=lambda one: -one.size)
    tasks = [(one, scenario) for one in found_variants]
    if processes == 1 or len(tasks) == 1:
        found = list(map(_score, tasks))
    else:
        with multiprocessing.get_context("spawn").Pool(processes) as pool:
            found = list(pool.imap_unordered(_score, tasks, chunksize=1))
    return sorted(found, key=lambda score: score.name)


def table(found: Sequence[Score]) -> str:
    """Return the table as text."""
    total = Score("all")
    for score in found:
        total.counts.update(score.counts)
    rows = [["variant", *COLUMNS, "leaves %", "elsewhere", "otherwise", "unsaid", *(f"{name} %" for name in ALSO)]]
    rows += [score.row() for score in (*found, total)]
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    return "\n".join(
        "  ".join(
            cell.ljust(width) if column == 0 else cell.rjust(width)
            for column, (cell, width) in enumerate(zip(row, widths, strict=True))
        )
        for row in rows
    )


def main() -> int:
    """Print the table; 1 where something is wrong, missed, extra or unreadable."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--family")
    parser.add_argument("--variant")
    parser.add_argument("--scenario")
    parser.add_argument("--details", type=int, default=0, metavar="N", help="show the first N calls that differ")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the counts of each variant")
    parser.add_argument("--processes", type=int, default=2)
    args = parser.parse_args()
    found = scores(args.folder, args.family, args.variant, args.scenario, args.processes)
    for detail in [detail for score in found for detail in score.details][: args.details]:
        print(detail)
    print(table(found))
    if args.json:
        args.json.write_text(json.dumps({score.name: dict(score.counts) for score in found}, indent=1), "utf-8")
    return int(any(score.counts[name] for score in found for name in (WRONG, "missed", "extra", "unreadable")))


if __name__ == "__main__":
    sys.exit(main())
