"""The hook of `opentelemetry-instrument`: our processor takes over from our exporter, once."""

from __future__ import annotations

import sys
from importlib.metadata import entry_points
from unittest import mock

from opentelemetry import trace
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.trace import NoOpTracerProvider

from label_studio_otel import LabelStudioSpanExporter, LabelStudioSpanProcessor
from label_studio_otel.sdk import exporter
from label_studio_otel.sdk.autoload import add_span_processors
from support.sdk import SdkTest


class AutoloadTest(SdkTest):
    def setUp(self) -> None:
        super().setUp()
        patch = mock.patch.object(exporter, "constructed", set())
        patch.start()
        self.addCleanup(patch.stop)

    def ours(self) -> list[object]:
        """Return our processors on the provider."""
        processors = self.tracer_provider._active_span_processor._span_processors
        return [one for one in processors if isinstance(one, LabelStudioSpanProcessor)]

    def export_by(self, **settings: object) -> LabelStudioSpanExporter:
        made = LabelStudioSpanExporter(**{**self.settings, **settings})
        self.tracer_provider.add_span_processor(BatchSpanProcessor(made))
        return made

    def test_the_hook_adds_a_processor_with_the_settings_of_the_exporter(self) -> None:
        made = self.export_by(project_name="Mine")
        add_span_processors()
        assert made.inert
        self.call("at once")
        assert self.kept() == ["at once"]
        assert [str(record.destination) for record in self.records()] == ["project 'Mine' (prompt)"]
        self.tracer_provider.force_flush()
        assert self.kept() == ["at once"]

    def test_a_second_run_adds_nothing(self) -> None:
        self.export_by()
        add_span_processors()
        add_span_processors()
        assert len(self.ours()) == 1

    def test_two_exporters_get_a_processor_each(self) -> None:
        self.export_by(project_name="One")
        self.export_by(project_name="Two")
        add_span_processors()
        self.call()
        assert sorted(str(record.destination) for record in self.records()) == [
            "project 'One' (prompt)",
            "project 'Two' (prompt)",
        ]

    def test_where_nobody_named_us_nothing_happens(self) -> None:
        add_span_processors()
        with mock.patch.dict(sys.modules):
            del sys.modules["label_studio_otel.sdk.exporter"]
            add_span_processors()
            assert "label_studio_otel.sdk.exporter" not in sys.modules
        assert self.ours() == []

    def test_without_a_provider_of_the_sdk_the_exporter_works_on(self) -> None:
        made = self.export_by()
        with mock.patch.object(trace, "get_tracer_provider", return_value=NoOpTracerProvider()):
            add_span_processors()
        assert not made.inert

    def test_the_hook_never_raises_and_the_exporter_works_on(self) -> None:
        made = self.export_by()
        with (
            mock.patch.object(trace, "get_tracer_provider", side_effect=RuntimeError("broken")),
            self.assertLogs("label_studio_otel", "WARNING") as logs,
        ):
            add_span_processors()
        assert not made.inert
        assert "the exporter works by itself" in logs.output[0]
        self.call()
        self.tracer_provider.force_flush()
        assert self.kept() == ["call"]


def test_the_sdk_finds_both_by_their_names() -> None:
    (named,) = entry_points(group="opentelemetry_traces_exporter", name="label_studio")
    assert named.load() is LabelStudioSpanExporter
    (hook,) = entry_points(group="opentelemetry_pre_instrument", name="label_studio")
    assert hook.load() is add_span_processors
