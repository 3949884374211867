"""Takes LLM spans from the SDK and hands them to the recorder; the one boundary to the user's process.

An exception that left `on_end` would surface in the application's `with` block and stop other processors: whatever
goes wrong in here is swallowed, logged once and counted.
"""

from __future__ import annotations

import time
import weakref
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from label_studio_otel import log, process, reading
from label_studio_otel.calls.selection import is_wanted, with_labeling_config
from label_studio_otel.sdk.recorder import recorder_for
from label_studio_otel.settings import SETTINGS, load
from label_studio_otel.spans import fields_of
from label_studio_otel.spool import record

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from opentelemetry.sdk.resources import Resource
    from opentelemetry.sdk.trace import ReadableSpan

    from label_studio_otel.sdk.recorder import Recorder
    from label_studio_otel.settings import Settings

__all__ = ["SHARED", "Capture"]

#: The settings that all processors and exporters of one server have in common, because one delivers for them.
SHARED = tuple(one.key for one in SETTINGS if one.shared)


class Capture:
    """What a processor or an exporter does with a span.

    Args:
        arguments: settings by name; what is not given comes from the environment.
    """

    def __init__(self, arguments: Mapping[str, Any]) -> None:
        self.settings: Settings = load(arguments)
        #: Spans that were lost to an error of ours.
        self.failures = 0
        #: Whether `force_flush` waits until calls were delivered, so that it must know which.
        self._remembers = self.settings.flush == "delivered"
        self._config_read = False
        self._known_recorder: Recorder | None = None
        # What consecutive spans share, as JSON. Each pair is replaced as a whole: threads share this object.
        self._destination: tuple[int, str] = (-1, "")
        self._resource: tuple[Resource | None, str] = (None, "")

    def take(self, span: ReadableSpan) -> None:
        """Keep the span where it is an LLM call. Never raises."""
        try:
            attributes = span.attributes
            if attributes and reading.is_llm_call(attributes, _scope_name(span)):
                if self._wanted(span):
                    self._record(span)
                else:
                    self._recorder().counts.add(filtered=1)
        except Exception as error:
            self.failures += 1
            if self._known_recorder is not None:
                self._known_recorder.counts.add(failed=1)
            log.warn_once("capture", f"a span could not be kept: {log.kind(error)}")

    def keep_event(self, fields: Mapping[str, Any], resource: Resource | None) -> None:
        """Keep a log event, for whichever span it is of."""
        written = self._resource_of(resource) if resource is not None else "{}"
        self._recorder().append(record.encode_log(written, fields), calls=0)
        self._recorder().counts.add(events=1)

    def force_flush(self, timeout: float) -> bool:
        """Return True when everything taken before is durable, or delivered where that was set. Never raises.

        Args:
            timeout: seconds that it may take.
        """
        try:
            return self._recorder().flush(timeout, delivered=self._remembers)
        except Exception as error:
            log.warn_once("flush", f"flushing failed: {log.kind(error)}")
            return False

    def shutdown(self) -> None:
        """Deliver what is there within what is left of the shutdown time-out. Never raises."""
        try:
            self._recorder().shutdown(_allowance.take(self.settings.shutdown_timeout))
        except Exception as error:
            log.warn_once("shutdown", f"shutting down failed: {log.kind(error)}")

    def agree(self) -> None:
        """Use the shared settings of the first one of this server, and log which of these differ here.

        The token is that of the first that has one.
        """
        first = _first.setdefault(self.settings.directory, self)
        ours, shared = self.settings, first.settings
        if shared.api_key is None:
            shared = first.settings = replace(shared, api_key=ours.api_key)
        differing = [name for name in SHARED if getattr(ours, name) != getattr(shared, name)]
        if ours.api_key not in (None, shared.api_key):
            differing.insert(0, "api_key")
        if differing:
            log.warn_once(
                f"shared {ours.directory}",
                f"several processors or exporters use {ours.directory} and differ in {', '.join(differing)}: the "
                "value of the first one is used for all",
            )

    def say_problems(self) -> None:
        """Log what in the settings could not be used, in one line."""
        if problems := "; ".join(self.settings.problems):
            log.warn_once(problems, problems)

    def _wanted(self, span: ReadableSpan) -> bool:
        context = span.get_span_context()
        if context is None or not context.trace_flags.sampled:
            return False
        return is_wanted(
            self.settings, span.attributes or {}, _scope_name(span), span.name, failed=not span.status.is_ok
        )

    def _record(self, span: ReadableSpan) -> None:
        second, destination = self._destination
        start_time = span.start_time or 0
        if second != start_time // 1_000_000_000:  # no date or time in a project's name is finer
            destination = record.encode_destination(self._settled().destination(start_time))
            self._destination = (start_time // 1_000_000_000, destination)
        resource = self._resource_of(span.resource)
        fields = fields_of(span)
        key = record.key_of(fields) if self._remembers else None
        self._recorder().append(record.encode(destination, resource, fields), key)

    def _resource_of(self, resource: Resource) -> str:
        known, written = self._resource
        if known is not resource:
            written = record.to_json(dict(resource.attributes))
            self._resource = (resource, written)
        return written

    def _settled(self) -> Settings:
        """Return the settings with the labeling config in place of its file's name."""
        if not self._config_read:
            self._config_read = True
            self.settings = with_labeling_config(self.settings)
        return self.settings

    def _recorder(self) -> Recorder:
        if self._known_recorder is None:
            self._known_recorder = recorder_for(_first.get(self.settings.directory, self).settings)
        return self._known_recorder


def _scope_name(span: ReadableSpan) -> str:
    scope = span.instrumentation_scope
    return scope.name if scope else ""


#: By directory, the first processor or exporter that uses it.
_first: weakref.WeakValueDictionary[Path, Capture] = weakref.WeakValueDictionary()


class _Allowance:
    """The seconds that all shutdowns of one exit share."""

    def __init__(self) -> None:
        self._end = 0.0

    def take(self, timeout: float) -> float:
        """Return what is left of a time-out that the first shutdown began."""
        with process.lock:
            now = time.monotonic()
            if now > self._end + timeout:
                self._end = now + timeout  # the first one, or of another provider, much later
            return max(0.0, self._end - now)


_allowance = _Allowance()
