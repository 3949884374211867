"""The way to Label Studio as it is at its worst.

Faults are drawn from the seed, for imports and for other requests apart.

The proxy also makes a short `uncertain_wait` sound: it alone knows which imports Label Studio still works on, also
those whose sender died long ago, and lets a look-up pass only when there is none. What is absent then stays absent; the
product, which cannot know, waits 15 minutes instead.
"""

from __future__ import annotations

import contextlib
import http.client
import json
import random
import socket
import struct
import threading
import time
from collections import Counter
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

#: Before Label Studio sees the request, and after it did all of it.
BEFORE = ("drop the request", "429", "500 before", "502 before", "504 before", "half-open before")
AFTER = ("drop the answer", "500 after", "502 after", "504 after", "half-open after", "truncated")
FAULTS = ("delay", *BEFORE, *AFTER)
#: Of imports only: the answer counts what arrived.
STRIPPED = "strip a prediction"
#: An access token is good no longer, and stays so.
EXPIRED = "access token expired"
#: Probability of a fault.
OF_IMPORTS = 0.6
OF_OTHERS = 0.1
#: Of an access token's end at one of its requests.
OF_ACCESS = 0.05
#: Seconds that a connection stays open in silence.
SILENCE = 3.0
#: Seconds that Label Studio may work on a request.
PATIENCE = 300.0


class FaultProxy:
    """Listens on a free loopback port until it is closed.

    Args:
        port: returns Label Studio's port, which may change when it starts again.
    """

    def __init__(self, port: Callable[[], int | None], seed: int) -> None:
        self.port = port
        self.faulty = True
        self.faults: Counter[str] = Counter()
        self._seed = seed
        self._draws = {
            True: _Draws(f"{seed} imports", OF_IMPORTS, (*FAULTS, *[STRIPPED] * 3)),
            False: _Draws(f"{seed} others", OF_OTHERS, FAULTS),
        }
        self._ends = random.Random(f"{seed} access tokens")
        self._expired: set[str] = set()
        self._running = 0
        self._changed = threading.Condition()
        self._http = _Server(("127.0.0.1", 0), type("Handler", (_Handler,), {"proxy": self}))
        self.url = f"http://127.0.0.1:{self._http.server_address[1]}"
        threading.Thread(target=self._http.serve_forever, args=(0.02,), daemon=True).start()

    def close(self) -> None:
        self._http.shutdown()
        self._http.server_close()

    def draw(self, *, importing: bool) -> tuple[str, random.Random]:
        """Return the fault of the next request, empty where it has none, and a source of its details."""
        with self._changed:
            fault, choice = self._draws[importing].next() if self.faulty else ("", random.Random(self._seed))
            self.faults.update([fault] if fault else [])
            return fault, choice

    def expired(self, authorization: str) -> bool:
        """Tell whether this is an access token that is good no longer."""
        if not authorization.startswith("Bearer "):
            return False
        with self._changed:
            if self.faulty and self._ends.random() < OF_ACCESS:
                self._expired.add(authorization)
            self.faults.update([EXPIRED] if authorization in self._expired else [])
            return authorization in self._expired

    @contextlib.contextmanager
    def importing(self) -> Any:
        with self._changed:
            self._running += 1
        try:
            yield
        finally:
            with self._changed:
                self._running -= 1
                self._changed.notify_all()

    def wait_until_idle(self) -> bool:
        """Return True when Label Studio works on no import."""
        with self._changed:
            return self._changed.wait_for(lambda: self._running == 0, PATIENCE)


class _Draws:
    """Faults by chance, of which none comes a second time before each has come once."""

    def __init__(self, seed: str, probability: float, faults: tuple[str, ...]) -> None:
        self._choice = random.Random(seed)
        self._probability = probability
        self._faults = faults
        self._deck: list[str] = []

    def next(self) -> tuple[str, random.Random]:
        details = random.Random(self._choice.random())
        if self._choice.random() >= self._probability:
            return "", details
        if not self._deck:
            self._deck = self._choice.sample(self._faults, len(self._faults))
        return self._deck.pop(), details


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 64

    def handle_error(self, request: object, client_address: object) -> None:
        """Say nothing: clients and server are killed all the time."""


class _Handler(BaseHTTPRequestHandler):
    proxy: FaultProxy

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the name is the base class's
        """Say nothing."""

    def _handle(self) -> None:
        if self.command == "POST" and self.path.partition("?")[0].endswith("/import"):
            with self.proxy.importing():
                self._pass(importing=True)
        else:
            if "in_list" in self.path and not self.proxy.wait_until_idle():
                return
            self._pass(importing=False)

    def _pass(self, *, importing: bool) -> None:
        length = int(self.headers.get("Content-Length") or 0)
        body = self.rfile.read(length)
        if len(body) < length:  # its sender died
            return
        if self.proxy.expired(self.headers["Authorization"] or ""):
            said = {"detail": "Given token not valid for any token type", "code": "token_not_valid"}
            self._answer(401, json.dumps(said).encode(), {"Content-Type": "application/json"})
            return
        fault, choice = self.proxy.draw(importing=importing)
        if fault == "delay":
            time.sleep(choice.uniform(0.1, 2.0))
        elif fault == STRIPPED:
            body = _stripped(body, choice)
        elif fault in BEFORE:
            self._fail(fault, choice)
            return
        try:
            status, headers, answer = self._asked(body)
        except (OSError, http.client.HTTPException):
            return  # Label Studio is down, or died over it
        if fault in AFTER:
            self._fail(fault, choice, answer)
        else:
            self._answer(status, answer, headers)

    def _asked(self, body: bytes) -> tuple[int, dict[str, str], bytes]:
        connection = http.client.HTTPConnection("127.0.0.1", self.proxy.port(), timeout=PATIENCE)
        try:
            names = ("Authorization", "Content-Type")
            headers = {name: self.headers[name] for name in names if self.headers[name]}
            connection.request(self.command, self.path, body or None, headers)
            answer = connection.getresponse()
            kept = {"Content-Type": answer.getheader("Content-Type") or "text/plain"}
            return answer.status, kept, answer.read()
        finally:
            connection.close()

    def _answer(self, status: int, body: bytes, headers: dict[str, str], length: int | None = None) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body) if length is None else length))
        self.end_headers()
        self.wfile.write(body)

    def _fail(self, fault: str, choice: random.Random, answer: bytes = b"") -> None:
        if fault[:3].isdigit():
            self._answer(int(fault[:3]), b"<h1>Error</h1>", {"Content-Type": "text/html", "Retry-After": "1"})
        elif fault == "truncated":
            self._answer(201, answer[: len(answer) // 2], {"Content-Type": "application/json"}, len(answer) + 1)
        else:
            if fault.startswith("half-open"):
                time.sleep(SILENCE)
            if choice.random() < 0.5:  # a reset instead of an end
                self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                self.connection.close()

    do_GET = do_POST = do_PATCH = do_DELETE = _handle


def _stripped(body: bytes, choice: random.Random) -> bytes:
    """Return tasks of which one has lost its predictions: Label Studio on SQLite does that to parallel imports."""
    tasks = json.loads(body)
    choice.choice(tasks).pop("predictions", None)
    return json.dumps(tasks).encode()
