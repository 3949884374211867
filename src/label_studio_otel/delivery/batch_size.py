"""How much goes into one request: less where Label Studio is slow or a proxy refuses, more where it is quick."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["Pace"]

#: Above 500 tasks a request gets no faster per task, only longer, and so does the time in doubt.
MAX_TASKS = 500
MAX_BYTES = 8 << 20
#: Seconds for one import: above, the next one is half as large; a third of what a client or proxy waits for.
SLOW = 20.0


@dataclass(slots=True)
class Pace:
    """The size of the next batch for one destination."""

    tasks: int = MAX_TASKS
    bytes: int = MAX_BYTES

    def arrived(self, tasks: int, seconds: float) -> None:
        """A batch arrived in this time."""
        if seconds > SLOW:
            self.tasks = max(1, tasks // 2)
        else:
            self.tasks = min(MAX_TASKS, max(self.tasks, 2 * tasks))

    def doubted(self, tasks: int) -> None:
        """No answer said that a batch arrived."""
        self.tasks = max(1, min(self.tasks, tasks // 2))

    def refused(self, tasks: int) -> None:
        """A batch was refused for something in it that nobody named, or could not be sent whole."""
        self.tasks = max(1, tasks // 2)

    def too_large(self, size: int) -> None:
        """A body of so many bytes was refused for its size; that limit does not go away."""
        self.bytes = max(1, size // 2)
