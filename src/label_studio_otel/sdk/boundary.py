"""The boundary between the application and this package: every call of the SDK comes in here.

An exception in `on_end` would appear in the application's `with` block and keep other processors from the span. So
exceptions of spans are caught here, logged once and counted; those of log events are caught in `log_processor.py`.
"""

from __future__ import annotations

import time
import weakref
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan

from label_studio_otel import log, process, reading
from label_studio_otel.calls.selection import is_wanted, with_labeling_config
from label_studio_otel.sdk.recorder import Recorder, recorder_for
from label_studio_otel.settings import SETTINGS, Destination, Settings, load
from label_studio_otel.spans import fields_of
from label_studio_otel.spool.encoder import RecordEncoder
from label_studio_otel.spool.record import key_of


class Boundary:
    """What a processor or an exporter does with the spans and log events that the SDK gives it."""

    def __init__(self, arguments: Mapping[str, Any]) -> None:
        self.settings: Settings = load(arguments)
        #: `force_flush` waits until calls are delivered, so the recorder must know their keys.
        self._waits_for_delivery = self.settings.flush == "delivered"
        self._encoder = RecordEncoder(self._destination_at)
        self._has_labeling_config = False
        self._known_recorder: Recorder | None = None

    def on_end(self, span: ReadableSpan) -> None:
        """Keep the span if it is an LLM call that the settings select. Never raises."""
        try:
            attributes, scope_name = span.attributes, scope_name_of(span)
            if attributes and reading.is_llm_call(attributes, scope_name):
                if self._is_wanted(span, attributes, scope_name):
                    self._append(span)
                else:
                    self._recorder().counts.add(filtered=1)
        except Exception as error:
            log.warn_once("capture", f"a span could not be kept: {log.kind(error)}")
            with suppress(Exception):
                self._recorder().counts.add(failed=1)

    def on_event(self, fields: Mapping[str, Any], resource: Resource | None) -> None:
        """Keep a log event of an LLM call, by the fields of `spans.log_fields_of`. Raises any error to `on_emit`."""
        self._recorder().append(self._encoder.encode_log(fields, resource.attributes if resource else None), calls=0)
        self._recorder().counts.add(events=1)

    def force_flush(self, timeout: float) -> bool:
        """Return True when every kept call is durable, or delivered if the setting `flush` is `delivered`.

        Return False after `timeout` seconds. Never raises.
        """
        try:
            return self._recorder().flush(timeout, delivered=self._waits_for_delivery)
        except Exception as error:
            log.warn_once("flush", f"flushing failed: {log.kind(error)}")
            return False

    def shutdown(self) -> None:
        """Deliver the calls that wait, within what is left of the shutdown time-out. Never raises."""
        try:
            self._recorder().shutdown(_seconds_left(self.settings.shutdown_timeout))
        except Exception as error:
            log.warn_once("shutdown", f"shutting down failed: {log.kind(error)}")

    def warn_of_settings(self) -> None:
        """Log which settings cannot be used, and which differ from the shared ones of this server.

        All processors and exporters of a server use the shared settings of the first one, and the first token that one
        of them has.
        """
        if problems := "; ".join(self.settings.problems):
            log.warn_once(problems, problems)
        first = _first.setdefault(self.settings.directory, self)
        own, shared = self.settings, first.settings
        if shared.api_key is None:
            shared = first.settings = replace(shared, api_key=own.api_key)
        differing = [one.key for one in SETTINGS if one.shared and getattr(own, one.key) != getattr(shared, one.key)]
        if own.api_key not in (None, shared.api_key):
            differing.insert(0, "api_key")
        if differing:
            log.warn_once(
                f"shared {own.directory}",
                f"several processors or exporters use {own.directory} and differ in {', '.join(differing)}: the "
                "value of the first one is used for all",
            )

    def _is_wanted(self, span: ReadableSpan, attributes: Mapping[str, Any], scope_name: str) -> bool:
        context = span.get_span_context()
        if context is None or not context.trace_flags.sampled:
            return False
        return is_wanted(self.settings, attributes, scope_name, span.name, failed=not span.status.is_ok)

    def _append(self, span: ReadableSpan) -> None:
        fields = fields_of(span)
        buffers = self._encoder.encode(fields, span.resource.attributes)
        self._recorder().append(buffers, key_of(fields) if self._waits_for_delivery else None)

    def _destination_at(self, start_time: int) -> Destination:
        if not self._has_labeling_config:
            self._has_labeling_config = True
            self.settings = with_labeling_config(self.settings)
        return self.settings.destination(start_time)

    def _recorder(self) -> Recorder:
        if self._known_recorder is None:
            self._known_recorder = recorder_for(_first.get(self.settings.directory, self).settings)
        return self._known_recorder


def scope_name_of(item: Any) -> str:
    """Return the name of the instrumentation scope of a span or log record of the SDK; empty if it has none."""
    scope = item.instrumentation_scope
    return scope.name if scope else ""


#: By directory, the first processor or exporter that uses it.
_first: weakref.WeakValueDictionary[Path, Boundary] = weakref.WeakValueDictionary()
#: When the time-out of this exit ends, on the monotonic clock.
_exit_end = 0.0


def _seconds_left(timeout: float) -> float:
    """Return what is left of the time-out that the first shutdown began: all shutdowns of one exit share it."""
    global _exit_end  # noqa: PLW0603
    with process.lock:
        now = time.monotonic()
        if now > _exit_end + timeout:
            _exit_end = now + timeout  # the first shutdown, or that of another provider much later
        return max(0.0, _exit_end - now)
