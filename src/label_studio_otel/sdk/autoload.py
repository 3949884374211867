"""The `opentelemetry_pre_instrument` hook: where our exporter was named, add our processors of spans and log events.

OpenTelemetry has no entry point for processors, and its declarative file refuses foreign ones; this hook runs
in both worlds after the SDK was configured and before anything is instrumented. A hook that raises ends all
instrumentation, so this one never does.
"""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["add_span_processors"]


def add_span_processors() -> None:
    """Add a span processor for each exporter of ours in this process, once. Never raises."""
    if "LABEL_STUDIO_OTEL_DOCTOR" in os.environ:
        _observe()
    exporter = sys.modules.get("label_studio_otel.sdk.exporter")
    if exporter is None:
        return  # nobody named it
    try:
        _add(list(exporter.constructed))
    except Exception as error:
        from label_studio_otel import log  # noqa: PLC0415

        log.warn_once(
            "autoload", f"the span processor could not be added ({log.kind(error)}); the exporter works by itself"
        )


def _observe() -> None:
    """Let `label-studio-otel doctor` see which spans there are."""
    try:
        from label_studio_otel.sdk.observer import observe  # noqa: PLC0415

        observe()
    except Exception as error:
        from label_studio_otel import log  # noqa: PLC0415

        log.warn_once("doctor", f"the run cannot be looked at ({log.kind(error)})")


def _add(exporters: list[object]) -> None:
    from opentelemetry import trace  # noqa: PLC0415

    from label_studio_otel.sdk.processor import LabelStudioSpanProcessor  # noqa: PLC0415

    add = getattr(trace.get_tracer_provider(), "add_span_processor", None)
    if add is None:
        return
    new = [exporter for exporter in exporters if not exporter.inert]  # type: ignore[attr-defined]
    for exporter in new:
        add(LabelStudioSpanProcessor(**exporter.settings))  # type: ignore[attr-defined]
        exporter.inert = True  # type: ignore[attr-defined]
    if new:
        _add_log_processors([exporter.settings for exporter in new], add)  # type: ignore[attr-defined]


def _add_log_processors(settings: list[dict[str, Any]], add_span_processor: Callable[[object], None]) -> None:
    """Take the log events of calls, where the SDK has a logger provider; under its configurator it always has."""
    try:
        _add_log_record_processors(settings, add_span_processor)
    except Exception as error:
        from label_studio_otel import log  # noqa: PLC0415

        log.warn_once("log events", f"log events of LLM calls cannot be taken ({log.kind(error)})")


def _add_log_record_processors(settings: list[dict[str, Any]], add_span_processor: Callable[[object], None]) -> None:
    from opentelemetry._logs import get_logger_provider  # noqa: PLC0415

    add = getattr(get_logger_provider(), "add_log_record_processor", None)
    if add is None:
        return
    from label_studio_otel.sdk.log_processor import LabelStudioLogRecordProcessor  # noqa: PLC0415
    from label_studio_otel.sdk.open_spans import OpenSpans  # noqa: PLC0415

    open_spans = OpenSpans()
    add_span_processor(open_spans)
    directories = set()
    for one in settings:
        processor = LabelStudioLogRecordProcessor(open_spans=open_spans, **one)
        if processor.directory not in directories:  # one record serves all that deliver from there
            directories.add(processor.directory)
            add(processor)
