"""Check that OpenTelemetry's configuration names and finds our exporter: distro, declarative file, exporters, OTLP."""

from __future__ import annotations

import contextlib
import difflib
import re
import socket
from collections.abc import Collection, Iterator
from pathlib import Path
from urllib.parse import urlsplit

from label_studio_otel.cli.doctor.finding import Findings, error, ok, warning
from label_studio_otel.cli.doctor.installation import SetUp

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


def distro(set_up: SetUp) -> Findings:
    """Check that `opentelemetry-instrument` has a distro, without which it configures nothing."""
    if set_up.installation.offers("opentelemetry_configurator"):
        yield ok("distro", "opentelemetry-instrument can configure OpenTelemetry")
    else:
        met = "no opentelemetry-distro is installed, so opentelemetry-instrument is not there or configures nothing"
        yield error("distro", met, 'pip install "label-studio-otel[auto]"')


def declarative(set_up: SetUp) -> Findings:
    """Check the declarative file, which replaces OTEL_TRACES_EXPORTER and similar variables."""
    subject = "declarative file"
    if set_up.value("OTEL_EXPERIMENTAL_CONFIG_FILE"):
        yield warning(subject, "OTEL_EXPERIMENTAL_CONFIG_FILE is read by nothing", "set OTEL_CONFIG_FILE instead")
    name = set_up.value("OTEL_CONFIG_FILE")
    if not name:
        return
    if set_up.installation.get("opentelemetry-configuration") is None:
        met = "OTEL_CONFIG_FILE is set and opentelemetry-configuration is not installed: this ends all tracing"
        yield error(subject, met, "pip install opentelemetry-configuration")
    try:
        text = Path(name).read_text("utf-8")
    except (OSError, ValueError) as problem:
        met = f"OTEL_CONFIG_FILE cannot be read ({type(problem).__name__}: {name}): this ends all tracing"
        yield error(subject, met, "set OTEL_CONFIG_FILE to the path of the file")
        return
    uncommented = re.sub(r"(?m)(^|\s)#.*$", "", text)
    # A YAML parser is no dependency of this package, and the name can mean nothing else in this file.
    if re.search(rf"\b{OURS}\s*:", uncommented):
        yield ok(subject, f"the file of OTEL_CONFIG_FILE names {OURS}")
    else:
        fix = "add `- batch: {exporter: {label_studio: {}}}` to tracer_provider.processors in that file"
        yield error(subject, f"the file of OTEL_CONFIG_FILE does not name {OURS}", fix)
    if set_up.value("OTEL_TRACES_EXPORTER"):
        met = "OTEL_TRACES_EXPORTER is ignored because OTEL_CONFIG_FILE is set"
        yield warning(subject, met, "unset OTEL_TRACES_EXPORTER; exporters are named in the file")


def named(set_up: SetUp) -> Findings:
    """Check that OTEL_TRACES_EXPORTER names our exporter."""
    if set_up.value("OTEL_CONFIG_FILE"):
        return
    names, value = _names(set_up, "TRACES"), set_up.value("OTEL_TRACES_EXPORTER")
    if OURS in names:
        yield ok("exporter", f"OTEL_TRACES_EXPORTER names {OURS}")
        return
    kept = [name for name in names if name and name.lower() != "none" and _spelled_as_ours(name) != OURS]
    shown = f"OTEL_TRACES_EXPORTER={value} does not name {OURS}" if value else "OTEL_TRACES_EXPORTER is not set"
    yield error("exporter", shown, f"export OTEL_TRACES_EXPORTER={','.join([*kept, OURS])}")


def installed(set_up: SetUp) -> Findings:
    """Check that each exporter that is named can be imported: one that cannot ends all tracing."""
    for signal, name in _named(set_up):
        group = f"opentelemetry_{signal.lower()}_exporter"
        known = {point.name: point for _, point in set_up.installation.offers(group)}
        variable = f"OTEL_{signal}_EXPORTER"
        component = _component(set_up, signal, name)
        if component is None:
            met = f"the OTLP protocol {_protocol(set_up, signal)!r} is not one of Python's: this ends all tracing"
            yield error("exporter", met, "export OTEL_EXPORTER_OTLP_PROTOCOL=http/protobuf")
        elif component not in known:
            begin = f"{variable} {'names' if set_up.value(variable) else 'is otlp by default, which means'}"
            met = f"{begin} {component!r}, which is not installed: this ends all tracing"
            yield error("exporter", met, _installation_of(component, signal, known))
        else:
            try:
                known[component].load()
            except Exception as problem:
                why = f"({type(problem).__name__}: {problem}): this ends all tracing"
                met = f"the exporter {component!r} of {variable} cannot be imported {why}"
                package = PACKAGES.get(component, "its package")
                yield error("exporter", met, f"install it anew: pip install --force-reinstall {package}")


def _installation_of(name: str, signal: str, known: Collection[str]) -> str:
    if name in PACKAGES and not (name == OURS and signal != "TRACES"):
        return f"pip install {PACKAGES[name]}"
    there = f"OTEL_{signal}_EXPORTER (installed are {', '.join(sorted(known))})"
    if close := difflib.get_close_matches(_spelled_as_ours(name), known, 1):
        return f"write {close[0]} in {there}"
    return f"install its package, or take it out of {there}"


def _spelled_as_ours(name: str) -> str:
    return name.lower().replace("-", "_")


def listeners(set_up: SetUp) -> Findings:
    """Check that each OTLP endpoint accepts connections: one that does not fills the application's log with errors."""
    for signal, name in _named(set_up):
        component = _component(set_up, signal, name)
        if component not in OTLP.values():
            continue
        host, port = _endpoint(set_up, signal, grpc=component == OTLP["grpc"])
        if _listens(host, port):
            yield ok("OTLP", f"{signal.lower()}: somebody listens at {host}:{port}")
            continue
        variable = f"OTEL_{signal}_EXPORTER"
        default = "" if set_up.value(variable) else " (the default)"
        others = ",".join(one for one in _names(set_up, signal) if not one.startswith("otlp"))
        yield warning(
            "OTLP",
            f"{variable} is {name}{default} and nobody listens at {host}:{port}: the application's "
            "log fills with its errors, and its exit waits for it",
            f"export {variable}={others or 'none'}, or start a collector there",
        )


def _named(set_up: SetUp) -> Iterator[tuple[str, str]]:
    return ((signal, name) for signal in SIGNALS for name in _names(set_up, signal))


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


def _endpoint(set_up: SetUp, signal: str, *, grpc: bool) -> tuple[str, int]:
    """Return host and port of an OTLP endpoint; port 0, which nothing listens on, where its URL is not valid."""
    own = set_up.value(f"OTEL_EXPORTER_OTLP_{signal}_ENDPOINT") or set_up.value("OTEL_EXPORTER_OTLP_ENDPOINT")
    default = 4317 if grpc else 4318
    url = own or f"http://localhost:{default}"
    with contextlib.suppress(ValueError):
        parts = urlsplit(url if "://" in url else f"http://{url}")
        usual = default if grpc else {"http": 80, "https": 443}.get(parts.scheme, default)
        return parts.hostname or "localhost", parts.port or usual
    return url, 0


def _listens(host: str, port: int) -> bool:
    try:
        with socket.create_connection((host, port), CONNECT_TIMEOUT):
            return True
    except (OSError, OverflowError, UnicodeError):
        return False
