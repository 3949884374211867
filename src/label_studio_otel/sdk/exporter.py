"""The span exporter: the one name that a user adds to `OTEL_TRACES_EXPORTER`.

Under `opentelemetry-instrument` it is an inert shell: the `pre_instrument` hook (`autoload`) adds our span processor
with this instance's settings, which keeps a call the moment it ends instead of after the batch processor's delay.
Where no hook runs, the exporter works by itself, with the batch processor's limits.
"""

from __future__ import annotations

import weakref
from typing import TYPE_CHECKING, Any

from opentelemetry.sdk.trace.export import SpanExporter, SpanExportResult

from label_studio_otel.sdk.boundary import Capture

if TYPE_CHECKING:
    from collections.abc import Sequence

    from opentelemetry.sdk.trace import ReadableSpan

__all__ = ["LabelStudioSpanExporter", "constructed"]


class LabelStudioSpanExporter(SpanExporter):
    """Turns the LLM calls among the exported spans into Label Studio tasks.

    Making one does nothing and never raises: an exporter that raises takes everybody's tracing with it.

    Args:
        **settings: those of `LabelStudioSpanProcessor`; unknown ones are logged and ignored.
    """

    def __init__(self, **settings: Any) -> None:
        #: As they were given, for the processor that takes over.
        self.settings = settings
        #: True once a processor with these settings does the work.
        self.inert = False
        self._capture = Capture(settings)
        self._capture.say_problems()
        self._capture.agree()
        constructed.add(self)

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        """Keep the LLM calls; they are durable when this returns. Never raises."""
        if not self.inert:
            for span in spans:
                self._capture.take(span)
        return SpanExportResult.SUCCESS

    def force_flush(self, timeout_millis: int = 30000) -> bool:
        """Return True when every exported call is durable, or delivered where `flush` says so.

        False when the time is up.
        """
        return self.inert or self._capture.force_flush(timeout_millis / 1000)

    def shutdown(self) -> None:
        """Deliver what is there, for at most the shutdown time-out; what is left is kept."""
        if not self.inert:
            self._capture.shutdown()


#: The exporters that live in this process.
constructed: weakref.WeakSet[LabelStudioSpanExporter] = weakref.WeakSet()
