"""Requests with a token, whose responses are turned into values or errors.

Only an import can raise `Uncertain`. Every other request may be repeated, so a lost response is `Retryable`.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from label_studio_otel.errors import Retryable, Uncertain
from label_studio_otel.label_studio.authorization import Authorization
from label_studio_otel.label_studio.responses import is_import, not_label_studio, refusal
from label_studio_otel.label_studio.transport import Response, Transport


class Session:
    """Requests to one server.

    Args:
        url: base URL, with a path where the server has one.
        api_key: legacy token, or personal access token.
        read_timeout: seconds to wait for a response, and for each part of it.
        clock: seconds since the epoch.
    """

    def __init__(self, url: str, api_key: str | None, read_timeout: float, clock: Callable[[], float]) -> None:
        self.url = url
        self._clock = clock
        self._transport = Transport(url, read_timeout)
        self._authorization = Authorization(self._transport, api_key, clock)

    def authorize(self, api_key: str | None) -> None:
        """Use this token from the next request on."""
        self._authorization.authorize(api_key)

    def json(self, method: str, path: str, body: Any = None, *, having: str | None = None) -> Any:
        """Send a request and return the JSON of its response.

        Args:
            having: a key that the response must have, as an object; None where it may be any JSON, or empty.

        Raises:
            DestinationBlocked: the response is none of Label Studio's, or refuses the request.
            Retryable: no response came, or the server is overloaded.
        """
        response = self.request(method, path, None if body is None else json.dumps(body).encode())
        value = response.json()
        if having is None:
            is_expected = value is not None or not response.body
        else:
            is_expected = isinstance(value, dict) and having in value
        if not is_expected:
            raise not_label_studio(self.url, method, path, response)
        return value

    def request(
        self,
        method: str,
        path: str,
        body: bytes | None = None,
        on_connected: Callable[[], None] = lambda: None,
        on_sent: Callable[[], None] = lambda: None,
    ) -> Response:
        """Send a request and return its response, the status of which is below 300.

        Args:
            on_connected: see `Transport.send`; called again where the request is sent again with a new access token.
            on_sent: see `Transport.send`.

        Raises:
            DeliveryError: what the response, or its absence, means.
        """
        try:
            authorization = self._authorization.header()
            response = self._transport.send(method, path, body, authorization, on_connected, on_sent=on_sent)
            if response.status == 401 and authorization.startswith("Bearer "):
                # The access token may have ended early. A second 401 is about the personal access token itself.
                self._authorization.drop_access_token()
                response = self._transport.send(
                    method, path, body, self._authorization.header(), on_connected, on_sent=on_sent
                )
        except Uncertain as error:
            if is_import(path):
                raise
            raise Retryable(str(error)) from error
        if response.status >= 300:
            raise refusal(self.url, method, path, response, self._clock())
        return response
