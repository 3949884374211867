"""Recorded telemetry with its truth, as a folder of families holds it: a zip or a folder for each variant.

In a variant, per run `<scenario>-<k>`: `.otlp[.N].pb|json` and `.logs[.N].pb|json`, the bodies of export requests in
the order of their arrival; `.expected.json`, what went over the provider's wire; `.observable.json`, for each leaf of
that whether it stands anywhere in the telemetry.
"""

from __future__ import annotations

import json
import re
import zipfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator

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


def variants(folder: Path, family: str | None = None, variant: str | None = None) -> list[Path]:
    """Return the zips and folders of variants, in the order of their names."""
    found = [path for path in folder.glob(f"{family or '*'}/*") if path.suffix == ".zip" or path.is_dir()]
    return sorted(path for path in found if variant in (None, _name(path)))


def runs(path: Path) -> Iterator[Run]:
    """Yield the runs of a variant in the order of their names; one in memory at a time."""
    with _Files(path) as files:
        by_run: dict[tuple[str, int], list[tuple[str, int, str]]] = {}
        for name in files.names():
            if match := _FILE.fullmatch(name):
                scenario, k, kind, number, _ = match.groups()
                by_run.setdefault((scenario, int(k)), []).append((kind, int(number or 0), name))
        for (scenario, k), names in sorted(by_run.items()):
            run = Run(path.parent.name, _name(path), scenario, k)
            for kind, _, name in sorted(names, key=lambda one: (one[0] == "logs", one[1])):
                if kind in ("expected", "observable"):
                    setattr(run, kind, json.loads(files.read(name)))
                else:
                    run.requests.append((name, files.read(name)))
            yield run


def files_of(path: Path, names: set[tuple[str, int]]) -> Iterator[tuple[str, bytes]]:
    """Yield the files of some runs of a variant, by scenario and number, as they are."""
    with _Files(path) as files:
        for name in sorted(files.names()):
            match = _FILE.fullmatch(name)
            if match and (match[1], int(match[2])) in names:
                yield name, files.read(name)


def _name(path: Path) -> str:
    return path.name.removesuffix(".zip")


class _Files:
    """A zip or a folder."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._zip = zipfile.ZipFile(path) if path.suffix == ".zip" else None

    def __enter__(self) -> _Files:
        return self

    def __exit__(self, *_error: object) -> None:
        if self._zip:
            self._zip.close()

    def names(self) -> list[str]:
        return self._zip.namelist() if self._zip else [path.name for path in self._path.iterdir()]

    def read(self, name: str) -> bytes:
        return self._zip.read(name) if self._zip else (self._path / name).read_bytes()
