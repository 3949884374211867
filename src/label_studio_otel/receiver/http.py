"""An HTTP/1.1 server for one handler: h11 reads the protocol, asyncio the sockets, and everything has a limit.

A client that is slow, silent or hostile costs a socket and what it was allowed to send, never a thread. No ready-made
server does what OTLP asks for: an answer in the form of `google.rpc.Status` whatever is wrong, also with the size or
the head of a request, and a time-out for heads that come byte by byte.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
from collections.abc import Mapping
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, Protocol

import h11

from label_studio_otel.receiver.settings import Limits
from label_studio_otel.receiver.streams import Stream, TlsStream
from label_studio_otel.receiver.tls import Renewed, server_context

if TYPE_CHECKING:
    import ssl

    from label_studio_otel.receiver.settings import Tls

__all__ = ["Handler", "Head", "HttpServer", "Response"]

_PIECE = 256 * 1024
_HEAD_BYTES = 32 * 1024
#: Pieces of a body after which others have their turn.
_TURN = 64
#: Connections beyond the limit that are told so; more are closed without a word, as each of them is an open file.
_TURNED_AWAY = 64


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
    """An answer."""

    status: int
    content_type: str
    body: bytes = b""
    headers: Mapping[str, str] = field(default_factory=dict)


class Handler(Protocol):
    """What a server answers with."""

    def refuse(self, head: Head) -> Response | None:
        """Return the answer to a request whose body need not be read, None to read it."""

    async def answer(self, head: Head, body: bytes) -> Response:
        """Return the answer to a request."""

    def wrong(self, status: int, message: str, head: Head | None) -> Response:
        """Return the answer to what cannot come to `answer`; 503 means that the same may be sent again."""


class _Refused(Exception):
    """A request that is answered before it was read."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


class HttpServer:
    """Serves one handler."""

    def __init__(self, handler: Handler, limits: Limits | None = None) -> None:
        self.handler = handler
        self.limits = limits or Limits()
        #: Bytes of bodies that are held now.
        self.held = 0
        self.stopping = False
        self._connections: dict[asyncio.Task[None], _Connection] = {}
        self._server: asyncio.Server | None = None
        self._tls: Renewed[ssl.SSLContext] | None = None

    @property
    def connections(self) -> int:
        """Number of connections that are open."""
        return len(self._connections)

    async def listen(self, host: str, port: int, tls: Tls | None = None) -> int:
        """Take connections from now on; return the port.

        Raises:
            OSError: the address cannot be used.
            ConfigError: a file of `tls` cannot be used.
        """
        self._tls = None if tls is None else Renewed(tls, server_context)
        self._server = await asyncio.start_server(self._serve, host, port, limit=_PIECE, backlog=512)
        bound: int = self._server.sockets[0].getsockname()[1]
        return bound

    async def close(self, timeout: float) -> None:
        """Take no more requests, and answer those that are under way for at most so many seconds."""
        self.stopping = True
        if self._server is not None:
            self._server.close()
        for connection in self._connections.values():
            connection.leave()
        if self._connections:
            _, late = await asyncio.wait(list(self._connections), timeout=timeout)
            for task in late:
                task.cancel()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        beyond = len(self._connections) - self.limits.connections
        if beyond >= _TURNED_AWAY:
            writer.transport.abort()
            return
        stream = Stream(reader, writer) if self._tls is None else TlsStream(reader, writer, self._tls.now())
        self._connections[task] = connection = _Connection(self, stream)
        # The client is gone, or was cut off.
        try:
            with contextlib.suppress(OSError, h11.LocalProtocolError, asyncio.TimeoutError):
                await asyncio.wait_for(stream.begin(), self.limits.handshake)
                if beyond >= 0:
                    await connection.turn_away(503, "too many connections")
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
        self._http = h11.Connection(h11.SERVER, max_incomplete_event_size=_HEAD_BYTES)
        self._busy = False
        self._held = 0

    def leave(self) -> None:
        """Close it unless a request is under way."""
        if not self._busy:
            self._stream.close()

    async def exchange(self) -> bool:
        """Answer one request; False where it was the last one."""
        head = None
        try:
            if (head := await self._head()) is None:
                return False
            if (refusal := self._server.handler.refuse(head)) is not None:
                await self._send(refusal, head, last=self._http.their_state is not h11.DONE)
            else:
                body = await self._body(head)
                await self._send(await self._server.handler.answer(head, body), head)
        except h11.RemoteProtocolError as error:
            await self.turn_away(error.error_status_hint, "no valid HTTP/1.1 request", head)
        except _Refused as refused:
            await self.turn_away(refused.status, str(refused), head)
        finally:
            self._release()
            self._busy = False
        return self._again()

    async def turn_away(self, status: int, message: str, head: Head | None = None) -> None:
        """Answer without having read the request, and let no other one follow."""
        if self._http.our_state in (h11.IDLE, h11.SEND_RESPONSE):
            await self._send(self._server.handler.wrong(status, message, head), head, last=True)

    def _again(self) -> bool:
        if self._server.stopping or self._http.our_state is not h11.DONE or self._http.their_state is not h11.DONE:
            return False
        self._http.start_next_cycle()
        return True

    async def _head(self) -> Head | None:
        """Return the next request's head; None where the client has no more."""
        if not self._http.trailing_data[0]:
            first = await asyncio.wait_for(self._stream.read(_HEAD_BYTES), self._limits.idle)
            self._http.receive_data(first)
        self._busy = True
        try:
            event = await asyncio.wait_for(self._event(), self._limits.head)
        except asyncio.TimeoutError:
            raise _Refused(408, f"the request's head did not come within {self._limits.head:g} s") from None
        if not isinstance(event, h11.Request):
            return None
        headers: dict[str, str] = {}
        for name, value in event.headers:
            key, text = name.decode("ascii"), value.decode("latin-1")
            headers[key] = f"{headers[key]}, {text}" if key in headers else text
        path = event.target.decode("latin-1").partition("?")[0]
        return Head(event.method.decode("ascii"), path, headers)

    async def _body(self, head: Head) -> bytes:
        if "content-length" in head.headers and "transfer-encoding" in head.headers:
            raise _Refused(400, "the request says its length in two ways")  # a proxy may have read another request
        declared = head.headers.get("content-length", "0")  # h11 lets nothing else than a number through
        if len(declared) > 18 or int(declared) > self._limits.body:
            raise self._too_large()
        if self._http.they_are_waiting_for_100_continue:
            await self._write(self._http.send(h11.InformationalResponse(status_code=100, headers=[])) or b"")
        try:
            return await asyncio.wait_for(self._pieces(), self._limits.sending)
        except asyncio.TimeoutError:
            raise _Refused(408, f"the request's body did not come within {self._limits.sending:g} s") from None

    async def _pieces(self) -> bytes:
        body = bytearray()
        try:
            await self._collect(body)
            return bytes(body)
        except BaseException:
            self._release()  # before the answer, which lingers
            raise
        finally:
            body.clear()  # the traceback of a refusal keeps it until the garbage collector comes by

    async def _collect(self, body: bytearray) -> None:
        pieces = itertools.count(1)
        while isinstance(event := await self._event(), h11.Data):
            if next(pieces) % _TURN == 0:
                await asyncio.sleep(0)  # a body in chunks of a byte must not hold up everybody else
            if len(body) + len(event.data) > self._limits.body:
                raise self._too_large()
            if self._server.held + len(event.data) > self._limits.bodies:
                raise _Refused(503, "too many requests at a time")
            self._server.held += len(event.data)
            self._held += len(event.data)
            body += event.data

    def _release(self) -> None:
        self._server.held -= self._held
        self._held = 0

    def _too_large(self) -> _Refused:
        return _Refused(413, f"the request is larger than {self._limits.body} bytes")

    async def _event(self) -> Any:
        while (event := self._http.next_event()) is h11.NEED_DATA:
            # h11 measures a head only where it is not whole yet.
            left = max(1, _HEAD_BYTES + 1 - len(self._http.trailing_data[0]))
            self._http.receive_data(await self._stream.read(left if self._http.their_state is h11.IDLE else _PIECE))
        return event

    async def _send(self, response: Response, head: Head | None, *, last: bool = False) -> None:
        headers = [
            ("Content-Type", response.content_type),
            ("Content-Length", str(len(response.body))),
            *response.headers.items(),
        ]
        if last or self._server.stopping:
            headers.append(("Connection", "close"))
        sent = (
            self._http.send(h11.Response(status_code=response.status, headers=headers, reason=_phrase(response.status)))
            or b""
        )
        if head is None or head.method != "HEAD":
            sent += self._http.send(h11.Data(data=response.body)) or b""
        sent += self._http.send(h11.EndOfMessage()) or b""
        await self._write(sent)
        if last:
            await self._linger()

    async def _write(self, data: bytes) -> None:
        await asyncio.wait_for(self._stream.write(data), self._limits.idle)

    async def _linger(self) -> None:
        """Read on for a while: closing a socket with unread bytes would take the answer back."""
        with contextlib.suppress(OSError, asyncio.TimeoutError):
            await asyncio.wait_for(self._stream.end(), self._limits.lingering)


def _phrase(status: int) -> str:
    """Return what some clients log in place of the body."""
    return HTTPStatus(status).phrase
