"""LLM calls traced by OpenTelemetry become Label Studio tasks, by configuration alone.

>>> from label_studio_otel import LabelStudioSpanProcessor
>>> provider.add_span_processor(LabelStudioSpanProcessor(project_name="My project"))  # doctest: +SKIP
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from label_studio_otel._version import __version__

if TYPE_CHECKING:
    from label_studio_otel.errors import LabelStudioOtelError
    from label_studio_otel.sdk.exporter import LabelStudioSpanExporter
    from label_studio_otel.sdk.log_processor import LabelStudioLogRecordProcessor
    from label_studio_otel.sdk.processor import LabelStudioSpanProcessor

__all__ = [
    "LabelStudioLogRecordProcessor",
    "LabelStudioOtelError",
    "LabelStudioSpanExporter",
    "LabelStudioSpanProcessor",
    "__version__",
]

_MODULES = {
    "LabelStudioLogRecordProcessor": "sdk.log_processor",
    "LabelStudioOtelError": "errors",
    "LabelStudioSpanExporter": "sdk.exporter",
    "LabelStudioSpanProcessor": "sdk.processor",
}


def __dir__() -> list[str]:
    return __all__


def __getattr__(name: str) -> Any:
    # Every program under `opentelemetry-instrument` loads our hook, and with it this package, whether or not it names
    # our exporter: it pays for no more than the hook, and no import that fails can end its tracing.
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_MODULES[name]}"), name)
