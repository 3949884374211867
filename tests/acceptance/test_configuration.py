"""Every way of naming us and of saying what we shall do: each call is one task, and unknown words do no harm."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

import pytest

from support.servers import PROMPT_CONFIG

if TYPE_CHECKING:
    from pathlib import Path

    from support.applications import Deployment
    from support.otlp_sink import OtlpSink
    from support.servers import Api

PROMPTS = Counter({"To complete": 1, "User:\nTo answer": 1})
OWN_CONFIG = PROMPT_CONFIG.replace("<View>", '<View><Header value="Ours"/>')
DECLARATIVE = """
file_format: "1.0"
tracer_provider:
  processors:
    - batch: {{exporter: {{otlp_http: {{endpoint: "{otlp}/v1/traces"}}}}}}
    - batch:
        exporter:
          label_studio:
            url: {url}
            api_key: ${{LABEL_STUDIO_API_KEY}}
            project_name: "{title}"
            mode: chat
            shutdown_timeout: 5
            colour: blue
"""


@pytest.mark.parametrize("kind", ["processor", "batch", "simple"])
def test_each_class_in_code_works_by_itself(deployment: Deployment, kind: str) -> None:
    run = deployment.run("in_code.py", kind, instrumented=False)
    assert (run.code, run.stderr) == (0, "")
    deployment.deliver()
    assert deployment.prompts() == PROMPTS


def test_a_class_in_code_beside_the_variables_makes_no_second_task(deployment: Deployment, sink: OtlpSink) -> None:
    exporters = {"OTEL_TRACES_EXPORTER": "otlp,label_studio", **sink.variables}
    run = deployment.run("in_code.py", "processor", "+", "batch", **exporters)
    assert (run.code, run.stderr) == (0, "")
    deployment.deliver()
    assert deployment.prompts() == PROMPTS
    assert sink.spans.total() == 2


def test_the_declarative_file_configures_us_and_unknown_keys_are_warned_about(
    deployment: Deployment, sink: OtlpSink, tmp_path: Path
) -> None:
    file = tmp_path / "otel.yaml"
    file.write_text(DECLARATIVE.format(otlp=sink.url, url=deployment.url, title=deployment.title))
    elsewhere = {"LABEL_STUDIO_URL": "http://127.0.0.1:9", "LABEL_STUDIO_OTEL_PROJECT_NAME": "Another"}
    run = deployment.run("interactive.py", stdin="One\n", OTEL_CONFIG_FILE=str(file), **elsewhere)
    assert run.code == 0
    assert ["unknown setting colour ignored" in line for line in run.said] == [True]
    deployment.deliver()
    assert [task["data"]["prompt"] for task in deployment.tasks()] == [[{"role": "user", "content": "One"}]]
    assert sink.spans.total() == 1


@pytest.mark.parametrize("by_path", [False, True], ids=["xml", "path"])
def test_a_new_project_gets_the_labeling_config_that_was_given(
    deployment: Deployment, tmp_path: Path, by_path: bool
) -> None:
    file = tmp_path / "config.xml"
    file.write_text(OWN_CONFIG)
    config = str(file) if by_path else OWN_CONFIG
    run = deployment.run("interactive.py", stdin="One\n", LABEL_STUDIO_OTEL_PROJECT_CONFIG=config)
    assert (run.code, run.said) == (0, [])
    deployment.deliver()
    assert deployment.prompts() == {"One": 1}
    assert deployment.api.project(deployment.title)["label_config"] == OWN_CONFIG


def test_a_project_by_its_number_and_a_personal_access_token(deployment: Deployment, api: Api) -> None:
    project = api.create_project(deployment.title)
    variables = {"LABEL_STUDIO_PROJECT_ID": str(project["id"]), "LABEL_STUDIO_OTEL_PROJECT_NAME": "Another"}
    variables["LABEL_STUDIO_API_KEY"] = api.personal_access_token()
    run = deployment.run("interactive.py", stdin="One\n", **variables)
    assert (run.code, run.said) == (0, [])
    deployment.deliver(**variables)
    assert deployment.prompts() == {"One": 1}
