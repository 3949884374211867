"""The LangChain program that the demo runs, and the environment that it runs in."""

from __future__ import annotations

import hashlib
import importlib.metadata
import json
import sys
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit
from urllib.request import url2pathname

from label_studio_otel._version import __version__
from label_studio_otel.cli.demo.environment import VirtualEnvironment, cache_directory

__all__ = ["EXAMPLE", "example_environment", "example_path"]

EXAMPLE = "langchain_app.py"
EXAMPLE_REQUIREMENTS = (
    # Without the package `langchain` itself its instrumentation is skipped, and nothing says so.
    "langchain>=1,<2",
    "langchain-openai>=1,<2",
    "opentelemetry-instrumentation-langchain==0.62.4",
)


def example_environment() -> VirtualEnvironment:
    """Return the environment that the example runs in: this package as it is here, LangChain, the instrumentation."""
    own, state = _own_requirement()
    requirements = (*own, *EXAMPLE_REQUIREMENTS)
    # The name tells environments apart, so that none is made anew while another demo uses it.
    name = hashlib.sha256("\n".join([*requirements, state]).encode()).hexdigest()[:8]
    version = f"{sys.version_info[0]}.{sys.version_info[1]}"
    return VirtualEnvironment(path=cache_directory() / f"demo-{name}-py{version}", requirements=requirements)


def _own_requirement() -> tuple[tuple[str, ...], str]:
    """Return pip's arguments for this very package, and what else must be equal for an environment to be reused."""
    origin = _origin()
    url = origin.get("url", "")
    local = Path(url2pathname(urlsplit(url).path)) if url.startswith("file:") else None
    project = _clone() or local
    if project and _is_project(project):
        state = (project / "pyproject.toml").read_text("utf-8")  # a changed dependency asks for another environment
        return ("--editable", f"{project}[auto]"), state
    if "vcs_info" in origin:
        vcs = origin["vcs_info"]
        return (f"label-studio-otel[auto] @ {vcs['vcs']}+{url}@{vcs['commit_id']}",), ""
    if "archive_info" in origin and (local is None or local.is_file()):
        return (f"label-studio-otel[auto] @ {url}",), str(local.stat().st_mtime_ns) if local else ""
    return (f"label-studio-otel[auto]=={__version__}",), ""


def _origin() -> dict[str, Any]:
    """Return where this package was installed from, where that is no package index (PEP 610)."""
    try:
        text = importlib.metadata.distribution("label-studio-otel").read_text("direct_url.json")
    except importlib.metadata.PackageNotFoundError:
        text = None
    origin: dict[str, Any] = json.loads(text or "{}")
    return origin


def _clone() -> Path | None:
    project = Path(__file__).parents[4]
    return project if _is_project(project) else None


def _is_project(path: Path) -> bool:
    return (path / "pyproject.toml").is_file() and (path / "examples" / EXAMPLE).is_file()


def example_path() -> Path:
    """Return the example, in the wheel or in a clone."""
    installed = Path(__file__).with_name(EXAMPLE)
    return installed if installed.exists() else Path(__file__).parents[4] / "examples" / EXAMPLE
