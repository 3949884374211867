"""Progress of the demo on the terminal, and the signals that end it.

A signal sets a flag, which each wait of the demo checks. An exception raised by the signal itself could come while a
process is being started, and that process would stay behind.
"""

from __future__ import annotations

import contextlib
import signal
from collections.abc import Iterator
from typing import Any

from rich.console import Console
from rich.progress import Progress, SpinnerColumn, TaskID, TextColumn, TimeElapsedColumn


class Interruption:
    """Holds whether the demo was asked to end."""

    wanted = False


@contextlib.contextmanager
def interruption_by_signals() -> Iterator[Interruption]:
    """Yield an object whose `wanted` becomes True at SIGINT, SIGTERM or SIGHUP, within the `with` block."""
    interruption = Interruption()

    def interrupt(_number: int, _frame: Any) -> None:
        interruption.wanted = True

    numbers = [getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name)]
    former = {number: signal.signal(number, interrupt) for number in numbers}
    try:
        yield interruption
    finally:
        for number, handler in former.items():
            signal.signal(number, handler)


@contextlib.contextmanager
def spinners(console: Console) -> Iterator[Progress]:
    """Yield a progress bar that shows each step as a spinner; on a terminal only."""
    spinner = SpinnerColumn("line" if console.options.ascii_only else "dots", finished_text="[green]ok[/]")
    progress = Progress(spinner, TextColumn("{task.description}"), TimeElapsedColumn(), console=console)
    # Elsewhere `Row` prints lines; Progress would print an empty one at its end.
    with progress if console.is_terminal else contextlib.nullcontext():
        yield progress


class Row:
    """A progress callback for steps that follow each other: a new message begins the next step."""

    def __init__(self, progress: Progress, interruption: Interruption) -> None:
        self._progress = progress
        self._interruption = interruption
        self._message = ""
        self._task: TaskID | None = None

    def __call__(self, message: str) -> None:
        """Show the current step.

        Raises:
            KeyboardInterrupt: the demo was asked to end.
        """
        if self._interruption.wanted:
            raise KeyboardInterrupt
        if message == self._message:
            return
        self.done()
        self._message = message
        self._task = self._progress.add_task(message, total=1)
        if not self._progress.console.is_terminal:
            self._progress.console.print(f"{message} ...", soft_wrap=True)

    def done(self) -> None:
        """Show the current step as finished."""
        if self._task is not None:
            self._progress.update(self._task, completed=1)
