"""Notes for `label-studio-otel doctor -- command` which spans an application makes, and how each of them is read.

It does so only if `LABEL_STUDIO_OTEL_DOCTOR` names a file. Each span is one line of JSON in that file, without content.
It wraps the processors of a provider and adds none: some providers drop their processors when another one is added.
"""

from __future__ import annotations

import functools
import json
import os
import sys
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from label_studio_otel import reading
from label_studio_otel.calls.selection import operation_names
from label_studio_otel.errors import DialectError
from label_studio_otel.spans import MESSAGE_EVENTS, LogRecord, Span, fields_of, log_fields_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from opentelemetry.sdk.trace import ReadableSpan

__all__ = ["VARIABLE", "observe"]

#: Names the file of notes. Private: `doctor` sets it.
VARIABLE = "LABEL_STUDIO_OTEL_DOCTOR"

#: Open spans whose log events are remembered.
MAX_SPANS_WITH_EVENTS = 1000

_observing = False
_events: dict[tuple[str, str], list[LogRecord]] = {}


def observe() -> None:
    """Observe every tracer provider of this process: the present one, and each that is made from now on."""
    global _observing  # noqa: PLW0603 - the hook and `sitecustomize` may both call this
    if _observing or not os.environ.get(VARIABLE):
        return
    _observing = True
    _note({"began": os.getpid(), "python": sys.executable})

    from opentelemetry import trace  # noqa: PLC0415
    from opentelemetry.sdk.trace import TracerProvider  # noqa: PLC0415

    present = trace.get_tracer_provider()
    if isinstance(present, TracerProvider):
        _observe_provider(present)
    _observe_each(TracerProvider, _observe_provider)
    _observe_events()


def _observe_events() -> None:
    """Observe the log events of calls too: they may hold the messages that a span lacks."""
    try:
        from opentelemetry._logs import get_logger_provider  # noqa: PLC0415
        from opentelemetry.sdk._logs import LoggerProvider  # noqa: PLC0415
    except ImportError:
        return  # the SDK's interface for logs is not stable
    present = get_logger_provider()
    if isinstance(present, LoggerProvider):
        _observe_event_provider(present)
    _observe_each(LoggerProvider, _observe_event_provider)


def _observe_each(kind: type, observe_one: Callable[[Any], None]) -> None:
    """Let the constructor of a class call a function with each new object."""
    original = kind.__init__  # type: ignore[misc]

    @functools.wraps(original)
    def constructor(self: Any, *args: Any, **kwargs: Any) -> None:
        original(self, *args, **kwargs)
        observe_one(self)

    kind.__init__ = constructor  # type: ignore[misc]


def _observe_event_provider(provider: Any) -> None:
    processors = provider._multi_log_record_processor
    name = "on_emit" if hasattr(processors, "on_emit") else "emit"
    original = getattr(processors, name)

    def on_emit(data: Any) -> None:
        original(data)
        try:
            if _keeps_events(processors):
                _remember(data.log_record)
        except Exception as error:  # the application's run must not notice
            _note({"failed": type(error).__name__})

    setattr(processors, name, on_emit)


def _keeps_events(processors: Any) -> bool:
    ours = sys.modules.get("label_studio_otel.sdk.log_processor")
    there = getattr(processors, "_log_record_processors", ())
    return ours is not None and any(isinstance(one, ours.LabelStudioLogRecordProcessor) for one in there)


def _remember(record: Any) -> None:
    name = getattr(record, "event_name", None) or (record.attributes or {}).get("event.name")
    if name in MESSAGE_EVENTS and record.span_id and len(_events) < MAX_SPANS_WITH_EVENTS:
        log = LogRecord.from_fields(log_fields_of(record, name, record.trace_id, record.span_id, ""))
        _events.setdefault((log.trace_id, log.span_id), []).append(log)


def _observe_provider(provider: Any) -> None:
    processors = provider._active_span_processor
    original = processors.on_end

    def on_end(span: ReadableSpan) -> None:
        original(span)
        try:
            _note(_line(span, taken=_taken(processors)))
        except Exception as error:  # the application's run must not notice
            _note({"failed": type(error).__name__})

    processors.on_end = on_end


def _line(span: ReadableSpan, *, taken: bool) -> dict[str, Any]:
    scope = span.instrumentation_scope.name if span.instrumentation_scope else ""
    attributes = span.attributes or {}
    line: dict[str, Any] = {"scope": scope}
    if reading.is_llm_call(attributes, scope):
        raw = Span.from_fields(fields_of(span))
        raw = replace(raw, logs=tuple(_events.pop((raw.trace_id, raw.span_id), ())))
        operation, incomplete = _read(raw)
        names = operation_names(attributes, scope, span.name)
        line |= {"operation": operation, "names": names, "incomplete": incomplete, "taken": taken, "key": raw.key}
        line["error"] = raw.status_code == "ERROR"
    return line


def _read(span: Span) -> tuple[str, list[str]]:
    try:
        generation = reading.read(span)
    except DialectError as error:
        return "", [str(error)]
    return generation.operation, [gap.sentence for gap in generation.incomplete]


def _taken(processors: Any) -> bool:
    """Return whether a processor or an exporter of this package is among the processors."""
    ours = sys.modules.get("label_studio_otel.sdk.processor"), sys.modules.get("label_studio_otel.sdk.exporter")
    kinds = tuple(
        getattr(module, name)
        for module, name in zip(ours, ("LabelStudioSpanProcessor", "LabelStudioSpanExporter"), strict=True)
        if module
    )
    there = getattr(processors, "_span_processors", ())
    return any(isinstance(one, kinds) or isinstance(getattr(one, "span_exporter", None), kinds) for one in _all(there))


def _all(processors: Any) -> list[Any]:
    """Return processors, with the processors that they wrap (as those of Logfire do)."""
    found: list[Any] = []
    waiting = list(processors)
    while waiting and len(found) < 100:
        one = waiting.pop()
        found.append(one)
        waiting += [inner for name in ("processor", "_processor") if (inner := getattr(one, name, None)) is not None]
        waiting += list(getattr(one, "_span_processors", ()))
    return found


def _note(line: dict[str, Any]) -> None:
    """Append one line with one system call, so that lines of several processes do not mix."""
    try:
        descriptor = os.open(os.environ[VARIABLE], os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    except (OSError, KeyError):
        return
    try:
        os.write(descriptor, (json.dumps(line) + "\n").encode())
    finally:
        os.close(descriptor)
