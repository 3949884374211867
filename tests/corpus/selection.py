"""Make the compact selection of recorded runs, tests/cases/recordings.tar.xz, from a whole corpus.

    python tests/corpus/selection.py FOLDER [--to tests/cases]

Of each variant and scenario the smallest run is taken, and of each family and scenario the smallest that came in
pieces, one request for each span. The files stay as they are; of one corpus always the same archive is made.
"""

from __future__ import annotations

import argparse
import io
import sys
import tarfile
from pathlib import Path
from typing import TYPE_CHECKING

sys.path.insert(0, str(Path(__file__).parents[1]))

from corpus.recordings import ARCHIVE, Run, run_of, runs, variants

if TYPE_CHECKING:
    from collections.abc import Iterable


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
    """Write the archive."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--to", type=Path, default=Path(__file__).parents[1] / "cases")
    args = parser.parse_args()
    found = variants(args.folder)
    taken = chosen(run for variant in found for run in runs(variant))
    files = {
        # Runs of one scenario stand side by side: what they share is then stored once.
        (*run, variant.family, variant.name, name): body
        for variant in found
        for name, body in variant.read().items()
        if (run := run_of(name)) and (variant.family, variant.name, *run) in taken
    }
    target = args.to / ARCHIVE
    with tarfile.open(target, "w:xz", preset=9) as archive:
        for (_, _, family, variant_name, name), body in sorted(files.items()):
            member = tarfile.TarInfo(f"{family}/{variant_name}/{name}")
            member.size = len(body)
            archive.addfile(member, io.BytesIO(body))
    print(f"{len(taken)} runs of {len(found)} variants, {target.stat().st_size / 1e6:.1f} MB")


if __name__ == "__main__":
    main()
