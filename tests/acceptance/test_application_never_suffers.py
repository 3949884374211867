"""Whatever is wrong with us: an application behaves as it does without us, and one line of its log says what to do."""

from __future__ import annotations

import json
import subprocess
from collections import Counter
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import pytest

from support.applications import Deployment, Ended
from support.otlp_sink import OtlpSink
from support.relay import Relay

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from support.otlp_sink import SunkSpan
    from support.servers import Api

#: Seconds that jitter of a busy machine may add.
SLACK = 1.0
#: Seconds too, that a call may wait for an interpreter busy with delivery; waiting for a server takes longer.
JITTER = 0.02


@dataclass(frozen=True)
class Measured:
    """One run of the service."""

    run: Ended
    spans: Counter[SunkSpan]
    #: Seconds, of its LLM calls.
    p99: float
    #: Seconds from the program's last line to the end of its process.
    exit_took: float

    @property
    def others_said(self) -> list[str]:
        """What stands on standard error besides our lines."""
        return [line for line in self.run.stderr.splitlines() if line not in self.run.said]


class Service:
    """Runs the service with its other exporter, and with or without us."""

    def __init__(self, deployment: Deployment, directory: Path) -> None:
        self.deployment = deployment
        self.measurements = directory / "measurements.json"

    def run(self, exporters: str = "otlp,label_studio", **variables: str) -> Measured:
        with OtlpSink() as sink:
            known = {"OTEL_TRACES_EXPORTER": exporters, "MEASUREMENTS": str(self.measurements), "HEALTH_URL": sink.url}
            run = self.deployment.run("service.py", **known, **sink.variables, **variables)
        measured = json.loads(self.measurements.read_text())
        p99 = sorted(measured["seconds"])[int(0.99 * len(measured["seconds"]))]
        return Measured(run, sink.spans, p99, run.at - measured["end"])

    def all_arrived(self, **variables: str) -> bool:
        """Deliver with settings that are right now; True when each call is one task."""
        self.deployment.deliver(**variables)
        prompts = Counter(prompt.removeprefix("User:\n") for prompt in self.deployment.prompts().elements())
        return prompts == Counter(f"Question {number}" for number in range(200))


@pytest.fixture(scope="module")
def without_us(api: Api, tmp_path_factory: pytest.TempPathFactory) -> Measured:
    directory = tmp_path_factory.mktemp("without-us")
    measured = Service(Deployment(api, "", directory, api.server.url), directory).run("otlp")
    assert (measured.run.code, len(measured.run.stdout.splitlines())) == (3, 4)
    assert {span.name for span in measured.spans} >= {
        "GET",
        "INSERT",
        "FakeListLLM.completion",
        "FakeListChatModel.chat",
    }
    return measured


@pytest.fixture
def service(deployment: Deployment, tmp_path: Path) -> Service:
    return Service(deployment, tmp_path)


@pytest.fixture
def relay(api: Api) -> Iterator[Relay]:
    with Relay(api.server.port) as relay:
        yield relay


def assert_it_does_not_suffer(measured: Measured, without_us: Measured) -> None:
    assert measured.run.code == without_us.run.code
    assert measured.run.stdout == without_us.run.stdout
    assert measured.others_said == without_us.others_said
    assert measured.spans == without_us.spans
    assert measured.p99 < without_us.p99 + JITTER
    assert measured.exit_took < without_us.exit_took + 2.0 + SLACK


def assert_one_line_names(measured: Measured, name: str) -> None:
    assert [name in line for line in measured.run.said] == [True], measured.run.said


def test_a_service_whose_label_studio_is_there(service: Service, without_us: Measured) -> None:
    measured = service.run()
    assert_it_does_not_suffer(measured, without_us)
    assert measured.run.said == []
    assert service.all_arrived()


def test_a_name_that_no_host_has(service: Service, without_us: Measured) -> None:
    measured = service.run(LABEL_STUDIO_URL="http://label-studio.invalid:8080")
    assert_it_does_not_suffer(measured, without_us)
    assert_one_line_names(measured, "LABEL_STUDIO_URL")
    delivery = service.deployment.command("deliver")
    assert "200 more wait for another server" in delivery.stderr


@pytest.mark.parametrize("behaviour", ["nobody", "stranger", "silence"])
def test_an_address_where_label_studio_is_not_there_yet(
    service: Service, without_us: Measured, relay: Relay, behaviour: str
) -> None:
    if behaviour != "nobody":
        relay.behave(behaviour)
    measured = service.run(LABEL_STUDIO_URL=relay.url)
    assert_it_does_not_suffer(measured, without_us)
    assert_one_line_names(measured, "label-studio-otel deliver" if behaviour == "silence" else "LABEL_STUDIO_URL")
    relay.behave("server")
    assert service.all_arrived(LABEL_STUDIO_URL=relay.url)


def test_a_wrong_token(service: Service, without_us: Measured) -> None:
    measured = service.run(LABEL_STUDIO_API_KEY="0" * 40)
    assert_it_does_not_suffer(measured, without_us)
    assert_one_line_names(measured, "LABEL_STUDIO_API_KEY")
    assert service.all_arrived()


def test_a_state_directory_that_cannot_be_made(service: Service, without_us: Measured, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    measured = service.run(LABEL_STUDIO_OTEL_STATE_DIR=str(tmp_path / "file" / "state"))
    assert_it_does_not_suffer(measured, without_us)
    assert_one_line_names(measured, "LABEL_STUDIO_OTEL_STATE_DIR")


def test_a_read_only_state_directory(service: Service, without_us: Measured, tmp_path: Path) -> None:
    with mounted(tmp_path / "disk", "ro"):
        measured = service.run(LABEL_STUDIO_OTEL_STATE_DIR=str(tmp_path / "disk"))
    assert_it_does_not_suffer(measured, without_us)
    assert_one_line_names(measured, "LABEL_STUDIO_OTEL_STATE_DIR")


def test_a_full_disk(service: Service, without_us: Measured, tmp_path: Path) -> None:
    with mounted(tmp_path / "disk", "size=64k"):
        measured = service.run(LABEL_STUDIO_OTEL_STATE_DIR=str(tmp_path / "disk"))
    assert_it_does_not_suffer(measured, without_us)
    assert_one_line_names(measured, "LABEL_STUDIO_OTEL_STATE_DIR")


def test_a_disk_that_has_room_again(deployment: Deployment, tmp_path: Path) -> None:
    questions = [f"{number} {'long ' * 1000}" for number in range(30)]
    with mounted(tmp_path / "disk", "size=64k"):
        deployment = replace(deployment, state_dir=tmp_path / "disk")
        with deployment.start("interactive.py") as process:
            for question in questions:
                process.say(question)
            process.wait_until_finished(30)
            mount(tmp_path / "disk", "remount,size=16m")
            run = process.ended()
        assert (run.code, ["LABEL_STUDIO_OTEL_STATE_DIR" in line for line in run.said]) == (0, [True])
        deployment.deliver()
    assert deployment.prompts() == Counter(question.strip() for question in questions)


def test_settings_that_mean_nothing(service: Service, without_us: Measured) -> None:
    own = "LABEL_STUDIO_OTEL_"
    malformed = {
        f"{own}MODE": "dialog",
        "LABEL_STUDIO_PROJECT_ID": "seven",
        f"{own}SHUTDOWN_TIMEOUT": "soon",
        f"{own}DELIVERY": "pigeon",
        f"{own}INCLUDE_ERRORS": "perhaps",
    }
    measured = service.run(**malformed)
    assert_it_does_not_suffer(measured, without_us)
    for name in malformed:
        assert_one_line_names(measured, name)
    assert service.all_arrived()


def test_the_sdk_of_label_studio_is_never_imported(service: Service, without_us: Measured, tmp_path: Path) -> None:
    shadow = tmp_path / "shadow"
    shadow.mkdir()
    (shadow / "label_studio_sdk.py").write_text("import pathlib; pathlib.Path(__file__).with_name('imported').touch()")
    measured = service.run(PYTHONPATH=str(shadow))
    assert_it_does_not_suffer(measured, without_us)
    assert measured.run.said == []
    assert not (shadow / "imported").exists()
    assert service.all_arrived(PYTHONPATH=str(shadow))


def test_our_exporter_named_twice(service: Service, without_us: Measured) -> None:
    measured = service.run("label_studio,otlp,label_studio")
    assert_it_does_not_suffer(measured, without_us)
    assert measured.run.said == []
    assert service.all_arrived()


@contextmanager
def mounted(directory: Path, options: str) -> Iterator[None]:
    """A disk of its own at a directory. Needs root: a machine that cannot show what a full disk does fails here."""
    directory.mkdir()
    mount(directory, options)
    try:
        yield
    finally:
        subprocess.run(["umount", "--lazy", str(directory)], check=True)


def mount(directory: Path, options: str) -> None:
    command = ["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(directory)]
    done = subprocess.run(command, check=False, capture_output=True, text=True)
    assert done.returncode == 0, f"these tests must mount a small tmpfs: {done.stderr}"
