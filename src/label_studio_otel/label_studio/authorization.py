"""The `Authorization` header of a request: a legacy token, or an access token.

A personal access token (a JWT) is not sent with requests. It is exchanged for access tokens that live for minutes.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Callable

from label_studio_otel.errors import DestinationBlocked, Retryable, Uncertain
from label_studio_otel.label_studio.responses import not_label_studio, refusal
from label_studio_otel.label_studio.transport import Transport

#: Seconds before its end at which an access token is replaced.
REFRESH_MARGIN_S = 30.0
#: Seconds for which an access token is used that does not tell when it expires.
ASSUMED_LIFETIME_S = 300.0


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
        #: The access token, and when it must be replaced in seconds since the epoch.
        self._access: tuple[str, float] | None = None

    def authorize(self, api_key: str | None) -> None:
        """Use this token from the next request on."""
        if api_key != self._api_key:
            self._api_key, self._access = api_key, None

    def drop_access_token(self) -> None:
        """Let the next request get a new access token."""
        self._access = None

    def header(self) -> str:
        """Return the header's value.

        Raises:
            DestinationBlocked: there is no usable token, or Label Studio does not exchange it.
            Retryable: the exchange got no response.
        """
        key = _usable(self._api_key)
        return f"Bearer {self._access_token(key)}" if _is_personal(key) else f"Token {key}"

    def _access_token(self, personal: str) -> str:
        if self._access is None or self._access[1] < self._clock():
            self._access = self._exchange(personal)
        return self._access[0]

    def _exchange(self, personal: str) -> tuple[str, float]:
        path = "/api/token/refresh/"
        try:
            response = self._transport.send("POST", path, json.dumps({"refresh": personal}).encode(), "", lambda: None)
        except Uncertain as error:  # of the exchange: the request that needs the token was not sent
            raise Retryable(str(error)) from error
        if response.status >= 300:
            raise refusal(self._transport.url, "POST", path, response, self._clock())
        body = response.json()
        if not isinstance(body, dict) or "access" not in body:
            raise not_label_studio(self._transport.url, "POST", path, response)
        access = str(body["access"])
        expiry = jwt_expiry(access)
        return access, (self._clock() + ASSUMED_LIFETIME_S if expiry is None else expiry) - REFRESH_MARGIN_S


def _usable(api_key: str | None) -> str:
    if not api_key:
        raise DestinationBlocked("there is no token: set LABEL_STUDIO_API_KEY to one from Label Studio's account page")
    if not (api_key.isascii() and api_key.isprintable()):
        raise DestinationBlocked("LABEL_STUDIO_API_KEY has characters that no token has; copy it once more")
    return api_key


def _is_personal(key: str) -> bool:
    """Return whether a token has the shape of a JWT; a legacy token is 40 hexadecimal digits."""
    return key.startswith("ey") and key.count(".") == 2


def jwt_expiry(token: str) -> float | None:
    """Return when a JWT expires, in seconds since the epoch; None where it does not tell, or the token is no JWT."""
    try:
        claims = token.split(".")[1]
        return float(json.loads(base64.urlsafe_b64decode(claims + "=" * (-len(claims) % 4)))["exp"])
    except (ValueError, IndexError, KeyError, TypeError):
        return None
