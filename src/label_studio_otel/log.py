"""Logs what a user must know, each warning once.

The log is the application's, so a warning is repeated only after its cause was over. Messages name settings, files and
ids, never content and never a token. Each is one line, whatever it names: a sender of spans must not be able to write
lines of its own.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any

from label_studio_otel import process

#: Characters of a message, and of a name in it that came from outside.
MAX_LINE, MAX_NAME = 2000, 100

_logger = logging.getLogger("label_studio_otel")
_said: set[str] = set()
#: Topics that are remembered. They hold names that come from outside, and a process may run for years.
MAX_TOPICS = 1000


def warn_once(topic: str, message: str) -> None:
    """Log a warning, unless there was one about this topic and it is not resolved."""
    with process.lock:
        if topic in _said:
            return
        if len(_said) >= MAX_TOPICS:
            _said.pop()  # any of them; its warning may be repeated
        _said.add(topic)
    _logger.warning("label-studio-otel: %s", one_line(message))


def warning(message: str) -> None:
    """Log a warning of one event, as often as there are such events; nothing is remembered."""
    _logger.warning("label-studio-otel: %s", one_line(message))


def resolved(topic: str, message: str) -> None:
    """Log that the cause of a warning is over, if there was a warning about this topic, and forget that."""
    with process.lock:
        if topic not in _said:
            return
        _said.discard(topic)
    _logger.info("label-studio-otel: %s", one_line(message))


def one_line(text: str) -> str:
    """Return a text cut to `MAX_LINE` characters, with line ends and terminal controls escaped."""
    if len(text) > MAX_LINE:
        text = f"{text[:MAX_LINE]}…"
    if text.isprintable():
        return text
    return "".join(one if one.isprintable() else one.encode("unicode_escape").decode() for one in text)


def quoted(name: str) -> str:
    """Return a name that came from outside for use in a message: in quotes, escaped, cut to `MAX_NAME` characters."""
    return repr(name) if len(name) <= MAX_NAME else f"{name[:MAX_NAME]!r}…"


def kind(error: BaseException) -> str:
    """Return the type and the place of an unexpected error, without its message, which may quote content."""
    last = error.__traceback__
    while last is not None and last.tb_next is not None:
        last = last.tb_next
    where = f" in {last.tb_frame.f_code.co_name}, line {last.tb_lineno}" if last else ""
    return f"{type(error).__name__}{where}"


def info(message: str, attributes: Mapping[str, Any] | None = None) -> None:
    """Log what a user may like to know. Attributes are for logs in JSON; their names contain a dot."""
    _logger.info("label-studio-otel: %s", one_line(message), extra=attributes)


def error(message: str) -> None:
    """Log why a request or a command fails."""
    _logger.error("label-studio-otel: %s", one_line(message))
