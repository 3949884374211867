"""Counts what is in an outbox, for `status`, metrics and a `flush` that waits. Changes nothing.

All but `summary` are called again and again during delivery, and take milliseconds however much there is: their queries
read indexes over what waits, and neither records nor the keys of a month of delivered calls.
"""

from __future__ import annotations

from collections.abc import Iterable

from label_studio_otel.metrics.counts import Backlog
from label_studio_otel.outbox.database import Database
from label_studio_otel.outbox.destinations import destination_row
from label_studio_otel.outbox.items import OPEN_STATES, STATES, Progress, Summary


class Overview:
    """Answers with counts; every method raises OutboxError when the database cannot be read."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def backlog(self) -> Backlog:
        """Return the number of items by state, of those that are not done, and when the oldest was taken."""
        with self._database.transaction() as run:
            rows = run.rows("not_done")
            first = min((row["first"] for row in rows if row["state"] in OPEN_STATES), default=None)
            oldest = None if first is None else run.rows("taken_at", id=first)[0]["taken_at"]
            blocked = [row for row in run.rows("destinations") if row["state"] == "blocked"]
        states = dict.fromkeys((*OPEN_STATES, "parked"), 0)
        for row in rows:
            states[row["state"]] += row["number"]
        return Backlog(states, oldest, len(blocked))

    def progress(self) -> Progress:
        """Return how far delivery is."""
        with self._database.transaction() as run:
            waiting = [row for row in run.rows("not_done") if row["state"] in OPEN_STATES]
            need_a_person = {
                row["id"] for row in run.rows("destinations") if row["state"] == "blocked" and not row["passing"]
            }
            (delivered_at,) = run.rows("last_delivered_at")[0]
        stuck = bool(waiting) and all(row["destination"] in need_a_person for row in waiting)
        return Progress(sum(row["number"] for row in waiting), delivered_at, stuck)

    def states_of(self, keys: Iterable[str]) -> dict[str, set[str]]:
        """Return for each key the states of its items, one for each destination; unknown keys are left out."""
        with self._database.transaction() as run:
            found = {key: {row["state"] for row in run.rows("states_of", key=key)} for key in keys}
        return {key: states for key, states in found.items() if states}

    def summary(self) -> Summary:
        """Return all counts; reads the whole outbox."""
        with self._database.transaction() as run:
            summary = Summary(counters={row["name"]: row["value"] for row in run.rows("counters")})
            rows, parked_rows, destinations = (run.rows(name) for name in ("counts", "parked_reasons", "destinations"))
        found = {row["id"]: (destination_row(row), dict.fromkeys(STATES, 0), dict[str, int]()) for row in destinations}
        for row in rows:
            summary.states[row["state"]] += row["number"]
            found[row["destination"]][1][row["state"]] = row["number"]
            if row["state"] not in ("delivered", "doubled"):
                summary.oldest = min(row["oldest"], summary.oldest or row["oldest"])
        for row in parked_rows:
            found[row["destination"]][2][row["reason"] or ""] = row["number"]
        summary.destinations = list(found.values())
        return summary
