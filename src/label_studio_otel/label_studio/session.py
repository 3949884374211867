"""Requests with a token, whose responses are turned into values or errors.

Only an import can raise `Uncertain`. Every other request may be repeated, so a lost response is `Retryable`.

A legacy token is sent with each request. A personal access token (a JWT) is not: it is exchanged for access tokens,
which live for minutes.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Callable
from functools import partial
from typing import Any

from label_studio_otel.errors import DestinationBlocked, Retryable, Uncertain
from label_studio_otel.label_studio.responses import is_import, not_label_studio, refusal
from label_studio_otel.label_studio.transport import Response, Transport

#: Seconds before its end at which an access token is replaced.
REFRESH_MARGIN_S = 30.0
#: Seconds for which an access token is used that does not tell when it expires.
ASSUMED_LIFETIME_S = 300.0


class Session:
    """Requests to one server; the arguments are those of `LabelStudio`."""

    def __init__(self, url: str, api_key: str | None, read_timeout: float, clock: Callable[[], float]) -> None:
        self._url = url
        self._api_key = api_key
        self._clock = clock
        self._transport = Transport(url, read_timeout)
        #: The access token, and when it must be replaced in seconds since the epoch.
        self._access: tuple[str, float] | None = None

    def authorize(self, api_key: str | None) -> None:
        """Use this token from the next request on."""
        if api_key != self._api_key:
            self._api_key, self._access = api_key, None

    def json(
        self, method: str, path: str, body: Any = None, *, having: str | None = None, with_token: bool = True
    ) -> Any:
        """Send a request and return the JSON of its response.

        Args:
            having: a key that the response must have, as an object; None where it may be any JSON, or empty.

        Raises:
            DestinationBlocked: the response is none of Label Studio's, or refuses the request.
            Retryable: no response came, or the server is overloaded.
        """
        encoded = None if body is None else json.dumps(body).encode()
        response = self.request(method, path, encoded, with_token=with_token)
        value = response.json()
        if having is None:
            is_expected = value is not None or not response.body
        else:
            is_expected = isinstance(value, dict) and having in value
        if not is_expected:
            raise not_label_studio(self._url, method, path, response)
        return value

    def request(
        self,
        method: str,
        path: str,
        body: bytes | None = None,
        on_connected: Callable[[], None] = lambda: None,
        on_sent: Callable[[], None] = lambda: None,
        *,
        with_token: bool = True,
    ) -> Response:
        """Send a request and return its response, the status of which is below 300.

        Raises:
            DeliveryError: what the response, or its absence, means; or there is no usable token.
        """
        send = partial(self._transport.send, method, path, body, on_connected=on_connected, on_sent=on_sent)
        authorization = self._authorization() if with_token else ""
        try:
            response = send(authorization)
            if response.status == 401 and authorization.startswith("Bearer "):
                # The access token may have ended early. A second 401 is about the personal access token itself.
                self._access = None
                response = send(self._authorization())
        except Uncertain as error:
            if is_import(path):
                raise
            raise Retryable(str(error)) from error
        if response.status >= 300:
            raise refusal(self._url, method, path, response, self._clock())
        return response

    def _authorization(self) -> str:
        """Return the header's value, after an exchange where a new access token is needed."""
        key = self._api_key
        if not key:
            raise DestinationBlocked(
                "there is no token: set LABEL_STUDIO_API_KEY to one from Label Studio's account page"
            )
        if not (key.isascii() and key.isprintable()):
            raise DestinationBlocked("LABEL_STUDIO_API_KEY has characters that no token has; copy it once more")
        if not key.startswith("ey") or key.count(".") != 2:  # no JWT: a legacy token is 40 hexadecimal digits
            return f"Token {key}"
        if self._access is None or self._access[1] < self._clock():
            body = self.json("POST", "/api/token/refresh/", {"refresh": key}, having="access", with_token=False)
            access = str(body["access"])
            expiry = jwt_expiry(access)
            end = self._clock() + ASSUMED_LIFETIME_S if expiry is None else expiry
            self._access = access, end - REFRESH_MARGIN_S
        return f"Bearer {self._access[0]}"


def jwt_expiry(token: str) -> float | None:
    """Return when a JWT expires, in seconds since the epoch; None where it does not tell, or the token is no JWT."""
    try:
        claims = token.split(".")[1]
        return float(json.loads(base64.urlsafe_b64decode(claims + "=" * (-len(claims) % 4)))["exp"])
    except (ValueError, IndexError, KeyError, TypeError):
        return None
