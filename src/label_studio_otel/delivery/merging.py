"""Finds the spans of one call among those to be sent, so that the call becomes one task.

The span that holds most is sent, with the facts that only the other spans hold. The others are marked as merged.
"""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from dataclasses import replace

from label_studio_otel.calls.fingerprint import ECHO_TIMEOUT_S, Fingerprint
from label_studio_otel.calls.matching import match
from label_studio_otel.delivery.hooks import Hooks
from label_studio_otel.delivery.rendering import RenderedTask, Renderer, SpanReader, fingerprint_of
from label_studio_otel.errors import DialectError, SpoolError
from label_studio_otel.generation import Generation, Message
from label_studio_otel.outbox.items import DestinationRow, Overlap
from label_studio_otel.outbox.outbox import Outbox
from label_studio_otel.tasks.labeling_config import LabelConfig

#: Calls of which the merged spans' supplements are kept in memory, for a batch that is rendered again later.
MAX_CALLS_WITH_SUPPLEMENTS = 1000
#: SQLite's highest integer.
MAX_TIME = 2**63 - 1


class Merging:
    """Merges the spans to be sent with each other, with those that still wait, and with those that were sent."""

    def __init__(self, outbox: Outbox, renderer: Renderer, hooks: Hooks) -> None:
        self._outbox = outbox
        self._renderer = renderer
        self._hooks = hooks
        #: What the merged spans of a call tell, by the key of the item that is sent for the call.
        self._supplements: dict[str, list[Generation]] = {}

    def is_needed(self, row: DestinationRow) -> bool:
        """Return whether a destination can get several spans of a call.

        It can where spans of several instrumentations come, or of Logfire, which writes two for a streamed call.
        """
        scopes = self._outbox.destinations.scopes(row.id)
        return len(scopes) > 1 or any(scope.startswith("logfire") for scope in scopes)

    def merge(
        self, row: DestinationRow, tasks: Sequence[RenderedTask], config: LabelConfig, *, patient: bool
    ) -> list[RenderedTask]:
        """Return the tasks to be sent, and keep their fingerprints for spans that come later.

        Args:
            config: for tasks that are rendered again, with supplements.
            patient: let the first span of a stream wait for the second, which Logfire writes when the stream ends.
        """
        if not any(one.fingerprint for one in tasks):
            return list(tasks)
        merged = self._merge_spans(row, tasks)
        remaining = [one for one in tasks if one.item.key not in merged]
        begun = [one.item for one in remaining if patient and one.fingerprint and one.fingerprint.begun]
        until = {item.id: item.taken_at + ECHO_TIMEOUT_S for item in begun}
        waiting = {item: at for item, at in until.items() if at > self._hooks.clock()}
        self._outbox.postpone(waiting)
        return [
            self._renderer.completed(one, self._supplements.get(one.item.key, ()), config)
            for one in remaining
            if one.item.id not in waiting
        ]

    def _merge_spans(self, row: DestinationRow, tasks: Sequence[RenderedTask]) -> dict[str, str]:
        """Mark the spans that are merged into others; return the key of the other by the key of the merged span."""
        prints = {one.fingerprint.key: one.fingerprint for one in tasks if one.fingerprint}
        ids = {one.item.key: one.item.id for one in tasks}
        unsaved = {ids[key]: mark.encode() for key, mark in prints.items()}
        start = max(0, min(one.window[0] for one in prints.values()))
        end = min(max(one.window[1] for one in prints.values()), MAX_TIME)
        #: By the key of a span that was sent or merged: the key of the span that is its call's task.
        decided: dict[str, str] = {}
        reader = SpanReader(self._outbox)
        for other in self._outbox.overlapping(row.id, start, end):
            mark = None if other.key in prints else self._fingerprint(reader, other)
            if mark is None:
                continue
            prints[other.key], ids[other.key] = mark, other.id
            if other.state != "pending":
                decided[other.key] = other.winner if other.state == "doubled" and other.winner else other.key
            elif other.fingerprint is None:
                unsaved[other.id] = mark.encode()
        self._outbox.note_fingerprints(unsaved)
        merged = match(prints.values(), {key: _final(key, decided) for key in decided})
        for key, winner in merged.items():
            if winner not in decided:
                self._keep_supplement(reader, ids[key], key, winner)
        self._outbox.mark_merged({ids[key]: winner for key, winner in merged.items()})
        self._hooks.counts.doubles += len(merged)
        return merged

    def _keep_supplement(self, reader: SpanReader, item: int, key: str, winner: str) -> None:
        """Keep the facts of a merged span in memory, because the outbox deletes its record when it is marked."""
        supplements = self._supplements.pop(key, [])
        with contextlib.suppress(SpoolError, DialectError):
            supplements.append(_without_content(reader.read(self._outbox.record(item))[1]))
        self._supplements.setdefault(winner, []).extend(supplements)
        while len(self._supplements) > MAX_CALLS_WITH_SUPPLEMENTS:
            del self._supplements[next(iter(self._supplements))]

    def _fingerprint(self, reader: SpanReader, other: Overlap) -> Fingerprint | None:
        """Return the fingerprint of another item, None where it cannot be read."""
        try:
            if other.fingerprint is not None:
                return Fingerprint.decode(other.fingerprint)
            self._hooks.pause()
            # Records are read one at a time: after an outage, those of all waiting items can be gigabytes.
            return fingerprint_of(*reader.read(self._outbox.record(other.id)))
        except (ValueError, SpoolError, DialectError):
            return None


def _without_content(generation: Generation) -> Generation:
    choices = tuple(replace(choice, message=Message(choice.message.role, ())) for choice in generation.choices)
    return replace(generation, messages=(), choices=choices, error=None, incomplete=())


def _final(key: str, decided: dict[str, str]) -> str:
    """Return the key of the item whose task is that of a call; the winner may have been merged later itself."""
    seen = {key}
    while (winner := decided.get(key, key)) not in seen:
        seen.add(winner)
        key = winner
    return decided.get(key, key)
