"""The files of `deploy/` as the programs read them for which they are written.

Kubernetes' API server, Docker Compose and BuildKit are written in Go; `go/` calls their own code. The build is kept in
the cache directory, as that of the other programs.
"""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

from support import go_programs

SOURCES = Path(__file__).parents[1] / "go"


def objects(*manifests: Path) -> list[str]:
    """Return a line for each object of Kubernetes manifests: its name, and what is wrong with it or `ok`."""
    return _ran("kubernetes", *map(str, manifests)).stdout.splitlines()


def project(path: Path, **variables: str) -> dict[str, Any]:
    """Return a Compose file with everything filled in.

    Raises:
        ValueError: with what is wrong.
    """
    return _read(_ran("compose", str(path), **variables))


def image(path: Path) -> dict[str, Any]:
    """Return the stages of a Containerfile, the image's configuration, and what the linter has against it.

    Raises:
        ValueError: with what is wrong.
    """
    return _read(_ran("containerfile", str(path)))


def _read(ran: subprocess.CompletedProcess[str]) -> dict[str, Any]:
    if ran.returncode:
        raise ValueError(ran.stderr)
    read: dict[str, Any] = json.loads(ran.stdout)
    return read


def _ran(program: str, *arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
    command = [str(_built(program)), *arguments]
    return subprocess.run(command, env=variables, capture_output=True, text=True, check=False)


def _built(program: str) -> Path:
    files = [SOURCES / "go.mod", SOURCES / "go.sum", SOURCES / program / "main.go"]

    def build(folder: Path) -> Path:
        go_programs.go(SOURCES, "build", "-trimpath", "-o", str(folder / program), f"./{program}")
        return folder / program

    return go_programs.built(program, "".join(path.read_text("utf-8") for path in files), build)


if __name__ == "__main__":
    # So that the minutes of the first build can be spent beside other work.
    for each in ("kubernetes", "compose", "containerfile"):
        print(_built(each))
