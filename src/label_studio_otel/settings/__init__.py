"""Reads the settings of an application: keyword arguments, then environment variables, then defaults.

Texts and objects that a user gave come in, a frozen `Settings` goes out. Reading settings never raises and uses neither
disk nor network, because it runs in the constructor of an exporter: an exception there stops all tracing of the
application. A value that cannot be used is replaced by the default and listed in `problems`.

    __init__.py       Settings: every setting of an application, declared once; Destination: where a call's task goes
    declaration.py    how settings are declared and their values are found; the bridge uses it too
    readers.py        check and convert what a user wrote

The names of the settings are those of LangChain's `LabelStudioCallbackHandler`, so that its users keep them. New
variables begin with `LABEL_STUDIO_OTEL_`, because the Label Studio server reads `LABEL_STUDIO_*` itself.
"""

from __future__ import annotations

import hashlib
import os
import re
import sys
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from os import PathLike
from pathlib import Path
from typing import Any, TypedDict, TypeVar

from label_studio_otel.settings import readers
from label_studio_otel.settings.declaration import Setting, read_values, setting, settings_of

_Class = TypeVar("_Class")
#: The default of LangChain's callback handler; `%` directives are replaced by the date of the call.
DEFAULT_PROJECT_NAME = "LangChain-%Y-%m-%d"
#: Databases have no larger integers, neither Label Studio's nor the outbox.
LARGEST_ID = 2**63 - 1


@dataclass(frozen=True, slots=True)
class Destination:
    """The project in one Label Studio server that a task goes to. Every record carries it; it holds no secret."""

    project_name: str
    project_id: int | None = None
    #: `prompt` or `chat`: which labeling config a new project gets.
    mode: str = "prompt"
    #: Labeling config of a new project; destinations that differ only in it are equal.
    project_config: str | None = field(default=None, compare=False)
    #: Whether the project's name is the default.
    default_name: bool = False

    def __str__(self) -> str:
        return f"project {self.project_id}" if self.project_id else f"project {self.project_name!r} ({self.mode})"


@dataclass(frozen=True, slots=True)
class Settings:
    """The settings of one processor, exporter or command. Each setting is declared here, and nowhere else.

    Its type for callers is in `SettingsArguments`.
    """

    url: str = setting(
        readers.url,
        "http://localhost:8080",
        "base URL of Label Studio, with a path where it has one",
        variable="LABEL_STUDIO_URL",
        option="--url",
    )
    api_key: str | None = setting(
        readers.text, None, "legacy token or personal access token", variable="LABEL_STUDIO_API_KEY", secret=True
    )
    project_id: int | None = setting(
        readers.in_range(int, 1, LARGEST_ID, "the number in the project's address, such as 7"),
        None,
        "the number in the project's address; wins over the name",
        variable="LABEL_STUDIO_PROJECT_ID",
        option="--project-id",
    )
    project_name: str | None = setting(
        readers.text,
        None,
        "the project's exact title; a project is created where none has it; `%` directives are the date of the call",
        shown=f"`{DEFAULT_PROJECT_NAME}`",
        option="--project-name",
    )
    project_config: str | None = setting(
        readers.text,
        None,
        "labeling config of a new project, XML or a file's path",
        shown="that of the mode",
        option="--project-config",
    )
    mode: str = setting(
        readers.one_of(("prompt", "chat")), "prompt", "`prompt` or `chat`: what a new project shows", option="--mode"
    )
    operations: frozenset[str] | None = setting(
        readers.names, None, "make tasks of these operations only: `chat`, `text_completion`", shown="all"
    )
    include_errors: bool = setting(readers.boolean, False, "make tasks of failed calls too")
    trace_link: str | None = setting(
        readers.link,
        None,
        "URL of a trace in your backend, with `{trace_id}` and `{span_id}`; tasks link to it",
        shared=True,
    )
    state_dir: Path = setting(
        readers.path,
        None,
        "directory where calls wait until they are delivered",
        shown="`~/.local/state/label-studio-otel`",
        option="--state-dir",
    )
    delivery: str = setting(
        readers.one_of(("thread", "off")),
        "thread",
        "`thread`, or `off` to leave it to `label-studio-otel deliver`",
        shared=True,
    )
    shutdown_timeout: float = setting(
        readers.seconds, 2.0, "seconds, in all, that delivery may take when the process ends"
    )
    flush: str = setting(
        readers.one_of(("durable", "delivered")),
        "durable",
        "what `force_flush` waits for: `durable`, that calls survive this process, or `delivered`, that they are tasks",
    )
    uncertain_wait: float = setting(
        readers.seconds,
        900.0,
        "seconds of look-ups after which a task that is missing counts as not arrived",
        shared=True,
    )
    max_task_bytes: int = setting(
        readers.size(16 * 1024),
        1024 * 1024,
        "bytes of a task's JSON; what does not fit is cut, and the task says so",
        shared=True,
    )
    max_image_bytes: int = setting(
        readers.size(0),
        256 * 1024,
        "bytes of an inline image that a task shows; of a larger one, type, size and hash are given",
        shared=True,
    )
    max_state_bytes: int = setting(
        readers.size(0),
        1 << 30,
        "bytes of calls that may wait on the disk for one Label Studio; beyond, it counts as full; `0` is no limit",
        shared=True,
    )
    max_age: float = setting(
        readers.seconds,
        0.0,
        "seconds after which a call that could not be delivered is given up, counted and logged; `0` keeps all",
        shared=True,
    )
    #: One sentence for each given value that cannot be used.
    problems: tuple[str, ...] = ()

    @property
    def directory(self) -> Path:
        """The directory below the state directory that belongs to this Label Studio server."""
        return self.state_dir / directory_name(self.url)

    def destination(self, start_time_unix_nano: int) -> Destination:
        """Return the destination of a call that began at this time."""
        name = self.project_name or DEFAULT_PROJECT_NAME
        if "%" in name:
            with suppress(ValueError, OverflowError, OSError):  # the name is no pattern, or the time no date
                name = time.strftime(name, time.localtime(start_time_unix_nano // 1_000_000_000))
        return Destination(
            project_name=name,
            project_id=self.project_id,
            mode=self.mode,
            project_config=self.project_config,
            default_name=self.project_name is None,
        )


class SettingsArguments(TypedDict, total=False):
    """The settings as keyword arguments, for type checkers: the same names as in `Settings`."""

    url: str | None
    api_key: str | None
    project_id: int | str | None
    project_name: str | None
    project_config: str | None
    mode: str | None
    operations: Iterable[str] | None
    include_errors: bool | None
    trace_link: str | None
    state_dir: str | PathLike[str] | None
    delivery: str | None
    shutdown_timeout: float | None
    flush: str | None
    uncertain_wait: float | None
    max_task_bytes: int | None
    max_image_bytes: int | None
    max_state_bytes: int | None
    max_age: float | None


#: Every setting, in the order of the documentation.
SETTINGS = settings_of(Settings, "LABEL_STUDIO_OTEL_")


def load(
    arguments: Mapping[str, Any] | None = None,
    environ: Mapping[str, str] | None = None,
    file: Mapping[str, Any] | None = None,
) -> Settings:
    """Return the settings. Never raises: what cannot be used is in `problems`.

    Args:
        arguments: keyword arguments by name, or the mapping of the SDK's declarative file; None is "not given".
        environ: environment variables; by default those of the process.
        file: values from a configuration file of the bridge, by key.
    """
    arguments, environ, file = arguments or {}, os.environ if environ is None else environ, file or {}

    def given(one: Setting) -> Iterator[tuple[str, Any]]:
        yield one.key, arguments.get(one.key)
        yield one.variable, environ.get(one.variable)
        yield f"label_studio.{one.key}", file.get(one.key)

    values, unusable = read_values(SETTINGS, given)
    problems = [f"{sentence}; using {one.default!r}" for one, sentence in unusable]
    values["state_dir"] = values["state_dir"] or _state_dir(environ)
    return Settings(**values, problems=(*_unknown(arguments), *problems))


def _unknown(arguments: Mapping[str, Any]) -> list[str]:
    known = {one.key for one in SETTINGS}
    if not (unknown := sorted(map(str, arguments.keys() - known))):
        return []
    several = "s" if len(unknown) > 1 else ""
    return [f"unknown setting{several} {', '.join(unknown)} ignored; known are {', '.join(sorted(known))}"]


def documents_settings(documented: type[_Class]) -> type[_Class]:
    """Return the class with the settings in its docstring, for `help()`; it takes them as keyword arguments."""
    if documented.__doc__:  # `python -OO` removes docstrings
        rows = (f"        {one.key}: {one.meaning}\n            ({_given_by(one)})" for one in SETTINGS)
        documented.__doc__ = "\n".join((documented.__doc__.rstrip(), "", "    Settings:", *rows, "    "))
    return documented


def _given_by(one: Setting) -> str:
    return f"`{one.variable}`{f', default: {one.shown}' if one.shown else ''}{', shared' if one.shared else ''}"


def labeling_config(value: str | None) -> str | None:
    """Return a labeling config as XML; the value is XML, or the path of a file that holds it.

    Raises:
        OSError, ValueError: the file cannot be read as UTF-8.
    """
    if value is None or value.lstrip().startswith("<"):
        return value
    return Path(value).expanduser().read_text("utf-8")


def directory_name(url: str) -> str:
    """Return the name of a server's directory: readable, and different for each URL."""
    digest = hashlib.sha256(url.encode("utf-8", "replace")).hexdigest()[:8]
    readable = re.sub(r"[^A-Za-z0-9.]+", "-", url.partition("://")[2].rpartition("@")[2])[:60].strip("-.")
    return f"{readable}-{digest}"


def _state_dir(environ: Mapping[str, str]) -> Path:
    """Return the default state directory: below XDG's directory, `%LOCALAPPDATA%` on Windows, or the temporary one."""
    if sys.platform == "win32":
        base = environ.get("LOCALAPPDATA")
    else:
        home = environ.get("HOME")
        base = environ.get("XDG_STATE_HOME") or (f"{home}/.local/state" if home else None)
    if base and os.path.isabs(base):
        return Path(base, "label-studio-otel")
    import tempfile  # noqa: PLC0415 - 2 ms that an application with a home directory need not pay

    user = os.getuid() if hasattr(os, "getuid") else "user"
    return Path(tempfile.gettempdir(), f"label-studio-otel-{user}")
