"""Which call the spans tell of that hold no message, only facts (`dialects.gives_facts`).

What tells is the provider's id of the answer, else the time: the only call that was under way with the same model. A
span that tells of no call, or that could tell of two, gives nothing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from label_studio_otel import reading
from label_studio_otel.calls.call_group import Spans, may_join, mostly_common
from label_studio_otel.calls.fingerprint import fingerprint
from label_studio_otel.errors import DialectError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from label_studio_otel.calls.fingerprint import Fingerprint
    from label_studio_otel.generation import Generation
    from label_studio_otel.spans import Span

__all__ = ["givers_of"]


def givers_of(calls: Mapping[str, Sequence[Fingerprint]], spans: Iterable[Span]) -> dict[str, Generation]:
    """Return what is known of calls, by their names.

    Args:
        calls: the fingerprints of each call's spans, by any name.
        spans: of any kind and in any order.
    """
    known: dict[str, Generation] = {}
    givers: dict[str, Spans] = {}
    for key, mark, generation in _read(spans):
        known[key], givers[key] = generation, _spans([mark])
    if not givers:
        return {}
    waiting = {name: _spans(members) for name, members in calls.items()}
    found: dict[str, str] = {}
    for pairs in (_by_id, _by_time):
        for name, key in _one_to_one(pairs(waiting, givers)):
            found[name] = key
            del waiting[name], givers[key]
    return {name: known[key] for name, key in found.items()}


def _read(spans: Iterable[Span]) -> Iterator[tuple[str, Fingerprint, Generation]]:
    for span in spans:
        if reading.gives_facts(span.attributes, span.scope_name):
            try:
                generation = reading.facts(span)
            except DialectError:  # it is no line, so none is lost
                continue
            yield span.key, fingerprint(span, generation), generation


def _spans(members: Sequence[Fingerprint]) -> Spans:
    return Spans(list(members), min(one.start for one in members), max(one.end for one in members))


def _one_to_one(pairs: Iterable[tuple[str, str]]) -> list[tuple[str, str]]:
    """Return the pairs of which neither stands in another pair."""
    of_call: dict[str, set[str]] = {}
    of_giver: dict[str, set[str]] = {}
    for name, key in pairs:
        of_call.setdefault(name, set()).add(key)
        of_giver.setdefault(key, set()).add(name)
    return [(name, min(keys)) for name, keys in of_call.items() if len(keys) == len(of_giver[min(keys)]) == 1]


def _by_id(calls: Mapping[str, Spans], givers: Mapping[str, Spans]) -> Iterator[tuple[str, str]]:
    named: dict[str, list[str]] = {}
    for key, giver in givers.items():
        named.setdefault(giver.members[0].response, []).append(key)
    for name, call in calls.items():
        for response in {one.response for one in call.members} - {""}:
            for key in named.get(response, ()):
                yield name, key


def _by_time(calls: Mapping[str, Spans], givers: Mapping[str, Spans]) -> Iterator[tuple[str, str]]:
    """Yield each span with each call that it can tell of; swept by their start, never all pairs."""
    under_way: list[tuple[str, Spans]] = []
    told: list[tuple[str, Spans]] = []
    every = [(spans.start, at, key, spans) for at, all_ in enumerate((calls, givers)) for key, spans in all_.items()]
    for start, is_giver, key, spans in sorted(every, key=lambda one: one[:3]):
        under_way = [one for one in under_way if one[1].end >= start]
        told = [one for one in told if one[1].end >= start]
        if is_giver:
            told.append((key, spans))
            yield from ((name, key) for name, call in under_way if _can_tell_of(spans, call))
        else:
            under_way.append((key, spans))
            yield from ((key, giver) for giver, facts in told if _can_tell_of(facts, spans))


def _can_tell_of(giver: Spans, call: Spans) -> bool:
    return mostly_common(giver, call) and may_join(giver, call)
