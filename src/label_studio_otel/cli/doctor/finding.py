"""A finding of a check, with what corrects it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

OK, WARNING, ERROR = "ok", "warning", "error"


@dataclass(frozen=True, slots=True)
class Finding:
    """One sentence about a set-up."""

    #: error: calls are lost or do not arrive; warning: some may be missed; ok: in order.
    level: str
    #: What was checked, in a word or two.
    subject: str
    #: What was found.
    met: str
    #: The command or the setting that corrects it.
    fix: str | None = None


Findings = Iterator[Finding]


def ok(subject: str, met: str) -> Finding:
    """Return a finding about what is in order."""
    return Finding(OK, subject, met)


def warning(subject: str, met: str, fix: str) -> Finding:
    """Return a finding about what may lose calls or content."""
    return Finding(WARNING, subject, met, fix)


def error(subject: str, met: str, fix: str) -> Finding:
    """Return a finding about what keeps calls from arriving."""
    return Finding(ERROR, subject, met, fix)


def counted(number: int, noun: str) -> str:
    """Return a number and its noun.

    >>> counted(1, "LLM call"), counted(2, "LLM call")
    ('1 LLM call', '2 LLM calls')
    """
    return f"{number} {noun}{'' if number == 1 else 's'}"
