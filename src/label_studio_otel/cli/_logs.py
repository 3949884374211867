"""The log of a service on standard error: each line is a sentence or a JSON object.

The object's names are those of OpenTelemetry's log data model
(https://opentelemetry.io/docs/specs/otel/logs/data-model/). Of an exception only the class is logged: its message and
its frames may have content of a call.
"""

from __future__ import annotations

import json
import logging
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime, timezone
from logging.handlers import MemoryHandler
from typing import Any

from label_studio_otel.log import one_line

#: Severity by level of Python's logging: https://opentelemetry.io/docs/specs/otel/logs/data-model/#field-severitynumber
SEVERITIES = {10: ("DEBUG", 5), 20: ("INFO", 9), 30: ("WARN", 13), 40: ("ERROR", 17), 50: ("FATAL", 21)}
OWN_PREFIX = "label-studio-otel: "
#: Number of records that are kept until the format is known.
MAX_HELD_RECORDS = 1000


@contextmanager
def logging_as(log_format: str) -> Iterator[Callable[[str], None]]:
    """Yield a function that sets the format, `text` or `json`; records wait for it, or for the end of the block.

    Args:
        log_format: the format where the function was not called.
    """
    root, ours = logging.getLogger(), logging.getLogger("label_studio_otel")
    stream, level = logging.StreamHandler(sys.stderr), ours.level
    held = MemoryHandler(MAX_HELD_RECORDS, logging.CRITICAL + 1, stream)

    def use(log_format: str) -> None:
        stream.setFormatter(JsonFormatter() if log_format == "json" else TextFormatter())
        held.capacity = 0
        held.flush()

    root.addHandler(held)
    ours.setLevel(logging.INFO)
    try:
        yield use
    finally:
        if stream.formatter is None:
            use(log_format)
        root.removeHandler(held)
        ours.setLevel(level)


class TextFormatter(logging.Formatter):
    """The message alone: journald and container engines add the time."""

    def format(self, record: logging.LogRecord) -> str:
        """See `logging.Formatter.format`."""
        kind = _kind(record)
        message = one_line(record.getMessage())
        return f"{message} ({kind})" if kind else message


class JsonFormatter(logging.Formatter):
    """A JSON object without line breaks."""

    def format(self, record: logging.LogRecord) -> str:
        """See `logging.Formatter.format`."""
        text, number = SEVERITIES.get(record.levelno // 10 * 10, SEVERITIES[20])
        line: dict[str, Any] = {
            "timestamp": datetime.fromtimestamp(record.created, timezone.utc).isoformat().replace("+00:00", "Z"),
            "severity_text": text,
            "severity_number": number,
            "body": record.getMessage().removeprefix(OWN_PREFIX),
            "logger": record.name,
        }
        attributes = {name: value for name, value in vars(record).items() if "." in name}
        if kind := _kind(record):
            attributes["exception.type"] = kind
        if attributes:
            line["attributes"] = attributes
        return json.dumps(line, default=str)


def _kind(record: logging.LogRecord) -> str | None:
    """Return the class name of a record's exception, None where it has none."""
    kind = record.exc_info[0] if record.exc_info else None
    return kind.__qualname__ if kind else None
