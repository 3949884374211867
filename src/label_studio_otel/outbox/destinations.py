"""Destinations: to which project calls go, whether it can be sent to, and when its next call is due."""

from __future__ import annotations

import sqlite3

from label_studio_otel.outbox.database import Database, Transaction
from label_studio_otel.outbox.items import DestinationRow
from label_studio_otel.settings import Destination


class Destinations:
    """The destinations of an outbox. Each method is one transaction and raises OutboxError where the database fails."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def all(self) -> list[DestinationRow]:
        """Return the destinations that have items, and the newest one in any case."""
        return [destination_row(row) for row in self._database.rows("destinations")]

    def with_pending(self) -> list[tuple[DestinationRow, float]]:
        """Return the destinations with pending items, each with the time when the first of these is due."""
        return [(destination_row(row), row["due_at"]) for row in self._database.rows("pending_destinations")]

    def set_project(self, destination_id: int, project: int | None, watermark: int | None, created: str = "") -> None:
        """Store which project a destination is, None where it must be found again, and the project's `created_at`."""
        values = {"project": project, "watermark": watermark, "created": created}
        self._database.change("set_project", destination=destination_id, **values)

    def block(self, destination_id: int, reason: str, retry_at: float, *, passing: bool) -> None:
        """Send nothing to a destination until `retry_at`; `passing` tells that waiting may remove the cause."""
        values = {"reason": reason, "retry_at": retry_at, "passing": int(passing)}
        self._database.change("block", destination=destination_id, **values)

    def unblock(self, destination_id: int) -> None:
        """Open a destination."""
        self._database.change("unblock", destination=destination_id)

    def scopes(self, destination_id: int) -> set[str]:
        """Return the names of the instrumentation scopes that wrote spans for a destination, at most two of them."""
        return {row["name"] for row in self._database.rows("scopes", destination=destination_id)}

    def has_delivered(self, destination_id: int, since: float) -> bool:
        """Return whether an item of a destination was delivered since a time."""
        return bool(self._database.rows("has_delivered", destination=destination_id, since=since))


def destination_id(run: Transaction, destination: Destination) -> int:
    """Return the id of a destination; add it where it is new. A project's id alone identifies its destination."""
    by_name = not destination.project_id
    identity = {
        "project_id": destination.project_id or 0,
        "project_name": destination.project_name if by_name else "",
        "mode": destination.mode if by_name else "",
        "default_name": int(destination.default_name and by_name),
    }
    run.change("add_destination", **identity, project_config=destination.project_config)
    return int(run.rows("destination_id", **identity)[0]["id"])


def destination_row(row: sqlite3.Row) -> DestinationRow:
    """Return a row of the queries `destinations` and `pending_destinations` as a value."""
    destination = Destination(
        project_name=row["project_name"],
        project_id=row["project_id"] or None,
        mode=row["mode"],
        project_config=row["project_config"],
        default_name=bool(row["default_name"]),
    )
    return DestinationRow(
        id=row["id"],
        destination=destination,
        blocked=(row["reason"] or "blocked") if row["state"] == "blocked" else None,
        passing=bool(row["passing"]),
        project=row["project"],
        watermark=row["watermark"],
        failures=row["failures"],
        retry_at=row["retry_at"],
        created=row["created"] or "",
    )
