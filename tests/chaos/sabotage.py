"""Bugs put into the product, to show that the harness finds them. Arguments: which one, then those of the command."""

from __future__ import annotations

import os
import sys
import weakref
from typing import Any

from label_studio_otel import process
from label_studio_otel.delivery import deliverer
from label_studio_otel.delivery.reconciliation import Reconciliation
from label_studio_otel.delivery.sending import BatchSender
from label_studio_otel.label_studio import client
from label_studio_otel.outbox.batches import Batches
from label_studio_otel.sdk import fork_safe_import


def _blind_resend() -> None:
    """What was sent without an answer is sent again, and nobody counts what is there then."""

    def doubt(self: Batches, batch: int, reason: str, **_: Any) -> None:
        self.release(batch, self._clock(), reason)

    Batches.mark_uncertain = doubt  # type: ignore[method-assign]
    BatchSender._has_surplus_tasks = lambda *_: False  # type: ignore[method-assign, assignment]


def _hundred_rows() -> None:
    """A look-up shows 100 tasks, as Label Studio does where no page size is given, and nobody compares the total."""
    asked = client.LabelStudio._tasks
    client.KEYS_PER_LOOKUP = 180  # more make a request line that Label Studio refuses

    def tasks(self: Any, project_id: int, query: Any, *, page_size: int, **options: Any) -> Any:
        answer = asked(self, project_id, query, page_size=min(page_size, 100), **options)
        return {**answer, "total": len(answer["tasks"])} if page_size > 100 else answer

    client.LabelStudio._tasks = tasks  # type: ignore[method-assign]


def _no_repair() -> None:
    """A prediction that did not arrive is left out."""
    Reconciliation._add_missing_predictions = lambda *_: None  # type: ignore[method-assign, assignment]


def _sqlite_across_fork() -> None:
    """A deliverer closes its database after a fork, not before: the child goes on with the handle it inherited."""
    made: dict[Any, deliverer.Deliverer] = {}

    def kept(settings: Any, **options: Any) -> deliverer.Deliverer:
        return made.setdefault(settings.directory, deliverer.Deliverer(settings, **options))

    def close() -> None:
        for one in made.values():
            one.outbox.close()

    process._parts[process.ForkOrder.OUTBOXES] = _Nobody()  # what a fork goes through
    fork_safe_import.deliverer = lambda: kept  # type: ignore[assignment, return-value]
    os.register_at_fork(after_in_parent=close)


class _Nobody(weakref.WeakValueDictionary[int, Any]):
    """What nobody enters."""

    def __setitem__(self, _: int, __: Any) -> None:
        """Leave it out."""


BUGS = {
    "blind-resend": _blind_resend,
    "hundred-rows": _hundred_rows,
    "no-repair": _no_repair,
    "sqlite-across-fork": _sqlite_across_fork,
}
#: In which a bug is met soon: these of the harness's settings.
CIRCUMSTANCES: dict[str, dict[str, Any]] = {"sqlite-across-fork": {"calls": 60, "forks": 0.1, "deliverer": False}}


def apply(bug: str) -> None:
    BUGS[bug]()


if __name__ == "__main__":
    apply(sys.argv[1])
    from label_studio_otel.cli import main

    sys.argv[:2] = ["label-studio-otel"]
    sys.exit(main())
