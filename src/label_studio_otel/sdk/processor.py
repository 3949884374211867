"""The span processor. A span that is no LLM call costs a microsecond; an LLM call is durable when `on_end` returns."""

from __future__ import annotations

from typing import TYPE_CHECKING

from opentelemetry.sdk.trace import ReadableSpan, SpanProcessor

from label_studio_otel.sdk.boundary import Boundary
from label_studio_otel.settings import SettingsArguments, documents_settings

if TYPE_CHECKING:
    from typing_extensions import Unpack  # not loaded by older SDKs


@documents_settings
class LabelStudioSpanProcessor(SpanProcessor):
    """Turns LLM calls into Label Studio tasks.

    The constructor does nothing else than read its settings, and never raises. A value that cannot be used is replaced
    by the default and logged. An unknown setting is logged and ignored. If several processors have the same server, all
    use the first `api_key` that one of them has, and the first one's shared settings.

    Args:
        **settings: see below; what is not given, or None, comes from the environment variable.
    """

    def __init__(self, **settings: Unpack[SettingsArguments]) -> None:
        self._boundary = Boundary(settings)
        self._boundary.warn_of_settings()

    def on_end(self, span: ReadableSpan) -> None:
        """Write the span to the disk where it is an LLM call. Never raises."""
        self._boundary.on_end(span)

    def force_flush(self, timeout_millis: int = 30000) -> bool:
        """Return True when every call that ended before is durable, or delivered if the setting `flush` is `delivered`.

        Return False at the time-out.
        """
        return self._boundary.force_flush(timeout_millis / 1000)

    def shutdown(self) -> None:
        """Deliver the calls that wait, for at most `shutdown_timeout`; the others stay on the disk."""
        self._boundary.shutdown()
