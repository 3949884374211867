"""Which Authorization a request carries: a legacy token, or an access token that a personal one is exchanged for."""

from __future__ import annotations

import base64
import json
from typing import TYPE_CHECKING

from label_studio_otel.errors import DestinationBlocked, Retryable, Uncertain
from label_studio_otel.label_studio.answers import not_label_studio, refusal

if TYPE_CHECKING:
    from collections.abc import Callable

    from label_studio_otel.label_studio.transport import Transport

__all__ = ["Authorization", "jwt_expiry"]

#: Refresh an access token this many seconds before it ends.
TOKEN_MARGIN = 30.0
#: Seconds that an access token is used for which does not say when it expires.
ASSUMED_LIFETIME = 300.0


class Authorization:
    """The credentials for one server.

    Args:
        api_key: legacy token, or personal access token (a JWT).
        clock: seconds since the epoch.
    """

    def __init__(self, transport: Transport, api_key: str | None, clock: Callable[[], float]) -> None:
        self._transport = transport
        self._api_key = api_key
        self._clock = clock
        self._access: tuple[str, float] | None = None

    def authorize(self, api_key: str | None) -> None:
        """Use this token from the next request on."""
        if api_key != self._api_key:
            self._api_key, self._access = api_key, None

    def forget(self) -> None:
        """Let the next request get a new access token."""
        self._access = None

    def header(self) -> str:
        """Return the header's value.

        Raises:
            DestinationBlocked: there is no usable token, or it is not exchanged.
            Retryable: the exchange got no answer.
        """
        key = self._api_key
        if not key:
            raise DestinationBlocked(
                "there is no token: set LABEL_STUDIO_API_KEY to one from Label Studio's account page"
            )
        if not (key.isascii() and key.isprintable()):
            raise DestinationBlocked("LABEL_STUDIO_API_KEY has characters that no token has; copy it once more")
        if not (key.count(".") == 2 and key.startswith("ey")):
            return f"Token {key}"
        if self._access is None or self._access[1] < self._clock():
            self._access = self._refreshed(key)
        return f"Bearer {self._access[0]}"

    def _refreshed(self, key: str) -> tuple[str, float]:
        path = "/api/token/refresh/"
        try:
            answer = self._transport.send("POST", path, json.dumps({"refresh": key}).encode(), "", lambda: None)
        except Uncertain as error:  # about the token, not about the import that needs it
            raise Retryable(str(error)) from error
        if answer.status >= 300:
            raise refusal(self._transport.url, "POST", path, answer, self._clock())
        body = answer.json()
        if not isinstance(body, dict) or "access" not in body:
            raise not_label_studio(self._transport.url, "POST", path, answer)
        access = str(body["access"])
        expiry = jwt_expiry(access)
        return access, (self._clock() + ASSUMED_LIFETIME if expiry is None else expiry) - TOKEN_MARGIN


def jwt_expiry(token: str) -> float | None:
    """Return when a JWT expires, in seconds since the epoch; None where the token does not say it or is no JWT."""
    try:
        claims = token.split(".")[1]
        return float(json.loads(base64.urlsafe_b64decode(claims + "=" * (-len(claims) % 4)))["exp"])
    except (ValueError, IndexError, KeyError, TypeError):
        return None
