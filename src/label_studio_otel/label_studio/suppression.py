"""Keeps our own requests and queries out of the application's traces.

The only file that uses a private name of OpenTelemetry: the context key by which the SDK's exporters suppress
instrumentation (opentelemetry-api, `opentelemetry.context`). The contrib instrumentations read the same key.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from opentelemetry import context

_KEYS = ("_SUPPRESS_INSTRUMENTATION_KEY", "_SUPPRESS_HTTP_INSTRUMENTATION_KEY")


@contextmanager
def suppressed() -> Iterator[None]:
    """Run a block in which this thread's requests are not traced by instrumentations."""
    current = context.get_current()
    for name in _KEYS:
        current = context.set_value(getattr(context, name, "suppress_instrumentation"), True, current)
    token = context.attach(current)
    try:
        yield
    finally:
        context.detach(token)
