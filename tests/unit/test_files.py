"""Directories for their user alone."""

from __future__ import annotations

from pathlib import Path

import pytest

from label_studio_otel import files


def test_every_directory_that_is_made_is_for_this_user_alone(tmp_path: Path) -> None:
    files.make_directory(tmp_path / "a" / "b")

    assert [(tmp_path / name).stat().st_mode & 0o777 for name in ("a", "a/b")] == [0o700, 0o700]


def test_where_no_directory_can_be_made_it_says_so_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Below /proc, and where a disk is mounted on demand, making one ends as if what is above it were missing."""

    def nowhere(path: Path, mode: int) -> None:
        raise FileNotFoundError(2, "No such file or directory", str(path)) if path != tmp_path else FileExistsError

    monkeypatch.setattr("os.mkdir", nowhere)

    with pytest.raises(FileNotFoundError):
        files.make_directory(tmp_path / "state")
