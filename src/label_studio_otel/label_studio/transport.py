"""Sends one HTTP request on a connection of its own.

With `http.client`, because this runs in the application's process, where importing httpx takes half a second. No
connection is kept open: on a connection that was used before, "the server had closed it" and "the response got lost"
look the same, and after a lost response nothing may be sent again without a look-up.
"""

from __future__ import annotations

import base64
import io
import json
import socket
import ssl
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from functools import partial
from http.client import HTTPConnection, HTTPException, HTTPResponse, HTTPSConnection, IncompleteRead, InvalidURL
from typing import Any
from urllib.parse import unquote, urlsplit
from urllib.request import getproxies, proxy_bypass

from label_studio_otel._version import __version__
from label_studio_otel.errors import DestinationBlocked, Retryable, Uncertain

#: Seconds to connect.
CONNECT_TIMEOUT_S = 5.0
#: Seconds for a whole response, in however small parts it comes.
TOTAL_TIMEOUT_S = 300.0


@dataclass(frozen=True, slots=True)
class Response:
    """Status, headers (names in lower case) and body of a response."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    def json(self) -> Any:
        """Return the decoded body, None where it is not JSON."""
        try:
            return json.loads(self.body)
        except ValueError:
            return None

    def retry_after(self, now: float) -> float | None:
        """Return the seconds to wait from `now` on, seconds since the epoch, by a `Retry-After` header (RFC 9110)."""
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
        read_timeout: seconds to wait for a response, and for each part of it.
        total_timeout: seconds for the whole response.
    """

    def __init__(self, url: str, read_timeout: float, *, total_timeout: float = TOTAL_TIMEOUT_S) -> None:
        self.url = url
        self._read_timeout = read_timeout
        self._total_timeout = total_timeout
        self._tls: ssl.SSLContext | None = None

    def send(
        self,
        method: str,
        path: str,
        body: bytes | None,
        authorization: str,
        on_connected: Callable[[], None],
        *,
        on_sent: Callable[[], None] = lambda: None,
    ) -> Response:
        """Send one request and return its response, whatever the status is.

        Args:
            on_connected: called with a connection open and nothing sent: the last moment to make something durable.
            on_sent: called when the whole request was sent, while the server works on it; must not raise.

        Raises:
            DestinationBlocked: no connection could be opened; `passing`.
            Retryable: only a part of the request was sent.
            Uncertain: the request was sent, and no response came.
        """
        headers = {"User-Agent": f"label-studio-otel/{__version__}", "Accept": "application/json"}
        headers["Connection"] = "close"
        if authorization:
            headers["Authorization"] = authorization
        if body is not None:
            headers["Content-Type"] = "application/json"
        connection, target = self._connect(path, headers)
        try:
            on_connected()
            broken_off = self._transmit(connection, method, target, body, headers)
            if broken_off is None:
                on_sent()
            return self._receive(connection, method, broken_off)
        finally:
            connection.close()

    def _connect(self, path: str, headers: dict[str, str]) -> tuple[HTTPConnection, str]:
        parts = urlsplit(self.url)
        try:
            connection, target = self._route(parts, path, headers)
            connection.connect()
        except (OSError, HTTPException, ValueError) as error:
            hint = "check LABEL_STUDIO_URL and that Label Studio runs"
            if isinstance(error, ssl.SSLCertVerificationError):
                hint = "its certificate is not trusted; set SSL_CERT_FILE to your authority's certificates"
            reason = f"{self.url} cannot be reached ({_named(error)}); {hint}"
            raise DestinationBlocked(reason, passing=True) from error
        connection.sock.settimeout(self._read_timeout)
        return connection, target

    def _route(self, parts: Any, path: str, headers: dict[str, str]) -> tuple[HTTPConnection, str]:
        """Return a connection, through a proxy where the usual variables name one, and the request's target."""
        host, port = parts.hostname, parts.port or (443 if parts.scheme == "https" else 80)
        target = f"{parts.path.rstrip('/')}{path}"
        proxy = None if proxy_bypass(f"{host}:{port}") else _proxy(parts.scheme)
        connected: Any = partial(HTTPConnection, timeout=CONNECT_TIMEOUT_S)
        if parts.scheme == "https":
            # Kept, as reading the system's certificates takes 20 ms.
            self._tls = self._tls or ssl.create_default_context()
            connected = partial(HTTPSConnection, timeout=CONNECT_TIMEOUT_S, context=self._tls)
        if proxy is None:
            return connected(host, port), target
        connection = connected(proxy.hostname, proxy.port or 80)
        if parts.scheme == "https":
            connection.set_tunnel(host, port, headers=_proxy_authorization(proxy))
            return connection, target
        headers.update(_proxy_authorization(proxy))
        return connection, f"http://{parts.netloc.rpartition('@')[2]}{target}"

    def _transmit(
        self,
        connection: HTTPConnection,
        method: str,
        target: str,
        body: bytes | None,
        headers: dict[str, str],
    ) -> OSError | None:
        """Send the request; return the error that broke it off, None where the whole request was sent.

        A server that broke it off may have sent a response before, as one that says why.

        Raises:
            DestinationBlocked: the URL has characters that a request line cannot have; nothing was sent.
        """
        try:
            connection.request(method, target, body=body, headers=headers)
        except (InvalidURL, UnicodeError) as error:
            raise DestinationBlocked(f"{self.url} cannot be used as a URL; check LABEL_STUDIO_URL") from error
        except OSError as error:
            return error
        return None

    def _receive(self, connection: HTTPConnection, method: str, broken_off: OSError | None) -> Response:
        until = _ReadUntil(connection.sock, time.monotonic() + self._total_timeout)
        try:
            # Not by `connection.getresponse`, which reads from the socket without a time limit for all of it.
            response = HTTPResponse(until, method=method)  # type: ignore[arg-type]
            response.begin()
            headers = {name.lower(): value for name, value in response.getheaders()}
            return Response(response.status, headers, response.read())
        except (OSError, HTTPException, ValueError) as error:
            if broken_off is not None:  # the server cannot have acted on a part of the request
                raise Retryable(f"{self.url} broke off the connection: {broken_off}", cut_off=True) from broken_off
            raise Uncertain(f"{self.url} gave no answer: {_named(error)}") from error


class _ReadUntil(io.RawIOBase):
    """Reads from a socket until a time. The socket's own time-out begins anew with each part that comes."""

    def __init__(self, connected: socket.socket, end: float) -> None:
        self._socket = connected
        self._end = end

    def makefile(self, _mode: str) -> io.BufferedReader:
        """Return the file that `HTTPResponse` reads: it calls nothing else of a socket."""
        return io.BufferedReader(self)

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        if time.monotonic() > self._end:
            raise TimeoutError("the answer did not come to its end in time")
        return self._socket.recv_into(buffer)


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


def _named(error: Exception) -> str:
    """Return an error's type, with its text where that cannot quote a response or a proxy's URL with its password."""
    is_harmless = isinstance(error, (OSError, IncompleteRead))
    return f"{type(error).__name__}: {error}" if is_harmless and str(error) else type(error).__name__
