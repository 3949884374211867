"""What keeps the LLM calls of one state directory from Label Studio, for the recorder and the deliverer of a process.

The two meet the same disk and the same server, each from its own side. Each writes its problems here and reads those of
the other, so that one cause is one warning. Imports nothing: the application's own threads use it.
"""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(slots=True)
class Health:
    """The problems of one state directory that stand now. Each field has one thread that writes it."""

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
