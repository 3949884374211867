"""Set-ups for the checks of `doctor`, from made-up variables and packages."""

from __future__ import annotations

from importlib.metadata import EntryPoint
from pathlib import Path
from typing import TYPE_CHECKING

from label_studio_otel.cli.doctor.installation import Installation, Package, SetUp
from label_studio_otel.settings import load

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from label_studio_otel.cli.doctor.finding import Finding

EXPORTER = "opentelemetry_traces_exporter"
INSTRUMENTOR = "opentelemetry_instrumentor"


def package(name: str, version: str = "1.0", requires: tuple[str, ...] = (), **offers: str) -> Package:
    """Return a package; `offers` are names of entry points by group."""
    points = tuple(EntryPoint(name, "json:JSONDecoder", group) for group, name in offers.items())
    return Package(name, version, requires, points)


OURS = package("label-studio-otel", opentelemetry_traces_exporter="label_studio")
DISTRO = package("opentelemetry-distro", opentelemetry_configurator="configurator")
OTLP = Package(
    "opentelemetry-exporter-otlp",
    entry_points=tuple(
        EntryPoint(f"otlp_proto_{kind}", "json:JSONDecoder", f"opentelemetry_{signal}_exporter")
        for kind in ("grpc", "http")
        for signal in ("traces", "metrics", "logs")
    ),
)
LANGCHAIN = package("langchain")
LANGCHAIN_CORE = package("langchain-core")
OPENLLMETRY = package(
    "opentelemetry-instrumentation-langchain",
    requires=("opentelemetry-semantic-conventions-ai<0.6.0,>=0.5.1", "langchain; extra == 'instruments'"),
    opentelemetry_instrumentor="langchain",
)
OPENINFERENCE = package(
    "openinference-instrumentation-langchain",
    requires=("openinference-instrumentation>=0.1.71", "langchain-core>=0.3.9; extra == 'instruments'"),
    opentelemetry_instrumentor="langchain",
)


def set_up(
    *packages: Package, environ: Mapping[str, str] | None = None, in_code: bool = False, **settings: object
) -> SetUp:
    """Return a set-up with these packages and variables only."""
    environ = environ or {}
    return SetUp(environ, Installation(packages), load({"state_dir": Path("/nowhere"), **settings}, environ), in_code)


def told(check: Callable[[SetUp], Iterator[Finding]], examined: SetUp) -> list[str]:
    """Return a check's findings as lines."""
    return [line(finding) for finding in check(examined)]


def line(finding: Finding) -> str:
    """Return a finding as one line."""
    return f"{finding.level}: {finding.met}" + (f" → {finding.fix}" if finding.fix else "")
