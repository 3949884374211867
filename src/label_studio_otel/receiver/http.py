"""`HttpServer` is an HTTP/1.1 server for one handler. h11 reads the protocol, asyncio the sockets.

Everything that a client can use has a limit: a slow, silent or hostile client costs a socket and what it was allowed to
send, never a thread. No ready-made server does what OTLP asks for: an error must be a `google.rpc.Status` whatever is
wrong, also the size or the head of a request, and a head that comes byte by byte must time out.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import ssl
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any, Protocol

import h11

from label_studio_otel.receiver.settings import Limits, Tls
from label_studio_otel.receiver.streams import READ_BYTES, Stream, TlsStream
from label_studio_otel.receiver.tls import Reloading, server_context

MAX_HEAD_BYTES = 32 * 1024
#: The number of chunks of a body after which other connections have their turn.
CHUNKS_PER_TURN = 64
#: Connections beyond the limit that get a response; more are closed at once, as each of them is an open file.
MAX_REFUSED_CONNECTIONS = 64


@dataclass(frozen=True, slots=True)
class Head:
    """A request without its body."""

    method: str
    #: Without the query.
    path: str
    #: By lower-case name.
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)


@dataclass(frozen=True, slots=True)
class Response:
    """A response to an HTTP request."""

    status: int
    content_type: str
    body: bytes = b""
    headers: Mapping[str, str] = field(default_factory=dict)


class Handler(Protocol):
    """Makes the responses of a server."""

    def refuse(self, head: Head) -> Response | None:
        """Return the response to a request whose body need not be read; None to read the body."""

    async def respond(self, head: Head, body: bytes) -> Response:
        """Return the response to a whole request."""

    def error(self, status: int, message: str, head: Head | None) -> Response:
        """Return the response to a request that the server refuses. 503 means that the client may send it again.

        Args:
            head: None where the head could not be read.
        """

    def observe(self, head: Head | None, response: Response, seconds: float, body_bytes: int) -> None:
        """Count a response, before it is sent.

        Args:
            seconds: since the end of the request's head.
            body_bytes: the size of the request's body; 0 where it was not read.
        """


class _Refused(Exception):
    """The refusal of a request before its body was read: HTTP status and message."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


class HttpServer:
    """Serves one handler from `listen` to `close`."""

    def __init__(self, handler: Handler, limits: Limits | None = None) -> None:
        self.handler = handler
        self.limits = limits or Limits()
        #: Bytes of bodies that are in memory now.
        self.held = 0
        self.stopping = False
        self._connections: dict[asyncio.Task[None], _Connection] = {}
        self._server: asyncio.Server | None = None
        self._tls: Reloading[ssl.SSLContext] | None = None

    @property
    def connections(self) -> int:
        """Number of connections that are open."""
        return len(self._connections)

    async def listen(self, host: str, port: int, tls: Tls | None = None) -> int:
        """Accept connections from now on; return the port.

        Raises:
            OSError: the address cannot be used.
            ConfigError: a file of `tls` cannot be used.
        """
        self._tls = None if tls is None else Reloading(tls, server_context)
        self._server = await asyncio.start_server(self._serve, host, port, limit=READ_BYTES, backlog=512)
        bound: int = self._server.sockets[0].getsockname()[1]
        return bound

    async def close(self, timeout: float) -> None:
        """Accept no more requests, and wait at most `timeout` seconds for the responses to those under way."""
        self.stopping = True
        if self._server is not None:
            self._server.close()
        for connection in self._connections.values():
            connection.close_if_idle()
        if self._connections:
            _, late = await asyncio.wait(list(self._connections), timeout=timeout)
            for task in late:
                task.cancel()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        beyond = len(self._connections) - self.limits.connections
        if beyond >= MAX_REFUSED_CONNECTIONS:
            writer.transport.abort()
            return
        stream = Stream(reader, writer) if self._tls is None else TlsStream(reader, writer, self._tls.current())
        self._connections[task] = connection = _Connection(self, stream)
        try:
            # These errors mean that the client has closed the connection, or was too slow.
            with contextlib.suppress(OSError, h11.LocalProtocolError, asyncio.TimeoutError):
                await asyncio.wait_for(stream.handshake(), self.limits.handshake)
                if beyond >= 0:
                    await connection.refuse(_Refused(503, "too many connections"), None)
                else:
                    while await connection.exchange():
                        continue
        finally:
            del self._connections[task]
            stream.close()


class _Connection:
    """One client's connection."""

    def __init__(self, server: HttpServer, stream: Stream) -> None:
        self._server = server
        self._limits = server.limits
        self._stream = stream
        self._http = h11.Connection(h11.SERVER, max_incomplete_event_size=MAX_HEAD_BYTES)
        self._busy = False
        self._held = 0
        #: When the head of the present request ended.
        self._began = 0.0

    def close_if_idle(self) -> None:
        """Close the connection unless a request is under way."""
        if not self._busy:
            self._stream.close()

    async def exchange(self) -> bool:
        """Respond to one request; return whether another one may follow."""
        head = None
        try:
            if (head := await self._read_head()) is None:
                return False
            if (refusal := self._server.handler.refuse(head)) is not None:
                await self._send(refusal, head, last=self._http.their_state is not h11.DONE)
            else:
                body = await self._read_body(head)
                await self._send(await self._server.handler.respond(head, body), head, body_bytes=len(body))
        except h11.RemoteProtocolError as error:
            await self.refuse(_Refused(error.error_status_hint, "no valid HTTP/1.1 request"), head)
        except _Refused as refused:
            await self.refuse(refused, head)
        finally:
            self._release()
            self._busy = False
        return self._start_next_cycle()

    async def refuse(self, refused: _Refused, head: Head | None) -> None:
        """Respond without having read the request, and end the connection."""
        if self._http.our_state in (h11.IDLE, h11.SEND_RESPONSE):
            self._began = self._began if head else time.monotonic()
            await self._send(self._server.handler.error(refused.status, str(refused), head), head, last=True)

    def _start_next_cycle(self) -> bool:
        if self._server.stopping or self._http.our_state is not h11.DONE or self._http.their_state is not h11.DONE:
            return False
        self._http.start_next_cycle()
        return True

    async def _read_head(self) -> Head | None:
        """Return the next request's head; None if the client has closed the connection."""
        if not self._http.trailing_data[0]:
            first = await asyncio.wait_for(self._stream.read(MAX_HEAD_BYTES), self._limits.idle)
            self._http.receive_data(first)
        self._busy = True
        try:
            event = await asyncio.wait_for(self._next_event(), self._limits.head)
        except asyncio.TimeoutError:
            raise _Refused(408, f"the request's head did not come within {self._limits.head:g} s") from None
        self._began = time.monotonic()
        if not isinstance(event, h11.Request):
            return None
        headers: dict[str, str] = {}
        for name, value in event.headers:
            key, text = name.decode("ascii"), value.decode("latin-1")
            headers[key] = f"{headers[key]}, {text}" if key in headers else text
        path = event.target.decode("latin-1").partition("?")[0]
        return Head(event.method.decode("ascii"), path, headers)

    async def _read_body(self, head: Head) -> bytes:
        if "content-length" in head.headers and "transfer-encoding" in head.headers:
            raise _Refused(400, "the request says its length in two ways")  # a proxy may have read another request
        declared = head.headers.get("content-length", "0")  # h11 has checked that it is a number
        if len(declared) > 18 or int(declared) > self._limits.body:
            raise self._too_large()
        if self._http.they_are_waiting_for_100_continue:
            await self._write(self._http.send(h11.InformationalResponse(status_code=100, headers=[])) or b"")
        try:
            return await asyncio.wait_for(self._read_chunks(), self._limits.sending)
        except asyncio.TimeoutError:
            raise _Refused(408, f"the request's body did not come within {self._limits.sending:g} s") from None

    async def _read_chunks(self) -> bytes:
        body = bytearray()
        try:
            await self._append_chunks(body)
            return bytes(body)
        except BaseException:
            self._release()  # before the response, after which the connection stays open for a while
            raise
        finally:
            body.clear()  # the traceback of a refusal keeps a reference until the garbage collector runs

    async def _append_chunks(self, body: bytearray) -> None:
        chunks = itertools.count(1)
        while isinstance(event := await self._next_event(), h11.Data):
            if next(chunks) % CHUNKS_PER_TURN == 0:
                await asyncio.sleep(0)  # a body in chunks of one byte must not stop all other connections
            if len(body) + len(event.data) > self._limits.body:
                raise self._too_large()
            if self._server.held + len(event.data) > self._limits.bodies:
                raise _Refused(503, "too many requests at a time")
            self._server.held += len(event.data)
            self._held += len(event.data)
            body += event.data

    def _release(self) -> None:
        """Subtract this connection's body from the bytes that the server holds."""
        self._server.held -= self._held
        self._held = 0

    def _too_large(self) -> _Refused:
        return _Refused(413, f"the request is larger than {self._limits.body} bytes")

    async def _next_event(self) -> Any:
        while (event := self._http.next_event()) is h11.NEED_DATA:
            # h11 checks the size of a head only while it is incomplete, so it must never get more than the limit.
            left = max(1, MAX_HEAD_BYTES + 1 - len(self._http.trailing_data[0]))
            size = left if self._http.their_state is h11.IDLE else READ_BYTES
            self._http.receive_data(await self._stream.read(size))
        return event

    async def _send(self, response: Response, head: Head | None, *, last: bool = False, body_bytes: int = 0) -> None:
        self._server.handler.observe(head, response, time.monotonic() - self._began, body_bytes)
        headers = [("Content-Type", response.content_type), ("Content-Length", str(len(response.body)))]
        headers += response.headers.items()
        if last or self._server.stopping:
            headers.append(("Connection", "close"))
        reason = HTTPStatus(response.status).phrase  # some clients log it in place of the body
        sent = self._http.send(h11.Response(status_code=response.status, headers=headers, reason=reason)) or b""
        if head is None or head.method != "HEAD":
            sent += self._http.send(h11.Data(data=response.body)) or b""
        sent += self._http.send(h11.EndOfMessage()) or b""
        await self._write(sent)
        if last:  # closing a socket with unread bytes would discard the response
            with contextlib.suppress(OSError, asyncio.TimeoutError):
                await asyncio.wait_for(self._stream.drain_to_end(), self._limits.lingering)

    async def _write(self, data: bytes) -> None:
        await asyncio.wait_for(self._stream.write(data), self._limits.idle)
