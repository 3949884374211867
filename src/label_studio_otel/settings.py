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
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

__all__ = ["Destination", "Settings", "directory_name", "labeling_config", "load", "normalized_url"]

DEFAULT_URL = "http://localhost:8080"
#: The callback handler's default; `%` directives are filled with the date of the call.
DEFAULT_PROJECT_NAME = "LangChain-%Y-%m-%d"
MODES = ("prompt", "chat")
DELIVERIES = ("thread", "off")


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


@dataclass(frozen=True, slots=True)
class Settings:
    """What one processor or exporter was told."""

    #: Base URL of Label Studio, without a slash at the end.
    url: str = DEFAULT_URL
    #: Legacy token or personal access token.
    api_key: str | None = field(default=None, repr=False)
    project_id: int | None = None
    #: None: `DEFAULT_PROJECT_NAME`.
    project_name: str | None = None
    #: XML, or the path of a file that holds it.
    project_config: str | None = None
    mode: str = "prompt"
    state_dir: Path = Path()
    #: thread: a daemon thread of the application delivers; off: `label-studio-otel deliver` does.
    delivery: str = "thread"
    #: Seconds, in all, that the exit of the application may take because of us.
    shutdown_timeout: float = 2.0
    include_errors: bool = False
    #: Take these `gen_ai.operation.name` only; None takes every LLM call.
    operations: frozenset[str] | None = None
    #: Seconds of unchanged absence before a batch without an answer counts as not arrived.
    uncertain_wait: float = 900.0
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


def load(arguments: Mapping[str, Any] | None = None, environ: Mapping[str, str] | None = None) -> Settings:
    """Read the settings.

    Args:
        arguments: keyword arguments by name, or the mapping of the SDK's declarative file; None is "not given".
        environ: environment variables; the process's own by default.
    """
    return _Reader(arguments or {}, os.environ if environ is None else environ).read()


def normalized_url(url: str) -> str:
    """Return the URL as it names one server: lower-case scheme and host, no slash at the end, a scheme.

    >>> normalized_url(" HTTPS://Labels.example.com/label-studio/ ")
    'https://labels.example.com/label-studio'
    """
    url = url.strip()
    if "://" not in url:
        url = f"http://{url}"
    scheme, _, rest = url.partition("://")
    host, slash, path = rest.partition("/")
    user, at, address = host.rpartition("@")
    return f"{scheme.lower()}://{user}{at}{address.lower()}{slash}{path}".rstrip("/")


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
        own = "LABEL_STUDIO_OTEL_"
        return Settings(
            url=self._get("url", "LABEL_STUDIO_URL", _url, DEFAULT_URL),
            api_key=self._get("api_key", "LABEL_STUDIO_API_KEY", _text, None),
            project_id=self._get("project_id", "LABEL_STUDIO_PROJECT_ID", _positive, None),
            project_name=self._get("project_name", f"{own}PROJECT_NAME", _text, None),
            project_config=self._get("project_config", f"{own}PROJECT_CONFIG", _text, None),
            mode=self._get("mode", f"{own}MODE", _one_of(MODES), "prompt"),
            state_dir=self._get("state_dir", f"{own}STATE_DIR", _path, None) or _state_dir(self.environ),
            delivery=self._get("delivery", f"{own}DELIVERY", _one_of(DELIVERIES), "thread"),
            shutdown_timeout=self._get("shutdown_timeout", f"{own}SHUTDOWN_TIMEOUT", _seconds, 2.0),
            include_errors=self._get("include_errors", f"{own}INCLUDE_ERRORS", _boolean, False),
            operations=self._get("operations", f"{own}OPERATIONS", _names, None),
            uncertain_wait=self._get("uncertain_wait", f"{own}UNCERTAIN_WAIT", _seconds, 900.0),
            problems=tuple(self.problems),
        )

    def _get(self, name: str, variable: str, parse: Callable[[Any], Any], default: Any) -> Any:
        for source, value in ((name, self.arguments.get(name)), (variable, self.environ.get(variable))):
            if value is None or value == "":
                continue
            try:
                return parse(value)
            except (ValueError, TypeError) as error:
                shown = "" if name == "api_key" else f"={str(value)[:80]!r}"
                self.problems.append(f"{source}{shown} cannot be used: {error}; using {default!r}")
        return default


_ARGUMENTS = frozenset(Settings.__dataclass_fields__) - {"problems"}


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise TypeError("it must be text")
    return value.strip()


def _url(value: Any) -> str:
    url = normalized_url(_text(value))
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise ValueError("it must be a URL such as http://localhost:8080")
    _ = parts.port  # urlsplit finds out only here that a port is no number
    return url


def _positive(value: Any) -> int:
    try:
        number = int(value)
    except ValueError:
        number = 0
    if isinstance(value, bool) or number < 1:
        raise ValueError("it must be the number in the project's address, such as 7")
    return number


def _seconds(value: Any) -> float:
    try:
        seconds = float(value)
    except ValueError:
        seconds = -1.0
    if not 0 <= seconds < 1e9:
        raise ValueError("it must be a number of seconds, 0 or more")
    return seconds


def _boolean(value: Any) -> bool:
    words = {"1": True, "true": True, "yes": True, "on": True, "0": False, "false": False, "no": False, "off": False}
    word = str(value).strip().lower()
    if word not in words:
        raise ValueError("it must be true or false")
    return words[word]


def _one_of(words: tuple[str, ...]) -> Callable[[Any], str]:
    def parse(value: Any) -> str:
        word = str(value).strip().lower()
        if word not in words:
            raise ValueError(f"it must be {' or '.join(words)}")
        return word

    return parse


def _names(value: Any) -> frozenset[str]:
    names = value.split(",") if isinstance(value, str) else list(value)
    if not all(isinstance(name, str) for name in names):
        raise TypeError("it must be names such as chat, text_completion")
    return frozenset(name.strip() for name in names if name.strip())


def _path(value: Any) -> Path:
    return Path(os.path.abspath(os.path.expanduser(os.fspath(value))))  # Path.expanduser raises without a home


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
