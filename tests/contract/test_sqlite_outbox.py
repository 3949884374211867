"""The outbox's SQLite file: steps of the schema, damage, permissions, threads, size."""

from __future__ import annotations

import sqlite3
import stat
import threading
from typing import TYPE_CHECKING

import pytest

from label_studio_otel.errors import OutboxCorrupt, OutboxError
from label_studio_otel.outbox import __doc__ as drawing
from label_studio_otel.outbox import migrations
from label_studio_otel.outbox.database import queries
from label_studio_otel.outbox.items import NewEvent, NewItem, RestoredItem
from label_studio_otel.outbox.outbox import Outbox
from label_studio_otel.settings import Destination
from label_studio_otel.testing import FakeClock

if TYPE_CHECKING:
    from pathlib import Path

PROMPTS = Destination("Prompts")
#: Number of steps in each release, the oldest first; a released step is never changed.
RELEASED = {1: "the first"}


def _schema(path: Path) -> list[tuple[str, str, str]]:
    connection = sqlite3.connect(path)
    try:
        rows = connection.execute("SELECT type, name, sql FROM sqlite_master ORDER BY type, name").fetchall()
        return [(kind, name, " ".join((sql or "").split())) for kind, name, sql in rows]
    finally:
        connection.close()


def _build(path: Path, steps: int) -> None:
    connection = sqlite3.connect(path, isolation_level=None)
    try:
        for step in migrations.STEPS[:steps]:
            for statement in step:
                connection.execute(statement)
        connection.execute(f"PRAGMA user_version = {steps}")
    finally:
        connection.close()


@pytest.mark.parametrize("steps", [0, *RELEASED])
def test_every_released_schema_migrates_to_the_same_tables_as_a_new_file(tmp_path: Path, steps: int) -> None:
    old, new = tmp_path / "old.db", tmp_path / "new.db"
    _build(old, steps)
    for path in (old, new):
        outbox = Outbox.in_file(path)
        outbox.accept([NewItem(PROMPTS, "a", b"a")], "1.spool", 0, 0.0)
        outbox.close()
    assert _schema(old) == _schema(new)


def test_a_step_and_its_number_are_committed_together(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "outbox.db"
    Outbox.in_file(path).spool_positions()
    with monkeypatch.context() as patch:
        broken = (*migrations.STEPS, ("CREATE TABLE more (id INTEGER)", "CREATE NONSENSE"))
        patch.setattr(migrations, "STEPS", broken)
        with pytest.raises(OutboxError):
            Outbox.in_file(path).spool_positions()
    assert "more" not in [name for _, name, _ in _schema(path)]
    assert Outbox.in_file(path).spool_positions() == {}


def test_the_outbox_of_a_newer_version_is_refused_and_not_changed(tmp_path: Path) -> None:
    path = tmp_path / "outbox.db"
    _build(path, len(migrations.STEPS))
    connection = sqlite3.connect(path)
    connection.execute("PRAGMA user_version = 99")
    connection.close()
    with pytest.raises(OutboxError, match=r"newer version .* \(schema 99, this one knows \d+\); upgrade") as raised:
        Outbox.in_file(path).spool_positions()
    assert not isinstance(raised.value, OutboxCorrupt)
    assert len(_schema(path)) > 5


def test_a_file_that_is_no_database_is_corrupt(tmp_path: Path) -> None:
    path = tmp_path / "outbox.db"
    path.write_bytes(b"certainly no database " * 200)
    with pytest.raises(OutboxCorrupt):
        Outbox.in_file(path).overview.summary()
    assert path.read_bytes().startswith(b"certainly")


def test_a_file_with_damaged_pages_behind_a_good_header_is_corrupt(tmp_path: Path) -> None:
    path = tmp_path / "outbox.db"
    outbox = Outbox.in_file(path)
    outbox.accept([NewItem(PROMPTS, str(number), b"x" * 3000) for number in range(50)], "1.spool", 0, 0.0)
    outbox.close()
    data = bytearray(path.read_bytes())
    data[4096:] = b"\xff" * (len(data) - 4096)
    path.write_bytes(data)
    with pytest.raises(OutboxCorrupt):
        Outbox.in_file(path).overview.summary()


def test_a_read_only_outbox_writes_nothing(tmp_path: Path) -> None:
    path = tmp_path / "outbox.db"
    outbox = Outbox.in_file(path)
    outbox.accept([NewItem(PROMPTS, "a", b"a")], "1.spool", 0, 0.0)
    reader = Outbox.in_file(path, read_only=True)
    assert reader.overview.summary().states["pending"] == 1
    with pytest.raises(OutboxError, match="readonly"):
        reader.retry()
    reader.close()
    outbox.close()


def test_reading_where_there_is_no_outbox_creates_none(tmp_path: Path) -> None:
    path = tmp_path / "none" / "outbox.db"
    with pytest.raises(OutboxError):
        Outbox.in_file(path, read_only=True).overview.summary()
    assert list(tmp_path.iterdir()) == []


def test_no_other_user_may_read_the_files(tmp_path: Path) -> None:
    path = tmp_path / "state" / "outbox.db"
    outbox = Outbox.in_file(path)
    outbox.accept([NewItem(PROMPTS, "a", b"a")], "1.spool", 0, 0.0)
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    assert [stat.S_IMODE(file.stat().st_mode) & 0o077 for file in path.parent.iterdir()] == [0, 0, 0]
    outbox.close()


def test_a_failed_transaction_leaves_nothing_behind(tmp_path: Path) -> None:
    outbox = Outbox.in_file(tmp_path / "outbox.db")
    with pytest.raises(OutboxError):
        outbox.accept([NewItem(PROMPTS, "a", b"a"), NewItem(PROMPTS, None, b"b")], "1.spool", 9, 0.0)  # type: ignore[list-item]
    assert outbox.spool_positions() == {}
    assert outbox.destinations.all() == []
    outbox.close()


def test_any_thread_may_call(tmp_path: Path) -> None:
    outbox = Outbox.in_file(tmp_path / "outbox.db")

    def put(first: int) -> None:
        for number in range(first, first + 20):
            outbox.accept([NewItem(PROMPTS, str(number), b"")], "1.spool", 0, 0.0)

    threads = [threading.Thread(target=put, args=(first,)) for first in (0, 100, 200, 300)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert outbox.overview.summary().states["pending"] == 80
    outbox.close()


def test_every_arrow_of_the_drawing_is_a_named_query() -> None:
    arrows = {"accept", "restore", "lease", "release", "park", "retry", "give_up", "drop", "expire"}
    arrows |= {"mark_delivered", "mark_found", "mark_merged", "mark_uncertain", "mark_all_uncertain"}
    arrows |= {"mark_not_arrived", "block", "unblock"}
    assert arrows <= set(queries())
    assert [arrow for arrow in sorted(arrows) if arrow not in str(drawing)] == []
    assert all(query.rstrip().endswith(";") for query in queries().values())


def test_delivered_items_free_their_pages(tmp_path: Path) -> None:
    outbox = Outbox.in_file(tmp_path / "outbox.db")
    for number in range(500):
        span = f"{number:032x}:{number:016x}"
        outbox.accept([NewItem(PROMPTS, f"{span}:1", b"x" * 3000)], "", 0, 0.0, [NewEvent(span, b"y" * 1000)])
    assert outbox.used_bytes() > 2_500_000
    (target,) = outbox.destinations.all()
    items = outbox.due_items(target.id, 500)
    assert [len(item.record) for item in items] == [3000] * 500

    outbox.mark_found({item.id: number for number, item in enumerate(items, 1)})

    assert outbox.used_bytes() < 400_000
    assert {outbox.record(item.id) for item in items} == {b""}
    outbox.close()


def test_log_events_are_kept_until_the_last_destination_has_its_call(tmp_path: Path) -> None:
    outbox = Outbox.in_file(tmp_path / "outbox.db")
    span = f"{1:032x}:{1:016x}"
    outbox.accept(
        [NewItem(one, f"{span}:1", b"call") for one in (PROMPTS, Destination("Other"))],
        "",
        0,
        0.0,
        [NewEvent(span, b"said")],
    )
    first, second = (outbox.due_items(target.id, 1)[0] for target in outbox.destinations.all())

    outbox.mark_found({first.id: 1})
    assert outbox.events(span) == [b"said"]
    outbox.mark_merged({second.id: "another"})
    assert outbox.events(span) == []
    outbox.close()


def test_a_restored_call_without_a_record_is_pending(tmp_path: Path) -> None:
    outbox = Outbox.in_file(tmp_path / "outbox.db")

    outbox.restore(
        [RestoredItem(PROMPTS, key, None, state, None) for key, state in (("a", "uncertain"), ("b", "delivered"))]
    )

    (target,) = outbox.destinations.all()
    assert [(item.key, item.record) for item in outbox.due_items(target.id, 10)] == [("a", b"")]
    outbox.close()


def scoped(number: int, scope: str, destination: Destination = PROMPTS) -> NewItem:
    return NewItem(destination, f"{number:032x}:{number:016x}:1", b"call", scope)


def test_at_most_two_scopes_of_a_destination_are_stored(tmp_path: Path) -> None:
    outbox = Outbox.in_file(tmp_path / "outbox.db")
    for number in range(1, 200):
        outbox.accept([scoped(number, f"s{number}")], "", 0, 0.0)
        outbox.accept([scoped(number, "alone", Destination("Other"))], "", 0, 0.0)

    assert [outbox.destinations.scopes(target.id) for target in outbox.destinations.all()] == [{"s1", "s2"}, {"alone"}]
    with outbox.database.transaction() as run:
        assert run.connection.execute("SELECT COUNT(*) FROM scope").fetchone()[0] == 3
    outbox.close()


def test_scopes_expire_with_the_last_item_of_their_destination(tmp_path: Path) -> None:
    clock = FakeClock(1000.0)
    outbox = Outbox.in_file(tmp_path / "outbox.db", clock=clock)
    outbox.accept([scoped(1, "a"), scoped(2, "b")], "", 0, 0.0)
    outbox.accept([scoped(3, "c", Destination("Other"))], "", 0, 0.0)
    outbox.mark_found({item.id: 1 for item in outbox.due_items(1, 10)})

    outbox.expire(999.0)
    assert [outbox.destinations.scopes(1), outbox.destinations.scopes(2)] == [{"a", "b"}, {"c"}]
    outbox.expire(1001.0)
    assert [outbox.destinations.scopes(1), outbox.destinations.scopes(2)] == [set(), {"c"}]
    outbox.close()


def test_scopes_that_an_older_version_stored_expire_down_to_two(tmp_path: Path) -> None:
    outbox = Outbox.in_file(tmp_path / "outbox.db")
    outbox.accept([scoped(1, "s0")], "", 0, 0.0)
    with outbox.database.transaction() as run:
        run.connection.executemany("INSERT INTO scope VALUES (1, ?)", [(f"s{number}",) for number in range(1, 1000)])

    outbox.expire(0.0)

    with outbox.database.transaction() as run:
        assert [row[0] for row in run.connection.execute("SELECT name FROM scope ORDER BY name")] == [
            "s0",
            "s1",
        ]
    outbox.close()
