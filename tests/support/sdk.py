"""What faces the SDK is tested on the SDK's own test base, with a state directory of its own for each test."""

from __future__ import annotations

import json
import tempfile
import weakref
from pathlib import Path
from typing import TYPE_CHECKING, Any
from unittest import mock

from opentelemetry.test.test_base import TestBase
from opentelemetry.trace import Status, StatusCode

from label_studio_otel import log, pipeline
from label_studio_otel.sdk import boundary, recorder
from label_studio_otel.spool import record as spool
from label_studio_otel.spool.reader import SpoolFile, spool_files

if TYPE_CHECKING:
    from opentelemetry.trace import Tracer

CALL = {
    "gen_ai.operation.name": "chat",
    "gen_ai.provider.name": "openai",
    "gen_ai.input.messages": json.dumps([{"role": "user", "parts": [{"type": "text", "content": "Hi"}]}]),
    "gen_ai.output.messages": json.dumps([{"role": "assistant", "parts": [{"type": "text", "content": "Hello"}]}]),
}


class SdkTest(TestBase):
    """The SDK's tracer provider, and what of its spans was kept."""

    def setUp(self) -> None:
        super().setUp()
        directory = tempfile.TemporaryDirectory()
        self.addCleanup(directory.cleanup)
        self.state_dir = Path(directory.name, "state")
        for patch in (
            mock.patch.object(log, "_said", set()),
            mock.patch.object(recorder, "_by_directory", {}),
            mock.patch.object(boundary, "_exit_end", 0.0),
            mock.patch.object(boundary, "_first", weakref.WeakValueDictionary()),
        ):
            patch.start()
            self.addCleanup(patch.stop)
        self.addCleanup(self._close_spools)

    def _close_spools(self) -> None:
        for one in recorder._by_directory.values():
            one._writer.close()

    @property
    def settings(self) -> dict[str, Any]:
        """Settings of something that writes below this test's directory and sends nothing."""
        return {"state_dir": self.state_dir, "delivery": "off", "url": "http://127.0.0.1:9"}

    @property
    def tracer(self) -> Tracer:
        return self.tracer_provider.get_tracer("opentelemetry.instrumentation.langchain")

    def call(self, name: str = "call", *, failed: bool = False, **attributes: Any) -> None:
        """Make the span of one LLM call."""
        with self.tracer.start_as_current_span(name, attributes={**CALL, **attributes}) as span:
            if failed:
                span.set_status(Status(StatusCode.ERROR, "rate limit"))

    def records(self) -> list[spool.Record]:
        """Return what stands in the spools below the state directory."""
        found = []
        for directory in sorted(self.state_dir.glob("*")):
            for path in spool_files(pipeline.spool_directory(directory)):
                with SpoolFile(path) as file:
                    found += [spool.decode(read.payload) for read in file.records(0)]
        return found

    def kept(self) -> list[str]:
        """Return the names of the spans that were kept."""
        return [record.span["name"] for record in self.records() if record.span is not None]
