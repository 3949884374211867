"""What delivery shares with its caller. It imports little, because the application's own threads use it too."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from label_studio_otel.metrics.counts import Counts


def _do_nothing(*_: Any) -> None:
    """Ignore the call."""


@dataclass(slots=True)
class Health:
    """The problems of one state directory that stand now, as the recorder and the deliverer find them.

    The two meet the same disk and the same server. Each writes its problems here and reads those of the other, so that
    one cause is one warning. Each field has one thread that writes it.
    """

    #: Why the spool file cannot be written, None while it can. The recorder writes it.
    spool_problem: str | None = None
    #: Why the outbox, or the directory, cannot be used, None while it can. The deliverer writes it.
    outbox_problem: str | None = None
    #: Why nothing is sent to a destination, by its name, for those that are blocked. The deliverer writes it.
    delivery_problems: dict[str, str] = field(default_factory=dict)

    @property
    def has_problem(self) -> bool:
        """True while a warning in the log says why LLM calls do not reach Label Studio."""
        return bool(self.spool_problem or self.outbox_problem or self.delivery_problems)


@dataclass(frozen=True, slots=True)
class Hooks:
    """Functions by which delivery reports to its caller, functions that it asks for something, counts and clocks."""

    counts: Counts = field(default_factory=Counts)
    #: Shared with the recorder of the state directory, where this process has one.
    health: Health = field(default_factory=Health)
    #: Called with the seconds between the arrival of a call and that of its task.
    observe_latency: Callable[[float], None] = _do_nothing
    #: Called with the seconds that an import took, and the name of the error that it raised, or None.
    observe_import: Callable[[float, str | None], None] = _do_nothing
    #: Called between two items, to let the application's threads run.
    pause: Callable[[], None] = _do_nothing
    #: Called with a destination and the reason why nothing is sent to it; with None when it is open again.
    report: Callable[[str, str | None], None] = _do_nothing
    #: Called while Label Studio works on an import.
    meanwhile: Callable[[], object] = _do_nothing
    #: When Label Studio's process is known to have begun, seconds since the epoch: it does not work on what was sent
    #: before.
    restarted_at: float = 0.0
    #: Returns seconds since the epoch.
    clock: Callable[[], float] = time.time
    #: Returns seconds of a clock that nobody sets.
    steady_clock: Callable[[], float] = time.monotonic
