"""Notes for `label-studio-otel doctor -- command` which spans an application makes, and how each of them is read.

It does so only if `LABEL_STUDIO_OTEL_DOCTOR` names a file. Each span is one line of JSON in that file, without content.
It wraps the processors of a provider and adds none: some providers drop their processors when another one is added.
"""

from __future__ import annotations

import functools
import json
import os
import sys
from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from label_studio_otel import reading
from label_studio_otel.calls.selection import operation_names
from label_studio_otel.errors import DialectError
from label_studio_otel.spans import MESSAGE_EVENTS, LogRecord, Span, fields_of, log_fields_of

if TYPE_CHECKING:
    from opentelemetry.sdk.trace import ReadableSpan

#: Names the file of notes. Private: `doctor` sets it.
VARIABLE = "LABEL_STUDIO_OTEL_DOCTOR"
#: Looked up by name, because the application may not have imported them.
OURS = {"LabelStudioSpanProcessor", "LabelStudioSpanExporter", "LabelStudioLogRecordProcessor"}
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

    _observe_each(TracerProvider, trace.get_tracer_provider(), _observe_spans)
    try:
        from opentelemetry._logs import get_logger_provider  # noqa: PLC0415
        from opentelemetry.sdk._logs import LoggerProvider  # noqa: PLC0415
    except ImportError:
        return  # the SDK's interface for logs is not stable
    _observe_each(LoggerProvider, get_logger_provider(), _observe_events)


def _observe_each(kind: type, present: object, observe_one: Callable[[Any], None]) -> None:
    """Call a function with the present provider, if it is of this class, and with each new object of the class."""
    if isinstance(present, kind):
        observe_one(present)
    _call_after(kind, "__init__", lambda provider, *_, **__: observe_one(provider))


def _call_after(owner: Any, name: str, function: Callable[..., None]) -> None:
    """Let each call of a method of an object or a class call a function afterwards, with the same arguments."""
    original = getattr(owner, name)

    @functools.wraps(original)
    def both(*args: Any, **kwargs: Any) -> None:
        original(*args, **kwargs)
        try:
            function(*args, **kwargs)
        except Exception as error:  # the application's run must not notice
            _note({"failed": type(error).__name__})

    setattr(owner, name, both)


def _observe_spans(provider: Any) -> None:
    processors = provider._active_span_processor
    _call_after(processors, "on_end", lambda span: _note(_line(span, taken=_taken(processors))))


def _observe_events(provider: Any) -> None:
    """Observe the log events of calls too: they may hold the messages that a span lacks."""
    processors = provider._multi_log_record_processor
    name = "on_emit" if hasattr(processors, "on_emit") else "emit"
    _call_after(processors, name, lambda data: _remember(data.log_record, processors))


def _is_ours(one: object) -> bool:
    """Return whether an object keeps calls or events: a processor or an exporter of this package."""
    return any(kind.__module__.startswith("label_studio_otel.") and kind.__name__ in OURS for kind in type(one).__mro__)


def _remember(record: Any, processors: Any) -> None:
    name = getattr(record, "event_name", None) or (record.attributes or {}).get("event.name")
    kept = any(_is_ours(one) for one in getattr(processors, "_log_record_processors", ()))
    if kept and name in MESSAGE_EVENTS and record.span_id and len(_events) < MAX_SPANS_WITH_EVENTS:
        log = LogRecord.from_fields(log_fields_of(record, name, record.trace_id, record.span_id, ""))
        _events.setdefault((log.trace_id, log.span_id), []).append(log)


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
    there = _all(getattr(processors, "_span_processors", ()))
    return any(_is_ours(one) or _is_ours(getattr(one, "span_exporter", None)) for one in there)


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
