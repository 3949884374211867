"""The virtual environments that commands make for themselves."""

from __future__ import annotations

import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from label_studio_otel.cli.demo import environment
from label_studio_otel.cli.demo.environment import CommandFailed, VirtualEnvironment, lock, run_command
from support.processes import processes_mentioning


def wheel(directory: Path, name: str) -> Path:
    """Write a package of one empty module, so that nothing has to be fetched."""
    info = f"{name}-1.0.dist-info"
    path = directory / f"{name}-1.0-py3-none-any.whl"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr(f"{name}.py", "")
        archive.writestr(f"{info}/METADATA", f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
        archive.writestr(
            f"{info}/WHEEL", "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
        )
        archive.writestr(f"{info}/RECORD", f"{name}.py,,\n{info}/METADATA,,\n{info}/WHEEL,,\n{info}/RECORD,,\n")
    return path


def imports(made: VirtualEnvironment, module: str) -> bool:
    return subprocess.run([made.executable, "-c", f"import {module}"], capture_output=True, check=False).returncode == 0


@pytest.mark.parametrize("installer", ["uv", "pip"])
def test_holds_what_is_required(tmp_path: Path, installer: str, monkeypatch: pytest.MonkeyPatch) -> None:
    if installer == "pip":
        monkeypatch.setattr(environment, "find_uv", lambda: None)
    made = VirtualEnvironment(tmp_path / "made", (str(wheel(tmp_path, "one")),))
    assert not made.is_complete
    made.ensure()
    assert made.is_complete
    assert imports(made, "one")
    assert not imports(made, "two")


def test_is_made_once_and_anew_where_it_is_half_made_or_asks_for_more(tmp_path: Path) -> None:
    one, two = str(wheel(tmp_path, "one")), str(wheel(tmp_path, "two"))
    made = VirtualEnvironment(tmp_path / "made", (one,))
    made.ensure()
    (made.path / "left").touch()
    made.ensure()
    assert (made.path / "left").exists()

    (made.path / "label-studio-otel.complete").unlink()
    made.ensure()
    assert not (made.path / "left").exists()

    VirtualEnvironment(made.path, (one, two)).ensure()
    assert imports(made, "two")
    assert not made.is_complete


def test_a_failed_installation_cites_the_end_of_its_log_and_is_not_complete(tmp_path: Path) -> None:
    made = VirtualEnvironment(tmp_path / "made", (str(tmp_path / "missing-1.0-py3-none-any.whl"),))
    with pytest.raises(CommandFailed, match=r"missing-1\.0") as failure:
        made.ensure()
    assert str(failure.value).startswith(f"installing packages failed; the whole output is in {tmp_path / 'made.log'}")
    assert not made.is_complete


def test_another_python_than_the_running_one_needs_uv(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(environment, "find_uv", lambda: None)
    with pytest.raises(CommandFailed, match=r"Python 3\.13 is needed for made; `pip install uv` gets it"):
        VirtualEnvironment(tmp_path / "made", ("one",), python="3.13").ensure()


def test_a_stop_from_the_callback_ends_the_command_and_its_children(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(environment, "GRACE_SECONDS", 0.2)
    ready = tmp_path / "ready"
    child = f"import pathlib, time; pathlib.Path({str(ready)!r}).touch(); time.sleep(600)"
    # Both ignore SIGTERM.
    program = f"""
import signal, subprocess, sys
signal.signal(signal.SIGTERM, signal.SIG_IGN)
subprocess.run([sys.executable, "-c", {child!r}])
"""

    def progress(_message: str) -> None:
        if ready.exists():
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run_command([sys.executable, "-c", program], env={}, log=tmp_path / "log", progress=progress, message="work")
    assert processes_mentioning(str(tmp_path)) == []


def test_a_lock_is_held_by_one_and_given_back(tmp_path: Path) -> None:
    with lock(tmp_path / "lock", wait=False) as first, lock(tmp_path / "lock", wait=False) as second:
        assert (first, second) == (True, False)
    with lock(tmp_path / "lock", wait=False) as third:
        assert third
