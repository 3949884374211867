"""Which spans are one and the same call: two instrumentations at work, or one that writes a call in two spans.

Only spans of different instrumentation scopes can be one call, one of each scope, and they overlap in time. What
tells is, in this order: the provider's id of the answer; equal question and equal answer; a span right below another
one; an equal question where one of the two lacks the answer and no third can be meant. In doubt they are two calls.

Sorted and swept, never all pairs: thousands of equal calls in a window cost milliseconds. The order of arrival does
not matter.
"""

from __future__ import annotations

from bisect import bisect_left, insort
from typing import TYPE_CHECKING, TypeAlias

from label_studio_otel.calls.call_group import Spans, can_be_the_answer_of, may_join, mostly_common, not_at_odds

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping

    from label_studio_otel.calls.fingerprint import Fingerprint

__all__ = ["match"]

#: Spans of one question among which the one that lacks its answer is looked for.
MAX_CROWD = 50
#: Spans looked at for one, where ids or models tell that the nearest are others.
MAX_LOOKS = 50


def match(fingerprints: Iterable[Fingerprint], decided: Mapping[str, str] | None = None) -> dict[str, str]:
    """Return which spans are the same call as another one: key of the one to drop → key of the one to keep.

    Args:
        fingerprints: of everything in a window of time: what waits, what was decided, in any order.
        decided: of these, what is not to be changed any more: the key of one that was sent (or is being sent) → its
            own key, the key of one that was dropped → the key of the one that was kept for it. What was decided is
            always kept, and is not in the result.
    """
    decided = decided or {}
    by_key = {one.key: one for one in fingerprints}
    calls = _Calls(sorted(by_key.values(), key=lambda one: one.order), decided)
    calls.join_echoes()
    calls.sweep(_by_id_and_content)
    calls.sweep(_by_id)
    calls.sweep(_by_all_answers)
    calls.sweep(_by_any_answer)
    calls.join_kin()
    calls.join_silent()
    return {
        one.key: call.winner
        for call in calls.all()
        if len(call.members) > 1
        for one in call.members
        if one.key != call.winner and one.key not in decided
    }


#: By their scopes, those that have begun, sorted by their end.
_Open: TypeAlias = "dict[frozenset[str], list[tuple[int, int, str, Spans]]]"


class _Calls:
    """The calls known so far; each step makes fewer of them."""

    def __init__(self, ordered: list[Fingerprint], decided: Mapping[str, str]) -> None:
        groups: dict[str, list[Fingerprint]] = {}
        for one in ordered:
            groups.setdefault(decided.get(one.key, one.key), []).append(one)
        self._all = [
            Spans(
                members,
                min(one.start for one in members),
                max(one.end for one in members),
                winner if any(one.key in decided for one in members) else "",
            )
            for winner, members in groups.items()
        ]

    def all(self) -> list[Spans]:
        """Return the calls in the order of their start."""
        self._all = sorted((call for call in self._all if call.into is None), key=lambda call: call.order)
        return self._all

    def join_echoes(self) -> None:
        """Join a streamed call of Logfire with the span that it writes when the stream has ended."""
        begun: dict[tuple[str, str], list[Spans]] = {}
        for call in self.all():
            (first, *more) = call.members
            if more:
                continue
            waiting = begun.setdefault((first.scope, first.request), [])
            if not first.echo:
                if not (first.answers or first.failed):
                    waiting.append(call)
                continue
            at = next((at for at in reversed(range(len(waiting))) if waiting[at].end <= call.start), None)
            if at is not None and not (waiting[at].decided and call.decided):
                waiting.pop(at).take(call)

    def sweep(self, names: Callable[[Fingerprint], Iterable[Hashable]]) -> None:
        """Join those that share a name, have no scope in common and overlap in time."""
        named: dict[Hashable, dict[Spans, None]] = {}
        for call in self.all():
            for one in call.members:
                for name in names(one):
                    named.setdefault(name, {})[call] = None
        for calls in named.values():
            if len(calls) > 1:
                _sweep([call for call in calls if call.into is None])

    def join_kin(self) -> None:
        """Join a span with the one right above it, where nothing that both say differs."""
        home = {one.span: call for call in self.all() for one in call.members}
        for below in list(self._all):
            for one in list(below.members):
                above = _root(home[one.parent]) if one.parent in home else None
                if above and below.into is None and mostly_common(below, above) and not_at_odds(below, above):
                    above.take(below)

    def join_silent(self) -> None:
        """Join one that lacks its answer with the only one that can be meant."""
        asked: dict[str, dict[Spans, None]] = {}
        for call in self.all():
            for one in call.members:
                if one.asked:
                    asked.setdefault(one.asked, {})[call] = None
        for calls in asked.values():
            for crowd in _crowds(call for call in calls if call.into is None):
                if 1 < len(crowd) <= MAX_CROWD:
                    _join_unmistakable(crowd)


def _by_id_and_content(one: Fingerprint) -> Iterator[Hashable]:
    if one.response:
        yield one.response, one.asked, one.answers


def _by_id(one: Fingerprint) -> Iterator[Hashable]:
    if one.response:
        yield one.response


def _by_all_answers(one: Fingerprint) -> Iterator[Hashable]:
    if one.asked and (one.answers or one.failed):
        yield one.asked, one.answers


def _by_any_answer(one: Fingerprint) -> Iterator[Hashable]:
    if one.asked:
        for answer in one.answers:
            yield one.asked, answer


def _sweep(calls: list[Spans]) -> None:
    """Join each with the shortest one around it, then those that merely overlap."""
    for find in (_around, _across):
        open_: _Open = {}
        for call in sorted((call for call in calls if call.into is None), key=lambda call: call.order):
            found = find(call, open_)
            whole = found or call
            if found:
                found.take(call)
            insort(open_.setdefault(whole.scopes, []), (whole.end, -whole.start, whole.members[0].key, whole))


def _around(call: Spans, open_: _Open) -> Spans | None:
    """Take out of `open_` the one that ends next after this one."""
    best: tuple[int, frozenset[str], int] | None = None
    for scopes, others in open_.items():
        if scopes.isdisjoint(call.scopes):
            first = bisect_left(others, (call.end,))
            for at in range(first, min(len(others), first + MAX_LOOKS)):
                if best and others[at][0] >= best[0]:
                    break
                if may_join(call, others[at][3]):
                    best = others[at][0], scopes, at
                    break
    return open_[best[1]].pop(best[2])[3] if best else None


def _across(call: Spans, open_: _Open) -> Spans | None:
    """Take out of `open_` the one that ended last before this one, where most of the time was common to both."""
    best: tuple[int, frozenset[str], int] | None = None
    for scopes, others in open_.items():
        if scopes.isdisjoint(call.scopes):
            last = bisect_left(others, (call.end,)) - 1
            for at in range(last, max(-1, last - MAX_LOOKS), -1):
                if (best and others[at][0] <= best[0]) or not mostly_common(call, others[at][3]):
                    break
                if may_join(call, others[at][3]):
                    best = others[at][0], scopes, at
                    break
    return open_[best[1]].pop(best[2])[3] if best else None


def _root(call: Spans) -> Spans:
    while call.into is not None:
        call = call.into
    return call


def _crowds(calls: Iterable[Spans]) -> Iterator[list[Spans]]:
    """Yield the calls in groups that have no time in common with each other."""
    crowd: list[Spans] = []
    end = 0
    for call in sorted(calls, key=lambda call: call.order):
        if crowd and call.start > end:
            yield crowd
            crowd = []
        crowd.append(call)
        end = max(end, call.end)
    if crowd:
        yield crowd


def _join_unmistakable(crowd: list[Spans]) -> None:
    partners: dict[Spans, list[Spans]] = {call: [] for call in crowd}
    for at, one in enumerate(crowd):
        for other in crowd[at + 1 :]:
            if can_be_the_answer_of(one, other):
                partners[one].append(other)
                partners[other].append(one)
    for call, others in partners.items():
        if len(others) == 1 and len(partners[others[0]]) == 1 and call.into is None and others[0].into is None:
            call.take(others[0])
