"""Fakes for tests, ours and yours: spans of LLM calls, a clock, and a small Label Studio with faults on request.

`FakeLabelStudio` answers as Label Studio 1.23.2 does, over a real socket; one contract suite holds it to the real one.
It is there for what a real server cannot be made to do: lose an answer, hang, forget predictions.
"""

from __future__ import annotations

import base64
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

from label_studio_otel._fake_store import Call, Flaws, Store, error
from label_studio_otel.spans import Span

if TYPE_CHECKING:
    import ssl
    from collections.abc import Mapping, Sequence

    from typing_extensions import Self

__all__ = ["FakeClock", "FakeLabelStudio", "Fault", "Request", "span"]

#: 2026-01-01T00:00:00Z
START_TIME = 1767225600_000_000_000


def span(
    prompt: str | Sequence[Mapping[str, Any]] = "Say hello.",
    response: str | Sequence[str] = "Hello!",
    *,
    number: int = 1,
    operation: str = "chat",
    model: str = "gpt-4o-mini",
    system: str | None = None,
    attributes: Mapping[str, Any] | None = None,
    **fields: Any,
) -> Span:
    """Return the span of an LLM call as opentelemetry-instrumentation-langchain 0.62.4 writes it.

    Args:
        prompt: what the user said, or all messages in the form of `gen_ai.input.messages`.
        response: the answer, or all choices.
        number: makes the ids, so that spans of different numbers are different calls.
        operation: chat or text_completion.
        model: what was asked for; the model that answered has a date behind it in a chat.
        system: the system message.
        attributes: added to the others, or replacing them.
        fields: any field of `Span`.
    """
    chat = operation == "chat"
    messages = [_message("user", prompt)] if isinstance(prompt, str) else prompt
    choices = (_message("assistant", text) for text in ([response] if isinstance(response, str) else response))
    said: dict[str, Any] = {
        "gen_ai.provider.name": "openai",
        "gen_ai.operation.name": operation,
        "gen_ai.request.model": model,
        "gen_ai.input.messages": json.dumps(messages),
        "gen_ai.response.model": f"{model}-2026-01-15" if chat else model,
        "gen_ai.usage.input_tokens": 12,
        "gen_ai.usage.output_tokens": 34,
        "gen_ai.usage.total_tokens": 46,
        "gen_ai.output.messages": json.dumps([{**choice, "finish_reason": "stop"} for choice in choices]),
        "gen_ai.response.finish_reasons": ("stop",),
    }
    if chat:
        said["gen_ai.response.id"] = f"chatcmpl-{number}"
    if system is not None:
        said["gen_ai.system_instructions"] = json.dumps([{"type": "text", "content": system}])
    defaults: dict[str, Any] = {
        "trace_id": f"{number:032x}",
        "span_id": f"{number:016x}",
        "name": "ChatOpenAI.chat" if chat else "OpenAI.completion",
        "kind": "CLIENT",
        "start_time_unix_nano": START_TIME,
        "end_time_unix_nano": START_TIME + 1_500_000_000,
        "resource": {"service.name": "test-app"},
        "scope_name": "opentelemetry.instrumentation.langchain",
        "scope_version": "0.62.4",
        "attributes": {**said, **(attributes or {})},
    }
    return Span(**{**defaults, **fields})


def _message(role: str, text: str) -> dict[str, Any]:
    return {"role": role, "parts": [{"type": "text", "content": text}] if text else []}


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
    #: The import's answer has no counts, as that of a Label Studio which imports later.
    without_counts: bool = False
    #: No prediction of the import is kept, nor counted.
    lose_predictions: bool = False
    #: Positions in the import that are refused; all or none, so nothing is taken.
    reject: tuple[int, ...] = ()


class FakeLabelStudio:
    """A small Label Studio on a free loopback port, while its context lasts.

    Args:
        path: where below the host it stands, as `/label-studio`.
        access_lifetime: seconds that an access token lives.
        tls: a server's context makes it https.
    """

    #: Legacy token.
    token = "0123456789abcdef0123456789abcdef01234567"  # noqa: S105 - a fake's

    def __init__(self, *, path: str = "", access_lifetime: float = 300, tls: ssl.SSLContext | None = None) -> None:
        #: Every request, in order of arrival.
        self.requests: list[Request] = []
        #: What will go wrong: each takes the next request that it is about.
        self.faults: deque[Fault] = deque()
        #: Personal access token: a JWT that is good for access tokens only.
        self.personal_access_token = _jwt(token_type="refresh", exp=time.time() + 1e9)  # noqa: S106 - no password
        self.path = path.rstrip("/")
        self.access_lifetime = access_lifetime
        self.store = Store()
        self.closing = threading.Event()
        self._access: dict[str, float] = {}
        self._lock = threading.RLock()
        self._http = _Server(("127.0.0.1", 0), type("Handler", (_Handler,), {"fake": self}))
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
            flaws = Flaws(fault.without_counts, fault.lose_predictions, fault.reject)
            return self.store.carry_out(Call(request.method, parts.path, query, body, flaws))

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
        if self._silent(fault.wait) or fault.drop == "before":
            return self._break_off()
        if fault.status is None or fault.carried_out:
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
