"""Progress of the demo on the terminal, and the signals that end it.

A signal sets a flag, which each wait of the demo checks. An exception raised by the signal itself could come while a
process is being started, and that process would stay behind.
"""

from __future__ import annotations

import contextlib
import signal
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from rich.progress import Progress, SpinnerColumn, TaskID, TextColumn, TimeElapsedColumn

if TYPE_CHECKING:
    from collections.abc import Iterator

    from rich.console import Console

__all__ = ["Interruption", "Row", "Steps"]


@dataclass
class Interruption:
    """Whether the demo was asked to end."""

    wanted: bool = False

    @classmethod
    @contextlib.contextmanager
    def by_signals(cls) -> Iterator[Interruption]:
        """Yield an object whose `wanted` becomes True at SIGINT, SIGTERM or SIGHUP, within the `with` block."""
        interruption = cls()

        def interrupt(_number: int, _frame: Any) -> None:
            interruption.wanted = True

        numbers = [getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name)]
        former = {number: signal.signal(number, interrupt) for number in numbers}
        try:
            yield interruption
        finally:
            for number, handler in former.items():
                signal.signal(number, handler)


class Steps:
    """The steps of the demo: spinners on a terminal, lines elsewhere."""

    def __init__(self, console: Console, interruption: Interruption) -> None:
        self.console = console
        self.interruption = interruption
        spinner = SpinnerColumn("line" if console.options.ascii_only else "dots", finished_text="[green]ok[/]")
        self.progress = Progress(spinner, TextColumn("{task.description}"), TimeElapsedColumn(), console=console)

    def __enter__(self) -> Steps:
        if self.console.is_terminal:
            self.progress.start()
        return self

    def __exit__(self, *_error: object) -> None:
        self.stop()

    def stop(self) -> None:
        """End the spinners, so that other lines can be printed."""
        if self.progress.live.is_started:  # else it would print an empty line
            self.progress.stop()


class Row:
    """A progress callback for steps that follow each other: a new message begins the next step."""

    def __init__(self, steps: Steps) -> None:
        self.steps = steps
        self.message = ""
        self.task: TaskID | None = None

    def __call__(self, message: str) -> None:
        """Show the current step.

        Raises:
            KeyboardInterrupt: the demo was asked to end.
        """
        if self.steps.interruption.wanted:
            raise KeyboardInterrupt
        if message == self.message:
            return
        self.done()
        self.message = message
        self.task = self.steps.progress.add_task(message, total=1)
        if not self.steps.console.is_terminal:
            self.steps.console.print(f"{message} ...", soft_wrap=True)

    def done(self) -> None:
        """Show the current step as finished."""
        if self.task is not None:
            self.steps.progress.update(self.task, completed=1)
