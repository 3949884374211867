"""From spans and log events to calls: each LLM call once, with all that was said.

`calls(join(spans, logs))` for what is all there at once. Where spans come one after the other, `attach` gives each
its log events, and `match` compares the `Fingerprint`s of what waits with those of what was already decided.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from label_studio_otel import dialects
from label_studio_otel.doubles import match
from label_studio_otel.errors import DialectError
from label_studio_otel.fingerprints import Fingerprint, fingerprint
from label_studio_otel.log_events import attach, join

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from label_studio_otel.generation import Generation
    from label_studio_otel.spans import Span

__all__ = ["Call", "Fingerprint", "attach", "calls", "fingerprint", "join", "match"]


@dataclass(frozen=True, slots=True)
class Call:
    """One LLM call."""

    #: The fullest of its spans.
    span: Span
    #: Name of the dialect that read it.
    dialect: str
    generation: Generation
    #: Keys of the other spans of the same call.
    aliases: tuple[str, ...] = ()


def calls(
    spans: Iterable[Span], unreadable: Callable[[Span, DialectError], None] = lambda _span, _error: None
) -> list[Call]:
    """Return the LLM calls among these spans, each once, in the order of their start.

    Args:
        spans: of any kind and in any order, with their log events (`join`).
        unreadable: called for each span that claims to be an LLM call and cannot be read.
    """
    found: dict[str, Call] = {}
    prints: list[Fingerprint] = []
    for span in spans:
        if span.key in found or not dialects.is_llm_call(span.attributes, span.scope_name):
            continue
        try:
            generation = dialects.read(span)
            found[span.key] = Call(span, dialects.dialect_of(span).name, generation)
        except DialectError as error:
            unreadable(span, error)
        else:
            prints.append(fingerprint(span, generation))
    aliases: dict[str, list[str]] = {}
    for loser, winner in match(prints).items():
        aliases.setdefault(winner, []).append(loser)
        del found[loser]
    whole = [replace(call, aliases=tuple(sorted(aliases.get(key, ())))) for key, call in found.items()]
    return sorted(whole, key=lambda call: (call.span.start_time_unix_nano, call.span.key))
