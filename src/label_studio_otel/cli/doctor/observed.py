"""The spans of the application's run, counted, and the findings about them."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from label_studio_otel.cli.doctor.finding import counted, error, ok, warning
from label_studio_otel.cli.doctor.state import repeated

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from label_studio_otel.cli.doctor.finding import Finding
    from label_studio_otel.settings import Settings

__all__ = ["Observed", "findings", "read"]

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
    """Count the lines that `sdk.observer` wrote; skip a line that a kill left unfinished."""
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


def _count(observed: Observed, line: dict[str, object]) -> None:
    observed.calls[str(line["scope"])] += 1
    observed.operations[str(line["operation"])] += 1
    names = line.get("names") or [line["operation"]]
    assert isinstance(names, (list, tuple))
    observed.names.add(tuple(map(str, names)))
    observed.missed += not line["taken"]
    observed.errors += bool(line["error"])
    incomplete = line["incomplete"]
    assert isinstance(incomplete, list)
    observed.incomplete.update(dict.fromkeys(map(str, incomplete), 1))


def findings(observed: Observed, settings: Settings, *, in_code: bool) -> Iterator[Finding]:
    """Yield the findings about a run."""
    if observed.code not in EXPECTED_EXIT_CODES:
        yield warning(
            "run", f"the application ended with exit code {observed.code}", "see what it wrote above; run it to its end"
        )
    if not observed.processes:
        yield _unseen(in_code=in_code)
        return
    if not observed.llm_calls:
        yield _no_calls(observed)
        return
    yield ok("run", f"LLM calls found: {observed.llm_calls}, among spans: {sum(observed.spans.values())}")
    yield from _missed(observed)
    yield from _lacking(observed)
    yield from _mode(observed, settings)
    if observed.errors and not settings.include_errors:
        yield warning(
            "run",
            f"{counted(observed.errors, 'LLM call')} failed; failed calls become no tasks",
            "export LABEL_STUDIO_OTEL_INCLUDE_ERRORS=true, if people shall see them",
        )
    if observed.repeated_span_ids:
        yield repeated(observed.repeated_span_ids, "in this run")


def _unseen(*, in_code: bool) -> Finding:
    if in_code:
        return error(
            "run", "no Python process with label-studio-otel was seen", "start it with the application's Python"
        )
    return error(
        "run",
        "OpenTelemetry was not set up in the application: opentelemetry-instrument stopped before our hook",
        "mend the errors named here and in the application's log ('Failed to auto initialize OpenTelemetry')",
    )


def _no_calls(observed: Observed) -> Finding:
    number = sum(observed.spans.values())
    met = f"{counted(number, 'span')} came, and no LLM call among them" if number else "the run made no spans"
    return error("run", met, "let the run ask a model, and install the instrumentation of the library that it uses")


def _missed(observed: Observed) -> Iterator[Finding]:
    if observed.missed:
        calls = counted(observed.llm_calls, "LLM call")
        met = f"{observed.missed} of {calls} went to a provider without our span processor"
        yield error("run", met, IN_CODE)


def _lacking(observed: Observed) -> Iterator[Finding]:
    for sentence, number in observed.incomplete.items():
        fix = next((fix for word, fix in FIXES.items() if word in sentence), None)
        met = f"{number} of {counted(observed.llm_calls, 'LLM call')}: {sentence}"
        yield error("content", met, fix or "look at these spans where your traces are shown")


def _mode(observed: Observed, settings: Settings) -> Iterator[Finding]:
    """Compare the mode with the operations of the calls; with both operations, either mode fits some of them."""
    chats = sum(number for operation, number in observed.operations.items() if operation != "text_completion")
    if settings.mode == "prompt" and chats == observed.llm_calls:
        yield warning("mode", "your spans are chat, and the mode is prompt", "export LABEL_STUDIO_OTEL_MODE=chat")
    if settings.mode == "chat" and not chats:
        yield warning(
            "mode", "your spans are text_completion, and the mode is chat", "export LABEL_STUDIO_OTEL_MODE=prompt"
        )
    taken = settings.operations
    left = sorted({names[0] for names in observed.names if taken.isdisjoint(names)}) if taken is not None else []
    if left:
        yield warning(
            "mode",
            f"LABEL_STUDIO_OTEL_OPERATIONS leaves out {', '.join(left)}",
            f"export LABEL_STUDIO_OTEL_OPERATIONS={','.join(sorted(observed.operations))}",
        )
