"""Notes for `label-studio-otel doctor -- command` which spans an application's run makes, and what becomes of them.

Only where `LABEL_STUDIO_OTEL_DOCTOR` names a file; each span is one line of JSON there, without anything that was said.
Processors are not added but listened to: some providers drop what they have when another one is added.
"""

from __future__ import annotations

import functools
import json
import os
import sys
from typing import TYPE_CHECKING, Any

from label_studio_otel import dialects
from label_studio_otel.errors import DialectError
from label_studio_otel.spans import Span, fields_of

if TYPE_CHECKING:
    from opentelemetry.sdk.trace import ReadableSpan

__all__ = ["VARIABLE", "observe"]

#: Private: `doctor` sets it.
VARIABLE = "LABEL_STUDIO_OTEL_DOCTOR"

_observing = False


def observe() -> None:
    """Listen to every tracer provider of this process: the one that is there, and those made from now on."""
    global _observing  # noqa: PLW0603 - the hook and `sitecustomize` may both ask
    if _observing or not os.environ.get(VARIABLE):
        return
    _observing = True
    _note({"began": os.getpid(), "python": sys.executable})

    from opentelemetry import trace  # noqa: PLC0415
    from opentelemetry.sdk.trace import TracerProvider  # noqa: PLC0415

    present = trace.get_tracer_provider()
    if isinstance(present, TracerProvider):
        _listen(present)
    original = TracerProvider.__init__

    @functools.wraps(original)
    def listening(self: TracerProvider, *args: Any, **kwargs: Any) -> None:
        original(self, *args, **kwargs)
        _listen(self)

    TracerProvider.__init__ = listening  # type: ignore[method-assign]


def _listen(provider: Any) -> None:
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
    if dialects.is_llm_call(attributes, scope):
        raw = Span.from_fields(fields_of(span))
        operation, incomplete = _read(raw)
        line |= {"operation": operation, "incomplete": incomplete, "taken": taken, "key": raw.key}
        line["error"] = raw.status_code == "ERROR"
    return line


def _read(span: Span) -> tuple[str, list[str]]:
    try:
        generation = dialects.read(span)
    except DialectError as error:
        return "", [str(error)]
    return generation.operation, [gap.sentence for gap in generation.incomplete]


def _taken(processors: Any) -> bool:
    """Tell whether a processor or an exporter of ours is among them."""
    ours = sys.modules.get("label_studio_otel.processor"), sys.modules.get("label_studio_otel.exporter")
    kinds = tuple(
        getattr(module, name)
        for module, name in zip(ours, ("LabelStudioSpanProcessor", "LabelStudioSpanExporter"), strict=True)
        if module
    )
    there = getattr(processors, "_span_processors", ())
    return any(isinstance(one, kinds) or isinstance(getattr(one, "span_exporter", None), kinds) for one in _all(there))


def _all(processors: Any) -> list[Any]:
    """Return processors and those that they wrap (Logfire's do)."""
    found: list[Any] = []
    waiting = list(processors)
    while waiting and len(found) < 100:
        one = waiting.pop()
        found.append(one)
        waiting += [inner for name in ("processor", "_processor") if (inner := getattr(one, name, None)) is not None]
        waiting += list(getattr(one, "_span_processors", ()))
    return found


def _note(line: dict[str, Any]) -> None:
    """Append one line with one system call, so that the lines of several processes do not mix."""
    try:
        descriptor = os.open(os.environ[VARIABLE], os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    except (OSError, KeyError):
        return
    try:
        os.write(descriptor, (json.dumps(line) + "\n").encode())
    finally:
        os.close(descriptor)
