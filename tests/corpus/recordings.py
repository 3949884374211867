"""Recorded telemetry with its truth, as a folder of families holds it: a zip or a folder for each variant.

In a variant, per run `<scenario>-<k>`: `.otlp[.N].pb|json` and `.logs[.N].pb|json`, the bodies of export requests in
the order of their arrival; `.expected.json`, what went over the provider's wire; `.observable.json`, for each leaf of
that whether it stands anywhere in the telemetry. Beside the families a folder may hold such a tree as `ARCHIVE`, in
which runs that say the same under many instrumentations take a tenth of the room that zips need.
"""

from __future__ import annotations

import json
import re
import tarfile
import zipfile
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

ARCHIVE = "recordings.tar.xz"

_FILE = re.compile(r"(.+)-(\d+)\.(expected|observable|otlp|logs)(?:\.(\d+))?\.(json|pb)")


@dataclass
class Run:
    """One run of a program, under one instrumentation."""

    family: str
    variant: str
    scenario: str
    k: int
    expected: dict[str, Any] = field(default_factory=dict)
    observable: dict[str, Any] = field(default_factory=dict)
    #: Name and body of each request, traces before logs.
    requests: list[tuple[str, bytes]] = field(default_factory=list)

    @property
    def name(self) -> str:
        return f"{self.family}/{self.variant}/{self.scenario}-{self.k:02d}"


@dataclass
class Variant:
    """The runs of one instrumentation, with its version and switches."""

    family: str
    name: str
    #: A zip or a folder; None where the files are in memory.
    path: Path | None = None
    files: dict[str, bytes] = field(default_factory=dict)

    @property
    def size(self) -> int:
        return self.path.stat().st_size if self.path else sum(map(len, self.files.values()))

    def read(self) -> dict[str, bytes]:
        """Return all files by their names."""
        if self.path is None:
            return self.files
        if self.path.is_dir():
            return {path.name: path.read_bytes() for path in self.path.iterdir()}
        with zipfile.ZipFile(self.path) as archive:
            return {name: archive.read(name) for name in archive.namelist()}


def variants(folder: Path, family: str | None = None, variant: str | None = None) -> list[Variant]:
    """Return the variants below a folder, in the order of their names."""
    paths = [path for path in folder.glob("*/*") if path.suffix == ".zip" or path.is_dir()]
    found = [Variant(path.parent.name, path.name.removesuffix(".zip"), path) for path in paths]
    if (folder / ARCHIVE).exists():
        found += _archived(folder / ARCHIVE)
    chosen = [one for one in found if family in (None, one.family) and variant in (None, one.name)]
    return sorted(chosen, key=lambda one: (one.family, one.name))


def _archived(path: Path) -> list[Variant]:
    found: dict[tuple[str, str], Variant] = {}
    with tarfile.open(path) as archive:
        for member in archive:
            family, name, file = member.name.split("/")
            body = archive.extractfile(member)
            if body is not None:
                found.setdefault((family, name), Variant(family, name)).files[file] = body.read()
    return list(found.values())


def runs(variant: Variant) -> Iterator[Run]:
    """Yield the runs of a variant in the order of their names."""
    files = variant.read()
    by_run: dict[tuple[str, int], list[tuple[bool, int, str, str]]] = {}
    for name in files:
        if match := _FILE.fullmatch(name):
            scenario, k, kind, number, _ = match.groups()
            by_run.setdefault((scenario, int(k)), []).append((kind == "logs", int(number or 0), kind, name))
    for (scenario, k), names in sorted(by_run.items()):
        run = Run(variant.family, variant.name, scenario, k)
        for _, _, kind, name in sorted(names):
            if kind in ("expected", "observable"):
                setattr(run, kind, json.loads(files[name]))
            else:
                run.requests.append((name, files[name]))
        yield run


def run_of(file: str) -> tuple[str, int] | None:
    """Return the scenario and the number of the run that a file belongs to."""
    match = _FILE.fullmatch(file)
    return (match[1], int(match[2])) if match else None
