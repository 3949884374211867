"""Fixtures of the spool: a directory that is not there yet, and a writer in it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from label_studio_otel.spool.writer import SpoolWriter

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    return tmp_path / "state" / "spool"


@pytest.fixture
def writer(directory: Path) -> Iterator[SpoolWriter]:
    writer = SpoolWriter(directory)
    yield writer
    writer.close()
