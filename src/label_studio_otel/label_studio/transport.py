"""One HTTP request on a connection of its own, over the standard library.

Over `http.client`, because this runs in the application's process, where httpx would cost half a second of imports.
No connection is kept: on one that is, "the server had closed it" and "the answer got lost" look the same, and after
the second nothing may be sent again unseen.
"""

from __future__ import annotations

import base64
import http.client
import io
import json
import ssl
import time
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote, urlsplit
from urllib.request import getproxies, proxy_bypass

from label_studio_otel._version import __version__
from label_studio_otel.errors import DestinationBlocked, Retryable, Uncertain

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

__all__ = ["Answer", "Transport"]

#: Seconds to connect.
CONNECT_TIMEOUT = 5.0
#: Seconds for a whole answer, however it drips.
WHOLE_ANSWER_TIMEOUT = 300.0


@dataclass(frozen=True, slots=True)
class Answer:
    """Status, headers and body of an answer."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    def json(self) -> Any:
        """Return the decoded body, None where it is no JSON."""
        try:
            return json.loads(self.body)
        except ValueError:
            return None

    def retry_after(self, now: float) -> float | None:
        """Return the seconds of a `Retry-After` header, which may be a date (RFC 9110, 10.2.3)."""
        value = self.headers.get("retry-after", "")
        if value.isascii() and value.isdigit():
            return float(value)
        try:
            return max(0.0, parsedate_to_datetime(value).timestamp() - now)
        except (ValueError, TypeError, OverflowError):
            return None


class Transport:
    """Sends requests to one server, through a proxy where the usual variables name one.

    Args:
        url: base URL, http or https, with a path where the server has one.
        answer_timeout: seconds to wait for an answer, and for each part of it.
        whole_answer_timeout: seconds for all of it.
    """

    def __init__(self, url: str, answer_timeout: float, *, whole_answer_timeout: float = WHOLE_ANSWER_TIMEOUT) -> None:
        self.url = url
        self._answer_timeout = answer_timeout
        self._whole_answer_timeout = whole_answer_timeout
        self._tls: ssl.SSLContext | None = None

    def send(
        self,
        method: str,
        path: str,
        body: bytes | None,
        authorization: str,
        begin: Callable[[], None],
        *,
        sent: Callable[[], None] = lambda: None,
    ) -> Answer:
        """Send one request and return its answer, whatever its status.

        Args:
            begin: called when the connection stands, before the first byte: what must be durable by then is.
            sent: called when the request has left whole, while the server works on it; must not raise.

        Raises:
            DestinationBlocked: no connection; `passing`.
            Retryable: the request did not leave whole.
            Uncertain: it left, and no answer came.
        """
        headers = {"User-Agent": f"label-studio-otel/{__version__}", "Accept": "application/json"}
        headers["Connection"] = "close"
        if authorization:
            headers["Authorization"] = authorization
        if body is not None:
            headers["Content-Type"] = "application/json"
        connection, target = self._connect(path, headers)
        try:
            begin()
            early = self._transmit(connection, method, target, body, headers)
            if early is None:
                sent()
            return self._receive(connection, early)
        finally:
            connection.close()

    def _connect(self, path: str, headers: dict[str, str]) -> tuple[http.client.HTTPConnection, str]:
        parts = urlsplit(self.url)
        try:
            connection, target = self._route(parts, path, headers)
            connection.connect()
        except (OSError, http.client.HTTPException, ValueError) as error:
            raise DestinationBlocked(_unreachable(self.url, error), passing=True) from error
        connection.sock.settimeout(self._answer_timeout)
        return connection, target

    def _route(self, parts: Any, path: str, headers: dict[str, str]) -> tuple[http.client.HTTPConnection, str]:
        """Return a connection, through a proxy where the usual variables name one, and the request's target."""
        host, port = parts.hostname, parts.port or (443 if parts.scheme == "https" else 80)
        target = f"{parts.path.rstrip('/')}{path}"
        proxy = None if proxy_bypass(f"{host}:{port}") else _proxy(parts.scheme)
        if parts.scheme == "http":
            if proxy is None:
                return http.client.HTTPConnection(host, port, timeout=CONNECT_TIMEOUT), target
            headers.update(_proxy_authorization(proxy))
            connection = http.client.HTTPConnection(proxy.hostname, proxy.port or 80, timeout=CONNECT_TIMEOUT)
            return connection, f"http://{parts.netloc.rpartition('@')[2]}{target}"
        # Made once: reading the system's certificates takes 20 ms.
        self._tls = self._tls or ssl.create_default_context()
        if proxy is None:
            return http.client.HTTPSConnection(host, port, timeout=CONNECT_TIMEOUT, context=self._tls), target
        tunnel = http.client.HTTPSConnection(
            proxy.hostname, proxy.port or 80, timeout=CONNECT_TIMEOUT, context=self._tls
        )
        tunnel.set_tunnel(host, port, headers=_proxy_authorization(proxy))
        return tunnel, target

    def _transmit(
        self,
        connection: http.client.HTTPConnection,
        method: str,
        target: str,
        body: bytes | None,
        headers: dict[str, str],
    ) -> OSError | None:
        """Send the request; return the error that cut it short, after which a server may have answered early.

        Raises:
            DestinationBlocked: the URL has what no request line can carry; nothing was sent.
        """
        try:
            connection.request(method, target, body=body, headers=headers)
        except (http.client.InvalidURL, UnicodeError) as error:
            raise DestinationBlocked(f"{self.url} cannot be used as a URL; check LABEL_STUDIO_URL") from error
        except OSError as error:
            return error
        return None

    def _receive(self, connection: http.client.HTTPConnection, early: OSError | None) -> Answer:
        connection.response_class = _ends_by(time.monotonic() + self._whole_answer_timeout)
        try:
            response = connection.getresponse()
            return Answer(response.status, {k.lower(): v for k, v in response.getheaders()}, response.read())
        except (OSError, http.client.HTTPException, ValueError) as error:
            if early is not None:  # the body never left whole, so the server cannot have acted on it
                raise Retryable(f"{self.url} broke off the connection: {early}", cut_off=True) from early
            raise Uncertain(f"{self.url} gave no answer: {_named(error)}") from error


def _ends_by(end: float) -> type[http.client.HTTPResponse]:
    """Return how an answer is read that must be there by a time: a socket's own limit is one for each part."""

    class Bounded(http.client.HTTPResponse):
        def __init__(self, *arguments: Any, **options: Any) -> None:
            super().__init__(*arguments, **options)
            self.fp = io.BufferedReader(_Bounded(self.fp.detach(), end))

    return Bounded


class _Bounded(io.RawIOBase):
    """What is read from a socket until a time."""

    def __init__(self, raw: Any, end: float) -> None:
        self._raw = raw
        self._end = end

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int | None:
        if time.monotonic() > self._end:
            raise TimeoutError("the answer did not come to its end in time")
        count: int | None = self._raw.readinto(buffer)
        return count

    def close(self) -> None:
        self._raw.close()
        super().close()


def _proxy(scheme: str) -> Any:
    proxies = getproxies()
    url = proxies.get(scheme) or proxies.get("all")
    if not url:
        return None
    return urlsplit(url if "://" in url else f"http://{url}")


def _proxy_authorization(proxy: Any) -> dict[str, str]:
    if not proxy.username:
        return {}
    credentials = f"{unquote(proxy.username)}:{unquote(proxy.password or '')}"
    return {"Proxy-Authorization": f"Basic {base64.b64encode(credentials.encode()).decode()}"}


def _unreachable(url: str, error: Exception) -> str:
    hint = "check LABEL_STUDIO_URL and that Label Studio runs"
    if isinstance(error, ssl.SSLCertVerificationError):
        hint = "its certificate is not trusted; set SSL_CERT_FILE to your authority's certificates"
    return f"{url} cannot be reached ({_named(error)}); {hint}"


def _named(error: Exception) -> str:
    """Return what an error says, but not where it quotes an answer, or a proxy's URL with its password."""
    said = isinstance(error, (OSError, http.client.IncompleteRead))
    return f"{type(error).__name__}: {error}" if said and str(error) else type(error).__name__
