"""What tells that spans are one call, and what tells that they are two."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from label_studio_otel.calls.fingerprint import Fingerprint

__all__ = ["Spans", "can_be_the_answer_of", "may_join", "mostly_common", "not_at_odds"]


@dataclass(eq=False, slots=True)
class Spans:
    """Spans that are one call."""

    members: list[Fingerprint]
    start: int
    end: int
    #: Key of a member that was sent.
    decided: str = ""
    scopes: frozenset[str] = field(init=False)
    #: The call that this one became part of.
    into: Spans | None = None

    def __post_init__(self) -> None:
        self.scopes = frozenset(one.scope for one in self.members)

    @property
    def winner(self) -> str:
        """The key of the one to keep."""
        if self.decided:
            return self.decided
        return min(self.members, key=lambda one: ([-count for count in one.richness], *one.order)).key

    @property
    def order(self) -> tuple[int, int, str]:
        """The order in which calls are looked at: by start, the longer first."""
        return self.start, -self.end, self.members[0].key

    def take(self, other: Spans) -> None:
        """Make another call's spans part of this call."""
        self.members += other.members
        self.scopes |= other.scopes
        self.start, self.end = min(self.start, other.start), max(self.end, other.end)
        self.decided = self.decided or other.decided
        other.into = self


def mostly_common(one: Spans, other: Spans) -> bool:
    """Return True where at least half of the shorter one was within the other."""
    common = min(one.end, other.end) - max(one.start, other.start)
    return common >= 0 and 2 * common >= min(one.end - one.start, other.end - other.start)


def may_join(one: Spans, other: Spans) -> bool:
    """Return True where neither scopes nor ids nor models nor processes say that these are two calls."""
    if one.scopes & other.scopes or (one.decided and other.decided):
        return False
    pairs = [(left, right) for left in one.members for right in other.members]
    if any(left.response and left.response == right.response for left, right in pairs):
        return True
    return all(
        _same_id(left, right) and _same_model(left, right) and _same_process(left, right) for left, right in pairs
    )


def _same_id(one: Fingerprint, other: Fingerprint) -> bool:
    """Return False for two ids of one kind that differ; of two kinds they can be one call's."""
    known = one.response and other.response and one.response_kind == other.response_kind
    return not known or one.response == other.response


def _same_process(one: Fingerprint, other: Fingerprint) -> bool:
    return all(a == b or not a or not b for a, b in zip(one.process, other.process, strict=False))


def _same_model(one: Fingerprint, other: Fingerprint) -> bool:
    if not one.models or not other.models:
        return True
    return any(a.startswith(b) or b.startswith(a) for a in one.models for b in other.models)


def not_at_odds(one: Spans, other: Spans) -> bool:
    """Return True where whatever both say of question and answer has something in common."""
    return may_join(one, other) and all(
        not left or not right or left & right
        for left, right in (
            ({a.asked for a in one.members} - {""}, {b.asked for b in other.members} - {""}),
            ({x for a in one.members for x in a.answers}, {y for b in other.members for y in b.answers}),
        )
    )


def can_be_the_answer_of(one: Spans, other: Spans) -> bool:
    """Return True where one of them lacks the answer, and the other may have it."""
    answered = [any(member.answers for member in call.members) for call in (one, other)]
    known = all(any(member.models for member in call.members) for call in (one, other))
    return not all(answered) and known and mostly_common(one, other) and may_join(one, other)
