"""`doctor` on how OpenTelemetry is configured: what is named, what is installed, who listens."""

from __future__ import annotations

import socket
from typing import TYPE_CHECKING

import pytest
from inline_snapshot import snapshot

from label_studio_otel.cli.doctor import exporters
from label_studio_otel.cli.doctor.installation import Package
from support.examined import DISTRO, OTLP, OURS, package, set_up, told

if TYPE_CHECKING:
    from pathlib import Path

NONE = {"OTEL_METRICS_EXPORTER": "none", "OTEL_LOGS_EXPORTER": "none"}


def test_without_a_distro_nothing_is_configured() -> None:
    assert told(exporters.distro, set_up(OURS)) == snapshot(
        [
            (
                "error: no opentelemetry-distro is installed, so opentelemetry-instrument is not there "
                'or configures nothing → pip install "label-studio-otel[auto]"'
            )
        ]
    )
    assert told(exporters.distro, set_up(OURS, DISTRO)) == snapshot(
        ["ok: opentelemetry-instrument can configure OpenTelemetry"]
    )


@pytest.mark.parametrize(
    ("value", "fix"),
    [
        (None, "label_studio"),
        ("none", "label_studio"),
        ("otlp", "otlp,label_studio"),
        ("otlp,Label-Studio", "otlp,label_studio"),
    ],
)
def test_an_exporter_that_is_not_named_is_an_error_with_the_line_that_names_it(value: str | None, fix: str) -> None:
    environ = {} if value is None else {"OTEL_TRACES_EXPORTER": value}
    (finding,) = exporters.named(set_up(OURS, environ=environ))
    assert (finding.level, finding.fix) == ("error", f"export OTEL_TRACES_EXPORTER={fix}")


@pytest.mark.parametrize("value", ["label_studio", "otlp, label_studio"])
def test_a_name_that_is_there_is_found(value: str) -> None:
    (finding,) = exporters.named(set_up(OURS, environ={"OTEL_TRACES_EXPORTER": value}))
    assert finding.level == "ok"


def test_an_exporter_that_is_named_and_not_installed_ends_all_tracing() -> None:
    environ = {**NONE, "OTEL_TRACES_EXPORTER": "otlp,zipkin,label_studio,labelstudio,"}
    assert told(exporters.installed, set_up(OURS, environ=environ)) == snapshot(
        [
            (
                "error: OTEL_TRACES_EXPORTER names 'otlp_proto_grpc', which is not installed: this ends "
                "all tracing → pip install opentelemetry-exporter-otlp-proto-grpc"
            ),
            (
                "error: OTEL_TRACES_EXPORTER names 'zipkin', which is not installed: this ends all "
                "tracing → pip install opentelemetry-exporter-zipkin"
            ),
            (
                "error: OTEL_TRACES_EXPORTER names 'labelstudio', which is not installed: this ends all "
                "tracing → write label_studio in OTEL_TRACES_EXPORTER (installed are label_studio)"
            ),
            (
                "error: OTEL_TRACES_EXPORTER names '', which is not installed: this ends all tracing → "
                "install its package, or take it out of OTEL_TRACES_EXPORTER (installed are "
                "label_studio)"
            ),
        ]
    )


def test_the_default_exporters_of_metrics_and_logs_must_be_installed_too() -> None:
    environ = {"OTEL_TRACES_EXPORTER": "label_studio"}
    assert told(exporters.installed, set_up(OURS, environ=environ)) == snapshot(
        [
            (
                "error: OTEL_METRICS_EXPORTER is otlp by default, which means 'otlp_proto_grpc', which "
                "is not installed: this ends all tracing → pip install "
                "opentelemetry-exporter-otlp-proto-grpc"
            ),
            (
                "error: OTEL_LOGS_EXPORTER is otlp by default, which means 'otlp_proto_grpc', which is "
                "not installed: this ends all tracing → pip install "
                "opentelemetry-exporter-otlp-proto-grpc"
            ),
        ]
    )
    assert told(exporters.installed, set_up(OURS, OTLP, environ=environ)) == []


def test_an_exporter_whose_module_cannot_be_imported_ends_all_tracing() -> None:
    (point,) = OURS.entry_points
    broken = Package("broken", entry_points=(type(point)("mine", "no_such_module:Exporter", point.group),))
    environ = {**NONE, "OTEL_TRACES_EXPORTER": "mine"}
    assert told(exporters.installed, set_up(OURS, broken, environ=environ)) == snapshot(
        [
            (
                "error: the exporter 'mine' of OTEL_TRACES_EXPORTER cannot be imported "
                "(ModuleNotFoundError: No module named 'no_such_module'): this ends all tracing → "
                "install it anew: pip install --force-reinstall its package"
            )
        ]
    )


def test_a_protocol_that_python_does_not_have_ends_all_tracing() -> None:
    environ = {**NONE, "OTEL_TRACES_EXPORTER": "otlp", "OTEL_EXPORTER_OTLP_PROTOCOL": "http/json"}
    assert told(exporters.installed, set_up(OURS, OTLP, environ=environ)) == snapshot(
        [
            (
                "error: the OTLP protocol 'http/json' is not one of Python's: this ends all tracing → "
                "export OTEL_EXPORTER_OTLP_PROTOCOL=http/protobuf"
            )
        ]
    )


@pytest.fixture
def port() -> int:
    """A port where nobody listens."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


def test_an_otlp_endpoint_without_a_listener_is_a_warning(port: int) -> None:
    endpoint = {"OTEL_EXPORTER_OTLP_ENDPOINT": f"http://127.0.0.1:{port}"}
    environ = {**endpoint, "OTEL_TRACES_EXPORTER": "otlp,label_studio", "OTEL_LOGS_EXPORTER": "console"}
    lines = told(exporters.listeners, set_up(environ=environ))
    assert [line.replace(str(port), "PORT") for line in lines] == snapshot(
        [
            (
                "warning: OTEL_TRACES_EXPORTER is otlp and nobody listens at 127.0.0.1:PORT: the "
                "application's log fills with its errors, and its exit waits for it → export "
                "OTEL_TRACES_EXPORTER=label_studio, or start a collector there"
            ),
            (
                "warning: OTEL_METRICS_EXPORTER is otlp (the default) and nobody listens at "
                "127.0.0.1:PORT: the application's log fills with its errors, and its exit waits for it "
                "→ export OTEL_METRICS_EXPORTER=none, or start a collector there"
            ),
        ]
    )


def test_a_listener_is_found_by_the_variable_of_its_signal(port: int) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        there = server.getsockname()[1]
        environ = {
            **NONE,
            "OTEL_TRACES_EXPORTER": "otlp_proto_http",
            "OTEL_EXPORTER_OTLP_ENDPOINT": f"http://127.0.0.1:{port}",
            "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": f"http://127.0.0.1:{there}/v1/traces",
        }
        assert [finding.level for finding in exporters.listeners(set_up(environ=environ))] == ["ok"]


@pytest.mark.parametrize(
    ("endpoint", "protocol", "address"),
    [
        (None, "grpc", "localhost:4317"),
        (None, "http/protobuf", "localhost:4318"),
        ("https://traces.example.invalid/otlp", "http/protobuf", "traces.example.invalid:443"),
        ("collector.invalid:4317", "grpc", "collector.invalid:4317"),
        ("http://collector.invalid:port", "grpc", "http://collector.invalid:port:0"),
    ],
)
def test_the_address_of_an_endpoint(
    endpoint: str | None, protocol: str, address: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(exporters, "_listens", lambda host, port: False)
    environ = {**NONE, "OTEL_TRACES_EXPORTER": "otlp", "OTEL_EXPORTER_OTLP_PROTOCOL": protocol}
    environ |= {"OTEL_EXPORTER_OTLP_ENDPOINT": endpoint} if endpoint else {}
    (finding,) = exporters.listeners(set_up(environ=environ))
    assert f"nobody listens at {address}:" in finding.met


CONFIGURATION = package("opentelemetry-configuration")


def test_the_declarative_file_must_name_us(tmp_path: Path) -> None:
    file = tmp_path / "otel.yaml"
    environ = {"OTEL_CONFIG_FILE": str(file), "OTEL_TRACES_EXPORTER": "label_studio"}
    file.write_text(
        "tracer_provider:\n  processors:\n    - batch: {exporter: {console: {}}}\n# label_studio: not this\n"
    )
    assert told(exporters.declarative, set_up(CONFIGURATION, environ=environ)) == snapshot(
        [
            (
                "error: the file of OTEL_CONFIG_FILE does not name label_studio → add `- batch: "
                "{exporter: {label_studio: {}}}` to tracer_provider.processors in that file"
            ),
            (
                "warning: OTEL_TRACES_EXPORTER is ignored because OTEL_CONFIG_FILE is set → unset "
                "OTEL_TRACES_EXPORTER; exporters are named in the file"
            ),
        ]
    )
    file.write_text("tracer_provider:\n  processors:\n    - batch:\n        exporter:\n          label_studio:\n")
    assert told(exporters.declarative, set_up(CONFIGURATION, environ=environ)) == snapshot(
        [
            "ok: the file of OTEL_CONFIG_FILE names label_studio",
            (
                "warning: OTEL_TRACES_EXPORTER is ignored because OTEL_CONFIG_FILE is set → unset "
                "OTEL_TRACES_EXPORTER; exporters are named in the file"
            ),
        ]
    )


def test_the_declarative_file_must_be_readable_by_a_package_that_is_there(tmp_path: Path) -> None:
    environ = {"OTEL_CONFIG_FILE": str(tmp_path / "otel.yaml")}
    lines = told(exporters.declarative, set_up(environ=environ))
    assert [line.replace(str(tmp_path), "PATH") for line in lines] == snapshot(
        [
            (
                "error: OTEL_CONFIG_FILE is set and opentelemetry-configuration is not installed: this "
                "ends all tracing → pip install opentelemetry-configuration"
            ),
            (
                "error: OTEL_CONFIG_FILE cannot be read (FileNotFoundError: PATH/otel.yaml): this ends "
                "all tracing → set OTEL_CONFIG_FILE to the path of the file"
            ),
        ]
    )


def test_with_a_declarative_file_the_variables_are_not_checked() -> None:
    examined = set_up(environ={"OTEL_CONFIG_FILE": "otel.yaml"})
    assert [told(check, examined) for check in (exporters.named, exporters.installed, exporters.listeners)] == [
        [],
        [],
        [],
    ]


def test_the_old_name_of_the_declarative_file_is_read_by_nothing() -> None:
    assert told(exporters.declarative, set_up(environ={"OTEL_EXPERIMENTAL_CONFIG_FILE": "otel.yaml"})) == snapshot(
        ["warning: OTEL_EXPERIMENTAL_CONFIG_FILE is read by nothing → set OTEL_CONFIG_FILE instead"]
    )
