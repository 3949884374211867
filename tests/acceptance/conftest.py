"""Fixtures of the tests with real applications."""

from __future__ import annotations

import uuid
from typing import TYPE_CHECKING

import pytest

from support.applications import Deployment
from support.otlp_sink import OtlpSink

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from support.servers import Api


@pytest.fixture
def deployment(api: Api, tmp_path: Path, request: pytest.FixtureRequest) -> Deployment:
    """A project's title and a state directory of the test's own."""
    title = f"{request.node.originalname[:30]} {uuid.uuid4().hex[:8]}"
    return Deployment(api, title, tmp_path / "state", api.server.url)


@pytest.fixture
def sink() -> Iterator[OtlpSink]:
    """Where the application's other exporter sends to."""
    with OtlpSink() as sink:
        yield sink
