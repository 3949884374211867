"""How many tasks go into one import: fewer where Label Studio is slow or a proxy refuses, more where it is fast."""

from __future__ import annotations

from dataclasses import dataclass

#: With more tasks a request takes no less time per task, and more tasks are uncertain where its response is lost.
MAX_TASKS = 500
MAX_BYTES = 8 << 20
#: Seconds of an import above which the next one is half as large: a third of what clients and proxies wait for.
SLOW_IMPORT_S = 20.0


@dataclass(slots=True)
class BatchSize:
    """The largest size of the next batch for one destination."""

    tasks: int = MAX_TASKS
    bytes: int = MAX_BYTES

    def succeeded(self, tasks: int, seconds: float) -> None:
        """Adapt to an import that took this time."""
        if seconds > SLOW_IMPORT_S:
            self.tasks = max(1, tasks // 2)
        else:
            self.tasks = min(MAX_TASKS, max(self.tasks, 2 * tasks))

    def timed_out(self, tasks: int) -> None:
        """Adapt to an import without a response that tells what arrived."""
        self.tasks = max(1, min(self.tasks, tasks // 2))

    def rejected(self, tasks: int) -> None:
        """Adapt to a batch that was refused for an unnamed task, or of which only a part could be sent."""
        self.tasks = max(1, tasks // 2)

    def body_too_large(self, size: int) -> None:
        """Adapt to a body of this many bytes that was refused for its size. That limit stays."""
        self.bytes = max(1, size // 2)
