"""Check that OpenTelemetry's configuration names and finds our exporter: distro, declarative file, exporters, OTLP."""

from __future__ import annotations

import contextlib
import difflib
import re
import socket
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from label_studio_otel.cli.doctor.finding import error, ok, warning

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from importlib.metadata import EntryPoint

    from label_studio_otel.cli.doctor.finding import Finding
    from label_studio_otel.cli.doctor.installation import SetUp

__all__ = ["declarative", "distro", "installed", "listeners", "named"]

OURS = "label_studio"
#: Entry point of the exporter `otlp` by its protocol; the SDK refuses other protocols.
OTLP = {"grpc": "otlp_proto_grpc", "http/protobuf": "otlp_proto_http"}
#: Package by entry point, for the advice to install it.
PACKAGES = {
    OURS: "label-studio-otel",
    "otlp_proto_grpc": "opentelemetry-exporter-otlp-proto-grpc",
    "otlp_proto_http": "opentelemetry-exporter-otlp-proto-http",
    "zipkin": "opentelemetry-exporter-zipkin",
    "zipkin_json": "opentelemetry-exporter-zipkin-json",
    "zipkin_proto": "opentelemetry-exporter-zipkin-proto-http",
    "prometheus": "opentelemetry-exporter-prometheus",
    "gcp_trace": "opentelemetry-exporter-gcp-trace",
    "azure_monitor_opentelemetry_exporter": "azure-monitor-opentelemetry-exporter",
}
#: Seconds to wait for a connection to an OTLP endpoint.
CONNECT_TIMEOUT = 1.0
SIGNALS = ("TRACES", "METRICS", "LOGS")


def distro(set_up: SetUp) -> Iterator[Finding]:
    """Check that `opentelemetry-instrument` has a distro, without which it configures nothing."""
    if set_up.installation.offers("opentelemetry_configurator"):
        yield ok("distro", "opentelemetry-instrument can configure OpenTelemetry")
        return
    yield error(
        "distro",
        "no opentelemetry-distro is installed, so opentelemetry-instrument is not there or configures nothing",
        'pip install "label-studio-otel[auto]"',
    )


def declarative(set_up: SetUp) -> Iterator[Finding]:
    """Check the declarative file, which replaces OTEL_TRACES_EXPORTER and similar variables."""
    if set_up.value("OTEL_EXPERIMENTAL_CONFIG_FILE"):
        yield warning(
            "declarative file", "OTEL_EXPERIMENTAL_CONFIG_FILE is read by nothing", "set OTEL_CONFIG_FILE instead"
        )
    name = set_up.value("OTEL_CONFIG_FILE")
    if not name:
        return
    if set_up.installation.get("opentelemetry-configuration") is None:
        yield error(
            "declarative file",
            "OTEL_CONFIG_FILE is set and opentelemetry-configuration is not installed: this ends all tracing",
            "pip install opentelemetry-configuration",
        )
    try:
        text = Path(name).read_text("utf-8")
    except (OSError, ValueError) as problem:
        yield error(
            "declarative file",
            f"OTEL_CONFIG_FILE cannot be read ({type(problem).__name__}: {name}): this ends all tracing",
            "set OTEL_CONFIG_FILE to the path of the file",
        )
        return
    yield _in_file(text)
    if set_up.value("OTEL_TRACES_EXPORTER"):
        yield warning(
            "declarative file",
            "OTEL_TRACES_EXPORTER is ignored because OTEL_CONFIG_FILE is set",
            "unset OTEL_TRACES_EXPORTER; exporters are named in the file",
        )


def _in_file(text: str) -> Finding:
    uncommented = re.sub(r"(?m)(^|\s)#.*$", "", text)
    # A YAML parser is no dependency of this package, and the name can mean nothing else in this file.
    if re.search(rf"\b{OURS}\s*:", uncommented):
        return ok("declarative file", f"the file of OTEL_CONFIG_FILE names {OURS}")
    return error(
        "declarative file",
        f"the file of OTEL_CONFIG_FILE does not name {OURS}",
        "add `- batch: {exporter: {label_studio: {}}}` to tracer_provider.processors in that file",
    )


def named(set_up: SetUp) -> Iterator[Finding]:
    """Check that OTEL_TRACES_EXPORTER names our exporter."""
    if set_up.value("OTEL_CONFIG_FILE"):
        return
    names = _names(set_up, "TRACES")
    if OURS in names:
        yield ok("exporter", f"OTEL_TRACES_EXPORTER names {OURS}")
        return
    value = set_up.value("OTEL_TRACES_EXPORTER")
    kept = [name for name in names if name and name.lower() != "none" and name.lower().replace("-", "_") != OURS]
    shown = f"OTEL_TRACES_EXPORTER={value} does not name {OURS}" if value else "OTEL_TRACES_EXPORTER is not set"
    fix = ",".join([*kept, OURS] if value else [OURS])
    yield error("exporter", shown, f"export OTEL_TRACES_EXPORTER={fix}")


def installed(set_up: SetUp) -> Iterator[Finding]:
    """Check that each exporter that is named can be imported: one that cannot ends all tracing."""
    for signal in SIGNALS:
        group = f"opentelemetry_{signal.lower()}_exporter"
        known = {point.name: point for _, point in set_up.installation.offers(group)}
        for name in _names(set_up, signal):
            variable = f"OTEL_{signal}_EXPORTER"
            met = f"{variable} {'names' if set_up.value(variable) else 'is otlp by default, which means'}"
            component = _component(set_up, signal, name)
            if component is None:
                yield error(
                    "exporter",
                    f"the OTLP protocol {_protocol(set_up, signal)!r} is not one of Python's: this ends all tracing",
                    "export OTEL_EXPORTER_OTLP_PROTOCOL=http/protobuf",
                )
            elif component not in known:
                yield error(
                    "exporter",
                    f"{met} {component!r}, which is not installed: this ends all tracing",
                    _installation_of(component, signal, known),
                )
            else:
                yield from _loaded(component, known[component], variable)


def _loaded(name: str, point: EntryPoint, variable: str) -> Iterator[Finding]:
    try:
        point.load()
    except Exception as problem:
        yield error(
            "exporter",
            f"the exporter {name!r} of {variable} cannot be imported ({type(problem).__name__}: {problem}): "
            "this ends all tracing",
            f"install it anew: pip install --force-reinstall {PACKAGES.get(name, 'its package')}",
        )


def _installation_of(name: str, signal: str, known: Mapping[str, EntryPoint]) -> str:
    if name in PACKAGES and not (name == OURS and signal != "TRACES"):
        return f"pip install {PACKAGES[name]}"
    close = difflib.get_close_matches(name.lower().replace("-", "_"), list(known), 1)
    there = ", ".join(sorted(known))
    if close:
        return f"write {close[0]} in OTEL_{signal}_EXPORTER (installed are {there})"
    return f"install its package, or take it out of OTEL_{signal}_EXPORTER (installed are {there})"


def listeners(set_up: SetUp) -> Iterator[Finding]:
    """Check that each OTLP endpoint accepts connections: one that does not fills the application's log with errors."""
    for signal in SIGNALS:
        for name in _names(set_up, signal):
            protocol = _otlp_protocol(set_up, signal, name)
            if protocol is None:
                continue
            host, port = _endpoint(set_up, signal, protocol)
            if _listens(host, port):
                yield ok("OTLP", f"{signal.lower()}: somebody listens at {host}:{port}")
                continue
            default = "" if set_up.value(f"OTEL_{signal}_EXPORTER") else " (the default)"
            others = ",".join(one for one in _names(set_up, signal) if not one.startswith("otlp"))
            yield warning(
                "OTLP",
                f"OTEL_{signal}_EXPORTER is {name}{default} and nobody listens at {host}:{port}: the application's "
                "log fills with its errors, and its exit waits for it",
                f"export OTEL_{signal}_EXPORTER={others or 'none'}, or start a collector there",
            )


def _names(set_up: SetUp, signal: str) -> list[str]:
    """Return the exporters that the SDK uses for a signal: by default `otlp`, by a declarative file none of these."""
    if set_up.value("OTEL_CONFIG_FILE"):
        return []
    value = set_up.value(f"OTEL_{signal}_EXPORTER")
    if not value:
        return ["otlp"] if signal != "TRACES" else []
    return [] if value.lower() == "none" else [name.strip() for name in value.split(",")]


def _protocol(set_up: SetUp, signal: str) -> str:
    own = set_up.value(f"OTEL_EXPORTER_OTLP_{signal}_PROTOCOL")
    return own or set_up.value("OTEL_EXPORTER_OTLP_PROTOCOL") or "grpc"


def _component(set_up: SetUp, signal: str, name: str) -> str | None:
    """Return the entry point of an exporter's name, None where its OTLP protocol is unknown."""
    return OTLP.get(_protocol(set_up, signal)) if name == "otlp" else name


def _otlp_protocol(set_up: SetUp, signal: str, name: str) -> str | None:
    """Return the protocol of an OTLP exporter, None for another exporter."""
    component = _component(set_up, signal, name)
    return next((protocol for protocol, one in OTLP.items() if one == component), None)


def _endpoint(set_up: SetUp, signal: str, protocol: str) -> tuple[str, int]:
    """Return host and port of an OTLP endpoint; port 0, which nothing listens on, where its URL is not valid."""
    own = set_up.value(f"OTEL_EXPORTER_OTLP_{signal}_ENDPOINT") or set_up.value("OTEL_EXPORTER_OTLP_ENDPOINT")
    default = 4317 if protocol == "grpc" else 4318
    url = own or f"http://localhost:{default}"
    with contextlib.suppress(ValueError):
        parts = urlsplit(url if "://" in url else f"http://{url}")
        usual = default if protocol == "grpc" else {"http": 80, "https": 443}.get(parts.scheme, default)
        return parts.hostname or "localhost", parts.port or usual
    return url, 0


def _listens(host: str, port: int) -> bool:
    try:
        with socket.create_connection((host, port), CONNECT_TIMEOUT):
            return True
    except (OSError, OverflowError, UnicodeError):
        return False
