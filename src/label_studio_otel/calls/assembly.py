"""`calls` turns spans and log events into LLM calls, each once and with all its messages.

It is for those that are there all at once. The delivery gets them one after the other, and calls `log_events.attach`
and `matching.match`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, fields, replace

from label_studio_otel import reading
from label_studio_otel.calls.fingerprint import Fingerprint, fingerprint
from label_studio_otel.calls.matching import match
from label_studio_otel.calls.supplements import supplements_of
from label_studio_otel.errors import DialectError
from label_studio_otel.generation import Choice, Generation
from label_studio_otel.spans import Span

#: The fields that a span does not take from another span of the same call: messages and choices are never mixed.
_OWN = {"operation", "messages", "choices", "error", "error_type", "incomplete"}
#: The fields that it takes if it lacks them.
_FACTS = {one.name for one in fields(Generation)} - _OWN


@dataclass(frozen=True, slots=True)
class Call:
    """One LLM call."""

    #: The span of this call that holds most.
    span: Span
    #: Name of the dialect that read the span.
    dialect: str
    #: What the span holds, and the facts that only other spans of the call know.
    generation: Generation
    #: Keys of the other spans of the call.
    aliases: tuple[str, ...] = ()
    #: When the call began; the second span that Logfire writes of a stream starts later.
    start_time_unix_nano: int = 0


def calls(
    spans: Iterable[Span],
    unreadable: Callable[[Span, DialectError], None] = lambda _span, _error: None,
    supplements: Iterable[Span] = (),
) -> list[Call]:
    """Return the LLM calls among these spans, each once, by their start.

    Args:
        spans: of any kind and in any order, with their log events (`join`).
        unreadable: called for each span that claims to be an LLM call and cannot be read.
        supplements: spans of any kind; a call takes the facts that it lacks from those without messages
            (`reading.is_supplement`).
    """
    found: dict[str, Call] = {}
    for span in spans:
        if span.key not in found and reading.is_llm_call(span.attributes, span.scope_name):
            try:
                dialect, generation = reading.dialect_of(span).name, reading.read(span)
                found[span.key] = Call(span, dialect, generation, (), span.start_time_unix_nano)
            except DialectError as error:
                unreadable(span, error)
    prints = {key: fingerprint(call.span, call.generation) for key, call in found.items()}
    merged = _merged(found, prints)
    groups = {key: [prints[name] for name in (key, *call.aliases)] for key, call in merged.items()}
    for key, group in groups.items():
        if prints[key].echo:
            merged[key] = replace(merged[key], start_time_unix_nano=_stream_start(merged[key].span, group))
    for key, generation in supplements_of(groups, supplements).items():
        merged[key] = replace(merged[key], generation=completed(merged[key].generation, generation))
    return sorted(merged.values(), key=lambda call: (call.start_time_unix_nano, call.span.key))


def _merged(found: Mapping[str, Call], prints: Mapping[str, Fingerprint]) -> dict[str, Call]:
    """Return the calls by the keys of the spans that are kept, each completed with the facts of its other spans."""
    dropped = match(prints.values())
    merged = {key: call for key, call in found.items() if key not in dropped}
    for key, kept in dropped.items():
        call, other = merged[kept], found[key]
        aliases = tuple(sorted((*call.aliases, key)))
        merged[kept] = replace(call, generation=completed(call.generation, other.generation), aliases=aliases)
    return merged


def _stream_start(echo: Span, group: Iterable[Fingerprint]) -> int:
    """Return when a stream began: the start of Logfire's first span, else that of the second minus its duration."""
    first = min(one.start for one in group if one.scope == echo.scope_name)
    # https://github.com/pydantic/logfire/blob/v4.0.0/logfire/_internal/integrations/llm_providers/llm_provider.py
    seconds = echo.attributes.get("duration")
    if first < echo.start_time_unix_nano or isinstance(seconds, bool) or not isinstance(seconds, (int, float)):
        return first
    return first - round(seconds * 1e9) if 0 <= seconds <= first / 1e9 else first


def completed(generation: Generation, other: Generation) -> Generation:
    """Return a call in which missing facts are taken from another span of it; its messages stay as they are."""
    facts = {name: getattr(other, name) for name in _FACTS if getattr(generation, name) in (None, ())}
    if other.response_model and generation.response_model == generation.request_model:
        # An instrumentation that does not know the response model writes the request model there.
        facts["response_model"] = other.response_model
    return replace(generation, choices=_with_reasons(generation.choices, other.choices), **facts)


def _with_reasons(choices: tuple[Choice, ...], others: tuple[Choice, ...]) -> tuple[Choice, ...]:
    """Return the choices, missing finish reasons taken from the other span's, if both have as many choices."""
    if len(choices) != len(others):
        return choices
    pairs = zip(choices, others, strict=True)
    return tuple(replace(one, finish_reason=one.finish_reason or other.finish_reason) for one, other in pairs)
