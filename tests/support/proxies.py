"""A small HTTP proxy that notes what it is asked for: absolute URLs, and tunnels by CONNECT."""

from __future__ import annotations

import http.client
import select
import socket
from urllib.parse import urlsplit

from support.http_server import Handler, HttpServer


class RecordingProxy(HttpServer):
    """A proxy on a free loopback port, while its context lasts.

    Args:
        authorization: what `Proxy-Authorization` must be; None takes everybody.
    """

    def __init__(self, authorization: str | None = None) -> None:
        super().__init__(_Handler)
        self.authorization = authorization
        #: Method and target of each request line.
        self.asked: list[tuple[str, str]] = []


class _Handler(Handler):
    owner: RecordingProxy

    def _admitted(self) -> bool:
        self.owner.asked.append((self.command, self.path))
        self.close_connection = True
        if self.owner.authorization in (None, self.headers["Proxy-Authorization"]):
            return True
        self.send_error(407)
        return False

    def _forward(self) -> None:
        if not self._admitted():
            return
        parts = urlsplit(self.path)
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))  # as it came
        headers = {name: value for name, value in self.headers.items() if not name.lower().startswith("proxy-")}
        connection = http.client.HTTPConnection(parts.netloc, timeout=30)
        connection.request(self.command, f"{parts.path}?{parts.query}".rstrip("?"), body, headers)
        answer = connection.getresponse()
        payload = answer.read()
        connection.close()
        self.send_response(answer.status)
        for name, value in answer.getheaders():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(payload)

    do_GET = do_POST = do_DELETE = _forward

    def do_CONNECT(self) -> None:
        if not self._admitted():
            return
        host, _, port = self.path.rpartition(":")
        with socket.create_connection((host, int(port))) as server:
            self.send_response(200)
            self.end_headers()
            other = {self.connection: server, server: self.connection}
            while True:
                ready, _, _ = select.select(list(other), [], [], 30)
                for one in ready:
                    data = one.recv(65536)
                    if not data:
                        return
                    other[one].sendall(data)
                if not ready:
                    return
