"""Who may send: everybody on this machine, who knows the token, or who has a certificate."""

from __future__ import annotations

import hmac
import ipaddress
import os
import stat
from pathlib import Path
from typing import TYPE_CHECKING

from label_studio_otel import log
from label_studio_otel.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from label_studio_otel.receiver.tls import Tls

__all__ = [
    "TOKEN",
    "TOKEN_FILE",
    "is_loopback",
    "may_send",
    "token_of",
    "warn_if_others_may_read",
    "warnings",
    "why_refused",
    "words",
]

#: Variables.
TOKEN = "LABEL_STUDIO_OTEL_SERVE_TOKEN"  # noqa: S105 - a name
TOKEN_FILE = "LABEL_STUDIO_OTEL_SERVE_TOKEN_FILE"  # noqa: S105 - a name


def token_of(environ: Mapping[str, str]) -> str | None:
    """Return the tokens of which clients must send one, separated by blanks; None where none was set.

    Raises:
        ConfigError: it cannot be read, or cannot be a token.
    """
    if path := environ.get(TOKEN_FILE):
        try:
            token, source = words(Path(path).read_text("utf-8")), TOKEN_FILE
        except (OSError, ValueError) as error:
            raise ConfigError(f"{TOKEN_FILE}={path} cannot be read: {getattr(error, 'strerror', None)}") from None
        warn_if_others_may_read(Path(path), "the token")
        if not token:
            raise ConfigError(f"{TOKEN_FILE}={path} is empty")
    else:
        token, source = words(environ.get(TOKEN, "")), TOKEN
    if not token.isascii():
        raise ConfigError(f"{source} must be ASCII")
    return token or None


def words(tokens: str) -> str:
    """Return tokens separated by single blanks: two while one replaces the other."""
    return " ".join(tokens.split())


def is_loopback(host: str) -> bool:
    """Tell whether only this machine can reach an address."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def why_refused(host: str, token: str | None, tls: Tls | None) -> str | None:
    """Return why nobody should listen on an address so, None where only this machine or who is known may send."""
    if is_loopback(host) or token is not None or (tls is not None and tls.client_ca is not None):
        return None
    return (
        f"other machines can reach {host}, and anybody there could write tasks: set {TOKEN} (or {TOKEN_FILE}), or name "
        "an authority of client certificates"
    )


def warnings(host: str, token: str | None, tls: Tls | None) -> list[str]:
    """Return what is allowed and yet should be known, of an address that is listened on."""
    if is_loopback(host) or tls is not None:
        return []
    what = "what is sent" if token is None else "the token and what is sent"
    return [f"{host} is served without TLS: who listens on the network can read {what}"]


def warn_if_others_may_read(path: Path, what: str) -> None:
    """Warn where every user of this machine may read or change a secret's file."""
    try:
        mode = path.stat().st_mode
    except OSError:
        return
    if os.name == "posix" and mode & (stat.S_IROTH | stat.S_IWOTH):
        log.warn_once(f"readable {path}", f"every user of this machine may read {what} {path}: chmod o-rw {path}")


def may_send(token: str | None, authorization: str) -> bool:
    """Tell whether an `Authorization` header has one of the tokens; the time it takes says nothing about them."""
    if token is None:
        return True
    scheme, _, given = authorization.partition(" ")
    sent = given.strip().encode("utf-8", "replace")
    same = [hmac.compare_digest(sent, one.encode()) for one in token.split()]
    return any(same) and scheme.lower() == "bearer"
