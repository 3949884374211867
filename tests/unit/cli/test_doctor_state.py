"""`doctor` on the state directory: the disk under it, what waits there, who wrote it."""

from __future__ import annotations

import os
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
from inline_snapshot import snapshot

from label_studio_otel.cli.doctor import state
from label_studio_otel.cli.doctor.installation import SetUp
from label_studio_otel.outbox.items import NewItem
from label_studio_otel.outbox.migrations import STEPS
from label_studio_otel.outbox.outbox import Outbox
from label_studio_otel.settings import Destination
from label_studio_otel.spool import record as spool
from label_studio_otel.testing import FakeClock
from support.examined import set_up, told

MOUNTS = """\
22 1 8:1 / / rw,relatime - ext4 /dev/sda1 rw
30 22 0:25 / /dev/shm rw,nosuid,nodev - tmpfs tmpfs rw
31 22 0:50 / /srv/team\\040share rw,relatime shared:7 - nfs4 server:/share rw,vers=4.2
32 22 0:60 / /var rw,relatime - overlay overlay rw,lowerdir=/l
33 32 8:2 / /var/data rw,relatime - xfs /dev/sdb rw
34 33 0:70 / /var/data rw,relatime - cifs //server/data rw
"""
#: Directory of one server below the state directory.
SERVER = "localhost-8080-1234"


@pytest.mark.parametrize(
    ("path", "kind"),
    [
        ("/home/me/.local/state", "ext4"),
        ("/dev/shm", "tmpfs"),
        ("/dev/shmoo", "ext4"),
        ("/srv/team share/state", "nfs4"),
        ("/var/lib/state", "overlay"),
        ("/var/data/state", "cifs"),
    ],
)
def test_the_file_system_under_a_path(path: str, kind: str) -> None:
    assert state.file_system(Path(path), MOUNTS) == kind


@pytest.mark.parametrize(
    ("kind", "line"),
    [
        (
            "tmpfs",
            snapshot(
                "warning: PATH/new/state is in memory: what waits there is lost when the machine "
                "restarts (tmpfs) → export LABEL_STUDIO_OTEL_STATE_DIR=a directory on a disk of this "
                "machine"
            ),
        ),
        (
            "overlay",
            snapshot(
                "warning: PATH/new/state is in the container's own layer: what waits there is lost with "
                "the container (overlay) → mount a volume there, or export LABEL_STUDIO_OTEL_STATE_DIR=a "
                "directory on a disk of this machine"
            ),
        ),
        (
            "nfs4",
            snapshot(
                "warning: PATH/new/state is on a network disk, where SQLite and the locks cannot be "
                "trusted (nfs4) → export LABEL_STUDIO_OTEL_STATE_DIR=a directory on a disk of this "
                "machine"
            ),
        ),
        ("ext4", snapshot("ok: PATH/new/state can be written (ext4)")),
    ],
)
def test_a_disk_that_does_not_keep_files_is_a_warning(kind: str, line: str, tmp_path: Path) -> None:
    examined = set_up(state_dir=tmp_path / "new" / "state")
    mounts = f"1 0 8:1 / / rw - {kind} device rw\n"
    (said,) = told(lambda one: state.state_directory(one, mounts), examined)
    assert said.replace(str(tmp_path), "PATH") == line


def test_shared_memory_is_found_by_the_mounts_of_this_process() -> None:
    (finding,) = state.state_directory(set_up(state_dir="/dev/shm/label-studio-otel"))
    assert finding.level == "warning"
    assert finding.met.endswith("what waits there is lost when the machine restarts (tmpfs)")


def test_a_directory_that_cannot_be_written_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    (said,) = told(state.state_directory, set_up(state_dir=tmp_path / "file" / "state"))
    assert said.replace(str(tmp_path), "PATH") == snapshot(
        "error: PATH/file/state cannot be written by this user (PATH/file): calls wait in memory "
        "and are lost at exit → make it writable, or export LABEL_STUDIO_OTEL_STATE_DIR=a "
        "directory on a disk of this machine"
    )


def test_a_directory_without_write_permission_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "access", lambda path, mode: False)  # tests may run as root, who may write anywhere
    assert [one.level for one in state.state_directory(set_up(state_dir=tmp_path))] == ["error"]


@pytest.fixture
def examined(tmp_path: Path) -> SetUp:
    """A set-up whose state directory has the directory of one server."""
    (tmp_path / SERVER / "spool").mkdir(parents=True)
    return set_up(state_dir=tmp_path)


def filled(examined: SetUp, keys: list[str], clock: FakeClock) -> Outbox:
    outbox = Outbox.in_file(examined.settings.state_dir / SERVER / "outbox.db", clock=clock)
    rows = [NewItem(Destination("Project"), key, b"record") for key in keys]
    outbox.accept(rows, "a.spool", 0, 0.0)
    return outbox


def key(trace: int, span: int, start: int) -> str:
    return f"{trace:032x}:{span:016x}:{start}"


def test_few_calls_that_wait_for_a_short_time_are_no_finding(examined: SetUp) -> None:
    with closing(filled(examined, [key(1, 1, 1)], FakeClock(4102444800))):  # the year 2100: just taken
        assert told(state.waiting, examined) == []


def test_many_calls_or_old_ones_are_a_warning(examined: SetUp) -> None:
    keys = [key(1, number, 1) for number in range(1000)]
    with closing(filled(examined, keys, FakeClock(4102444800))):
        (said,) = told(state.waiting, examined)
    assert said.replace(str(examined.settings.state_dir), "PATH") == snapshot(
        "warning: 1000 calls in PATH/localhost-8080-1234 did not arrive yet → label-studio-otel "
        "status says why; label-studio-otel deliver sends them"
    )


def test_an_old_call_is_a_warning(examined: SetUp) -> None:
    with closing(filled(examined, [key(1, 1, 1)], FakeClock(0.5))):
        (finding,) = state.waiting(examined)
    assert (finding.level, finding.met.startswith("1 call in "), ", the oldest for " in finding.met) == (
        "warning",
        True,
        True,
    )


def test_parked_calls_are_a_warning(examined: SetUp) -> None:
    with closing(filled(examined, [key(1, 1, 1)], FakeClock(4102444800))) as outbox:
        outbox.park({1: "refused"})
        (said,) = told(state.waiting, examined)
    assert said.replace(str(examined.settings.state_dir), "PATH") == snapshot(
        "warning: 1 call in PATH/localhost-8080-1234: refused by Label Studio and parked → "
        "label-studio-otel status says why; then label-studio-otel retry"
    )


def test_an_outbox_that_is_damaged_is_an_error(examined: SetUp) -> None:
    (examined.settings.state_dir / SERVER / "outbox.db").write_bytes(b"no database at all, and long enough" * 100)
    (finding,) = state.waiting(examined)
    assert (finding.level, finding.fix) == ("error", "move that file away; a new one is made")
    assert told(state.versions, examined) == []
    assert told(state.span_ids, examined) == []


def test_an_outbox_of_a_newer_version_is_an_error(examined: SetUp) -> None:
    filled(examined, [key(1, 1, 1)], FakeClock()).close()
    assert told(state.versions, examined) == []
    path = examined.settings.state_dir / SERVER / "outbox.db"
    with closing(sqlite3.connect(path)) as connection:
        connection.execute(f"PRAGMA user_version = {len(STEPS) + 1}")
    (finding,) = state.versions(examined)
    assert (finding.level, finding.fix) == ("error", "pip install --upgrade label-studio-otel, here as well")
    assert finding.met == (
        f"{path} was written by a newer version (schema {len(STEPS) + 1}, this one knows {len(STEPS)})"
    )


def test_spool_records_of_another_version_are_an_error(examined: SetUp) -> None:
    directory = examined.settings.state_dir / SERVER / "spool"
    record = b"".join(spool.encode_retry())
    (directory / "ours.spool").write_bytes(record)
    (directory / "empty.spool").write_bytes(b"")
    assert told(state.versions, examined) == []
    (directory / "theirs.spool").write_bytes(b"LSO\x02" + record[4:])
    (finding,) = state.versions(examined)
    assert (finding.level, finding.met.partition(" in ")[0]) == ("error", "theirs.spool")


def test_span_ids_that_repeat_are_a_warning(examined: SetUp) -> None:
    once = [key(1, 1, 10), key(1, 2, 10), key(2, 1, 10)]
    with closing(filled(examined, once, FakeClock(4102444800))):
        assert told(state.span_ids, examined) == []
    with closing(filled(examined, [key(1, 1, 20), key(2, 1, 30)], FakeClock(4102444800))):
        (said,) = told(state.span_ids, examined)
    assert said.replace(str(examined.settings.state_dir), "PATH") == snapshot(
        "warning: 2 span ids came more than once in PATH/localhost-8080-1234: OpenTelemetry "
        "draws them from `random`, and the application seeds it. Each call is still a task; in "
        "trace backends they overwrite each other → seed a generator of your own, "
        "random.Random(seed), instead of random.seed(seed)"
    )


def test_a_missing_state_directory_is_no_finding(tmp_path: Path) -> None:
    examined = set_up(state_dir=tmp_path / "none")
    assert [told(check, examined) for check in (state.waiting, state.versions, state.span_ids)] == [[], [], []]
