"""One task per call: of several spans of the same call, the fullest is sent and the others are kept as its doubles.

It is sent with the facts that only the others know.
"""

from __future__ import annotations

import contextlib
from dataclasses import replace
from typing import TYPE_CHECKING

from label_studio_otel.calls.fingerprint import ECHO_TIMEOUT_S, Fingerprint, fingerprint
from label_studio_otel.calls.matching import match
from label_studio_otel.errors import DialectError, SpoolError
from label_studio_otel.generation import Message

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from label_studio_otel.delivery.rendering import Preparation, Prepared
    from label_studio_otel.generation import Generation
    from label_studio_otel.metrics.counts import Counts
    from label_studio_otel.outbox.items import DestinationRow, Overlap
    from label_studio_otel.outbox.outbox import Outbox
    from label_studio_otel.tasks.labeling_config import LabelConfig

__all__ = ["Merging"]

#: Calls whose other spans' facts are kept in memory, for a batch that is sent again and for one that comes later.
MAX_KNOWN = 1000


class Merging:
    """Finds the doubles among what is about to be sent, what still waits, and what was sent."""

    def __init__(self, outbox: Outbox, preparation: Preparation, counts: Counts, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._outbox = outbox
        self._preparation = preparation
        self._counts = counts
        #: What the doubles of a call know, by the key of its item that is sent.
        self._known: dict[str, list[Generation]] = {}

    def needed(self, target: DestinationRow) -> bool:
        """Tell whether a destination can have doubles: spans of several scopes, or of Logfire, which writes two."""
        scopes = self._outbox.destinations.scopes(target.id)
        return len(scopes) > 1 or any(scope.startswith("logfire") for scope in scopes)

    def merge(
        self, target: DestinationRow, prepared: Sequence[Prepared], config: LabelConfig, *, patient: bool
    ) -> list[Prepared]:
        """Return what is to be sent; its fingerprints are kept for what comes later.

        Args:
            config: for what is rendered again, with what its doubles know.
            patient: let a stream that has only begun wait for the span that Logfire writes at its end.
        """
        prints = {one.fingerprint.key: one.fingerprint for one in prepared if one.fingerprint}
        ids = {one.item.key: one.item.id for one in prepared}
        if not prints:
            return list(prepared)
        new = {ids[key]: mark.encode() for key, mark in prints.items()}
        started = min(one.window[0] for one in prints.values())
        ended = max(one.window[1] for one in prints.values())
        decided: dict[str, str] = {}
        for other in self._outbox.overlapping(target.id, max(0, started), min(ended, 2**63 - 1)):
            if other.key in prints:
                continue
            mark = self._fingerprint(other)
            if mark is None:
                continue
            prints[other.key], ids[other.key] = mark, other.id
            if other.state != "pending":
                decided[other.key] = other.winner if other.state == "doubled" and other.winner else other.key
            elif other.fingerprint is None:
                new[other.id] = mark.encode()
        self._outbox.note_fingerprints(new)
        losers = match(prints.values(), {key: _last(key, decided) for key in decided})
        for loser, winner in losers.items():
            if winner not in decided:
                self._learn(ids[loser], loser, winner)
        self._outbox.mark_merged({ids[loser]: winner for loser, winner in losers.items()})
        self._counts.doubles += len(losers)
        waiting = self._waiting([one for one in prepared if one.item.key not in losers]) if patient else {}
        self._outbox.postpone(waiting)
        return [
            self._completed(one, config)
            for one in prepared
            if one.item.key not in losers and one.item.id not in waiting
        ]

    def _learn(self, item: int, loser: str, winner: str) -> None:
        """Keep what an item knows, whose record goes now."""
        known = self._known.pop(loser, [])
        with contextlib.suppress(SpoolError, DialectError):
            known.append(_facts(self._preparation.read(self._outbox.record(item))[1]))
        self._known.setdefault(winner, []).extend(known)
        while len(self._known) > MAX_KNOWN:
            del self._known[next(iter(self._known))]

    def _completed(self, prepared: Prepared, config: LabelConfig) -> Prepared:
        known = self._known.get(prepared.item.key)
        return self._preparation.completed(prepared, known, config) if known else prepared

    def _waiting(self, prepared: Sequence[Prepared]) -> dict[int, float]:
        """Return until when what has only begun waits, by item."""
        until = {one.item.id: one.item.taken_at + ECHO_TIMEOUT_S for one in prepared if _begun(one)}
        return {item: at for item, at in until.items() if at > self._clock()}

    def _fingerprint(self, other: Overlap) -> Fingerprint | None:
        try:
            if other.fingerprint is not None:
                return Fingerprint.decode(other.fingerprint)
            self._preparation.pause()
            # One at a time: those of thousands that waited through an outage are gigabytes.
            return fingerprint(*self._preparation.read(self._outbox.record(other.id)))
        except (ValueError, SpoolError, DialectError):
            return None


def _facts(generation: Generation) -> Generation:
    """Return a call without what was said."""
    choices = tuple(replace(choice, message=Message(choice.message.role, ())) for choice in generation.choices)
    return replace(generation, messages=(), choices=choices, error=None, incomplete=())


def _begun(prepared: Prepared) -> bool:
    return prepared.fingerprint is not None and prepared.fingerprint.begun


def _last(key: str, decided: dict[str, str]) -> str:
    """Return the item that stands for a call: one that won once may have lost later."""
    seen = {key}
    while (winner := decided.get(key, key)) not in seen:
        seen.add(winner)
        key = winner
    return decided.get(key, key)
