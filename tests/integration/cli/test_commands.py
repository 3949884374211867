"""`deliver`, `status` and `retry`, as a person calls them."""

from __future__ import annotations

import contextlib
import json
import logging
import sqlite3
from typing import TYPE_CHECKING, Any

import pytest

from label_studio_otel.cli import main
from label_studio_otel.delivery.lock import DirectoryLock
from label_studio_otel.pipeline import spool_directory
from label_studio_otel.settings import load
from label_studio_otel.spool.writer import SpoolWriter
from label_studio_otel.testing import FakeLabelStudio, Fault, span
from support.delivering import record

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture
def server() -> Iterator[FakeLabelStudio]:
    with FakeLabelStudio() as fake:
        yield fake


@pytest.fixture(autouse=True)
def _environment(tmp_path: Path, server: FakeLabelStudio, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("LABEL_STUDIO_OTEL_STATE_DIR", str(tmp_path / "state"))
    monkeypatch.setenv("LABEL_STUDIO_URL", server.url)
    monkeypatch.setenv("LABEL_STUDIO_API_KEY", server.token)
    monkeypatch.setenv("COLUMNS", "200")
    level = logging.getLogger("label_studio_otel").level
    yield
    logging.getLogger("label_studio_otel").setLevel(level)


def take(number: int, url: str | None = None) -> None:
    """Keep this many calls as an application that has ended."""
    writer = SpoolWriter(spool_directory(load({"url": url}).directory))
    for one in range(number):
        writer.append(record(span(span_id=f"{one + 1:016x}")))
    writer.close()


def states(capsys: pytest.CaptureFixture[str]) -> dict[str, Any]:
    capsys.readouterr()
    assert main(["status", "--json"]) == 0
    return {name: number for name, number in json.loads(capsys.readouterr().out).items() if type(number) is int}


def test_status_counts_what_is_still_in_the_spool_as_pending(capsys: pytest.CaptureFixture[str]) -> None:
    take(3)

    assert states(capsys) == {
        "pending": 3,
        "leased": 0,
        "uncertain": 0,
        "parked": 0,
        "delivered": 0,
        "doubled": 0,
        "given_up": 0,
        "unreadable_bytes": 0,
    }


def test_status_of_a_machine_that_never_took_a_call_is_all_zero(capsys: pytest.CaptureFixture[str]) -> None:
    assert set(states(capsys).values()) == {0}


def test_deliver_sends_all_and_says_so(server: FakeLabelStudio, capsys: pytest.CaptureFixture[str]) -> None:
    take(3)

    assert main(["deliver"]) == 0

    assert capsys.readouterr().out == "all delivered (3 LLM calls are tasks)\n"
    assert len(server.tasks(1)) == 3
    assert states(capsys)["delivered"] == 3


def test_deliver_reports_the_blocking_error_and_returns_1(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    take(2)
    monkeypatch.setenv("LABEL_STUDIO_API_KEY", "0" * 40)

    assert main(["deliver"]) == 1

    said = capsys.readouterr().err
    assert "set LABEL_STUDIO_API_KEY to a valid token" in said
    assert "2 pending" in said
    assert "0" * 40 not in said


def test_deliver_gives_up_on_a_silent_server_after_its_timeout(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("LABEL_STUDIO_URL", "http://127.0.0.1:9")
    take(1)

    assert main(["deliver", "--timeout", "0.5"]) == 1

    assert "cannot be reached" in capsys.readouterr().err


@pytest.mark.parametrize("options", [[], ["--reconcile"], ["--server-restarted"]])
def test_deliver_reports_an_outbox_of_a_newer_version_and_returns_1(
    options: list[str], server: FakeLabelStudio, capsys: pytest.CaptureFixture[str]
) -> None:
    take(1)
    assert main(["deliver"]) == 0
    with contextlib.closing(sqlite3.connect(load().directory / "outbox.db")) as newer:
        newer.execute("PRAGMA user_version = 99")
    take(2)

    assert main(["deliver", "--timeout", "0.1", *options]) == 1

    assert "the outbox was written by a newer version of label-studio-otel (schema 99, this" in capsys.readouterr().err
    assert states(capsys)["pending"] == 2
    assert len(server.tasks(1)) == 1


def test_deliver_reports_a_spool_file_of_a_newer_version_and_returns_1(
    server: FakeLabelStudio, capsys: pytest.CaptureFixture[str]
) -> None:
    take(1)
    (path,) = spool_directory(load().directory).iterdir()
    path.write_bytes(b"LSO\x02" + path.read_bytes()[4:])

    assert main(["deliver"]) == 1

    out, err = capsys.readouterr()
    assert err.strip() == f"{path} was written by another version of label-studio-otel; upgrade this installation"
    assert out == ""
    assert path.exists()


def test_deliver_reports_an_outbox_that_cannot_be_opened_and_returns_1(capsys: pytest.CaptureFixture[str]) -> None:
    take(1)
    (load().directory / "outbox.db").mkdir()

    assert main(["deliver"]) == 1

    assert "outbox.db: " in capsys.readouterr().err


def test_after_a_lost_outbox_deliver_reconcile_sends_only_what_is_not_there(
    server: FakeLabelStudio, capsys: pytest.CaptureFixture[str]
) -> None:
    take(3)
    assert main(["deliver"]) == 0
    for path in load().directory.glob("outbox.db*"):
        path.unlink()
    take(5)

    assert main(["deliver", "--reconcile"]) == 0

    assert len(server.tasks(1)) == 5
    assert states(capsys)["delivered"] == 5


def test_what_was_sent_before_the_server_was_restarted_is_sent_again_without_waiting(
    server: FakeLabelStudio, capsys: pytest.CaptureFixture[str]
) -> None:
    server.fail(Fault(drop="before"))
    take(2)
    assert main(["deliver", "--timeout", "0.2"]) == 1
    assert states(capsys)["uncertain"] == 2

    assert main(["deliver", "--server-restarted"]) == 0

    assert len(server.tasks(1)) == 2


@pytest.mark.parametrize("option", ["--reconcile", "--server-restarted"])
def test_options_that_need_the_lock_report_that_another_process_has_it(
    option: str, capsys: pytest.CaptureFixture[str]
) -> None:
    lock = DirectoryLock(load().directory)
    assert lock.acquire()

    assert main(["deliver", option]) == 1

    assert "another process delivers" in capsys.readouterr().err
    lock.release()


def test_deliver_leaves_the_lock_to_others_when_it_ends(capsys: pytest.CaptureFixture[str]) -> None:
    take(1)
    main(["deliver"])
    lock = DirectoryLock(load().directory)

    assert lock.acquire()
    lock.release()


def test_a_parked_call_is_reported_with_its_reason_and_sent_by_retry(
    server: FakeLabelStudio, capsys: pytest.CaptureFixture[str]
) -> None:
    server.fail(Fault(path="/import", reject=(0,)))
    take(1)
    assert main(["deliver"]) == 1
    assert "1 parked: " in capsys.readouterr().err
    assert states(capsys)["parked"] == 1

    assert main(["retry"]) == 0
    assert capsys.readouterr().out.startswith("1 parked calls will be sent again")
    assert main(["deliver"]) == 0

    assert len(server.tasks(1)) == 1


def test_retry_reaches_an_outbox_that_an_application_holds(
    server: FakeLabelStudio, capsys: pytest.CaptureFixture[str]
) -> None:
    lock = DirectoryLock(load().directory)
    assert lock.acquire()

    assert main(["retry"]) == 0

    assert list(spool_directory(load().directory).glob("*.spool"))
    lock.release()


def test_calls_of_a_mistyped_url_are_moved_by_retry_from(
    server: FakeLabelStudio, capsys: pytest.CaptureFixture[str]
) -> None:
    take(30, "http://mistyped.example:8080")
    assert main(["deliver"]) == 0
    assert "retry --from mistyped.example-8080-" in capsys.readouterr().err

    assert main(["retry", "--from", "http://mistyped.example:8080/"]) == 0

    assert capsys.readouterr().out.startswith("30 calls moved")
    assert main(["deliver"]) == 0
    assert len(server.tasks(1)) == 30
    assert states(capsys) | {"delivered": 30} == states(capsys)
    assert main(["retry", "--from", "http://mistyped.example:8080"]) == 0
    assert capsys.readouterr().out.startswith("0 calls moved")


def test_calls_are_not_moved_from_under_a_running_application(capsys: pytest.CaptureFixture[str]) -> None:
    take(1, "http://mistyped.example")
    lock = DirectoryLock(load({"url": "http://mistyped.example"}).directory)
    assert lock.acquire()

    assert main(["retry", "--from", "http://mistyped.example"]) == 1

    assert "correct its LABEL_STUDIO_URL" in capsys.readouterr().err
    lock.release()


def test_an_unknown_server_has_nothing_to_move(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["retry", "--from", "http://nowhere.example"]) == 1

    assert "nothing is kept for another server 'http://nowhere.example'" in capsys.readouterr().err
