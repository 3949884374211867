"""Reads the values of settings: each reader turns what a user wrote into the value that the code uses.

A reader takes text from an environment variable, or any object from a keyword argument or a declarative file. It raises
ValueError or TypeError with "it must be …" where the value cannot be used. It uses neither disk nor network.
"""

from __future__ import annotations

import math
import os
import re
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import urlsplit

#: The characters of a URL (RFC 3986). None of them ends an HTML attribute or begins an HTML tag.
_URL = re.compile(r"[\w.~:/?#\[\]@!$&'()*+,;=%-]+", re.ASCII)
_LONGEST_LINK = 1000
#: 30 years: waits of `threading` and `time` refuse numbers that are much larger.
_MAX_SECONDS = 1e9
_Number = TypeVar("_Number", int, float)


def normalized_url(url: str) -> str:
    """Return the one form of a server's URL: with a scheme, scheme and host in lower case, no slash at the end.

    User and password are removed: Label Studio does not use them, and this URL is logged.

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
    """Return text without white space at both ends."""
    if not isinstance(value, str):
        raise TypeError("it must be text")
    return value.strip()


def url(value: Any) -> str:
    """Return the normalized base URL of a server."""
    normal = normalized_url(text(value))
    parts = urlsplit(normal)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise ValueError("it must be a URL such as http://localhost:8080")
    _ = parts.port  # raises ValueError where the port is no number
    return normal


def link(value: Any) -> str:
    """Return the template of a link to a trace: a URL with `{trace_id}`, and with or without `{span_id}`."""
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


def in_range(convert: Callable[[Any], _Number], least: float, most: float, what: str) -> Callable[[Any], _Number]:
    """Return a reader of a number from `least` to `most`; its error says that the value must be `what`."""

    def read(value: Any) -> _Number:
        try:
            number = convert(value)
            is_usable = not isinstance(value, bool) and least <= number <= most
        except (ValueError, TypeError, OverflowError):
            is_usable = False
        if not is_usable:
            raise ValueError(f"it must be {what}")
        return number

    return read


def size(least: int) -> Callable[[Any], int]:
    """Return a reader of a number of bytes."""
    return in_range(int, least, math.inf, f"a number of bytes, {least} or more")


#: Read a number of seconds.
seconds = in_range(float, 0, _MAX_SECONDS, "a number of seconds, 0 or more")
positive_seconds = in_range(float, sys.float_info.min, _MAX_SECONDS, "a number of seconds, more than 0")
#: Reads the largest number of something.
count = in_range(int, 1, math.inf, "a whole number, 1 or more")


def boolean(value: Any) -> bool:
    """Return True for `1`, `true`, `yes` and `on`, False for `0`, `false`, `no` and `off`, in any case."""
    words = {"1": True, "true": True, "yes": True, "on": True, "0": False, "false": False, "no": False, "off": False}
    word = str(value).strip().lower()
    if word not in words:
        raise ValueError("it must be true or false")
    return words[word]


def one_of(words: tuple[str, ...]) -> Callable[[Any], str]:
    """Return a reader of one of these words, in any case."""

    def read(value: Any) -> str:
        word = str(value).strip().lower()
        if word not in words:
            raise ValueError(f"it must be {' or '.join(words)}")
        return word

    return read


def names(value: Any) -> frozenset[str]:
    """Return a set of names, given as a list or separated by commas."""
    found = value.split(",") if isinstance(value, str) else list(value)
    if not all(isinstance(name, str) for name in found):
        raise TypeError("it must be names such as chat, text_completion")
    return frozenset(name.strip() for name in found if name.strip())


def path(value: Any) -> Path:
    """Return an absolute path; `~` is the home directory."""
    found = os.path.abspath(os.path.expanduser(os.fspath(value)))  # Path.expanduser raises where HOME is missing
    if b"\0" in os.fsencode(found):  # no file system takes it, nor what cannot be encoded
        raise ValueError("it must be the path of a directory")
    return Path(found)
