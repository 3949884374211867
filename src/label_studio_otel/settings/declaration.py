"""Declares settings as fields of a dataclass, and reads their values from the places where a user can give them.

A setting is declared once, with `setting(...)` in the body of a dataclass. Its keyword argument, its environment
variable, its command-line option, its key in a YAML file and its row in the documentation follow from that declaration.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from dataclasses import MISSING, field, fields
from typing import Any, NamedTuple


class Setting(NamedTuple):
    """How a user can give one setting, and what the documentation says about it."""

    #: The field's name; of a field in a section, the section's name and a dot stand before it: `tls.cert_file`.
    key: str
    #: The environment variable.
    variable: str
    #: Returns the value that the code uses, or raises ValueError or TypeError with "it must be …".
    read: Callable[[Any], Any]
    default: Any
    #: The default as the documentation shows it, in Markdown; empty where the documentation shows none.
    shown: str
    #: What the setting does: one sentence without its full stop, in Markdown.
    meaning: str
    #: The command-line option; it has no value where the default is False. None for no option.
    option: str | None
    #: Whether the value must not appear in logs, on command lines and in configuration files.
    secret: bool
    #: Whether all processors and exporters of a process for one server use the value of the first one.
    shared: bool

    @property
    def argument(self) -> str:
        """The keyword argument, and the name among the parsed command-line options."""
        return self.key.replace(".", "_")


def setting(
    read: Callable[[Any], Any],
    default: Any,
    meaning: str,
    *,
    variable: str = "",
    shown: str | None = None,
    option: str | None = None,
    secret: bool = False,
    shared: bool = False,
) -> Any:
    """Return the dataclass field that declares a setting; the parameters are those of `Setting`.

    A variable that is not given has the name of the option, else of the key; `shown` that is not given is the default
    itself. A default of `dataclasses.MISSING` declares a field that every object needs.
    """
    value = None if default is MISSING else default
    shown = _markdown(value) if shown is None else shown
    declared = Setting("", variable, read, value, shown, meaning, option, secret, shared)
    return field(default=default, repr=not secret, metadata={"setting": declared})


def section(declared_in: type, default: Any) -> Any:
    """Return the dataclass field that holds a section: an object of another dataclass of settings."""
    return field(default=default, metadata={"section": declared_in})


def settings_of(declared_in: type, prefix: str, within: str = "") -> tuple[Setting, ...]:
    """Return the settings that a dataclass declares, with those of its sections, in the order of the fields.

    Their variables' names begin with `prefix`. Of a section, `within` is its key and a dot.
    """
    found: list[Setting] = []
    for one in fields(declared_in):
        key = f"{within}{one.name}"
        if inner := one.metadata.get("section"):
            found += settings_of(inner, prefix, f"{key}.")
        elif declared := one.metadata.get("setting"):
            name = declared.option.removeprefix("--") if declared.option else key
            variable = declared.variable or prefix + re.sub("[.-]", "_", name).upper()
            found.append(declared._replace(key=key, variable=variable))
    return tuple(found)


def read_values(
    settings: Iterable[Setting], given: Callable[[Setting], Iterable[tuple[str, Any]]]
) -> tuple[dict[str, Any], list[tuple[Setting, str]]]:
    """Return the value of each setting by key, and a sentence for each given value that cannot be used. Never raises.

    `given` returns the places of a setting in order, each with its name and the value there; None and empty text mean
    that nothing is given there. A setting has the first of these values that can be used, else its default.
    """
    problems: list[tuple[Setting, str]] = []

    def value_of(one: Setting) -> Any:
        for place, value in given(one):
            try:
                if value is None or (isinstance(value, str) and not value):
                    continue
                return one.read(value)
            except Exception as error:  # a value from the application's code can be any object
                problems.append((one, f"{place}{_quoted(one, value)} cannot be used: {_text(error)}"))
        return one.default

    return {one.key: value_of(one) for one in settings}, problems


def _quoted(one: Setting, value: Any) -> str:
    """Return the value as a message may show it: no secret, and of a URL neither user nor password."""
    if one.secret:
        return ""
    # Split, because the time of an expression such as "[^/]*@" grows with the square of the text's length.
    shown = "/".join(part.rpartition("@")[2] for part in _text(value).split("/"))
    return f"={shown[:80]!r}"


def _text(value: object) -> str:
    """Return an object's text; the name of its type where it has none."""
    try:
        return str(value)
    except Exception:  # of the application's code, too
        return type(value).__name__


def _markdown(default: Any) -> str:
    """Return a default as a user writes it into a variable, in Markdown; empty for None."""
    if default is None:
        return ""
    if isinstance(default, bool):
        return f"`{str(default).lower()}`"
    return f"`{default:g}`" if isinstance(default, float) else f"`{default}`"
