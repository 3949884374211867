"""The project of a destination: which one is used, and when one is created."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any

import pytest

from label_studio_otel.settings import Destination, load
from label_studio_otel.tasks import labeling_config
from label_studio_otel.testing import START_TIME, FakeLabelStudio, Fault, span
from support.delivering import Bench, copies

if TYPE_CHECKING:
    from pathlib import Path

CONFIG = '<View><Text name="prompt" value="$prompt"/><TextArea name="response" toName="prompt"/></View>'


def _project(fake: FakeLabelStudio, number: int, title: str, config: str = CONFIG) -> None:
    fake.store.projects[number] = {"id": number, "title": title, "label_config": config, "model_version": ""}


def _titles(fake: FakeLabelStudio) -> list[str]:
    return [project["title"] for project in fake.store.projects.values()]


def _deliver(bench: Bench, destination: Destination, *numbers: int) -> None:
    bench.put(*(span(number=number) for number in numbers), destination=destination)
    bench.run()


def test_a_project_is_created_with_the_labeling_config_of_its_mode(bench: Bench, fake: FakeLabelStudio) -> None:
    _deliver(bench, Destination("A prompt project"), 1)
    _deliver(bench, Destination("A chat project", mode="chat"), 2)
    assert {project["title"]: project["label_config"] for project in fake.store.projects.values()} == {
        "A prompt project": labeling_config.template("prompt"),
        "A chat project": labeling_config.template("chat"),
    }


def test_a_project_is_created_with_the_labeling_config_of_the_user(bench: Bench, fake: FakeLabelStudio) -> None:
    _deliver(bench, Destination("Mine", project_config=CONFIG), 1)
    assert [project["label_config"] for project in fake.store.projects.values()] == [CONFIG]


@pytest.mark.parametrize("other", ["Project 10", "My Project 1", "project 1", "PROJECT 1", "Project 1 "])
def test_a_project_is_found_by_its_exact_title_only(bench: Bench, fake: FakeLabelStudio, other: str) -> None:
    _project(fake, 500, other)
    _deliver(bench, Destination("Project 1"), 1)
    assert _titles(fake) == [other, "Project 1"]
    assert fake.tasks(500) == []


def test_an_existing_project_is_used_as_it_is(bench: Bench, fake: FakeLabelStudio) -> None:
    _project(fake, 500, "Project 1")
    _deliver(bench, Destination("Project 1"), 1)
    assert _titles(fake) == ["Project 1"]
    assert len(fake.tasks(500)) == 1


def test_among_100_that_contain_the_title_the_exact_one_is_found(bench: Bench, fake: FakeLabelStudio) -> None:
    for number in range(600, 750):
        _project(fake, number, f"Project {number}")
    _project(fake, 500, "Project")
    _deliver(bench, Destination("Project"), 1)
    assert len(fake.tasks(500)) == 1


def test_of_equal_titles_the_oldest_is_used(bench: Bench, fake: FakeLabelStudio) -> None:
    _project(fake, 502, "Project 1")
    _project(fake, 501, "Project 1")
    _deliver(bench, Destination("Project 1"), 1)
    assert len(fake.tasks(501)) == 1


def test_of_equal_titles_one_that_fits_the_mode_is_preferred(bench: Bench, fake: FakeLabelStudio) -> None:
    _project(fake, 501, "Project 1")
    _project(fake, 502, "Project 1", labeling_config.template("chat"))
    _deliver(bench, Destination("Project 1", mode="chat"), 1)
    assert len(fake.tasks(502)) == 1


def test_under_the_default_name_each_mode_has_its_project(bench: Bench, fake: FakeLabelStudio) -> None:
    for mode, number in (("prompt", 1), ("chat", 2), ("prompt", 3)):
        settings = load({"mode": mode}, {})
        bench.put(span(number=number), destination=settings.destination(START_TIME))
    bench.run()
    assert [(project["title"], len(fake.tasks(number))) for number, project in fake.store.projects.items()] == [
        ("LangChain-2026-01-01", 2),
        ("LangChain-2026-01-01", 1),
    ]


def test_under_a_given_name_both_modes_go_to_the_project_that_exists(bench: Bench, fake: FakeLabelStudio) -> None:
    _deliver(bench, Destination("Mine", mode="prompt"), 1)
    _deliver(bench, Destination("Mine", mode="chat"), 2)
    assert _titles(fake) == ["Mine"]
    assert copies(fake) == {"1": 1, "2": 1}


def test_a_project_that_got_another_title_is_kept(bench: Bench, fake: FakeLabelStudio) -> None:
    _deliver(bench, Destination("Before"), 1)
    (project,) = fake.store.projects.values()
    project["title"] = "After"
    bench.clock.sleep(60)
    _deliver(bench, Destination("Before"), 2)
    assert _titles(fake) == ["After"]
    assert copies(fake) == {"1": 1, "2": 1}


def test_a_deleted_project_is_created_again_for_calls_that_were_never_delivered(
    bench: Bench, fake: FakeLabelStudio
) -> None:
    _deliver(bench, Destination("Mine"), 1)
    fake.store.projects.clear()
    fake.store.tasks.clear()
    _deliver(bench, Destination("Mine"), 2)
    bench.run_later(2)
    assert _titles(fake) == ["Mine"]
    assert copies(fake) == {"2": 1}


def test_a_deleted_project_of_an_id_blocks_with_a_reason(bench: Bench, fake: FakeLabelStudio) -> None:
    _project(fake, 500, "Mine")
    _deliver(bench, Destination("", project_id=500), 1)
    project = fake.store.projects.pop(500)
    _deliver(bench, Destination("", project_id=500), 2)
    bench.run_later(2)
    assert _titles(fake) == []
    assert bench.target.blocked == (
        f"{fake.url} answered 404 to GET /api/projects/500/: there is no such project, or the token's user may not "
        "see it"
    )
    fake.store.projects[500] = project
    bench.run_later(60)
    assert bench.states == {"delivered": 2}


def test_a_labeling_config_that_was_changed_is_used(bench: Bench, fake: FakeLabelStudio) -> None:
    _deliver(bench, Destination("Mine"), 1)
    (project,) = fake.store.projects.values()
    project["label_config"] = CONFIG.replace("$prompt", "$question")
    bench.clock.sleep(31)
    _deliver(bench, Destination("Mine"), 2)
    assert fake.tasks(project["id"])[1]["data"]["question"] == "User:\nSay hello."


@pytest.mark.parametrize(
    ("config", "reason"),
    [
        ("<View/>", "project 500 has no labeling config that shows anything; choose one on its settings page"),
        ("", "project 500: the labeling config is not valid XML: no element found: line 1, column 0"),
    ],
)
def test_a_labeling_config_that_shows_nothing_blocks(
    bench: Bench, fake: FakeLabelStudio, config: str, reason: str
) -> None:
    _project(fake, 500, "Mine", config)
    _deliver(bench, Destination("Mine"), 1)
    assert bench.target.blocked == reason


def test_a_title_that_label_studio_refuses_blocks_with_its_reason(bench: Bench, fake: FakeLabelStudio) -> None:
    _deliver(bench, Destination("x" * 51), 1)
    assert bench.target.blocked == (
        f"{fake.url} answered 400 to POST /api/projects/: Validation error; "
        "title: Ensure this field has no more than 50 characters."
    )


def test_a_project_that_was_created_without_a_response_is_found(bench: Bench, fake: FakeLabelStudio) -> None:
    fake.fail(Fault(path="/api/projects/", drop="after"))
    _deliver(bench, Destination("Mine"), 1)
    bench.run_later(2)
    assert _titles(fake) == ["Mine"]
    assert copies(fake) == {"1": 1}


def test_of_several_projects_created_by_one_request_one_stays(
    bench: Bench, fake: FakeLabelStudio, monkeypatch: pytest.MonkeyPatch
) -> None:
    make = fake.store._create_project

    def make_twice(body: Any) -> Any:
        make(body)  # as Label Studio's middleware runs a request again that met a locked database
        return make(body)

    monkeypatch.setattr(fake.store, "_create_project", make_twice)
    _deliver(bench, Destination("Mine"), 1)
    assert _titles(fake) == ["Mine"]
    assert copies(fake) == {"1": 1}


def race(directory: Path, url: str, token: str, title: str, racers: int) -> list[dict[str, int]]:
    """Let deliverers with state of their own begin at once; return their items by state."""
    benches = [Bench(directory / str(number), url, token) for number in range(racers)]
    for number, bench in enumerate(benches):
        bench.put(span(number=number + 1), destination=Destination(title))
    together = threading.Barrier(racers)

    def run(bench: Bench) -> None:
        together.wait()
        for _ in range(5):
            bench.run_later(60)

    threads = [threading.Thread(target=run, args=(bench,)) for bench in benches]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=120)
    states = [bench.states for bench in benches]
    for bench in benches:
        bench.outbox.close()
    return states


def test_processes_that_begin_at_once_use_one_project(tmp_path: Path, fake: FakeLabelStudio) -> None:
    states = race(tmp_path, fake.url, fake.token, "Ours", 12)
    assert states == [{"delivered": 1}] * 12
    assert _titles(fake) == ["Ours"]
    assert len(copies(fake)) == 12


def test_processes_that_begin_at_once_use_one_real_project(tmp_path: Path, label_studio: Any, api: Any) -> None:
    states = race(tmp_path, label_studio.url, label_studio.token, "Ours at once", 4)
    assert states == [{"delivered": 1}] * 4
    project = api.project("Ours at once")
    assert len({task["data"]["key"] for task in api.tasks(project["id"])}) == 4
