"""Takes LLM spans from the SDK and hands them to the recorder; the one boundary to the user's process.

An exception that left `on_end` would surface in the application's `with` block and stop other processors: whatever
goes wrong in here is swallowed, logged once and counted.
"""

from __future__ import annotations

import threading
import time
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from label_studio_otel import dialects, log, spool
from label_studio_otel.recorder import recorder_for
from label_studio_otel.settings import labeling_config, load
from label_studio_otel.spans import fields_of

if TYPE_CHECKING:
    from collections.abc import Mapping

    from opentelemetry.sdk.resources import Resource
    from opentelemetry.sdk.trace import ReadableSpan

    from label_studio_otel.recorder import Recorder
    from label_studio_otel.settings import Settings

__all__ = ["Capture"]


class Capture:
    """What a processor or an exporter does with a span.

    Args:
        arguments: settings by name; what is not given comes from the environment.
    """

    def __init__(self, arguments: Mapping[str, Any]) -> None:
        self.settings: Settings = load(arguments)
        #: Spans that were lost to an error of ours.
        self.failures = 0
        self._config_read = False
        self._known_recorder: Recorder | None = None
        # What consecutive spans share, as JSON. Each pair is replaced as a whole: threads share this object.
        self._destination: tuple[int, str] = (-1, "")
        self._resource: tuple[Resource | None, str] = (None, "")

    def take(self, span: ReadableSpan) -> None:
        """Keep the span where it is an LLM call. Never raises."""
        try:
            attributes = span.attributes
            if attributes and dialects.is_llm_call(attributes, _scope_name(span)) and self._wanted(span):
                self._record(span)
        except Exception as error:
            self.failures += 1
            log.warn_once("capture", f"a span could not be kept: {log.kind(error)}")

    def force_flush(self) -> bool:
        """Return True when everything taken before is durable. Never raises."""
        try:
            return self._recorder().flush()
        except Exception as error:
            log.warn_once("flush", f"flushing failed: {log.kind(error)}")
            return False

    def shutdown(self) -> None:
        """Deliver what is there within what is left of the shutdown time-out. Never raises."""
        try:
            self._recorder().shutdown(_allowance.take(self.settings.shutdown_timeout))
        except Exception as error:
            log.warn_once("shutdown", f"shutting down failed: {log.kind(error)}")

    def say_problems(self) -> None:
        """Log what in the settings could not be used, in one line."""
        if problems := "; ".join(self.settings.problems):
            log.warn_once(problems, problems)

    def _wanted(self, span: ReadableSpan) -> bool:
        context = span.get_span_context()
        if context is None or not context.trace_flags.sampled:
            return False
        if not (span.status.is_ok or self.settings.include_errors):
            return False
        operations = self.settings.operations
        return operations is None or (span.attributes or {}).get("gen_ai.operation.name") in operations

    def _record(self, span: ReadableSpan) -> None:
        second, destination = self._destination
        start_time = span.start_time or 0
        if second != start_time // 1_000_000_000:  # no date or time in a project's name is finer
            destination = spool.encode_destination(self._settled().destination(start_time))
            self._destination = (start_time // 1_000_000_000, destination)
        known, resource = self._resource
        if known is not span.resource:
            resource = spool.to_json(dict(span.resource.attributes))
            self._resource = (span.resource, resource)
        self._recorder().append(spool.encode(destination, resource, fields_of(span)))

    def _settled(self) -> Settings:
        """Return the settings with the labeling config in place of its file's name."""
        if not self._config_read:
            self._config_read = True
            try:
                config = labeling_config(self.settings.project_config)
            except (OSError, ValueError) as error:
                config = None
                log.warn_once("project_config", f"project_config cannot be read ({error}); using the one of the mode")
            self.settings = replace(self.settings, project_config=config)
        return self.settings

    def _recorder(self) -> Recorder:
        if self._known_recorder is None:
            self._known_recorder = recorder_for(self.settings)
        return self._known_recorder


def _scope_name(span: ReadableSpan) -> str:
    scope = span.instrumentation_scope
    return scope.name if scope else ""


class _Allowance:
    """The seconds that all shutdowns of one exit share."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._end = 0.0

    def take(self, timeout: float) -> float:
        """Return what is left of a time-out that the first shutdown began."""
        with self._lock:
            now = time.monotonic()
            if now > self._end + timeout:
                self._end = now + timeout  # the first one, or of another provider, much later
            return max(0.0, self._end - now)


_allowance = _Allowance()
