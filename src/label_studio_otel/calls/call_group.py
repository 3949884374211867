"""`CallGroup` holds the spans of one LLM call; the functions say whether two groups can be the same call."""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable, Iterable
from dataclasses import dataclass, field
from typing import TypeVar

from label_studio_otel.calls.fingerprint import Fingerprint

_Pair = TypeVar("_Pair", bound=tuple[Hashable, Hashable])


@dataclass(eq=False, slots=True)
class CallGroup:
    """The fingerprints of spans that are one LLM call."""

    members: list[Fingerprint]
    #: Key of the span that an earlier decision kept for this call; empty where there was none.
    decided: str = ""
    scopes: frozenset[str] = field(init=False)
    #: Unix nanoseconds of the first start and of the last end.
    start: int = field(init=False)
    end: int = field(init=False)
    #: The group that took over the members of this one.
    merged_into: CallGroup | None = None

    def __post_init__(self) -> None:
        self.scopes = frozenset(one.scope for one in self.members)
        self.start = min(one.start for one in self.members)
        self.end = max(one.end for one in self.members)

    @property
    def representative(self) -> str:
        """The key of the span to keep: the one of an earlier decision, else the span that holds most."""
        if self.decided:
            return self.decided
        return min(self.members, key=lambda one: ([-count for count in one.richness], *one.order)).key

    @property
    def order(self) -> tuple[int, int, str]:
        """The order in which groups are compared: by start, the longer one first."""
        return self.start, -self.end, self.members[0].key

    @property
    def questions(self) -> set[str]:
        """The digests of the user's last text, one for each different text among the spans."""
        return {one.asked for one in self.members if one.asked}

    @property
    def answers(self) -> set[str]:
        """The digests of all answers of all spans."""
        return {answer for one in self.members for answer in one.answers}

    def merge(self, other: CallGroup) -> None:
        """Take over the members of another group."""
        self.members += other.members
        self.scopes |= other.scopes
        self.start, self.end = min(self.start, other.start), max(self.end, other.end)
        self.decided = self.decided or other.decided
        other.merged_into = self


def overlap_by_half(one: CallGroup, other: CallGroup) -> bool:
    """Return True if the two overlap in time for at least half of the shorter one."""
    common = min(one.end, other.end) - max(one.start, other.start)
    return common >= 0 and 2 * common >= min(one.end - one.start, other.end - other.start)


def compatible(one: CallGroup, other: CallGroup) -> bool:
    """Return True if scopes, response ids, models and processes allow the two to be one call."""
    if one.scopes & other.scopes or (one.decided and other.decided):
        return False
    pairs = [(left, right) for left in one.members for right in other.members]
    if any(left.response and left.response == right.response for left, right in pairs):
        return True
    return not any(_differ(left, right) for left, right in pairs)


def _differ(one: Fingerprint, other: Fingerprint) -> bool:
    """Return True if two spans have two response ids of one kind, different processes, or different models.

    The caller has checked that the ids are not equal.
    """
    two_ids = one.response and other.response and one.response_kind == other.response_kind
    if two_ids or any(a and b and a != b for a, b in zip(one.process, other.process, strict=False)):
        return True
    names = [(a, b) for a in one.models for b in other.models]
    return bool(names) and not any(a.startswith(b) or b.startswith(a) for a, b in names)


def agree(one: CallGroup, other: CallGroup) -> bool:
    """Return True if the two are compatible, and have a common question and a common answer wherever both have any."""
    return compatible(one, other) and not any(
        left and right and left.isdisjoint(right)
        for left, right in ((one.questions, other.questions), (one.answers, other.answers))
    )


def complementary(one: CallGroup, other: CallGroup) -> bool:
    """Return True if the two can be one call of a known model, and at most one of them has an answer."""
    models_known = all(any(member.models for member in group.members) for group in (one, other))
    both_answered = one.answers and other.answers
    return models_known and not both_answered and overlap_by_half(one, other) and compatible(one, other)


def one_to_one(pairs: Iterable[_Pair]) -> list[_Pair]:
    """Return the pairs in which neither side occurs in another pair."""
    unique = dict.fromkeys(pairs)
    lefts, rights = Counter(pair[0] for pair in unique), Counter(pair[1] for pair in unique)
    return [pair for pair in unique if lefts[pair[0]] == rights[pair[1]] == 1]
