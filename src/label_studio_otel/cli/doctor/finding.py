"""What a check found, and how to mend it."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["ERROR", "OK", "WARNING", "Finding", "counted", "error", "ok", "warning"]

OK, WARNING, ERROR = "ok", "warning", "error"


@dataclass(frozen=True, slots=True)
class Finding:
    """One sentence about a set-up."""

    #: error: calls are lost or nothing arrives; warning: something may be missed; ok.
    level: str
    #: What was looked at, in a word or two.
    subject: str
    #: What was met.
    met: str
    #: The command or the setting that mends it.
    fix: str | None = None


def ok(subject: str, met: str) -> Finding:
    """Return what is as it should be."""
    return Finding(OK, subject, met)


def warning(subject: str, met: str, fix: str) -> Finding:
    """Return what may cost something."""
    return Finding(WARNING, subject, met, fix)


def error(subject: str, met: str, fix: str) -> Finding:
    """Return what keeps calls from arriving."""
    return Finding(ERROR, subject, met, fix)


def counted(number: int, noun: str) -> str:
    """Return a number and its noun.

    >>> counted(1, "LLM call"), counted(2, "LLM call")
    ('1 LLM call', '2 LLM calls')
    """
    return f"{number} {noun}{'' if number == 1 else 's'}"
