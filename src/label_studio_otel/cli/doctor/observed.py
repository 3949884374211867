"""The spans of the application's run, counted, and the findings about them."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from label_studio_otel.cli.doctor.finding import Findings, counted, error, ok, warning
from label_studio_otel.cli.doctor.state import repeated
from label_studio_otel.settings import Settings

IN_CODE = "where the provider is made: provider.add_span_processor(LabelStudioSpanProcessor()); see docs/set-ups.md"
#: What to do about a reason of `Generation.incomplete`, by a word in it.
FIXES = {
    "TRACELOOP_TRACE_CONTENT": "export TRACELOOP_TRACE_CONTENT=true",
    "CAPTURE_MESSAGE_CONTENT": (
        "export OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT=SPAN_ONLY "
        "OTEL_SEMCONV_STABILITY_OPT_IN=gen_ai_latest_experimental"
    ),
    "OTEL_SPAN_ATTRIBUTE_COUNT_LIMIT": "export OTEL_SPAN_ATTRIBUTE_COUNT_LIMIT=1000",
    "VALUE_LENGTH_LIMIT": "unset OTEL_ATTRIBUTE_VALUE_LENGTH_LIMIT OTEL_SPAN_ATTRIBUTE_VALUE_LENGTH_LIMIT",
}
#: Exit codes of an application that ended in order or by Ctrl-C.
EXPECTED_EXIT_CODES = (0, -2, 130)


@dataclass
class Observed:
    """The spans of a run, counted."""

    #: Exit code of the application.
    code: int = 0
    #: Processes that were observed.
    processes: int = 0
    spans: Counter[str] = field(default_factory=Counter)
    #: LLM calls by scope.
    calls: Counter[str] = field(default_factory=Counter)
    operations: Counter[str] = field(default_factory=Counter)
    #: The different sets of names by which `operations` chooses them (`selection.operation_names`).
    names: set[tuple[str, ...]] = field(default_factory=set)
    #: LLM calls by the reason why they are incomplete.
    incomplete: Counter[str] = field(default_factory=Counter)
    #: LLM calls that no processor or exporter of this package got.
    missed: int = 0
    #: LLM calls that failed.
    errors: int = 0
    #: Pairs of trace id and span id with more than one start time.
    repeated_span_ids: int = 0

    @property
    def llm_calls(self) -> int:
        """Number of LLM calls."""
        return self.calls.total()


def read(lines: Iterable[str], code: int) -> Observed:
    """Return the counts of the lines that `sdk.observer` wrote; a line that a kill left unfinished is skipped."""
    observed = Observed(code)
    starts: dict[str, set[str]] = {}
    for text in lines:
        try:
            line = json.loads(text)
        except ValueError:
            continue
        observed.processes += "began" in line
        if "scope" in line:
            observed.spans[line["scope"]] += 1
        if "key" in line:
            _count(observed, line)
            ids, _, start = line["key"].rpartition(":")
            starts.setdefault(ids, set()).add(start)
    observed.repeated_span_ids = sum(len(times) > 1 for times in starts.values())
    return observed


def _count(observed: Observed, line: dict[str, Any]) -> None:
    observed.calls[line["scope"]] += 1
    observed.operations[line["operation"]] += 1
    observed.names.add(tuple(line.get("names") or [line["operation"]]))
    observed.missed += not line["taken"]
    observed.errors += bool(line["error"])
    observed.incomplete.update(dict.fromkeys(line["incomplete"], 1))


def findings(observed: Observed, settings: Settings, *, in_code: bool) -> Findings:
    """Yield the findings about a run."""
    if observed.code not in EXPECTED_EXIT_CODES:
        met = f"the application ended with exit code {observed.code}"
        yield warning("run", met, "see what it wrote above; run it to its end")
    if observed.llm_calls:
        yield from _of_calls(observed, settings)
    elif observed.processes:
        number = sum(observed.spans.values())
        met = f"{counted(number, 'span')} came, and no LLM call among them" if number else "the run made no spans"
        yield error("run", met, "let the run ask a model, and install the instrumentation of the library that it uses")
    elif in_code:
        met = "no Python process with label-studio-otel was seen"
        yield error("run", met, "start it with the application's Python")
    else:
        yield error(
            "run",
            "OpenTelemetry was not set up in the application: opentelemetry-instrument stopped before our hook",
            "mend the errors named here and in the application's log ('Failed to auto initialize OpenTelemetry')",
        )


def _of_calls(observed: Observed, settings: Settings) -> Findings:
    yield ok("run", f"LLM calls found: {observed.llm_calls}, among spans: {sum(observed.spans.values())}")
    calls = counted(observed.llm_calls, "LLM call")
    if observed.missed:
        yield error("run", f"{observed.missed} of {calls} went to a provider without our span processor", IN_CODE)
    for sentence, number in observed.incomplete.items():
        fix = next((fix for word, fix in FIXES.items() if word in sentence), None)
        met = f"{number} of {calls}: {sentence}"
        yield error("content", met, fix or "look at these spans where your traces are shown")
    yield from _mode(observed, settings)
    if observed.errors and not settings.include_errors:
        met = f"{counted(observed.errors, 'LLM call')} failed; failed calls become no tasks"
        yield warning("run", met, "export LABEL_STUDIO_OTEL_INCLUDE_ERRORS=true, if people shall see them")
    if observed.repeated_span_ids:
        yield repeated(observed.repeated_span_ids, "in this run")


def _mode(observed: Observed, settings: Settings) -> Findings:
    """Compare the mode with the operations of the calls; with both operations, either mode fits some of them."""
    chats = observed.llm_calls - observed.operations["text_completion"]
    fitting = {0: "prompt", observed.llm_calls: "chat"}.get(chats, settings.mode)
    if fitting != settings.mode:
        spans = "chat" if chats else "text_completion"
        met = f"your spans are {spans}, and the mode is {settings.mode}"
        yield warning("mode", met, f"export LABEL_STUDIO_OTEL_MODE={fitting}")
    taken = settings.operations
    left = sorted({names[0] for names in observed.names if taken.isdisjoint(names)}) if taken is not None else []
    if left:
        yield warning(
            "mode",
            f"LABEL_STUDIO_OTEL_OPERATIONS leaves out {', '.join(left)}",
            f"export LABEL_STUDIO_OTEL_OPERATIONS={','.join(sorted(observed.operations))}",
        )
