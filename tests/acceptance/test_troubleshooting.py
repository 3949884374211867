"""What the troubleshooting page says that one sees is what one sees."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest

from support.pages import ROOT

if TYPE_CHECKING:
    from support.applications import Deployment
    from support.servers import Api


def quoted(heading: str) -> str:
    """Return the lines that a section cites."""
    section = (ROOT / "docs/troubleshooting.md").read_text().partition(f"\n## {heading}\n")[2].partition("\n## ")[0]
    return "".join(re.findall(r"^```text\n(.*?)^```", section, re.MULTILINE | re.DOTALL))


@pytest.mark.parametrize(
    ("heading", "variables"),
    [
        ("No task appears", {"OTEL_TRACES_EXPORTER": ""}),
        ("The project is blocked", {"LABEL_STUDIO_API_KEY": "another"}),
        (
            "Tracing stopped altogether",
            {"OTEL_TRACES_EXPORTER": "zipkin,label_studio", "OTEL_BSP_MAX_QUEUE_SIZE": "100"},
        ),
        (
            "All tasks show half of the chat",
            {"OTEL_ATTRIBUTE_VALUE_LENGTH_LIMIT": "1000", "OTEL_SPAN_ATTRIBUTE_COUNT_LIMIT": "32"},
        ),
        ("The application ends slowly", {"OTEL_METRICS_EXPORTER": ""}),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_doctor_says_what_the_page_cites(deployment: Deployment, heading: str, variables: dict[str, str]) -> None:
    said = deployment.command("doctor", **variables).stdout

    lines = quoted(heading).splitlines()
    assert lines
    assert [line for line in lines if line not in said] == []


def test_an_empty_prompt_says_why(deployment: Deployment) -> None:
    variables = {"TRACELOOP_TRACE_CONTENT": "false"}
    deployment.run("interactive.py", stdin="One\n", **variables)
    deployment.deliver()
    (task,) = deployment.tasks()

    note, *doctor = quoted("The prompt is empty").splitlines()
    said = deployment.command("doctor", **variables).stdout
    assert task["data"]["incomplete"] == note
    assert [line for line in doctor if line not in said] == []


def test_setup_fills_the_empty_answer_box_of_a_project_with_other_predictions(deployment: Deployment, api: Api) -> None:
    project = api.create_project(deployment.title)["id"]
    result = [{"from_name": "response", "to_name": "prompt", "type": "textarea", "value": {"text": ["Theirs"]}}]
    api.import_tasks(
        project, [{"data": {"prompt": "Old"}, "predictions": [{"result": result, "model_version": "fake-gpt"}]}]
    )
    assert api.call("GET", f"/api/projects/{project}")["model_version"] == "fake-gpt"

    said = deployment.command("setup").stdout
    deployment.run("interactive.py", stdin="One\n")
    deployment.deliver()

    assert quoted("Tasks have an empty answer box") in said
    assert api.call("GET", f"/api/projects/{project}")["model_version"] == "label-studio-otel"


@pytest.mark.parametrize(
    ("variables", "cited"),
    [
        ({"LABEL_STUDIO_API_KEY": "another"}, "Invalid token.; set LABEL_STUDIO_API_KEY to a valid token"),
        ({"LABEL_STUDIO_PROJECT_ID": "999999"}, "there is no such project, or the token's user may not see it"),
        ({"LABEL_STUDIO_URL": "http://127.0.0.1:9"}, "; check LABEL_STUDIO_URL and that Label Studio runs"),
    ],
    ids=["token", "project", "address"],
)
def test_status_says_what_the_table_of_blocked_projects_cites(
    deployment: Deployment, variables: dict[str, str], cited: str
) -> None:
    deployment.run("interactive.py", stdin="One\n", **variables)

    assert cited in deployment.command("status", **variables).stdout
    assert cited in (ROOT / "docs/troubleshooting.md").read_text()


def test_a_project_that_asks_for_sound_is_named_with_what_it_asks_for(deployment: Deployment, api: Api) -> None:
    sound = '<View><Audio name="a" value="$audio"/><TextArea name="response" toName="a"/></View>'
    api.create_project(deployment.title, sound)
    deployment.run("interactive.py", stdin="One\n")

    cited = 'wants $audio for <Audio name="a">, which no LLM call can fill'
    assert cited in deployment.command("status").stdout
    assert cited in (ROOT / "docs/troubleshooting.md").read_text()
