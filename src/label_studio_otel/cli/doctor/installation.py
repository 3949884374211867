"""What is installed beside the application: packages, what they ask for, and entry points."""

from __future__ import annotations

import re
from dataclasses import dataclass
from importlib import metadata
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from label_studio_otel.settings import Settings

__all__ = ["Installation", "Package", "SetUp", "installed", "normalized"]


@dataclass(frozen=True, slots=True)
class Package:
    """An installed distribution."""

    name: str
    version: str = "1.0"
    #: As `Requires-Dist` has them, with their markers.
    requires: tuple[str, ...] = ()
    entry_points: tuple[metadata.EntryPoint, ...] = ()

    def offers(self, group: str) -> Iterator[metadata.EntryPoint]:
        """Yield the entry points of a group."""
        return (one for one in self.entry_points if one.group == group)

    def unmet(self, installation: Installation) -> str | None:
        """Return what `opentelemetry-instrument` misses to use this instrumentation, None where it uses it.

        As `opentelemetry.instrumentation.dependencies` decides: all requirements of the extra `instruments`, and one
        of `instruments-any`.
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

        found = []
        for line in self.requires:
            if "extra" in line:
                requirement = Requirement(line)
                if requirement.marker and requirement.marker.evaluate({"extra": extra}):
                    found.append(f"{requirement.name}{requirement.specifier}")
        return found


@dataclass(frozen=True)
class Installation:
    """The packages that one interpreter sees."""

    packages: tuple[Package, ...]

    def get(self, name: str) -> Package | None:
        """Return a package by its name in any spelling."""
        wanted = normalized(name)
        return next((one for one in self.packages if normalized(one.name) == wanted), None)

    def has(self, requirement: str) -> bool:
        """Tell whether a requirement, such as `openai>=1.26`, is met."""
        from packaging.requirements import Requirement

        wanted = Requirement(requirement)
        package = self.get(wanted.name)
        return package is not None and wanted.specifier.contains(package.version)

    def offers(self, group: str) -> list[tuple[Package, metadata.EntryPoint]]:
        """Return the entry points of a group, each with its package."""
        return [(package, one) for package in self.packages for one in package.offers(group)]

    def requiring(self, name: str) -> list[Package]:
        """Return the packages that ask for another one, extras aside."""
        wanted = re.compile(rf"{re.escape(normalized(name))}(?![a-z0-9-])")
        return [
            package
            for package in self.packages
            if any(wanted.match(normalized(line.partition(";")[0])) for line in package.requires if "extra" not in line)
        ]


@dataclass(frozen=True)
class SetUp:
    """Everything a check may look at."""

    environ: Mapping[str, str]
    installation: Installation
    settings: Settings
    #: Tracing is set up by the application's code, not by `opentelemetry-instrument`.
    in_code: bool = False

    def value(self, variable: str) -> str:
        """Return a variable's value, empty where it is not set."""
        return self.environ.get(variable, "").strip()


def installed(distributions: Iterable[metadata.Distribution] | None = None) -> Installation:
    """Read what this interpreter has; the first of two equal names is the one that Python imports."""
    packages: dict[str, Package] = {}
    for one in metadata.distributions() if distributions is None else distributions:
        name = one.metadata["Name"]
        if name:  # a folder left by an uninstallation has none
            package = Package(name, one.version, tuple(one.requires or ()), tuple(one.entry_points))
            packages.setdefault(normalized(name), package)
    return Installation(tuple(packages.values()))


def normalized(name: str) -> str:
    """Return a package's name in its one spelling.

    >>> normalized("OpenTelemetry_Distro")
    'opentelemetry-distro'
    """
    return re.sub(r"[-_.]+", "-", name).lower()
