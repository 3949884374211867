"""One line for what a user must know, said once.

The application's own logs are not ours to fill: a message is said again only after it had stopped being true.
Messages name settings, files and ids, never content and never a token. Each is one line, whatever it names: who may
send spans must not be able to write lines of their own.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

from label_studio_otel import process

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = [
    "MAX_TOPICS",
    "error",
    "info",
    "kind",
    "one_line",
    "quoted",
    "resolved",
    "warn_once",
    "warning",
]

#: Characters of a message, and of a name in it that others chose.
MAX_LINE, MAX_NAME = 2000, 100

_logger = logging.getLogger("label_studio_otel")
_said: set[str] = set()
#: Warnings that are remembered. Topics hold names that come from outside, and a process may run for years.
MAX_TOPICS = 1000


def warn_once(topic: str, message: str) -> None:
    """Log a warning unless one about this topic stands."""
    with process.lock:
        if topic in _said:
            return
        if len(_said) >= MAX_TOPICS:
            _said.pop()  # any one: it may be said again
        _said.add(topic)
    _logger.warning("label-studio-otel: %s", one_line(message))


def warning(message: str) -> None:
    """Log a warning of what happened just now, however often that is; nothing is remembered."""
    _logger.warning("label-studio-otel: %s", one_line(message))


def resolved(topic: str, message: str) -> None:
    """Forget the warning about a topic, and log that it is over; log nothing where no warning stands."""
    with process.lock:
        if topic not in _said:
            return
        _said.discard(topic)
    _logger.info("label-studio-otel: %s", one_line(message))


def one_line(text: str) -> str:
    """Return a text with what ends a line or steers a terminal escaped, and cut to `MAX_LINE` characters."""
    if len(text) > MAX_LINE:
        text = f"{text[:MAX_LINE]}…"
    if text.isprintable():
        return text
    return "".join(one if one.isprintable() else one.encode("unicode_escape").decode() for one in text)


def quoted(name: str) -> str:
    """Return a name that came from outside as it may stand in a message: in quotes, escaped, cut to `MAX_NAME`."""
    return repr(name) if len(name) <= MAX_NAME else f"{name[:MAX_NAME]!r}…"


def kind(error: BaseException) -> str:
    """Return what an unexpected error is and where, without its message, which may quote what somebody said."""
    last = error.__traceback__
    while last is not None and last.tb_next is not None:
        last = last.tb_next
    where = f" in {last.tb_frame.f_code.co_name}, line {last.tb_lineno}" if last else ""
    return f"{type(error).__name__}{where}"


def info(message: str, attributes: Mapping[str, Any] | None = None) -> None:
    """Log what a user may like to know.

    Args:
        attributes: what it is about, for logs that programs read; names have a dot in them.
    """
    _logger.info("label-studio-otel: %s", one_line(message), extra=attributes)


def error(message: str) -> None:
    """Log why something cannot be done that was asked for."""
    _logger.error("label-studio-otel: %s", one_line(message))
