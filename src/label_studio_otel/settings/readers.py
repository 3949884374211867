"""The values of settings: from what a person wrote to what the code uses.

A reader takes text from a variable, or any value that an argument or a declarative file has. It raises ValueError or
TypeError with the words "it must be …" where the value cannot be used, and touches neither disk nor network.
"""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = [
    "boolean",
    "link",
    "names",
    "normalized_url",
    "one_of",
    "path",
    "positive",
    "seconds",
    "size",
    "text",
    "url",
]

#: What a URL may hold (RFC 3986): nothing that ends an attribute of HTML, or begins a tag.
_URL = re.compile(r"[\w.~:/?#\[\]@!$&'()*+,;=%-]+", re.ASCII)
_LONGEST_LINK = 1000


def normalized_url(url: str) -> str:
    """Return the URL as it names one server: lower-case scheme and host, no slash at the end, a scheme.

    A user and password are left out: Label Studio takes a token, and this URL is logged.

    >>> normalized_url(" HTTPS://Labels.example.com/label-studio/ ")
    'https://labels.example.com/label-studio'
    """
    url = url.strip()
    if "://" not in url:
        url = f"http://{url}"
    scheme, _, rest = url.partition("://")
    host, slash, path = rest.partition("/")
    return f"{scheme.lower()}://{host.rpartition('@')[2].lower()}{slash}{path}".rstrip("/")


def text(value: Any) -> str:
    """Return text without the white space around it."""
    if not isinstance(value, str):
        raise TypeError("it must be text")
    return value.strip()


def url(value: Any) -> str:
    """Return the normalized base URL of a server."""
    normal = normalized_url(text(value))
    parts = urlsplit(normal)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise ValueError("it must be a URL such as http://localhost:8080")
    _ = parts.port  # urlsplit finds out only here that a port is no number
    return normal


def link(value: Any) -> str:
    """Return the template of a link to a trace: a URL with `{trace_id}`, and `{span_id}` where the backend knows it."""
    template = text(value)
    filled = template.replace("{trace_id}", "0" * 32).replace("{span_id}", "0" * 16)
    parts = urlsplit(filled)
    if parts.scheme not in ("http", "https") or not parts.hostname or "{" in urlsplit(template).netloc:
        raise ValueError("it must be a URL such as http://localhost:16686/trace/{trace_id}")
    if "@" in parts.netloc:
        raise ValueError("it must be without user and password, as every labeler sees it")
    if "{trace_id}" not in template or not _URL.fullmatch(filled):
        raise ValueError("it must have {trace_id}, may have {span_id}, and anything else as it stands in a URL")
    if len(template) > _LONGEST_LINK:
        raise ValueError(f"it must be {_LONGEST_LINK} characters long at most")
    _ = parts.port
    return template


def positive(value: Any) -> int:
    """Return a project's number."""
    try:
        number = int(value)
    except ValueError:
        number = 0
    if isinstance(value, bool) or number < 1:
        raise ValueError("it must be the number in the project's address, such as 7")
    return number


def seconds(value: Any) -> float:
    """Return a number of seconds, 0 or more."""
    try:
        seconds = float(value)
    except ValueError:
        seconds = -1.0
    if not 0 <= seconds < 1e9:
        raise ValueError("it must be a number of seconds, 0 or more")
    return seconds


def size(least: int) -> Callable[[Any], int]:
    """Return a reader of a number of bytes."""

    def parse(value: Any) -> int:
        try:
            number = int(value)
        except ValueError:
            number = -1
        if isinstance(value, bool) or number < least:
            raise ValueError(f"it must be a number of bytes, {least} or more")
        return number

    return parse


def boolean(value: Any) -> bool:
    """Return what a word such as `true`, `yes`, `on` or `1`, or its opposite, means."""
    words = {"1": True, "true": True, "yes": True, "on": True, "0": False, "false": False, "no": False, "off": False}
    word = str(value).strip().lower()
    if word not in words:
        raise ValueError("it must be true or false")
    return words[word]


def one_of(words: tuple[str, ...]) -> Callable[[Any], str]:
    """Return a reader of one of these words."""

    def parse(value: Any) -> str:
        word = str(value).strip().lower()
        if word not in words:
            raise ValueError(f"it must be {' or '.join(words)}")
        return word

    return parse


def names(value: Any) -> frozenset[str]:
    """Return a set of names, given as a list or separated by commas."""
    found = value.split(",") if isinstance(value, str) else list(value)
    if not all(isinstance(name, str) for name in found):
        raise TypeError("it must be names such as chat, text_completion")
    return frozenset(name.strip() for name in found if name.strip())


def path(value: Any) -> Path:
    """Return an absolute path; `~` is the home directory."""
    return Path(os.path.abspath(os.path.expanduser(os.fspath(value))))  # Path.expanduser raises without a home
