"""The virtual environments and the child processes of the demo."""

from __future__ import annotations

import subprocess
import sys
import zipfile
from importlib.machinery import ModuleSpec
from pathlib import Path

import pytest

from label_studio_otel.cli.demo import environment
from label_studio_otel.cli.demo.environment import CommandFailed, VirtualEnvironment, run_command, uv
from support.processes import processes_mentioning


def wheel(directory: Path, name: str) -> Path:
    """Write a package of one empty module, so that nothing has to be downloaded."""
    info = f"{name}-1.0.dist-info"
    path = directory / f"{name}-1.0-py3-none-any.whl"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr(f"{name}.py", "")
        archive.writestr(f"{info}/METADATA", f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
        archive.writestr(
            f"{info}/WHEEL", "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
        )
        archive.writestr(f"{info}/entry_points.txt", f"[console_scripts]\n{name} = {name}:__doc__\n")
        archive.writestr(f"{info}/RECORD", f"{name}.py,,\n{info}/METADATA,,\n{info}/WHEEL,,\n{info}/RECORD,,\n")
    return path


def imports(made: VirtualEnvironment, module: str) -> bool:
    return (
        subprocess.run([made.program("python"), "-c", f"import {module}"], capture_output=True, check=False).returncode
        == 0
    )


def test_an_environment_has_the_packages_that_were_required_and_their_commands(tmp_path: Path) -> None:
    made = VirtualEnvironment("made", (str(wheel(tmp_path, "one")),), cache_dir=tmp_path)
    assert not made.path.exists()
    made.ensure()
    assert made.path.exists()
    assert imports(made, "one")
    assert not imports(made, "two")
    # A command names the environment's Python, which has another path than while the environment was made.
    ran = subprocess.run([made.program("one")], capture_output=True, text=True, check=False)
    assert "'NoneType' object is not callable" in ran.stderr


def test_an_environment_is_made_once_and_another_one_for_other_requirements_or_another_state(tmp_path: Path) -> None:
    one, two = str(wheel(tmp_path, "one")), str(wheel(tmp_path, "two"))
    made = VirtualEnvironment("made", (one,), cache_dir=tmp_path)
    made.ensure()
    (made.path / "left").touch()
    made.ensure()
    assert (made.path / "left").exists()

    more = VirtualEnvironment("made", (one, two), cache_dir=tmp_path)
    more.ensure()
    assert imports(more, "two")
    assert not imports(made, "two")
    assert not VirtualEnvironment("made", (one,), state="changed", cache_dir=tmp_path).path.exists()


def test_an_environment_that_another_process_made_meanwhile_is_used(tmp_path: Path) -> None:
    made = VirtualEnvironment("made", (str(wheel(tmp_path, "one")),), cache_dir=tmp_path)

    def progress(_message: str) -> None:
        made.path.mkdir(exist_ok=True)
        (made.path / "theirs").touch()

    made.ensure(progress=progress)
    assert [path.name for path in made.path.iterdir()] == ["theirs"]


def test_a_failed_installation_cites_the_end_of_its_log_and_leaves_no_environment(tmp_path: Path) -> None:
    made = VirtualEnvironment("made", (str(tmp_path / "missing-1.0-py3-none-any.whl"),), cache_dir=tmp_path)
    with pytest.raises(CommandFailed, match=r"missing-1\.0") as failure:
        made.ensure()
    log = tmp_path / f"{made.path.name}.log"
    assert str(failure.value).startswith(f"installing packages failed; the whole output is in {log}\n")
    assert list(tmp_path.iterdir()) == [log]


def without_the_package_uv(_name: str) -> ModuleSpec | None:
    return None


def test_uv_is_the_package_beside_this_one_or_the_program_that_started_this_one_or_the_one_on_path(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert uv() == [sys.executable, "-m", "uv"]
    monkeypatch.setattr(environment.importlib.util, "find_spec", without_the_package_uv)
    monkeypatch.setenv("UV", "/opt/uv")
    monkeypatch.setenv("PATH", str(tmp_path))
    assert uv() == ["/opt/uv"]
    monkeypatch.delenv("UV")
    (tmp_path / "uv").touch(mode=0o755)
    assert uv() == [str(tmp_path / "uv")]


def test_without_uv_an_error_says_how_to_install_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(environment.importlib.util, "find_spec", without_the_package_uv)
    monkeypatch.delenv("UV", raising=False)
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(CommandFailed, match=r'uv is not installed: pip install "label-studio-otel\[demo\]"'):
        VirtualEnvironment("made", ("one",), cache_dir=tmp_path).ensure()


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
