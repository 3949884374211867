"""The Compose file of `deploy/`: read by Compose's own code, in step with the tests' versions and configurations."""

from __future__ import annotations

import re
import subprocess
from typing import TYPE_CHECKING

import pytest
import yaml

from label_studio_otel.cli.demo.label_studio_installation import LABEL_STUDIO_VERSION
from support import go_programs
from support.collector import FAN_OUT
from support.deployments import (
    COMPOSE,
    CONFIGURATION,
    DEPLOY,
    SECRETS,
    answer_of,
    container_of,
    referenced,
    services,
    variables_of,
)
from support.manifests import project

if TYPE_CHECKING:
    from label_studio_otel.cli.demo.label_studio_server import LabelStudioServer


@pytest.mark.parametrize("secret", SECRETS)
def test_compose_asks_for_each_secret(secret: str) -> None:
    others = {name: value for name, value in SECRETS.items() if name != secret}
    with pytest.raises(ValueError, match=f"required variable {secret} is missing a value: set it in .env"):
        project(COMPOSE, **others)


def test_the_example_of_env_names_what_compose_asks_for() -> None:
    text = (DEPLOY / ".env.example").read_text()
    assert re.findall(r"^(\w+)=$", text, re.MULTILINE) == list(SECRETS)
    assert set(re.findall(r"^#(\w+)=", text, re.MULTILINE)) <= referenced(COMPOSE)


def test_compose_runs_the_versions_and_the_configurations_that_the_tests_run() -> None:
    manifest = yaml.safe_load(go_programs.MANIFEST.read_text())
    images = {name: service["image"] for name, service in services().items()}
    assert images == {
        "collector": f"otel/opentelemetry-collector-contrib:{manifest['dist']['version']}",
        "collector-state": "busybox:1.37",
        "jaeger": "jaegertracing/jaeger:2.13.0",
        "label-studio": f"heartexlabs/label-studio:{LABEL_STUDIO_VERSION}",
        "label-studio-otel": container_of("statefulset")["image"],
    }
    assert go_programs.JAEGER.endswith("@v1.76.0")  # the same release has both numbers
    volumes = [one for service in services().values() for one in service.get("volumes", ())]
    mounted = [one["source"] for one in volumes if one["type"] == "bind"]
    assert sorted(mounted) == sorted([str(FAN_OUT), str(CONFIGURATION)])


def test_the_services_of_compose_find_each_other() -> None:
    collector = services()["collector"]["environment"]
    assert set(collector) <= referenced(FAN_OUT)
    assert collector["JAEGER_ENDPOINT"] == "jaeger:4317"
    assert collector["LABEL_STUDIO_OTEL_ENDPOINT"] == "http://label-studio-otel:4318"
    assert variables_of("compose")["LABEL_STUDIO_URL"] == "http://label-studio:8080"
    assert {"jaeger", "label-studio-otel", "label-studio"} <= set(services())
    published = {port["published"] for service in services().values() for port in service.get("ports", ())}
    assert published == {"4317", "4318", "8080", "13133", "16686"}
    assert {port["host_ip"] for service in services().values() for port in service.get("ports", ())} == {"127.0.0.1"}


@pytest.mark.parametrize("exporters", ["", "[otlp_grpc/jaeger,otlp_http/honeycomb]"])
def test_the_collector_takes_its_configuration_as_compose_gives_it(exporters: str) -> None:
    service = project(COMPOSE, **SECRETS, OBSERVABILITY_EXPORTERS=exporters)["services"]["collector"]
    options = [option.replace("/etc/otelcol/fan-out.yaml", str(FAN_OUT)) for option in service["command"]]
    command = [str(go_programs.collector_program()), "validate", *options]
    ran = subprocess.run(command, env=service["environment"], capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stderr


def test_label_studio_is_healthy_where_compose_looks(label_studio: LabelStudioServer) -> None:
    probe = services()["label-studio"]["healthcheck"]["test"]
    port = label_studio.url.rpartition(":")[2]
    assert answer_of([word.replace("8080", port) for word in probe]) == 0
    assert answer_of([word.replace("8080", "9") for word in probe]) == 1
