"""Settings: keyword arguments, then environment variables, then defaults.

The names are those of LangChain's `LabelStudioCallbackHandler`, so that who comes from there changes nothing; every
variable that is ours begins with `LABEL_STUDIO_OTEL_`, because the Label Studio server reads `LABEL_STUDIO_*` itself.
Reading settings never raises and touches neither disk nor network: it runs in the constructor of an exporter, and an
exporter that raises takes everybody's tracing with it. What cannot be used is replaced by its default and listed in
`problems`.
"""

from __future__ import annotations

import hashlib
import os
import re
import sys
import tempfile
import time
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from label_studio_otel.settings import readers
from label_studio_otel.settings.readers import normalized_url

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from dataclasses import Field

__all__ = [
    "SETTINGS",
    "Destination",
    "Setting",
    "Settings",
    "directory_name",
    "labeling_config",
    "load",
    "normalized_url",
]

DEFAULT_URL = "http://localhost:8080"
#: The callback handler's default; `%` directives are filled with the date of the call.
DEFAULT_PROJECT_NAME = "LangChain-%Y-%m-%d"
MODES = ("prompt", "chat")
DELIVERIES = ("thread", "off")
FLUSHES = ("durable", "delivered")


@dataclass(frozen=True, slots=True)
class Destination:
    """Where a task goes, within one Label Studio server. Carried by every record; holds no secret."""

    project_name: str
    project_id: int | None = None
    #: prompt or chat: the labeling config a project is created with.
    mode: str = "prompt"
    #: Labeling config for a project that does not exist yet; not part of the identity.
    project_config: str | None = field(default=None, compare=False)
    #: True where nobody chose the name.
    default_name: bool = False

    def __str__(self) -> str:
        return f"project {self.project_id}" if self.project_id else f"project {self.project_name!r} ({self.mode})"


class Setting(NamedTuple):
    """How a setting is given, and what the documentation says about it."""

    #: The keyword argument, and the key in the SDK's declarative file.
    argument: str
    variable: str
    read: Callable[[Any], Any]
    default: Any
    #: The default as the documentation shows it, in Markdown.
    shown: str
    #: One sentence, in Markdown.
    meaning: str


def _setting(
    read: Callable[[Any], Any],
    default: Any,
    meaning: str,
    *,
    variable: str | None = None,
    shown: str | None = None,
    secret: bool = False,
) -> Any:
    metadata = {"read": read, "meaning": meaning, "variable": variable, "shown": shown}
    return field(default=default, repr=not secret, metadata=metadata)


@dataclass(frozen=True, slots=True)
class Settings:
    """What one processor or exporter was told. Each setting is declared here, and nowhere else."""

    url: str = _setting(
        readers.url,
        DEFAULT_URL,
        "base URL of Label Studio, with a path where it has one",
        variable="LABEL_STUDIO_URL",
    )
    api_key: str | None = _setting(
        readers.text,
        None,
        "legacy token or personal access token",
        variable="LABEL_STUDIO_API_KEY",
        shown="",
        secret=True,
    )
    project_id: int | None = _setting(
        readers.positive,
        None,
        "the number in the project's address; wins over the name",
        variable="LABEL_STUDIO_PROJECT_ID",
        shown="",
    )
    project_name: str | None = _setting(
        readers.text,
        None,
        "exact title; made where there is none; `%` is the date of the call",
        shown=f"`{DEFAULT_PROJECT_NAME}`",
    )
    project_config: str | None = _setting(
        readers.text, None, "labeling config of a new project, XML or a file's path", shown="that of the mode"
    )
    mode: str = _setting(readers.one_of(MODES), "prompt", "`prompt` or `chat`: what a new project shows")
    operations: frozenset[str] | None = _setting(
        readers.names,
        None,
        "take calls of these operations only, as they are read: `chat`, `text_completion`",
        shown="all",
    )
    include_errors: bool = _setting(readers.boolean, False, "make tasks of failed calls too")
    trace_link: str | None = _setting(
        readers.link,
        None,
        "URL of a trace in your backend, with `{trace_id}` and `{span_id}`; tasks link to it",
        shown="",
    )
    state_dir: Path = _setting(  # noqa: RUF009 - it returns a field
        readers.path, None, "where calls wait until they have arrived", shown="`~/.local/state/label-studio-otel`"
    )
    delivery: str = _setting(
        readers.one_of(DELIVERIES), "thread", "`thread`, or `off` to leave it to `label-studio-otel deliver`"
    )
    shutdown_timeout: float = _setting(readers.seconds, 2.0, "seconds, in all, that the exit may take because of us")
    flush: str = _setting(
        readers.one_of(FLUSHES),
        "durable",
        "what `force_flush` waits for: `durable`, that calls survive this process, or `delivered`, that they are tasks",
    )
    uncertain_wait: float = _setting(
        readers.seconds, 900.0, "seconds of looking before a batch without an answer counts as not arrived"
    )
    max_task_bytes: int = _setting(
        readers.size(16 * 1024), 1024 * 1024, "bytes of a task's JSON; what does not fit is cut, and the task says so"
    )
    max_image_bytes: int = _setting(
        readers.size(0),
        256 * 1024,
        "bytes of an inline image that a task shows; of a larger one, type, size and hash are given",
    )
    max_state_bytes: int = _setting(
        readers.size(0),
        1 << 30,
        "bytes of calls that may wait on the disk for one Label Studio; beyond, it counts as full; `0` is without end",
    )
    max_age: float = _setting(
        readers.seconds,
        0.0,
        "seconds after which a call that could not be delivered is given up, counted and said; `0` keeps all",
    )
    #: One sentence for each setting that could not be used.
    problems: tuple[str, ...] = ()

    @property
    def directory(self) -> Path:
        """The part of the state directory that belongs to this Label Studio server."""
        return self.state_dir / directory_name(self.url)

    def destination(self, start_time_unix_nano: int) -> Destination:
        """Where a call that began then goes."""
        pattern = self.project_name or DEFAULT_PROJECT_NAME
        return Destination(
            project_name=_dated(pattern, start_time_unix_nano),
            project_id=self.project_id,
            mode=self.mode,
            project_config=self.project_config,
            default_name=self.project_name is None,
        )


def _declared(one: Field[Any]) -> Setting:
    about = one.metadata
    variable = about["variable"] or f"LABEL_STUDIO_OTEL_{one.name.upper()}"
    shown = about["shown"] if about["shown"] is not None else f"`{_written(one.default)}`"
    return Setting(one.name, variable, about["read"], one.default, shown, about["meaning"])


def _written(value: Any) -> str:
    """Return a default as one writes it into a variable."""
    if isinstance(value, bool):
        return str(value).lower()
    return f"{value:g}" if isinstance(value, float) else str(value)


#: Every setting, in the order of the documentation.
SETTINGS = tuple(_declared(one) for one in fields(Settings) if one.metadata)
_ARGUMENTS = frozenset(setting.argument for setting in SETTINGS)


def load(arguments: Mapping[str, Any] | None = None, environ: Mapping[str, str] | None = None) -> Settings:
    """Read the settings.

    Args:
        arguments: keyword arguments by name, or the mapping of the SDK's declarative file; None is "not given".
        environ: environment variables; the process's own by default.
    """
    return _Reader(arguments or {}, os.environ if environ is None else environ).read()


def labeling_config(value: str | None) -> str | None:
    """Return a labeling config given as XML or as the path of a file.

    Raises:
        OSError, ValueError: there is no readable file of that name.
    """
    if value is None or value.lstrip().startswith("<"):
        return value
    return Path(value).expanduser().read_text("utf-8")


def directory_name(url: str) -> str:
    """Return the name of the folder of a server: readable, and one per URL."""
    digest = hashlib.sha256(url.encode("utf-8", "replace")).hexdigest()[:8]
    readable = re.sub(r"[^A-Za-z0-9.]+", "-", url.partition("://")[2].rpartition("@")[2])[:60].strip("-.")
    return f"{readable}-{digest}"


class _Reader:
    """Takes the value of each setting from the first source that has a usable one."""

    def __init__(self, arguments: Mapping[str, Any], environ: Mapping[str, str]) -> None:
        self.arguments = arguments
        self.environ = environ
        self.problems: list[str] = []

    def read(self) -> Settings:
        unknown = sorted(set(self.arguments) - _ARGUMENTS)
        if unknown:
            self.problems.append(
                f"unknown setting{'s' if len(unknown) > 1 else ''} {', '.join(unknown)} ignored; "
                f"known are {', '.join(sorted(_ARGUMENTS))}"
            )
        given = {setting.argument: self._get(setting) for setting in SETTINGS}
        given["state_dir"] = given["state_dir"] or _state_dir(self.environ)
        return Settings(**given, problems=tuple(self.problems))

    def _get(self, setting: Setting) -> Any:
        name, variable = setting.argument, setting.variable
        for source, value in ((name, self.arguments.get(name)), (variable, self.environ.get(variable))):
            if value is None or value == "":
                continue
            try:
                return setting.read(value)
            except (ValueError, TypeError, ArithmeticError) as error:
                shown = "" if name == "api_key" else f"={re.sub('[^/]*@', '', str(value))[:80]!r}"
                self.problems.append(f"{source}{shown} cannot be used: {error}; using {setting.default!r}")
        return setting.default


def _state_dir(environ: Mapping[str, str]) -> Path:
    """Return where applications keep state: XDG's directory, `%LOCALAPPDATA%` on Windows, else the temporary one."""
    if sys.platform == "win32":
        base = environ.get("LOCALAPPDATA")
    else:
        home = environ.get("HOME")
        base = environ.get("XDG_STATE_HOME") or (f"{home}/.local/state" if home else None)
    if base and os.path.isabs(base):
        return Path(base, "label-studio-otel")
    user = os.getuid() if hasattr(os, "getuid") else "user"
    return Path(tempfile.gettempdir(), f"label-studio-otel-{user}")


def _dated(pattern: str, unix_nano: int) -> str:
    """Fill the pattern's `%` directives with the local date of the call."""
    if "%" not in pattern:
        return pattern
    try:
        return time.strftime(pattern, time.localtime(unix_nano // 1_000_000_000))
    except (ValueError, OverflowError, OSError):
        return pattern
