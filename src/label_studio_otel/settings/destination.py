"""The project that the task of a call goes to."""

from __future__ import annotations

import time
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Destination:
    """The project in one Label Studio server that a task goes to. Every record carries it; it holds no secret."""

    project_name: str
    project_id: int | None = None
    #: `prompt` or `chat`: which labeling config a new project gets.
    mode: str = "prompt"
    #: Labeling config of a new project; destinations that differ only in it are equal.
    project_config: str | None = field(default=None, compare=False)
    #: Whether the project's name is the default.
    default_name: bool = False

    def __str__(self) -> str:
        return f"project {self.project_id}" if self.project_id else f"project {self.project_name!r} ({self.mode})"


def dated(pattern: str, unix_nano: int) -> str:
    """Return the pattern with its `%` directives replaced by the local date of the call."""
    if "%" not in pattern:
        return pattern
    try:
        return time.strftime(pattern, time.localtime(unix_nano // 1_000_000_000))
    except (ValueError, OverflowError, OSError):
        return pattern
