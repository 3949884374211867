"""What a long command shows while it works, and how it is asked to end."""

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
    """Whether somebody asked the demo to end."""

    wanted: bool = False

    def check(self) -> None:
        """Raise KeyboardInterrupt where the end is wanted."""
        if self.wanted:
            raise KeyboardInterrupt

    @classmethod
    @contextlib.contextmanager
    def by_signals(cls) -> Iterator[Interruption]:
        """Let the signals that end a program ask for it, as long as the `with` block lasts."""
        interruption = cls()

        def ask(_number: int, _frame: Any) -> None:
            interruption.wanted = True

        numbers = [getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name)]
        former = {number: signal.signal(number, ask) for number in numbers}
        try:
            yield interruption
        finally:
            for number, handler in former.items():
                signal.signal(number, handler)


class Steps:
    """What is being done, as spinners on a terminal and as lines elsewhere."""

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

    def row(self) -> Row:
        """Return a new row: steps of one row follow each other, rows go on at the same time."""
        return Row(self)

    def stop(self) -> None:
        """Leave the terminal to whoever prints next."""
        if self.progress.live.is_started:  # else it would print an empty line
            self.progress.stop()


class Row:
    """A progress callback: another message than the last one begins the next step."""

    def __init__(self, steps: Steps) -> None:
        self.steps = steps
        self.message = ""
        self.task: TaskID | None = None

    def __call__(self, message: str) -> None:
        """Say what is being done; raises KeyboardInterrupt where somebody asked for the end."""
        self.steps.interruption.check()
        if message == self.message:
            return
        self.done()
        self.message = message
        self.task = self.steps.progress.add_task(message, total=1)
        if not self.steps.console.is_terminal:
            self.steps.console.print(f"{message} ...", soft_wrap=True)

    def done(self) -> None:
        """End the step."""
        if self.task is not None:
            self.steps.progress.update(self.task, completed=1)
