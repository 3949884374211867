"""Who may send: everybody on this machine, or who knows the token."""

from __future__ import annotations

import hmac
import ipaddress
from pathlib import Path
from typing import TYPE_CHECKING

from label_studio_otel.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["TOKEN", "TOKEN_FILE", "is_loopback", "may_send", "token_of"]

#: Variables.
TOKEN = "LABEL_STUDIO_OTEL_SERVE_TOKEN"  # noqa: S105 - a name
TOKEN_FILE = "LABEL_STUDIO_OTEL_SERVE_TOKEN_FILE"  # noqa: S105 - a name


def token_of(environ: Mapping[str, str]) -> str | None:
    """Return the token that clients must send, None where none was set.

    Raises:
        ConfigError: it cannot be read, or cannot be a token.
    """
    if path := environ.get(TOKEN_FILE):
        try:
            token, source = Path(path).read_text("utf-8").strip(), TOKEN_FILE
        except (OSError, ValueError) as error:
            raise ConfigError(f"{TOKEN_FILE}={path} cannot be read: {getattr(error, 'strerror', None)}") from None
        if not token:
            raise ConfigError(f"{TOKEN_FILE}={path} is empty")
    else:
        token, source = environ.get(TOKEN, ""), TOKEN
    if not token.isascii() or any(character.isspace() for character in token):
        raise ConfigError(f"{source} must be ASCII without blanks")
    return token or None


def is_loopback(host: str) -> bool:
    """Tell whether only this machine can reach an address."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def may_send(token: str | None, authorization: str) -> bool:
    """Tell whether an `Authorization` header has the token; the time it takes says nothing about it."""
    if token is None:
        return True
    scheme, _, given = authorization.partition(" ")
    same = hmac.compare_digest(given.strip().encode("utf-8", "replace"), token.encode())
    return same and scheme.lower() == "bearer"
