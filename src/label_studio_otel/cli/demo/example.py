"""The LangChain program that the demo runs, and the environment that it runs in."""

from __future__ import annotations

import importlib.metadata
import subprocess
import sys
from pathlib import Path

from label_studio_otel.cli.demo.environment import CommandFailed, VirtualEnvironment, uv

EXAMPLE = "langchain_app.py"
EXAMPLE_REQUIREMENTS = (
    # Without the package `langchain` itself its instrumentation is skipped without a message.
    "langchain>=1,<2",
    "langchain-openai>=1,<2",
    "opentelemetry-instrumentation-langchain==0.62.4",
)
OWN_NAME = "label-studio-otel"
#: Root of the repository, where this runs from a clone.
CLONE = Path(__file__).parents[4]


def example_environment() -> VirtualEnvironment:
    """Return the environment of the example: this package as it is installed here, LangChain, its instrumentation."""
    # The list of this package's installed files, with their digests: a package that was built anew changes it.
    record = importlib.metadata.distribution(OWN_NAME).read_text("RECORD")
    return VirtualEnvironment("demo", (*_own_requirements(), *EXAMPLE_REQUIREMENTS), state=record or "")


def example_path() -> Path:
    """Return the path of the example, in the wheel or in a clone."""
    installed = Path(__file__).with_name(EXAMPLE)
    return installed if installed.exists() else CLONE / "examples" / EXAMPLE


def _own_requirements() -> list[str]:
    """Return what installs this package from where it was installed from: an index, a file, a repository, a clone."""
    if (CLONE / "examples" / EXAMPLE).exists():
        return ["--editable", f"{CLONE}[auto]"]
    own = [line for line in _frozen().splitlines() if line.startswith((f"{OWN_NAME} ", f"{OWN_NAME}="))]
    return [*own, f"{OWN_NAME}[auto]"]


def _frozen() -> str:
    """Return the packages of this interpreter as requirements.

    Raises:
        CommandFailed: uv is not installed or cannot list them.
    """
    command = [*uv(), "pip", "freeze", "--python", sys.executable]
    ran = subprocess.run(command, check=False, capture_output=True, text=True)
    if ran.returncode:
        raise CommandFailed(f"`{' '.join(command)}` failed: {ran.stderr.strip()}")
    return ran.stdout
