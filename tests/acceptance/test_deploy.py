"""What `deploy/` holds: read by the programs it is written for, in step with the product, and run where that can be."""

from __future__ import annotations

import http.client
import os
import re
import signal
import subprocess
import sys
import tempfile
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import pytest
from opentelemetry.sdk.trace.export import SpanExportResult
from test_serve import arrived, exporter, spans

from label_studio_otel._version import __version__
from label_studio_otel.receiver.service import GRACE_S
from label_studio_otel.receiver.settings import SERVE_SETTINGS
from label_studio_otel.settings import SETTINGS
from label_studio_otel.testing import FakeLabelStudio
from support.deployments import (
    COMPOSE,
    CONFIGURATION,
    CONTAINERFILE,
    DEPLOY,
    KUBERNETES,
    PREFIX,
    UNIT,
    UNIT_TLS,
    WAYS,
    answer_of,
    command_of,
    configuration_of_image,
    contained,
    container_of,
    documents,
    here,
    installed,
    pod_of,
    referenced,
    services,
    unit,
    variables_of,
)
from support.manifests import image, objects
from support.pages import ROOT

if TYPE_CHECKING:
    from collections.abc import Iterator


def known() -> set[str]:
    """Return the variables that the product reads, or its configuration refers to."""
    read = {one.variable for one in (*SETTINGS, *SERVE_SETTINGS)} | {
        f"{one.variable}_FILE" for one in SERVE_SETTINGS if one.secret
    }
    return read | referenced(CONFIGURATION)


@pytest.mark.parametrize("way", WAYS)
def test_every_variable_is_one_that_the_product_or_its_configuration_knows(way: str) -> None:
    assert set(variables_of(way)) - {"PATH", "PYTHONUNBUFFERED"} <= known()


def test_every_variable_of_the_page_is_known() -> None:
    named = set(re.findall(r"LABEL_STUDIO_[A-Z_]+", (DEPLOY / "README.md").read_text()))
    assert named
    assert named <= known()
    assert {one.partition("=")[0] for one in unit("Environment", UNIT_TLS)} <= known()


def test_every_path_of_the_page_is_there() -> None:
    text = (DEPLOY / "README.md").read_text()
    links = set(re.findall(r"\]\(([^)#]+)", text))
    assert links
    assert all((DEPLOY / link).exists() for link in links)
    named = set(re.findall(r"\b(?:deploy|collector)/[\w./-]*[\w]", text))
    assert named
    assert all((ROOT / path).exists() for path in named)


@pytest.mark.parametrize("way", WAYS)
def test_serve_can_use_what_it_is_told(way: str, tmp_path: Path) -> None:
    for name in ("token", "api-key"):
        (tmp_path / name).write_text("secret")
        (tmp_path / name).chmod(0o600)
    told = {"LABEL_STUDIO_OTEL_SERVE_TOKEN": "token"} if way == "image" else {}  # it leaves that to who runs it
    told |= {name: here(value, tmp_path) for name, value in variables_of(way).items()}
    command = [
        sys.executable,
        "-m",
        "label_studio_otel",
        *(here(word, tmp_path) for word in command_of(way)),
        "--check",
    ]
    ran = subprocess.run(command, env=told, capture_output=True, text=True, check=False)
    assert (ran.returncode, ran.stdout) == (0, "all that is set can be used\n"), ran.stderr


def test_every_way_runs_this_version() -> None:
    texts = [path.read_text() for path in (COMPOSE, CONTAINERFILE, DEPLOY / "README.md", *KUBERNETES.glob("*.yaml"))]
    tags = [set(re.findall(r"\blabel-studio-otel:(\d+\.[\w.]+)", text)) for text in texts]
    assert tags == [{__version__}] * 5


def test_the_page_makes_the_secrets_and_the_configuration_that_kubernetes_mounts() -> None:
    text = (DEPLOY / "README.md").read_text()
    secrets = set(re.findall(r"--from-literal=([\w-]+)=", text))
    mounts = {one["name"]: one["mountPath"] for one in container_of("statefulset")["volumeMounts"]}
    files = {value for name, value in variables_of("statefulset").items() if name.endswith("_FILE")}
    assert files == {f"{mounts['secret']}/{name}" for name in secrets}
    (key,) = (one["valueFrom"]["secretKeyRef"]["key"] for one in container_of("sidecar")["env"] if "valueFrom" in one)
    assert key in secrets
    (made,) = re.findall(r"--from-file=([\w/.]+)", text)
    assert ROOT / made == CONFIGURATION
    assert command_of("statefulset")[-1] == f"{mounts['configuration']}/{CONFIGURATION.name}"


def test_who_ends_the_bridge_gives_it_the_time_that_it_needs() -> None:
    needed = GRACE_S + 2  # the default of LABEL_STUDIO_OTEL_SHUTDOWN_TIMEOUT
    assert int(unit("TimeoutStopSec")[0]) > needed
    assert services()["label-studio-otel"]["stop_grace_period"] == "30s"
    assert pod_of("statefulset")["spec"]["terminationGracePeriodSeconds"] > needed + 5  # lifecycle.preStop
    assert pod_of("sidecar")["spec"]["terminationGracePeriodSeconds"] > needed


def test_kubernetes_would_take_the_manifests() -> None:
    assert objects(KUBERNETES / "statefulset.yaml", KUBERNETES / "sidecar.yaml") == [
        "Service/label-studio-otel: ok",
        "Service/label-studio-otel-pods: ok",
        "StatefulSet/label-studio-otel: ok",
        "PodDisruptionBudget/label-studio-otel: ok",
        "NetworkPolicy/label-studio-otel: ok",
        "PersistentVolumeClaim/your-application-label-studio-otel: ok",
        "Deployment/your-application: ok",
    ]


@pytest.mark.parametrize(
    ("right", "wrong", "said"),
    [
        ("readOnlyRootFilesystem", "readOnlyRootFileSystem", "unknown field"),
        ("drop: [ALL]", "drop: []", "restricted: unrestricted capabilities"),
        ("mountPath: /tmp", "mountPath: ''", "volumeMounts[3].mountPath: Required value"),
        ("targetPort: otlp-grpc", "targetPort: otlp-grpc-of-the-bridge", "must be no more than 15 characters"),
    ],
)
def test_kubernetes_would_not_take_others(right: str, wrong: str, said: str, tmp_path: Path) -> None:
    (tmp_path / "wrong.yaml").write_text((KUBERNETES / "statefulset.yaml").read_text().replace(right, wrong))
    assert any(said in line for line in objects(tmp_path / "wrong.yaml"))


def test_what_refers_to_the_pods_of_kubernetes_finds_them() -> None:
    labels = pod_of("statefulset")["metadata"]["labels"]
    ports = {one["name"]: one["containerPort"] for one in container_of("statefulset")["ports"]}
    assert ports == {"otlp-grpc": 4317, "otlp-http": 4318}
    for one in documents(KUBERNETES / "statefulset.yaml"):
        spec = one["spec"]
        selector = spec.get("podSelector") or spec["selector"]
        assert selector.get("matchLabels", selector) == labels
        if one["kind"] == "Service":
            assert {port["targetPort"]: port["port"] for port in spec["ports"]} == ports
        if one["kind"] == "StatefulSet":
            assert spec["serviceName"] == "label-studio-otel-pods"
        if one["kind"] == "NetworkPolicy":
            assert {port["port"] for rule in spec["ingress"] for port in rule["ports"]} == set(ports)


def test_buildkit_reads_the_containerfile_without_a_warning() -> None:
    assert image(CONTAINERFILE)["warnings"] is None
    configuration = configuration_of_image()
    assert configuration["User"] == "65532:65532"
    assert configuration["Volumes"] == {"/var/lib/label-studio-otel": {}}
    assert variables_of("image")["LABEL_STUDIO_OTEL_STATE_DIR"] == "/var/lib/label-studio-otel"
    assert set(configuration["ExposedPorts"]) == {"4317/tcp", "4318/tcp"}
    assert (configuration["Entrypoint"], configuration["Cmd"]) == (["label-studio-otel"], ["serve"])
    assert configuration["StopSignal"] == "SIGTERM"


def test_a_containerfile_with_a_mistake_is_told(tmp_path: Path) -> None:
    (tmp_path / "Containerfile").write_text("FROM scratch\nRUNS true\n")
    with pytest.raises(ValueError, match="unknown instruction: RUNS"):
        image(tmp_path / "Containerfile")


def test_nothing_that_the_image_is_built_from_is_kept_from_its_builder() -> None:
    copied = [path for *sources, _ in image(CONTAINERFILE)["stages"][0]["copy"] for path in sources]
    ignored = (DEPLOY / "Containerfile.dockerignore").read_text().splitlines()
    assert sorted(line[1:] for line in ignored if line.startswith("!")) == sorted(copied)


def test_systemd_has_nothing_against_the_unit(tmp_path: Path) -> None:
    text = UNIT.read_text() + UNIT_TLS.read_text()
    (tmp_path / UNIT.name).write_text(text.replace(f"{PREFIX}/bin/label-studio-otel", sys.executable))
    ran = subprocess.run(
        ["systemd-analyze", "verify", tmp_path / UNIT.name], capture_output=True, text=True, check=False
    )
    assert (ran.returncode, ran.stderr) == (0, "")


def test_systemd_finds_the_unit_little_exposed() -> None:
    """Of 10; a unit that says nothing of it has 9.6."""
    command = ["systemd-analyze", "security", "--offline=true", "--threshold=12", str(UNIT)]
    ran = subprocess.run(command, capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stdout[-300:]


@pytest.fixture(scope="module")
def environment() -> Iterator[Path]:
    with installed() as path:
        yield path


class Running(NamedTuple):
    """A bridge."""

    process: subprocess.Popen[str]
    state: Path
    #: What it listens on for HTTP.
    address: str
    port: int


@contextmanager
def running(environment: Path, way: str, server: FakeLabelStudio) -> Iterator[Running]:
    """Run the bridge as a deployment says, but on free ports."""
    with tempfile.TemporaryDirectory(dir=environment.parent) as folder:
        state = Path(folder)
        (state / "api-key").write_text(server.token)
        (state / "token").write_text("token")
        given = {"PATH": f"{environment}/bin:{os.environ['PATH']}", "LABEL_STUDIO_URL": server.url}
        if way != "unit":  # which has files
            given |= {"LABEL_STUDIO_API_KEY": server.token, "LABEL_STUDIO_OTEL_SERVE_TOKEN": "token"}
        given = {name: here(value, state) for name, value in variables_of(way).items()} | given
        command = [f"{environment}/bin/label-studio-otel", *(here(word, state) for word in command_of(way))]
        command += ["--port", "0", "--grpc-port", "0", "--settle", "0.2"]
        process = subprocess.Popen(contained(command, state), env=given, stdout=subprocess.PIPE, text=True)
        try:
            assert process.stdout is not None
            said = re.match(r"OTLP is received on http://([\d.]+):(\d+),", process.stdout.readline())
            assert said
            yield Running(process, state, said[1], int(said[2]))
        finally:
            process.kill()
            process.communicate()


def probes() -> list[list[str]]:
    """Return every command by which somebody asks the bridge how it is."""
    of_sidecar = container_of("sidecar")
    return [
        configuration_of_image()["Healthcheck"]["Test"],
        services()["label-studio-otel"]["healthcheck"]["test"],
        *(["CMD", *of_sidecar[name]["exec"]["command"]] for name in ("startupProbe", "livenessProbe")),
    ]


def pages() -> list[str]:
    """Return every page that Kubernetes and Prometheus ask the bridge for."""
    container, annotations = container_of("statefulset"), pod_of("statefulset")["metadata"]["annotations"]
    assert annotations["prometheus.io/port"] == "4318"
    asked = [container[f"{name}Probe"]["httpGet"] for name in ("startup", "liveness", "readiness")]
    assert {one["port"] for one in asked} == {"otlp-http"}
    return [*(one["path"] for one in asked), annotations["prometheus.io/path"]]


@pytest.mark.parametrize(("way", "address"), [("image", "0.0.0.0"), ("unit", "127.0.0.1"), ("sidecar", "127.0.0.1")])
def test_it_runs_without_rights_and_writes_its_state_alone(environment: Path, way: str, address: str) -> None:
    with FakeLabelStudio() as server, running(environment, way, server) as (process, state, listens, port):
        assert listens == address
        elsewhere = subprocess.run(contained(["touch", f"{environment}/x"], state), capture_output=True, check=False)
        assert elsewhere.returncode == (os.getuid() == 0)  # who is not root has one user alone
        client = exporter(f"http://127.0.0.1:{port}", headers={"Authorization": "Bearer token"})
        assert client.export(spans()) is SpanExportResult.SUCCESS
        (task,) = arrived(server, 1)
        assert task["data"]["response"] == "Hello"
        assert [answer_of([word.replace("4318", str(port)) for word in probe]) for probe in probes()] == [0] * 4
        assert [status(port, page) for page in pages()] == [200] * 4
        assert status(port, "/metrics", token="") == (401 if address == "0.0.0.0" else 200)

        process.send_signal(signal.SIGTERM)

        assert process.wait(20) == 0
    assert [answer_of([word.replace("4318", str(port)) for word in probe]) for probe in probes()] == [1] * 4


def status(port: int, page: str, token: str = "token") -> int:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    connection.request("GET", page, headers={"Authorization": f"Bearer {token}"})
    answer = connection.getresponse()
    connection.close()
    return answer.status
