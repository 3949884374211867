"""`match` finds the spans that are the same LLM call: two instrumentations record it, or one writes it in two spans.

Two spans can be one call only if their instrumentation scopes differ and their times overlap. (The two spans that
Logfire writes of a stream are the exception.) In doubt they stay two calls. The evidence, the strongest first:

1. the second span that Logfire writes of a stream repeats the request of the first one;
2. equal response id, question and answers. Equal ids alone can be chance: Ollama draws them from 999 numbers;
3. equal response id. Instrumentations differ in what they record of the answer;
4. equal question and equal answers;
5. equal question and one equal answer. Some instrumentations record only the first choice, or only the text;
6. one is the parent of the other, and neither question nor answer differs;
7. equal question, one of the two has no answer, and neither can be the same call as a third one.

The calls are sorted by time and swept, not compared in all pairs: thousands of equal calls cost milliseconds. The order
in which spans arrive does not matter.
"""

from __future__ import annotations

from bisect import bisect_left, insort
from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping, Sequence
from functools import partial
from itertools import combinations, islice
from typing import TypeAlias

from label_studio_otel.calls.call_group import CallGroup, agree, compatible, complementary, one_to_one, overlap_by_half
from label_studio_otel.calls.fingerprint import Fingerprint

#: Calls of one scope that are compared with a call, the nearest in time first.
MAX_CANDIDATES = 50

#: Returns what two equal calls have in common. A feature of which the first value is not known does not count.
_Features: TypeAlias = Callable[[Fingerprint], Iterable[tuple[Hashable, ...]]]


def match(fingerprints: Iterable[Fingerprint], decided: Mapping[str, str] | None = None) -> dict[str, str]:
    """Return which spans are the same call as another one: key of the span to drop → key of the span to keep.

    Args:
        fingerprints: of all spans in a window of time, those that wait and those that were decided, in any order.
        decided: the earlier decisions that stay: the key of a span that was sent (or is being sent) → its own key, the
            key of a span that was dropped → the key of the span that was kept for it. A span that was kept is kept
            again; no key of `decided` is among the result's keys.
    """
    decided = decided or {}
    calls = _calls(fingerprints, decided)
    for join in (
        _join_echoes,
        partial(_join_equal, lambda one: [(one.response, one.asked, one.answers)]),
        partial(_join_equal, lambda one: [(one.response,)]),
        partial(_join_equal, lambda one: [(one.asked, one.answers)] if one.answers or one.failed else []),
        partial(_join_equal, lambda one: [(one.asked, answer) for answer in one.answers]),
        _join_children,
        _join_unanswered,
    ):
        join(calls)
        calls = _remaining(calls)
    return {
        one.key: call.representative
        for call in calls
        if len(call.members) > 1
        for one in call.members
        if one.key != call.representative and one.key not in decided
    }


def _calls(fingerprints: Iterable[Fingerprint], decided: Mapping[str, str]) -> list[CallGroup]:
    """Return a group for each span; spans that were merged into the same span by earlier decisions are one group."""
    by_key = {one.key: one for one in fingerprints}
    members: dict[str, list[Fingerprint]] = {}
    for one in sorted(by_key.values(), key=lambda one: one.order):
        members.setdefault(decided.get(one.key, one.key), []).append(one)
    return _remaining(
        CallGroup(group, kept if any(one.key in decided for one in group) else "") for kept, group in members.items()
    )


def _remaining(calls: Iterable[CallGroup]) -> list[CallGroup]:
    """Return the calls that were not merged into another one, by their start."""
    return sorted((call for call in calls if call.merged_into is None), key=lambda call: call.order)


def _join_echoes(calls: Iterable[CallGroup]) -> None:
    """Join the first span that Logfire writes of a stream with the second one, which comes when the stream ended."""
    begun: dict[tuple[str, str], list[CallGroup]] = {}
    for call in calls:
        if len(call.members) > 1:
            continue
        one = call.members[0]
        waiting = begun.setdefault((one.scope, one.request), [])
        if not one.echo:
            if not (one.answers or one.failed):
                waiting.append(call)
            continue
        first = next((other for other in reversed(waiting) if other.end <= call.start), None)
        if first and not (first.decided and call.decided):
            waiting.remove(first)
            first.merge(call)


def _join_equal(features: _Features, calls: Iterable[CallGroup]) -> None:
    """Join the calls that have a feature in common, come from different scopes and overlap in time."""
    for alike in _alike(features, calls):
        _sweep(_nearest_around, alike)
        _sweep(_nearest_across, _remaining(alike))


def _alike(features: _Features, calls: Iterable[CallGroup]) -> Iterator[list[CallGroup]]:
    """Yield, for each feature, the calls that have it; features of one call alone are left out."""
    having: dict[Hashable, dict[CallGroup, None]] = {}
    for call in calls:
        for feature in (feature for one in call.members for feature in features(one)):
            if feature[0]:
                having.setdefault(feature, {})[call] = None
    for alike in having.values():
        if len(alike) > 1:
            yield _remaining(alike)


def _sweep(
    candidates: Callable[[CallGroup, Sequence[CallGroup]], Iterable[CallGroup]], calls: Iterable[CallGroup]
) -> None:
    """Join each call with the compatible candidate that ends at the nearest time; `calls` come by their start."""
    #: By their scopes, each list sorted by `_by_end`.
    begun: dict[frozenset[str], list[CallGroup]] = {}
    for call in calls:
        found = [
            candidate
            for scopes, others in begun.items()
            if scopes.isdisjoint(call.scopes)
            for candidate in islice(filter(partial(compatible, call), candidates(call, others)), 1)
        ]
        whole = min(found, key=lambda other: abs(other.end - call.end), default=call)
        if whole is not call:
            others = begun[whole.scopes]
            del others[bisect_left(others, _by_end(whole), key=_by_end)]
            whole.merge(call)
        insort(begun.setdefault(whole.scopes, []), whole, key=_by_end)


def _by_end(call: CallGroup) -> tuple[int, int, str]:
    return call.end, -call.start, call.members[0].key


def _nearest_around(call: CallGroup, others: Sequence[CallGroup]) -> Iterable[CallGroup]:
    """Return the calls that end with this one or after it, the next one first."""
    first = bisect_left(others, call.end, key=lambda other: other.end)
    return others[first : first + MAX_CANDIDATES]


def _nearest_across(call: CallGroup, others: Sequence[CallGroup]) -> Iterator[CallGroup]:
    """Yield the calls that end before this one and overlap it by half, the last one first."""
    behind = bisect_left(others, call.end, key=lambda other: other.end)
    for other in reversed(others[max(0, behind - MAX_CANDIDATES) : behind]):
        if not overlap_by_half(call, other):
            return
        yield other


def _join_children(calls: Iterable[CallGroup]) -> None:
    """Join a span with its parent span if no question or answer that both have differs."""
    call_of = {one.span: call for call in calls for one in call.members}
    for child in calls:
        for one in list(child.members):
            parent = call_of.get(one.parent)
            while parent and parent.merged_into:
                parent = parent.merged_into
            if parent and child.merged_into is None and overlap_by_half(child, parent) and agree(child, parent):
                parent.merge(child)


def _join_unanswered(calls: Iterable[CallGroup]) -> None:
    """Join a call that has no answer with the only one that can have it."""
    for alike in _alike(lambda one: [(one.asked,)], calls):
        for crowd in _concurrent(alike):
            if len(crowd) > 50:  # their pairs would be too many
                continue
            pairs = [(one, other) for one, other in combinations(crowd, 2) if complementary(one, other)]
            for one, other in one_to_one([*pairs, *((other, one) for one, other in pairs)]):
                if one.merged_into is None and other.merged_into is None:
                    one.merge(other)


def _concurrent(calls: Iterable[CallGroup]) -> Iterator[list[CallGroup]]:
    """Yield groups of calls; no call was under way between two groups. `calls` come by their start."""
    crowd: list[CallGroup] = []
    end = 0
    for call in calls:
        if crowd and call.start > end:
            yield crowd
            crowd = []
        crowd.append(call)
        end = max(end, call.end)
    yield crowd
