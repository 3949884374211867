"""What several threads count at once is counted whole, and nobody takes what another one counted for its own."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from label_studio_otel import process
from label_studio_otel.calls import selection
from label_studio_otel.metrics.counts import Counts
from label_studio_otel.outbox.items import NewItem
from label_studio_otel.outbox.outbox import Outbox
from label_studio_otel.pipeline import accept, ingest, spool_directory
from label_studio_otel.settings import load
from label_studio_otel.spool.writer import SpoolWriter
from label_studio_otel.testing import span
from support.delivering import PROMPTS, payload, record

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path


class Watched:
    """A lock that notes when it is held."""

    def __init__(self, noted: list[str]) -> None:
        self.noted = noted

    def __enter__(self) -> None:
        self.noted.append("locked")

    def __exit__(self, *_: object) -> None:
        self.noted.append("free")


class Noting(int):
    """A number that notes when something is added to it."""

    noted: list[str]

    def __add__(self, other: int) -> Noting:
        self.noted.append("added")
        return self


def noting(noted: list[str]) -> Noting:
    number = Noting()
    number.noted = noted
    return number


class BesideAnother(Outbox):
    """An outbox into which another thread takes a hundred calls whenever this one takes some."""

    counts: Counts

    def accept(self, records: Sequence[Any], *rest: Any) -> int:
        self.counts.add(accepted=100)
        return super().accept(records, *rest)


def test_a_number_is_read_and_written_under_one_lock(monkeypatch: pytest.MonkeyPatch) -> None:
    noted: list[str] = []
    monkeypatch.setattr(process, "lock", Watched(noted))
    counts = Counts(accepted=noting(noted))
    counts.add(accepted=1)
    assert noted == ["locked", "added", "free"]


def test_what_settings_leave_out_is_counted_under_one_lock() -> None:
    noted: list[str] = []
    chosen = selection.Selection(load({"operations": ["chat"]}, {}))
    chosen.filtered = noting(noted)
    chosen._lock = Watched(noted)  # type: ignore[assignment]
    attributes = {"gen_ai.operation.name": "text_completion"}
    fields = {"scope": {"name": ""}, "name": "call", "startTimeUnixNano": 1, "status": {"code": "UNSET"}}
    assert list(chosen.calls([{**fields, "attributes": attributes}])) == []
    assert noted == ["locked", "added", "free"]


def test_what_comes_by_another_way_meanwhile_is_not_returned(tmp_path: Path) -> None:
    outbox = BesideAnother.in_file(tmp_path / "outbox.db")
    outbox.counts = Counts()
    taken = [NewItem(PROMPTS, one.key, payload(one)) for one in (span(number=1), span(number=2), span(number=1))]

    assert accept(outbox, taken, 0.0, counts=outbox.counts) == 2
    assert (outbox.counts.accepted, outbox.counts.duplicates) == (102, 1)
    outbox.close()


def test_what_comes_by_another_way_meanwhile_does_not_end_ingestion(tmp_path: Path) -> None:
    outbox = BesideAnother.in_file(tmp_path / "outbox.db")
    outbox.counts = Counts()
    writers = [SpoolWriter(spool_directory(tmp_path)) for _ in range(3)]
    for number, writer in enumerate(writers, 1):
        assert writer.append(record(span(number=number)))

    assert ingest(tmp_path, outbox, 0.0, counts=outbox.counts, limit=50) == 3
    assert outbox.counts.accepted == 303
    for writer in writers:
        writer.close()
    outbox.close()
