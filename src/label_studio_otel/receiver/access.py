"""Decides which clients may send: all of this machine, those with a token, or those with a certificate."""

from __future__ import annotations

import hmac
import ipaddress

from label_studio_otel.receiver.settings import Tls


def is_loopback(host: str) -> bool:
    """Return whether only this machine can reach an address."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def why_refused(host: str, token: str | None, tls: Tls | None) -> str | None:
    """Return why a bridge must not listen on an address; None where it may.

    Other machines must not be able to reach the address, or they must need a token or a client certificate.
    """
    if is_loopback(host) or token is not None or (tls is not None and tls.client_ca_file is not None):
        return None
    return (
        f"other machines can reach {host}, and anybody there could write tasks: set LABEL_STUDIO_OTEL_SERVE_TOKEN (or "
        "LABEL_STUDIO_OTEL_SERVE_TOKEN_FILE), or name an authority of client certificates"
    )


def warnings(host: str, token: str | None, tls: Tls | None) -> list[str]:
    """Return a sentence for each risk of listening on an address."""
    if is_loopback(host) or tls is not None:
        return []
    what = "what is sent" if token is None else "the token and what is sent"
    return [f"{host} is served without TLS: anybody on the network can read {what}"]


def may_send(token: str | None, authorization: str) -> bool:
    """Return whether an `Authorization` header has one of the tokens; True where there are none.

    The time of the comparison does not depend on the tokens, so that nobody can guess them by it.
    """
    if token is None:
        return True
    scheme, _, given = authorization.partition(" ")
    sent = given.strip().encode("utf-8", "replace")
    same = [hmac.compare_digest(sent, one.encode()) for one in token.split()]
    return any(same) and scheme.lower() == "bearer"
