"""What the outbox knows of a call beside its item: its log events, and which other spans may be the same call."""

from __future__ import annotations

from typing import TYPE_CHECKING

from label_studio_otel.outbox.database import Database
from label_studio_otel.outbox.items import Overlap

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["Kinship"]

#: Nanoseconds: no call is looked for that began so long before another one.
LONGEST_CALL = 3600 * 10**9
MOST_OVERLAPPING = 5000


class Kinship(Database):
    """The part of `SqliteOutbox` that joins what belongs together."""

    def scopes(self, target: int) -> set[str]:
        """See `Outbox.scopes`."""
        return {row["name"] for row in self._rows("scopes", destination=target)}

    def overlapping(self, target: int, started: int, ended: int) -> list[Overlap]:
        """See `Outbox.overlapping`."""
        times = {"earliest": started - LONGEST_CALL, "started": started, "ended": ended}
        return [Overlap(*row) for row in self._rows("overlapping", destination=target, **times, limit=MOST_OVERLAPPING)]

    def record(self, item: int) -> bytes:
        """See `Outbox.record`."""
        row = next(iter(self._rows("record", id=item)), None)
        return (row and row["record"]) or b""

    def note_fingerprints(self, fingerprints: Mapping[int, str]) -> None:
        """See `Outbox.note_fingerprints`."""
        with self._transaction() as run:
            for item, fingerprint in fingerprints.items():
                self._run(run, "note_fingerprint", id=item, fingerprint=fingerprint)

    def postpone(self, due_at: Mapping[int, float]) -> None:
        """See `Outbox.postpone`."""
        with self._transaction() as run:
            for item, at in due_at.items():
                self._run(run, "postpone", id=item, due_at=at)

    def has_events(self) -> bool:
        """See `Outbox.has_events`."""
        return bool(self._rows("has_events")[0]["some"])

    def events(self, span: str) -> list[bytes]:
        """See `Outbox.events`."""
        return [row["record"] for row in self._rows("events_of", span=span)]
