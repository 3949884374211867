"""Delivery from the whole directory of a server: outbox of schema 3, spool of version 1, left by a killed process."""

from __future__ import annotations

import json
import tarfile
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from label_studio_otel.cli import main
from label_studio_otel.testing import AsynchronousImport, FakeLabelStudio
from label_studio_otel.testing.store import Call
from support.delivering import State, all_tasks, copies, imports, run, states_of

if TYPE_CHECKING:
    from label_studio_otel.delivery.deliverer import Deliverer

ARCHIVE = Path(__file__).parents[2] / "cases" / "state" / "schema-3.tar.xz"
#: The retry that an operator asked for, and that nobody had read.
RETRY = "4713-c.spool"
#: Calls whose tasks were in Label Studio: 1, 2, 3 and 7 delivered, 9 uncertain, 11 and 12 under way.
PRESENT = ("1", "2", "3", "7", "9", "b", "c")
#: Those that are to be sent: 10 and 13 did not arrive, 14 to 17 and 19 are pending, 18 and 20 to 22 in the spool.
TO_SEND = ("a", "d", "e", "f", "10", "11", "12", "13", "14", "15", "16")
#: Number 8 is in an import that Label Studio had accepted and not carried out.
ACCEPTED = "8"
REASON = 'Prediction must have "result" fields'


@pytest.fixture
def older(state: State, fake: FakeLabelStudio) -> State:
    """The directory, and a Label Studio as it was then; the clock is one second later."""
    with tarfile.open(ARCHIVE) as archive:
        for member in archive:
            content = archive.extractfile(member)
            assert content is not None
            if member.name == "label-studio.json":
                _repeat(json.load(content), fake)
                continue
            path = state.directory / member.name.removeprefix("server/")
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content.read())
    state.clock.sleep(6)
    return state


def _repeat(requests: list[dict[str, Any]], fake: FakeLabelStudio) -> None:
    """Carry out the requests that Label Studio had carried out; of the last one only the acceptance."""
    plans = [None, None, AsynchronousImport(polls=1)]
    for request, plan in zip(requests, plans, strict=True):
        status, _ = fake.store.carry_out(Call("POST", request["path"], {}, request["body"], asynchronous=plan))
        assert status == 201


def _create_missing_project(fake: FakeLabelStudio) -> None:
    body = {"title": "By its id", "label_config": fake.store.projects[1]["label_config"]}
    assert fake.store.carry_out(Call("POST", "/api/projects/", {}, body))[1]["id"] == 2


def _run_for(deliverer: Deliverer, state: State, seconds: int) -> None:
    for _ in range(0, seconds, 10):
        run(deliverer)
        state.clock.sleep(10)
    run(deliverer)


def _sent(fake: FakeLabelStudio) -> dict[str, int]:
    """Return how often each call was in an import, by its span id without leading zeros."""
    bodies = [json.loads(request.body) for request in imports(fake)]
    return dict(Counter(task["data"]["span_id"].lstrip("0") for body in bodies for task in body))


def test_status_counts_it_as_the_older_version_did_and_changes_nothing(
    older: State, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("LABEL_STUDIO_OTEL_STATE_DIR", str(older.directory.parent))
    before = (older.directory / "outbox.db").read_bytes()
    assert main(["status", "--json"]) == 0
    report = json.loads(capsys.readouterr().out)
    assert (older.directory / "outbox.db").read_bytes() == before
    destinations = report.pop("destinations")
    assert report == {
        "pending": 13,
        "leased": 3,
        "uncertain": 3,
        "parked": 1,
        "delivered": 4,
        "doubled": 1,
        "oldest": 1767225601.0,
        "unreadable": [],
        "given_up": 2,
        "unreadable_bytes": 127,
    }
    assert [(each["destination"], each["project"], each["last_error"]) for each in destinations] == [
        ("project 'Prompts' (prompt)", 1, None),
        (
            "project 2",
            None,
            "http://label-studio answered 404 to GET /api/projects/2/: there is no such project, or the token's user "
            "may not see it",
        ),
        ("project 'LangChain-2026-01-01' (chat)", None, None),
    ]
    assert [each["parked_reasons"] for each in destinations] == [{REASON: 1}, {}, {}]


def test_every_call_becomes_one_task_and_nothing_is_sent_again(older: State, fake: FakeLabelStudio) -> None:
    _create_missing_project(fake)
    (older.directory / "spool" / RETRY).unlink()
    deliverer = older.deliverer()
    _run_for(deliverer, older, 60)
    assert states_of(deliverer) == {"delivered": 17, "uncertain": 2, "parked": 1, "doubled": 2}
    _run_for(deliverer, older, 900)
    assert states_of(deliverer) == {"delivered": 19, "parked": 1, "doubled": 2}
    assert copies(fake) == dict.fromkeys((*PRESENT, *TO_SEND, ACCEPTED), 1)
    assert _sent(fake) == dict.fromkeys(TO_SEND, 1)
    assert deliverer.outbox.overview.summary().destinations[0][2] == {REASON: 1}
    assert deliverer.outbox.overview.summary().counters["given_up"] == 2
    assert deliverer.outbox.overview.summary().counters["unreadable_bytes"] == 254
    assert list((older.directory / "spool").iterdir()) == []


def test_every_task_has_what_was_said_and_its_prediction(older: State, fake: FakeLabelStudio) -> None:
    _create_missing_project(fake)
    deliverer = older.deliverer()
    _run_for(deliverer, older, 960)
    said = {}
    for task in all_tasks(fake):
        (prediction,) = task["predictions"]
        prompt = task["data"]["prompt"]
        last = prompt[-1]["content"] if isinstance(prompt, list) else prompt.rpartition("User:\n")[2]
        value = prediction["result"][0]["value"]
        (answer,) = value["text"] if isinstance(value["text"], list) else [value["text"]]
        said[int(task["data"]["span_id"], 16)] = (last, answer)
    numbers = [number for number in range(1, 23) if number not in (4, 5)]
    assert said == {number: (f"Question {number}", f"Answer {number}") for number in numbers}
    (long,) = [task for task in all_tasks(fake) if task["data"]["span_id"] == "0000000000000015"]
    assert long["data"]["prompt"].count("Be brief. ") == 512
    assert {project["title"]: len(fake.tasks(number)) for number, project in fake.store.projects.items()} == {
        "Prompts": 17,
        "By its id": 2,
        "LangChain-2026-01-01": 1,
    }


def test_a_late_copy_of_a_call_that_was_looked_up_is_deleted(older: State, fake: FakeLabelStudio) -> None:
    deliverer = older.deliverer()
    run(deliverer)
    (seventh,) = [task for task in fake.tasks(1) if task["data"]["span_id"] == "0000000000000007"]
    body = [{"data": seventh["data"], "predictions": seventh["predictions"]}]
    assert fake.store.carry_out(Call("POST", "/api/projects/1/import", {}, body))[0] == 201
    assert copies(fake)["7"] == 2
    _run_for(deliverer, older, 960)
    assert copies(fake)["7"] == 1


def test_what_is_parked_is_sent_after_the_command_retry(
    older: State, fake: FakeLabelStudio, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LABEL_STUDIO_OTEL_STATE_DIR", str(older.directory.parent))
    monkeypatch.setenv("LABEL_STUDIO_URL", fake.url)
    _create_missing_project(fake)
    (older.directory / "spool" / RETRY).unlink()
    deliverer = older.deliverer()
    _run_for(deliverer, older, 960)
    assert "6" not in copies(fake)
    assert main(["retry"]) == 0
    run(deliverer)
    assert states_of(deliverer) == {"delivered": 20, "doubled": 2}
    assert _sent(fake) == dict.fromkeys((*TO_SEND, "6"), 1)


def test_what_is_parked_is_sent_where_the_spool_holds_an_unread_retry(older: State, fake: FakeLabelStudio) -> None:
    _create_missing_project(fake)
    deliverer = older.deliverer()
    _run_for(deliverer, older, 960)
    assert states_of(deliverer) == {"delivered": 20, "doubled": 2}
    assert _sent(fake) == dict.fromkeys((*TO_SEND, "6"), 1)


def test_a_destination_whose_project_is_still_missing_holds_up_no_other(older: State, fake: FakeLabelStudio) -> None:
    _create_missing_project(fake)
    assert fake.store.carry_out(Call("DELETE", "/api/projects/2/", {}, None))[0] == 204
    deliverer = older.deliverer()
    _run_for(deliverer, older, 960)
    assert states_of(deliverer) == {"delivered": 18, "pending": 2, "doubled": 2}
    assert _sent(fake).keys() == {*TO_SEND, "6"} - {"11", "12"}
