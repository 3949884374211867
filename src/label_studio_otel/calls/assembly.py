"""From spans and log events to calls: each LLM call once, with all that was said.

`calls(join(spans, logs))` for what is all there at once. Where spans come one after the other, `attach` gives each
its log events, and `match` compares the `Fingerprint`s of what waits with those of what was already decided.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from label_studio_otel import reading
from label_studio_otel.calls.fingerprint import Fingerprint, fingerprint
from label_studio_otel.calls.log_events import attach, join
from label_studio_otel.calls.matching import match
from label_studio_otel.calls.supplements import givers_of
from label_studio_otel.errors import DialectError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from label_studio_otel.generation import Choice, Generation
    from label_studio_otel.spans import Span

__all__ = ["Call", "Fingerprint", "attach", "calls", "completed", "fingerprint", "join", "match"]

#: Seconds since the stream began.
#: https://github.com/pydantic/logfire/blob/v4.0.0/logfire/_internal/integrations/llm_providers/llm_provider.py
DURATION = "duration"

#: What a span can lack that another one of the same call has. What was said is never mixed.
_FACTS = (
    "provider",
    "request_model",
    "response_model",
    "response_id",
    "input_tokens",
    "output_tokens",
    "conversation_id",
    "session_id",
    "user_id",
    "run_id",
    "prompt_name",
    "prompt_version",
    "tools",
)


@dataclass(frozen=True, slots=True)
class Call:
    """One LLM call."""

    #: The fullest of its spans.
    span: Span
    #: Name of the dialect that read it.
    dialect: str
    #: What this span says, and of the others what it does not know.
    generation: Generation
    #: Keys of the other spans of the same call.
    aliases: tuple[str, ...] = ()
    #: When the call began, which Logfire's second span of a stream does not say as other spans do.
    start_time_unix_nano: int = 0


def calls(
    spans: Iterable[Span],
    unreadable: Callable[[Span, DialectError], None] = lambda _span, _error: None,
    givers: Iterable[Span] = (),
) -> list[Call]:
    """Return the LLM calls among these spans, each once, in the order of their start.

    Args:
        spans: of any kind and in any order, with their log events (`join`).
        unreadable: called for each span that claims to be an LLM call and cannot be read.
        givers: of any kind; those of them that know facts of a call (`dialects.gives_facts`) give it what it lacks.
    """
    found: dict[str, Call] = {}
    prints: list[Fingerprint] = []
    for span in spans:
        if span.key in found or not reading.is_llm_call(span.attributes, span.scope_name):
            continue
        try:
            generation = reading.read(span)
            found[span.key] = Call(
                span, reading.dialect_of(span).name, generation, start_time_unix_nano=span.start_time_unix_nano
            )
        except DialectError as error:
            unreadable(span, error)
        else:
            prints.append(fingerprint(span, generation))
    others: dict[str, list[Call]] = {}
    for loser, winner in match(prints).items():
        others.setdefault(winner, []).append(found.pop(loser))
    whole = {key: _whole(call, others.get(key, [])) for key, call in found.items()}
    known = {one.key: one for one in prints}
    groups = {key: [known[name] for name in (key, *call.aliases)] for key, call in whole.items()}
    for key, group in groups.items():
        if known[key].echo:
            whole[key] = replace(whole[key], start_time_unix_nano=_began(whole[key].span, group))
    for key, facts in givers_of(groups, givers).items():
        whole[key] = replace(whole[key], generation=completed(whole[key].generation, facts))
    return sorted(whole.values(), key=lambda call: (call.start_time_unix_nano, call.span.key))


def _whole(call: Call, others: list[Call]) -> Call:
    generation = call.generation
    for other in others:
        generation = completed(generation, other.generation)
    return replace(call, generation=generation, aliases=tuple(sorted(other.span.key for other in others)))


def _began(echo: Span, group: Iterable[Fingerprint]) -> int:
    """Return when a stream began that Logfire tells of at its end: when its first span did, else so long ago."""
    first = min(one.start for one in group if one.scope == echo.scope_name)
    ago = echo.attributes.get(DURATION)
    if first < echo.start_time_unix_nano or isinstance(ago, bool) or not isinstance(ago, (int, float)):
        return first
    return first - round(ago * 1e9) if 0 <= ago <= first / 1e9 else first


def completed(generation: Generation, other: Generation) -> Generation:
    """Return a call with the facts that it lacks, as another of its spans knows them; what was said stays as it is."""
    facts = {name: getattr(other, name) for name in _FACTS if getattr(generation, name) in (None, ())}
    if other.response_model and generation.response_model == generation.request_model:
        # Who does not know which model answered repeats the one that was asked for.
        facts["response_model"] = other.response_model
    return replace(generation, choices=_with_reasons(generation.choices, other.choices), **facts)


def _with_reasons(choices: tuple[Choice, ...], others: tuple[Choice, ...]) -> tuple[Choice, ...]:
    """Give the answers the reasons why they ended, where both have as many."""
    if len(choices) != len(others):
        return choices
    pairs = zip(choices, others, strict=True)
    return tuple(replace(one, finish_reason=one.finish_reason or other.finish_reason) for one, other in pairs)
