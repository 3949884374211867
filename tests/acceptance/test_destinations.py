"""Several destinations at once: what was meant for one never gets into another, and nothing is lost."""

from __future__ import annotations

from collections import Counter
from contextlib import ExitStack
from dataclasses import replace
from datetime import datetime

from support.applications import Deployment
from support.servers import Api, wait_for

TO_COMPLETE = [("To complete", "A completion")]
TO_ANSWER = [([{"role": "user", "content": "To answer"}], "An answer")]


def shown(deployment: Deployment, title: str) -> list[tuple[object, str]]:
    """Return the prompt and the one predicted response of each task."""
    return [prompt_and_response(task) for task in deployment.tasks(title)]


def prompt_and_response(task: dict) -> tuple[object, str]:
    (prediction,) = task["predictions"]
    (result,) = prediction["result"]
    (text,) = result["value"]["text"]
    return task["data"]["prompt"], text


def test_two_applications_share_a_state_directory_and_keep_their_projects(deployment: Deployment) -> None:
    deployments = [replace(deployment, title=f"{deployment.title} {name}") for name in ("first", "second")]
    with ExitStack() as stack:
        processes = [stack.enter_context(one.start("interactive.py")) for one in deployments]
        for number in range(20):
            for name, process in zip(("First", "Second"), processes, strict=True):
                process.say(f"{name} {number}")
        runs = [process.ended() for process in processes]
    assert [(run.code, run.said) for run in runs] == [(0, []), (0, [])]
    deployments[0].deliver()
    for one, name in zip(deployments, ("First", "Second"), strict=True):
        assert one.prompts() == Counter(f"{name} {number}" for number in range(20))


def test_two_processors_with_names_send_each_operation_to_its_project(deployment: Deployment) -> None:
    titles = [f"{deployment.title.replace(' ', '-')}-{kind}" for kind in ("prompts", "chats")]
    run = deployment.run(
        "in_code.py",
        *("processor", "mode=prompt", "operations=text_completion", f"project_name={titles[0]}"),
        *("+", "processor", "mode=chat", "operations=chat", f"project_name={titles[1]}"),
        instrumented=False,
    )
    assert (run.code, run.stderr) == (0, "")
    deployment.deliver()
    assert [shown(deployment, title) for title in titles] == [TO_COMPLETE, TO_ANSWER]


def test_two_processors_without_names_get_two_projects_of_the_default_name(deployment: Deployment, api: Api) -> None:
    """The two examples of the callback handler's documentation, in one program."""
    before = {project["id"] for project in api.projects()}
    run = deployment.run(
        "in_code.py",
        *("processor", "mode=prompt", "operations=text_completion", "+", "processor", "mode=chat", "operations=chat"),
        instrumented=False,
        LABEL_STUDIO_OTEL_PROJECT_NAME="",
    )
    assert (run.code, run.stderr) == (0, "")
    deployment.deliver()
    made = [project for project in api.projects() if project["id"] not in before]
    assert {project["title"] for project in made} == {f"{datetime.now():LangChain-%Y-%m-%d}"}
    tasks = [[prompt_and_response(task) for task in api.tasks(project["id"])] for project in made]
    assert sorted(tasks, key=str) == sorted([TO_COMPLETE, TO_ANSWER], key=str)


def test_several_processes_that_begin_at_once_end_with_one_project(deployment: Deployment) -> None:
    """Each delivers from a state directory of its own, so that nothing but Label Studio tells them of each other."""
    deployments = [replace(deployment, state_dir=deployment.state_dir / str(number)) for number in range(3)]
    with ExitStack() as stack:
        processes = [stack.enter_context(one.start("interactive.py")) for one in deployments]
        for number, process in enumerate(processes):
            process.say(f"Process {number}")
        for process in processes:
            process.wait_until_finished(1)
        wait_for(lambda: deployment.api.projects_titled(deployment.title), what="project")
        assert [process.ended().code for process in processes] == [0, 0, 0]
    for one in deployments:
        one.deliver()
    assert deployment.prompts() == {"Process 0": 1, "Process 1": 1, "Process 2": 1}
