"""Hypothesis' profile, and the fixtures of the real servers: they fail, and never skip, where a server is missing."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, settings

from label_studio_otel.cli.demo.label_studio_server import LabelStudioServer
from label_studio_otel.testing import FakeLabelStudio
from support.postgresql import PostgreSQL, migrated
from support.servers import Api

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

# How long an example takes depends on what else the machine does: no property is about time.
settings.register_profile("tests", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("tests")


@pytest.fixture(scope="session")
def label_studio_on_sqlite(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LabelStudioServer]:
    """A running Label Studio, one for all tests: tests use projects of their own."""
    with LabelStudioServer(tmp_path_factory.mktemp("label-studio")) as server:
        yield server


@pytest.fixture(autouse=True)
def _log_level() -> Iterator[None]:
    """Give the logger back as it was: some commands quiet it, for what they print says it all."""
    logger = logging.getLogger("label_studio_otel")
    level = logger.level
    yield
    logger.setLevel(level)


@pytest.fixture(scope="session")
def label_studio(label_studio_on_sqlite: LabelStudioServer) -> LabelStudioServer:
    """The one that most tests use."""
    return label_studio_on_sqlite


@pytest.fixture(scope="session")
def postgresql() -> Iterator[PostgreSQL]:
    """A running PostgreSQL with Label Studio's tables."""
    with PostgreSQL(migrated()) as database:
        yield database


@pytest.fixture(scope="session")
def label_studio_on_postgresql(
    postgresql: PostgreSQL, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[LabelStudioServer]:
    """A running Label Studio whose database is PostgreSQL, one for all tests."""
    directory = tmp_path_factory.mktemp("label-studio-on-postgresql")
    with LabelStudioServer(directory, env=postgresql.variables) as server:
        yield server


@pytest.fixture(scope="session")
def api(label_studio: LabelStudioServer) -> Api:
    return Api(label_studio)


@pytest.fixture
def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeLabelStudio]:
    """A fake Label Studio that the environment's variables name, and a state directory of the test's own."""
    with FakeLabelStudio() as fake:
        monkeypatch.setenv("LABEL_STUDIO_OTEL_STATE_DIR", str(tmp_path / "state"))
        monkeypatch.setenv("LABEL_STUDIO_URL", fake.url)
        monkeypatch.setenv("LABEL_STUDIO_API_KEY", fake.token)
        yield fake
