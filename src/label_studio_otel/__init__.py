"""LLM calls traced by OpenTelemetry become Label Studio tasks, by configuration alone.

>>> from label_studio_otel import LabelStudioSpanProcessor
>>> provider.add_span_processor(LabelStudioSpanProcessor(project_name="My project"))  # doctest: +SKIP
"""

from __future__ import annotations

from label_studio_otel._version import __version__
from label_studio_otel.errors import LabelStudioOtelError
from label_studio_otel.exporter import LabelStudioSpanExporter
from label_studio_otel.processor import LabelStudioSpanProcessor

__all__ = ["LabelStudioOtelError", "LabelStudioSpanExporter", "LabelStudioSpanProcessor", "__version__"]
