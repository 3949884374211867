"""The `opentelemetry_pre_instrument` hook: it adds this package's processors where its exporter is configured.

OpenTelemetry has no entry point for processors, and its declarative configuration accepts only its own. This hook runs
with either configuration, after the SDK is set up and before anything is instrumented. An exception in a hook ends all
instrumentation, so this one raises none.
"""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from label_studio_otel.sdk.exporter import LabelStudioSpanExporter


def add_span_processors() -> None:
    """Add a span processor for each exporter of this package in the process, once. Never raises."""
    if "LABEL_STUDIO_OTEL_DOCTOR" in os.environ:  # this process was started by `doctor -- command`
        _run(_observe, "doctor cannot see the spans of this run")
    exporter = sys.modules.get("label_studio_otel.sdk.exporter")
    if exporter is not None:  # else it is not configured
        _run(lambda: _add(list(exporter.constructed)), "no span processor was added, and the exporter works by itself")


def _run(step: Callable[[], None], consequence: str) -> None:
    """Run a step, and log the consequence of an error."""
    try:
        step()
    except Exception as error:
        from label_studio_otel import log  # noqa: PLC0415

        log.warn_once(consequence, f"{consequence} ({log.kind(error)})")


def _observe() -> None:
    from label_studio_otel.sdk.observer import observe  # noqa: PLC0415

    observe()


def _add(exporters: list[LabelStudioSpanExporter]) -> None:
    from opentelemetry import trace  # noqa: PLC0415

    from label_studio_otel.sdk.processor import LabelStudioSpanProcessor  # noqa: PLC0415

    add = getattr(trace.get_tracer_provider(), "add_span_processor", None)
    new = [exporter for exporter in exporters if not exporter.inert]
    if add is None or not new:
        return
    for exporter in new:
        add(LabelStudioSpanProcessor(**exporter.settings))
        exporter.inert = True
    _run(lambda: _add_log_processors(new, add), "log events of LLM calls cannot be taken")


def _add_log_processors(exporters: list[LabelStudioSpanExporter], add_span_processor: Callable[[object], None]) -> None:
    """Add processors for the log events of calls if the SDK has a logger provider; its configurator always sets one."""
    from opentelemetry._logs import get_logger_provider  # noqa: PLC0415

    add = getattr(get_logger_provider(), "add_log_record_processor", None)
    if add is None:
        return
    from label_studio_otel.sdk.log_processor import LabelStudioLogRecordProcessor  # noqa: PLC0415
    from label_studio_otel.sdk.open_spans import OpenSpans  # noqa: PLC0415

    open_spans = OpenSpans()
    add_span_processor(open_spans)
    processors = [LabelStudioLogRecordProcessor(open_spans=open_spans, **one.settings) for one in exporters]
    # One record of an event serves all projects of a server.
    for processor in {one.directory: one for one in processors}.values():
        add(processor)
