"""What the checks of `doctor` read: variables, settings, and the packages that this interpreter sees.

`interpreter` is the check that this interpreter is the application's.
"""

from __future__ import annotations

import os
import platform
import re
import shutil
import sys
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

from label_studio_otel.cli.doctor.finding import Findings, ok, warning
from label_studio_otel.settings import Settings


@dataclass(frozen=True, slots=True)
class Package:
    """An installed distribution."""

    name: str
    version: str = "1.0"
    #: Lines of `Requires-Dist`, with their markers.
    requires: tuple[str, ...] = ()
    entry_points: tuple[metadata.EntryPoint, ...] = ()

    def unmet(self, installation: Installation) -> str | None:
        """Return the requirement for which `opentelemetry-instrument` skips this package, None where it uses it.

        `opentelemetry.instrumentation.dependencies` wants all requirements of the extra `instruments` and one of
        `instruments-any`.
        """
        for requirement in self._extra("instruments"):
            if not installation.has(requirement):
                return requirement
        either = self._extra("instruments-any")
        if either and not any(map(installation.has, either)):
            return " or ".join(either)
        return None

    def _extra(self, extra: str) -> list[str]:
        from packaging.requirements import Requirement

        lines = [Requirement(line) for line in self.requires if "extra" in line]
        return [f"{one.name}{one.specifier}" for one in lines if one.marker and one.marker.evaluate({"extra": extra})]


@dataclass(frozen=True)
class Installation:
    """The packages that one interpreter sees."""

    packages: tuple[Package, ...]

    def get(self, name: str) -> Package | None:
        """Return a package by its name, in any spelling; None where it is not installed."""
        wanted = normalized(name)
        return next((one for one in self.packages if normalized(one.name) == wanted), None)

    def has(self, requirement: str) -> bool:
        """Return True where a requirement, such as `openai>=1.26`, is met."""
        from packaging.requirements import Requirement

        wanted = Requirement(requirement)
        package = self.get(wanted.name)
        return package is not None and wanted.specifier.contains(package.version)

    def offers(self, group: str) -> list[tuple[Package, metadata.EntryPoint]]:
        """Return the entry points of a group, each with its package."""
        return [(package, one) for package in self.packages for one in package.entry_points if one.group == group]

    def requiring(self, name: str) -> list[Package]:
        """Return the packages that depend on another one without an extra."""
        wanted = re.compile(rf"{re.escape(normalized(name))}(?![a-z0-9-])")
        return [
            package
            for package in self.packages
            if any(wanted.match(normalized(line.partition(";")[0])) for line in package.requires if "extra" not in line)
        ]


@dataclass(frozen=True)
class SetUp:
    """All that a check reads."""

    environ: Mapping[str, str]
    installation: Installation
    settings: Settings
    #: Whether the application's code sets tracing up, in place of `opentelemetry-instrument`.
    in_code: bool = False

    def value(self, variable: str) -> str:
        """Return a variable's value, "" where it is not set."""
        return self.environ.get(variable, "").strip()


def installed(distributions: Iterable[metadata.Distribution] | None = None) -> Installation:
    """Return the packages of this interpreter; of two with one name Python imports the first, which is returned."""
    packages: dict[str, Package] = {}
    for one in metadata.distributions() if distributions is None else distributions:
        name = one.metadata["Name"]
        if name:  # a folder that an uninstallation left has none
            package = Package(name, one.version, tuple(one.requires or ()), tuple(one.entry_points))
            packages.setdefault(normalized(name), package)
    return Installation(tuple(packages.values()))


def normalized(name: str) -> str:
    """Return a package's name in its normal form.

    >>> normalized("OpenTelemetry_Distro")
    'opentelemetry-distro'
    """
    return re.sub(r"[-_.]+", "-", name).lower()


def interpreter(set_up: SetUp) -> Findings:
    """Name the interpreter, and warn where `python` is another one."""
    yield ok("Python", f"looking at {sys.executable} ({platform.python_version()})")
    found = shutil.which("python", path=set_up.environ.get("PATH"))
    # The interpreters of two environments may be links to one file; their folders differ.
    if found and Path(found).parent.resolve() != Path(sys.executable).parent.resolve():
        met = f"`python` here is another one ({os.path.abspath(found)}); what it has installed was not looked at"
        yield warning("Python", met, "run this with the application's Python: python -m label_studio_otel doctor")
