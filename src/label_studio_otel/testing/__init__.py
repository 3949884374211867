"""Fakes for the tests of this package and of applications: spans of LLM calls, a clock, a small Label Studio.

`FakeLabelStudio` answers as Label Studio 1.23.2 does, over a socket; one contract suite tests both. With a `Fault` it
does what a real server cannot be made to do: lose an answer, hang, drop predictions. `store` has its data and
answers, `imports` its asynchronous imports. No other component of this package imports this one.
"""

from __future__ import annotations

import base64
import copy
import json
import re
import socket
import ssl
import threading
import time
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qsl, urlsplit

from label_studio_otel.tasks.sample_span import START_TIME, span
from label_studio_otel.testing.imports import AsynchronousImport
from label_studio_otel.testing.store import Call, Fault, Store, error

__all__ = ["AsynchronousImport", "FakeClock", "FakeLabelStudio", "Fault", "Request", "span"]


class FakeClock:
    """A clock in seconds. Only `sleep` moves it, and `sleep` returns at once."""

    def __init__(self, now: float = START_TIME / 1e9) -> None:
        self.now = now

    def __call__(self) -> float:
        """Return the current time."""
        return self.now

    def sleep(self, seconds: float) -> None:
        """Move the clock."""
        self.now += seconds


@dataclass(frozen=True)
class Request:
    """A request that arrived, whether it was carried out or not."""

    method: str
    #: Path and query, below the server's own path.
    path: str
    #: `time.monotonic()` at its arrival.
    when: float
    headers: Mapping[str, str] = field(repr=False)
    body: bytes = field(repr=False)


class FakeLabelStudio:
    """A small Label Studio on a loopback port; a context manager.

    Args:
        path: path of its base URL, such as `/label-studio`.
        port: None takes a free one.
        access_lifetime: seconds until an access token expires.
        tls: TLS context of a server, for https.
    """

    #: Legacy token.
    token = "0123456789abcdef0123456789abcdef01234567"  # noqa: S105 - a fake's

    def __init__(
        self,
        *,
        path: str = "",
        port: int | None = None,
        access_lifetime: float = 300,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        #: All requests, in the order of their arrival.
        self.requests: list[Request] = []
        #: Faults to come: each happens to the next request that it fits.
        self.faults: deque[Fault] = deque()
        #: How imports proceed that are carried out after their answer, as in Enterprise; None: they are not.
        self.asynchronous_import: AsynchronousImport | None = None
        #: An import that contains this text is answered 500 and adds no task.
        self.poison = ""
        #: Personal access token: a JWT that can only be exchanged for an access token.
        self.personal_access_token = _jwt(token_type="refresh", exp=time.time() + 1e9)  # noqa: S106 - no password
        self.path = path.rstrip("/")
        self.access_lifetime = access_lifetime
        self.store = Store()
        self.closing = threading.Event()
        self._held: list[tuple[Request, Fault]] = []
        self._access: dict[str, float] = {}
        self._lock = threading.RLock()
        self._http = _Server(("127.0.0.1", port or 0), type("Handler", (_Handler,), {"fake": self}))
        if tls is not None:
            self._http.socket = tls.wrap_socket(self._http.socket, server_side=True, do_handshake_on_connect=False)
        self.url = f"http{'s' if tls else ''}://127.0.0.1:{self._http.server_address[1]}{self.path}"
        self._thread = threading.Thread(target=self._http.serve_forever, args=(0.02,), daemon=True)

    def __enter__(self) -> FakeLabelStudio:
        self._thread.start()
        return self

    def __exit__(self, *raised: object) -> None:
        self.closing.set()
        self._http.shutdown()
        self._http.server_close()
        self._thread.join()

    def fail(self, *faults: Fault) -> None:
        """Let each of these faults happen once, in this order, with the next requests that they concern."""
        with self._lock:
            self.faults.extend(faults)

    def release(self) -> None:
        """Carry out the requests that were held."""
        with self._lock:
            held, self._held = self._held, []
            for request, fault in held:
                self.carry_out(request, fault)

    def end_imports(self) -> None:
        """End all asynchronous imports as they were planned to end, without a poll."""
        with self._lock:
            for one in self.store.imports.values():
                one.end()

    def backup(self) -> Store:
        """Return a copy of the server's data."""
        with self._lock:
            return copy.deepcopy(self.store)

    def restore(self, backup: Store) -> None:
        """Replace the server's data by a backup: newer data is lost, and ids are given again."""
        with self._lock:
            self.store = copy.deepcopy(backup)

    def replace(self) -> None:
        """Become a new server at the same address: no data, ids from 1, the same tokens."""
        self.restore(Store())

    def tasks(self, project_id: int) -> list[dict[str, Any]]:
        """Return the tasks of a project with their predictions, in the order of their ids."""
        with self._lock:
            return [task for task in self.store.tasks.values() if task["project"] == project_id]

    def received(self, request: Request) -> Fault:
        """Record a request and return its fault; a request whose fault holds it is kept until `release`."""
        with self._lock:
            self.requests.append(request)
            for fault in self.faults:
                if fault.method == request.method and fault.path in request.path:
                    self.faults.remove(fault)
                    if fault.held:
                        self._held.append((request, fault))
                    return fault
        return Fault()

    def carry_out(self, request: Request, fault: Fault) -> tuple[int, Any]:
        """Carry a request out; return status and answer."""
        parts = urlsplit(request.path)
        body = json.loads(request.body) if request.body else None
        with self._lock:
            if parts.path == "/health":
                return 200, {"status": "UP"}
            if parts.path == "/api/token/refresh/":
                return self._refresh(body)
            if (refusal := self._refusal(request.headers.get("authorization", ""))) is not None:
                return error(401, refusal)
            query = dict(parse_qsl(parts.query, keep_blank_values=True))
            call = Call(request.method, parts.path, query, body, fault, self.poison, self.asynchronous_import)
            if fault.twice:
                self.store.carry_out(call)
            return self.store.carry_out(call)

    def _refusal(self, authorization: str) -> str | None:
        scheme, _, token = authorization.partition(" ")
        if scheme == "Token":
            return None if token == self.token else "Invalid token."
        if scheme == "Bearer" and self._access.get(token, 0) > time.time():
            return None
        return "Authentication credentials were not provided."

    def _refresh(self, body: Any) -> tuple[int, Any]:
        if body.get("refresh") != self.personal_access_token:
            return error(401, "Token is invalid")
        expiry = time.time() + self.access_lifetime
        access = _jwt(token_type="access", exp=expiry, jti=len(self._access))  # noqa: S106 - no password
        self._access[access] = expiry
        return 200, {"access": access}


def _jwt(**claims: Any) -> str:
    parts = (json.dumps({"alg": "HS256", "typ": "JWT"}), json.dumps(claims), "signature")
    return ".".join(base64.urlsafe_b64encode(part.encode()).decode().rstrip("=") for part in parts)


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Print nothing: tests close connections on purpose."""


class _Handler(BaseHTTPRequestHandler):
    fake: FakeLabelStudio

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the name is the base class's
        """Print nothing."""

    def _handle(self) -> None:
        path = re.sub(f"^{re.escape(self.fake.path)}(?=/)", "", self.path)
        headers = {name.lower(): value for name, value in self.headers.items()}
        content = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        request = Request(self.command, path, time.monotonic(), headers, content)
        fault = self.fake.received(request)
        if self._silent(fault.wait) or fault.drop == "before":
            return self._break_off()
        if fault.held and fault.status is None and fault.drop is None:
            self.fake.closing.wait()
            return self._break_off()
        if not fault.held and (fault.status is None or fault.carried_out):
            status, answer = self.fake.carry_out(request, fault)
        if self._silent(fault.wait_after) or fault.drop == "after":
            return self._break_off()
        if fault.status is not None:
            return self._send(fault.status, fault.body, fault.headers)
        html = isinstance(answer, str)
        body = answer if html else "" if answer is None else json.dumps(answer)
        return self._send(status, body.encode(), {"Content-Type": "text/html" if html else "application/json"})

    do_GET = do_POST = do_PATCH = do_DELETE = _handle

    def _silent(self, seconds: float) -> bool:
        """Wait; return True where the server was closed meanwhile."""
        return bool(seconds) and self.fake.closing.wait(seconds)

    def _break_off(self) -> None:
        self.close_connection = True
        self.connection.shutdown(socket.SHUT_RDWR)

    def _send(self, status: int, body: bytes, headers: Mapping[str, str]) -> None:
        self.send_response(status)
        for name, value in {**headers, "Content-Length": str(len(body))}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)
