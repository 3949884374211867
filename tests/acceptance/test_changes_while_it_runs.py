"""An application that runs while people change its project, and calls larger than a task may be."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from support.servers import PROMPT_CONFIG, Api

if TYPE_CHECKING:
    from support.applications import Deployment


def prediction(task: dict[str, Any]) -> list[tuple[str, list[str]]]:
    results = [result for one in task["predictions"] for result in one["result"]]
    return [(result["from_name"], result["value"]["text"]) for result in results]


def test_a_variable_and_controls_changed_in_the_project_s_settings_are_honoured_without_a_restart(
    deployment: Deployment, api: Api
) -> None:
    project = api.create_project(deployment.title)["id"]
    changed = PROMPT_CONFIG.replace('name="response"', 'name="better"').replace(
        "</View>",
        '<HyperText name="page" value="$page"/><Choices name="c" toName="page"><Choice value="Yes"/></Choices></View>',
    )
    with deployment.start("interactive.py") as app:
        app.say("One")
        api.wait_for_tasks(deployment.title, 1)
        api.call("PATCH", f"/api/projects/{project}/", {"label_config": changed})
        app.say("Two")
        first, second = api.wait_for_tasks(deployment.title, 2, timeout=60)
        ended = app.ended()

    assert (ended.code, ended.said) == (0, [])
    assert prediction(first) == [("response", ["Answer to One"])]
    assert prediction(second) == [("better", ["Answer to Two"])]
    assert second["data"]["page"] == '<h4>User</h4>\n<pre style="white-space: pre-wrap">Two</pre>'


def test_a_3_mb_prompt_of_an_application_is_cut_or_whole_as_its_setting_says(deployment: Deployment, api: Api) -> None:
    prompt = "x" * 3_000_000
    run = deployment.run("interactive.py", stdin=f"{prompt}\n")
    assert (run.code, run.said) == (0, [])
    deployment.deliver()
    (cut,) = deployment.tasks()
    size = len(json.dumps({"data": cut["data"], "predictions": cut["predictions"]}))
    assert 900_000 < size < 1_050_000  # prompt, response and prediction share it; Label Studio adds ids and times
    assert cut["data"]["incomplete"] == "The call is too large for a task (1,048,576 bytes): parts of it are cut."

    larger = {"LABEL_STUDIO_OTEL_MAX_TASK_BYTES": "10000000", "LABEL_STUDIO_OTEL_PROJECT_NAME": f"{deployment.title} 2"}
    deployment.run("interactive.py", stdin=f"{prompt}\n", **larger)
    deployment.deliver(**larger)
    (whole,) = deployment.tasks(f"{deployment.title} 2")
    assert whole["data"]["prompt"] == prompt
    assert "incomplete" not in whole["data"]
