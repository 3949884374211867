"""Make the compact selection under tests/cases from a whole corpus.

    python tests/corpus/select.py FOLDER [--to tests/cases]

Of each variant and scenario the smallest run is taken, and of each family and scenario the smallest that came in
pieces, one request for each span. Files are kept as they are; the zips are the same for the same corpus.
"""

from __future__ import annotations

import argparse
import sys
import zipfile
from pathlib import Path
from typing import TYPE_CHECKING

sys.path.insert(0, str(Path(__file__).parents[1]))

from corpus.recordings import Run, files_of, runs, variants

if TYPE_CHECKING:
    from collections.abc import Iterable

#: The time of every file in a zip; another one each day would make another zip.
_TIME = (2026, 1, 1, 0, 0, 0)


def chosen(found: Iterable[Run]) -> set[tuple[str, str, str, int]]:
    """Return which runs are taken, by family, variant, scenario and number."""
    smallest: dict[tuple[str, ...], tuple[int, tuple[str, str, str, int]]] = {}
    for run in found:
        name = (run.family, run.variant, run.scenario, run.k)
        size = (sum(len(body) for _, body in run.requests), name)
        groups: list[tuple[str, ...]] = [(run.family, run.variant, run.scenario)]
        if len(run.requests) > 2:
            groups.append((run.family, run.scenario))
        for group in groups:
            smallest[group] = min(smallest.get(group, size), size)
    return {name for _, name in smallest.values()}


def main() -> None:
    """Write the zips."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--to", type=Path, default=Path(__file__).parents[1] / "cases")
    args = parser.parse_args()
    paths = variants(args.folder)
    taken = chosen(run for path in paths for run in runs(path))
    total = 0
    for path in paths:
        names = {(scenario, k) for family, variant, scenario, k in taken if (family, variant) == _variant(path)}
        target = args.to / path.parent.name / f"{_variant(path)[1]}.zip"
        target.parent.mkdir(parents=True, exist_ok=True)
        with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED) as archive:
            for name, body in files_of(path, names):
                archive.writestr(zipfile.ZipInfo(name, _TIME), body, zipfile.ZIP_DEFLATED)
        total += target.stat().st_size
    print(f"{len(taken)} runs of {len(paths)} variants, {total / 1e6:.1f} MB")


def _variant(path: Path) -> tuple[str, str]:
    return path.parent.name, path.name.removesuffix(".zip")


if __name__ == "__main__":
    main()
