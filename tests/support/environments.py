"""Environments of applications whose packages do not go together with those of the tests."""

from __future__ import annotations

import hashlib
import sys
from pathlib import Path

from label_studio_otel.cli.demo.environment import VirtualEnvironment, cache_directory

ROOT = Path(__file__).parents[2]


def environment(name: str, *requirements: str, extra: str = "[auto]") -> VirtualEnvironment:
    """Return a complete environment with this working tree's package; made once, as the tests' other servers are."""
    wanted = ("--editable", f"{ROOT}{extra}", *requirements)
    # The package's entry points and dependencies are read when it is installed.
    state = "\n".join([*wanted, (ROOT / "pyproject.toml").read_text()])
    version = f"py{sys.version_info[0]}.{sys.version_info[1]}"
    digest = hashlib.sha256(state.encode()).hexdigest()[:8]
    made = VirtualEnvironment(cache_directory() / f"test-{name}-{digest}-{version}", wanted)
    made.ensure()
    return made
