"""Environments of applications whose packages do not go together with those of the tests."""

from __future__ import annotations

from pathlib import Path

from label_studio_otel.cli.demo.environment import VirtualEnvironment

ROOT = Path(__file__).parents[2]


def environment(name: str, *requirements: str, extra: str = "[auto]") -> VirtualEnvironment:
    """Return a complete environment with this working tree's package; made once, as the tests' other servers are."""
    wanted = ("--editable", f"{ROOT}{extra}", *requirements)
    # The package's entry points and dependencies are read when it is installed.
    made = VirtualEnvironment(f"test-{name}", wanted, state=(ROOT / "pyproject.toml").read_text())
    made.ensure()
    return made
