"""However a process lives and ends: every LLM call that returned is one task after `label-studio-otel deliver`."""

from __future__ import annotations

import os
import random
import signal
import time
from collections import Counter
from contextlib import ExitStack
from urllib.request import urlopen

import pytest

from label_studio_otel.cli.demo.label_studio_server import free_port
from support.applications import COMMANDS, INSTRUMENT, Deployment, Ended
from support.servers import wait_for


def assert_one_task_per_call(deployment: Deployment, *runs: Ended) -> None:
    deployment.deliver()
    prompts = [prompt for run in runs for prompt in run.finished]
    assert prompts
    assert deployment.prompts() == Counter(prompts)


@pytest.mark.parametrize(
    ("last_line", "code"),
    [("", 0), ("raise\n", 1), ("_exit\n", 7)],
    ids=["returns", "raises", "os._exit"],
)
def test_a_process_that_ends_by_itself_loses_nothing(deployment: Deployment, last_line: str, code: int) -> None:
    run = deployment.run("interactive.py", stdin=f"One\nTwo\n{last_line}")
    assert (run.code, run.finished) == (code, ["One", "Two"])
    assert_one_task_per_call(deployment, run)


def test_an_end_by_the_default_action_of_sigterm_loses_nothing(deployment: Deployment) -> None:
    with deployment.start("interactive.py") as process:
        process.say("One")
        process.wait_until_finished(1)
        process.send_signal(signal.SIGTERM)
        run = process.ended()
    assert (run.code, run.finished) == (-signal.SIGTERM, ["One"])
    assert_one_task_per_call(deployment, run)


def test_kill_9_at_any_moment_loses_no_call_that_returned(deployment: Deployment) -> None:
    """Three at once share the state directory, one of them the deliverer, maybe in the middle of an import."""
    runs = []
    with ExitStack() as stack:
        processes = [stack.enter_context(deployment.start("endless.py", f"Process {number}")) for number in range(3)]
        for process in processes:
            process.wait_until_finished(1)
            time.sleep(random.uniform(0, 1))
            process.send_signal(signal.SIGKILL)
            runs.append(process.ended())
    deployment.deliver()
    tasks = deployment.prompts()
    assert set(tasks.values()) == {1}
    for number, run in enumerate(runs):
        of_this = {prompt for prompt in tasks if prompt.startswith(f"Process {number} ")}
        assert run.finished
        assert set(run.finished) <= of_this
        assert len(of_this - set(run.finished)) <= 1


def test_every_child_of_a_pool_loses_nothing(deployment: Deployment) -> None:
    runs = [deployment.run("process_pool.py", *kind) for kind in (("fork", "2"), ("spawn", "1"))]
    assert [(run.code, len(run.finished), run.said) for run in runs] == [(0, 12, []), (0, 12, [])]
    assert_one_task_per_call(deployment, *runs)


def test_forks_in_the_middle_of_calls_lose_nothing_and_hang_nobody(deployment: Deployment) -> None:
    run = deployment.run("forking.py", "40")
    assert run.code == 0, run.stderr
    assert len([prompt for prompt in run.finished if prompt.startswith("Fork ")]) == 80
    assert_one_task_per_call(deployment, run)


def test_a_fork_while_delivery_is_being_imported_leaves_the_child_whole(deployment: Deployment) -> None:
    run = deployment.run("forking_early.py")
    assert (run.code, run.stderr, run.finished) == (0, "", ["Parent", "Child"])
    assert_one_task_per_call(deployment, run)


@pytest.mark.parametrize("preload", [[], ["--preload"]], ids=["without-preload", "with-preload"])
def test_gunicorn_workers_lose_nothing_even_when_one_is_killed(deployment: Deployment, preload: list[str]) -> None:
    port = free_port()
    gunicorn = [str(COMMANDS / "gunicorn"), "-w", "2", *preload, "-b", f"127.0.0.1:{port}", "gunicorn_app"]
    with deployment.start_command([*INSTRUMENT, *gunicorn]) as process:
        workers = [_ask(port, f"Request {number}") for number in range(6)]
        os.kill(int(workers[-1]), signal.SIGKILL)
        workers += [_ask(port, f"Request {number}") for number in range(6, 12)]
        process.send_signal(signal.SIGTERM)
        run = process.ended()
    assert run.code == 0
    assert len(set(workers)) > 1
    assert run.finished == [f"Request {number}" for number in range(12)]
    assert_one_task_per_call(deployment, run)


def _ask(port: int, question: str) -> str:
    """Return the process id of the worker that answered."""

    def answer() -> str | None:
        try:
            with urlopen(f"http://127.0.0.1:{port}/?{question.replace(' ', '%20')}", timeout=30) as response:
                return response.read().decode()
        except OSError:
            return None  # it is starting

    pid, _, text = wait_for(answer, what="answer of gunicorn").partition(" ")
    assert text == f"Answer to {question}"
    return pid


@pytest.mark.parametrize("kind", ["threads", "asyncio"])
def test_two_hundred_concurrent_calls_are_two_hundred_tasks(deployment: Deployment, kind: str) -> None:
    run = deployment.run("concurrent_calls.py", kind)
    assert (run.code, len(set(run.finished)), run.said) == (0, 200, [])
    assert_one_task_per_call(deployment, run)


def test_runs_that_draw_the_same_ids_are_different_calls(deployment: Deployment) -> None:
    runs = [deployment.run("seeded.py") for _ in range(2)]
    assert_one_task_per_call(deployment, *runs)
    ids = Counter((task["data"]["trace_id"], task["data"]["span_id"]) for task in deployment.tasks())
    assert sorted(ids.values()) == [2] * 5


def test_a_running_process_delivers_within_seconds_by_itself(deployment: Deployment) -> None:
    with deployment.start("interactive.py") as process:
        process.say("Anybody there?")
        process.wait_until_finished(1)
        deployment.api.wait_for_tasks(deployment.title, 1, timeout=10)


def test_another_process_delivers_soon_after_the_deliverer_was_killed(deployment: Deployment) -> None:
    with deployment.start("interactive.py") as first, deployment.start("interactive.py") as second:
        first.say("First")
        deployment.api.wait_for_tasks(deployment.title, 1, timeout=20)
        second.say("Second")
        deployment.api.wait_for_tasks(deployment.title, 2, timeout=20)
        first.say("Third")
        first.wait_until_finished(2)
        first.send_signal(signal.SIGKILL)
        deployment.api.wait_for_tasks(deployment.title, 3, timeout=5)
        assert deployment.prompts() == {"First": 1, "Second": 1, "Third": 1}
