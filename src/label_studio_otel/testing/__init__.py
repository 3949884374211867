"""Fakes for tests, ours and yours: spans of LLM calls, a clock, and a small Label Studio with faults on request.

`FakeLabelStudio` answers as Label Studio 1.23.2 does, over a real socket; one contract suite holds it to the real one.
It is there for what a real server cannot be made to do: lose an answer, hang, forget predictions.
"""

from __future__ import annotations

import base64
import copy
import json
import re
import socket
import threading
import time
from collections import deque
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl, urlsplit

from label_studio_otel.tasks.sample_span import START_TIME, span
from label_studio_otel.testing.imports import AsynchronousImport
from label_studio_otel.testing.store import Call, Flaws, Store, error

if TYPE_CHECKING:
    import ssl
    from collections.abc import Mapping

    from typing_extensions import Self

__all__ = ["AsynchronousImport", "FakeClock", "FakeLabelStudio", "Fault", "Request", "span"]


class FakeClock:
    """Seconds that pass only when told; `sleep` lets them pass and returns at once."""

    def __init__(self, now: float = START_TIME / 1e9) -> None:
        self.now = now

    def __call__(self) -> float:
        """Return what time it is."""
        return self.now

    def sleep(self, seconds: float) -> None:
        """Let time pass."""
        self.now += seconds


@dataclass(frozen=True)
class Request:
    """A request that came, whatever became of it."""

    method: str
    #: Path and query, below the server's own path.
    path: str
    #: `time.monotonic()` at its arrival.
    when: float
    headers: Mapping[str, str] = field(repr=False)
    body: bytes = field(repr=False)


@dataclass(frozen=True)
class Fault:
    """What goes wrong with one request; by default with an import."""

    method: str = "POST"
    #: A part of the path.
    path: str = "/import"
    #: Seconds of silence before the request is carried out; closing the server ends them.
    wait: float = 0
    #: Seconds of silence after it was carried out.
    wait_after: float = 0
    #: "before" the request is carried out or "after" it, the connection ends without an answer.
    drop: str | None = None
    #: Answered instead of the answer.
    status: int | None = None
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""
    #: With `status`: whether the request was carried out nevertheless, as behind a proxy that gave up.
    carried_out: bool = False
    #: Carried out once more, as Label Studio does when its database was locked; the answer is the second one's.
    twice: bool = False
    #: Carried out only by `FakeLabelStudio.release`; until then `drop`, `status` or silence is all that is answered.
    held: bool = False
    #: The import's answer has no counts, as that of a Label Studio which imports later; this one has then imported.
    without_counts: bool = False
    #: No prediction of the import is kept, nor counted.
    lose_predictions: bool = False
    #: Positions in the import that are refused; all or none, so nothing is taken.
    reject: tuple[int, ...] = ()


class FakeLabelStudio:
    """A small Label Studio on a free loopback port, while its context lasts.

    Args:
        path: where below the host it stands, as `/label-studio`.
        port: None takes a free one.
        access_lifetime: seconds that an access token lives.
        tls: a server's context makes it https.
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
        #: Every request, in order of arrival.
        self.requests: list[Request] = []
        #: What will go wrong: each takes the next request that it is about.
        self.faults: deque[Fault] = deque()
        #: How imports go that are carried out after their answer, as in Enterprise and Cloud; None: before it.
        self.asynchronous_import: AsynchronousImport | None = None
        #: An import that contains this text is answered 500, and nothing is taken.
        self.poison = ""
        #: Personal access token: a JWT that is good for access tokens only.
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

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *raised: object) -> None:
        self.closing.set()
        self._http.shutdown()
        self._http.server_close()
        self._thread.join()

    def fail(self, *faults: Fault) -> None:
        """Let these faults happen, each once, in this order."""
        with self._lock:
            self.faults.extend(faults)

    def release(self) -> None:
        """Carry out what was held, now."""
        with self._lock:
            held, self._held = self._held, []
            for request, fault in held:
                self.carry_out(request, fault)

    def end_imports(self) -> None:
        """Let all asynchronous imports come to what they come to, without a poll."""
        with self._lock:
            for one in self.store.imports.values():
                one.end()

    def backup(self) -> Store:
        """Return all that the server holds."""
        with self._lock:
            return copy.deepcopy(self.store)

    def restore(self, backup: Store) -> None:
        """Go back to a backup: what came since is gone, and ids repeat."""
        with self._lock:
            self.store = copy.deepcopy(backup)

    def replace(self) -> None:
        """Be another server at the same address: nothing in it, ids from 1, the same tokens."""
        self.restore(Store())

    def tasks(self, project_id: int) -> list[dict[str, Any]]:
        """Return the tasks of a project in the order of their ids, with their predictions."""
        with self._lock:
            return [task for task in self.store.tasks.values() if task["project"] == project_id]

    def received(self, request: Request) -> Fault:
        """Note a request and return what goes wrong with it."""
        with self._lock:
            self.requests.append(request)
            about = (fault for fault in self.faults if fault.method == request.method and fault.path in request.path)
            if (fault := next(about, None)) is not None:
                self.faults.remove(fault)
        return fault or Fault()

    def hold(self, request: Request, fault: Fault) -> None:
        """Keep a request for `release`."""
        with self._lock:
            self._held.append((request, fault))

    def carry_out(self, request: Request, fault: Fault) -> tuple[int, Any]:
        """Do what a request asks and return status and answer."""
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
            flaws = Flaws(
                fault.without_counts, fault.lose_predictions, fault.reject, self.poison, self.asynchronous_import
            )
            call = Call(request.method, parts.path, query, body, flaws)
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
        """Say nothing: a client that goes away is what these tests are about."""


class _Handler(BaseHTTPRequestHandler):
    fake: FakeLabelStudio

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the name is the base class's
        """Keep the tests' output quiet."""

    def _handle(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        path = re.sub(f"^{re.escape(self.fake.path)}(?=/)", "", self.path)
        headers = {name.lower(): value for name, value in self.headers.items()}
        request = Request(self.command, path, time.monotonic(), headers, body)
        fault = self.fake.received(request)
        if fault.held:
            self.fake.hold(request, fault)
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
        return self._answer(status, answer)

    do_GET = do_POST = do_PATCH = do_DELETE = _handle  # noqa: N815 - the names are the base class's

    def _silent(self, seconds: float) -> bool:
        """Wait; return whether the server closed meanwhile."""
        return bool(seconds) and self.fake.closing.wait(seconds)

    def _break_off(self) -> None:
        self.close_connection = True
        self.connection.shutdown(socket.SHUT_RDWR)

    def _answer(self, status: int, answer: Any) -> None:
        html = isinstance(answer, str)
        body = answer if html else "" if answer is None else json.dumps(answer)
        self._send(status, body.encode(), {"Content-Type": "text/html" if html else "application/json"})

    def _send(self, status: int, body: bytes, headers: Mapping[str, str]) -> None:
        self.send_response(status)
        for name, value in {**headers, "Content-Length": str(len(body))}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)
