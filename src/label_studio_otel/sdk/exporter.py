"""The span exporter that a user adds to `OTEL_TRACES_EXPORTER`.

Under `opentelemetry-instrument` the exporter does nothing: the `pre_instrument` hook (`autoload`) adds our span
processor with the exporter's settings. The processor keeps a call when it ends, not after the batch processor's delay.
Where no hook runs, the exporter keeps the calls itself, within the limits of the batch processor.
"""

from __future__ import annotations

import weakref
from collections.abc import Sequence
from typing import TYPE_CHECKING

from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import SpanExporter, SpanExportResult

from label_studio_otel.sdk.boundary import Boundary
from label_studio_otel.settings import SettingsArguments, documents_settings

if TYPE_CHECKING:
    from typing_extensions import Unpack  # not loaded by older SDKs


@documents_settings
class LabelStudioSpanExporter(SpanExporter):
    """Turns the LLM calls among the exported spans into Label Studio tasks.

    The constructor does nothing else than read its settings, and never raises: an exception there would stop all
    tracing of the application. A value that cannot be used is replaced by the default and logged. An unknown setting is
    logged and ignored. If several exporters have the same server, all use the first `api_key` that one of them has, and
    the first one's shared settings.

    Args:
        **settings: see below; what is not given, or None, comes from the environment variable.
    """

    def __init__(self, **settings: Unpack[SettingsArguments]) -> None:
        #: The settings as they were given, for the processor that replaces this exporter.
        self.settings = settings
        #: Whether a processor with these settings does the work.
        self.inert = False
        self._boundary = Boundary(settings)
        self._boundary.warn_of_settings()
        constructed.add(self)

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        """Write the LLM calls to the disk; they are durable when this returns. Never raises."""
        if not self.inert:
            for span in spans:
                self._boundary.on_end(span)
        return SpanExportResult.SUCCESS

    def force_flush(self, timeout_millis: int = 30000) -> bool:
        """Return True when every exported call is durable, or delivered if the setting `flush` is `delivered`.

        Return False at the time-out.
        """
        return self.inert or self._boundary.force_flush(timeout_millis / 1000)

    def shutdown(self) -> None:
        """Deliver the calls that wait, for at most `shutdown_timeout`; the others stay on the disk."""
        if not self.inert:
            self._boundary.shutdown()


#: All exporters of this process.
constructed: weakref.WeakSet[LabelStudioSpanExporter] = weakref.WeakSet()
