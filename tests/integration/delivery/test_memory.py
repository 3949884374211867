"""Delivery holds one batch in memory, however many calls wait."""

from __future__ import annotations

import tracemalloc
from typing import TYPE_CHECKING, Any

from label_studio_otel.spool.writer import SpoolWriter
from label_studio_otel.testing import FakeLabelStudio, span
from support.delivering import State, run, states_of

if TYPE_CHECKING:
    from pathlib import Path


class Forgetting(FakeLabelStudio):
    """Keeps nothing but the last task, since it shares the memory that is measured."""

    def carry_out(self, *arguments: Any) -> tuple[int, Any]:
        answer = super().carry_out(*arguments)
        self.requests.clear()
        self.store.tasks = dict(list(self.store.tasks.items())[-1:])
        return answer


def peak(directory: Path, calls: int) -> int:
    """Return the most bytes that were in use while so many calls went from the spool to the server."""
    with Forgetting() as fake:
        state = State(directory, fake)
        # A file is read whole: both queues are several of them.
        state.writer = SpoolWriter(state.directory / "spool", max_file_bytes=1 << 20)
        for number in range(calls):
            state.put(span("Why? " * 400, "Because. " * 100, number=number + 1))
        state.writer.close()
        deliverer = state.deliverer()
        tracemalloc.start()
        try:
            run(deliverer)
            _, most = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
        assert states_of(deliverer) == {"delivered": calls}
        state.close()
    return most


def test_a_queue_of_3000_calls_takes_no_more_memory_than_one_of_1200(tmp_path: Path) -> None:
    peak(tmp_path / "first", 1)  # what is made at first use, and kept
    short = peak(tmp_path / "short", 1200)

    assert peak(tmp_path / "long", 3000) < 1.1 * short
