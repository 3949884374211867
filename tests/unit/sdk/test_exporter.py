"""The span exporter: by itself behind a batch processor, or an inert shell."""

from __future__ import annotations

import builtins
import os
import socket
from unittest import mock

from opentelemetry.sdk.trace.export import BatchSpanProcessor, SimpleSpanProcessor, SpanExportResult

from label_studio_otel import LabelStudioSpanExporter
from label_studio_otel.sdk.exporter import constructed
from support.sdk import SdkTest


class ExporterTest(SdkTest):
    def test_llm_calls_of_a_batch_are_kept(self) -> None:
        processor = BatchSpanProcessor(LabelStudioSpanExporter(**self.settings))
        self.tracer_provider.add_span_processor(processor)
        self.call("first")
        with self.tracer.start_as_current_span("other"):
            pass
        self.call("second")
        assert processor.force_flush()
        assert self.kept() == ["first", "second"]

    def test_it_works_behind_a_simple_processor_too(self) -> None:
        self.tracer_provider.add_span_processor(SimpleSpanProcessor(LabelStudioSpanExporter(**self.settings)))
        self.call()
        assert self.kept() == ["call"]

    def test_an_inert_exporter_does_nothing_and_succeeds(self) -> None:
        exporter = LabelStudioSpanExporter(**self.settings)
        exporter.inert = True
        self.call()
        assert exporter.export(self.memory_exporter.get_finished_spans()) is SpanExportResult.SUCCESS
        assert exporter.force_flush()
        exporter.shutdown()
        assert not self.state_dir.exists()

    def test_a_refusing_disk_is_no_failure_for_the_sdk(self) -> None:
        self.state_dir.write_text("in the way")
        exporter = LabelStudioSpanExporter(**self.settings)
        self.call()
        with self.assertLogs("label_studio_otel", "WARNING"):
            assert exporter.export(self.memory_exporter.get_finished_spans()) is SpanExportResult.SUCCESS
            assert not exporter.force_flush()
        exporter.shutdown()

    def test_making_one_touches_neither_disk_nor_network(self) -> None:
        with (
            mock.patch.object(builtins, "open", side_effect=AssertionError),
            mock.patch.object(os, "open", side_effect=AssertionError),
            mock.patch.object(os, "mkdir", side_effect=AssertionError),
            mock.patch.object(socket, "socket", side_effect=AssertionError),
        ):
            exporter = LabelStudioSpanExporter(**self.settings, project_config="/config.xml", api_key="token")
        assert exporter in constructed
        assert not exporter.inert

    def test_making_one_never_raises(self) -> None:
        with self.assertLogs("label_studio_otel", "WARNING") as logs:
            LabelStudioSpanExporter(url=7, mode=[], project_id={}, nested={"a": 1}, state_dir=object())
        assert "nested" in logs.output[0]

    def test_one_that_nobody_holds_is_forgotten(self) -> None:
        before = len(constructed)
        LabelStudioSpanExporter(**self.settings)
        assert len(constructed) == before
