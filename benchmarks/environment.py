"""The environment that the benchmark runs in: the present one if it has all, else one of its own, made once."""

from __future__ import annotations

import importlib.util
import os
import shutil
import subprocess
import sys
from pathlib import Path

__all__ = ["ensure"]

#: What must be importable, and what brings it.
MODULES = (
    "label_studio_otel",
    "label_studio_sdk",
    "langchain_community",
    "opentelemetry.exporter.otlp.proto.http",
    "opentelemetry.instrumentation.langchain",
)
REQUIREMENTS = (
    "label-studio-sdk>=2",
    "langchain>=1.0",
    "langchain-community==0.4.2",
    "opentelemetry-exporter-otlp>=1.45",
    "opentelemetry-instrumentation-langchain==0.62.4",
)


def ensure(root: Path) -> None:
    """Return where everything is there; else run the same command in an environment that has it."""
    if all(map(_importable, MODULES)):
        return
    version = f"{sys.version_info.major}.{sys.version_info.minor}"
    cache = os.environ.get("XDG_CACHE_HOME") or os.environ.get("LOCALAPPDATA") or Path.home() / ".cache"
    path = Path(cache, "label-studio-otel", f"benchmarks-py{version}")
    python = path / ("Scripts/python.exe" if sys.platform == "win32" else "bin/python")
    if Path(sys.prefix) == path:
        raise SystemExit(f"{path} is not complete; delete it and try again")
    if not (path / "complete").exists():
        print(f"making {path} …", file=sys.stderr)
        shutil.rmtree(path, ignore_errors=True)
        for command in _commands(path, python, root):
            subprocess.run(command, check=True, stdout=sys.stderr)
        (path / "complete").touch()
    sys.exit(subprocess.run([str(python), *sys.argv], check=False).returncode)


def _importable(module: str) -> bool:
    try:
        return importlib.util.find_spec(module) is not None
    except ModuleNotFoundError:
        return False


def _commands(path: Path, python: Path, root: Path) -> list[list[str]]:
    wanted = ["--editable", str(root), *REQUIREMENTS]
    uv = shutil.which("uv")
    # A name on PATH may be the shim of a version manager with nothing behind it.
    if uv and subprocess.run([uv, "--version"], capture_output=True, check=False).returncode == 0:
        return [
            [uv, "venv", "--quiet", "--python", sys.executable, str(path)],
            [uv, "pip", "install", "--quiet", "--python", str(python), *wanted],
        ]
    return [
        [sys.executable, "-m", "venv", str(path)],
        [str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check", *wanted],
    ]
