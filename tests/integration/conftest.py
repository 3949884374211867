"""Fixtures of delivery: a fake Label Studio and what delivers to it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from label_studio_otel import log
from label_studio_otel.label_studio import projects
from label_studio_otel.testing import FakeLabelStudio
from support.delivering import Bench, State

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture
def fake() -> Iterator[FakeLabelStudio]:
    with FakeLabelStudio() as server:
        yield server


@pytest.fixture
def bench(tmp_path: Path, fake: FakeLabelStudio) -> Iterator[Bench]:
    bench = Bench(tmp_path, fake.url)
    yield bench
    bench.outbox.close()


@pytest.fixture(autouse=True)
def _nothing_said(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let each test hear what was said once before."""
    monkeypatch.setattr(log, "_said", set())


@pytest.fixture(autouse=True)
def _no_second_look(monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> None:
    """Do not wait for others after making a project, but where a real server is asked."""
    if "label_studio" not in request.fixturenames:
        monkeypatch.setattr(projects, "RECHECK_DELAY_S", 0)


@pytest.fixture
def state(tmp_path: Path, fake: FakeLabelStudio) -> Iterator[State]:
    state = State(tmp_path, fake)
    yield state
    state.close()
