"""A client's connection as bytes, plain or in TLS, for `http.py`.

asyncio's own TLS shows a server only the connections whose handshake ended, so that silent ones could not be counted.
"""

from __future__ import annotations

import asyncio
import contextlib
import ssl
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["Stream", "TlsStream"]

_PIECE = 256 * 1024
#: Seconds in which a client may still read; asyncio alone would wait for ever.
_UNREAD = 2.0
Done = TypeVar("Done")


class Stream:
    """A connection in plain text."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer

    async def begin(self) -> None:
        """Agree with the client on how to speak.

        Raises:
            OSError: there is no agreement.
        """

    async def read(self, size: int) -> bytes:
        """Return at most so many bytes, none where the client sends no more."""
        return await self._reader.read(size)

    async def write(self, data: bytes) -> None:
        """Send; wait where the client does not read."""
        self._writer.write(data)
        await self._writer.drain()

    async def end(self) -> None:
        """Send no more, and read on until the client has: closing before would take back what it did not read yet."""
        self._writer.write_eof()
        while await self._reader.read(_PIECE):
            continue

    def close(self) -> None:
        """Let go of it; a client that reads nothing of what was sent is left soon."""
        self._writer.close()
        if self._writer.transport.get_write_buffer_size():
            asyncio.get_running_loop().call_later(_UNREAD, self._writer.transport.abort)


class TlsStream(Stream):
    """A connection in TLS."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, context: ssl.SSLContext) -> None:
        super().__init__(reader, writer)
        self._received, self._to_send = ssl.MemoryBIO(), ssl.MemoryBIO()
        self._tls = context.wrap_bio(self._received, self._to_send, server_side=True)
        self._ended = False

    async def begin(self) -> None:
        """See `Stream.begin`; the client is told what is wrong."""
        try:
            await self._carry_out(self._tls.do_handshake)
        except ssl.SSLError as error:
            if error.reason == "HTTP_REQUEST":
                self._writer.write(b"HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\nthis port speaks TLS\n")
            raise

    async def read(self, size: int) -> bytes:
        """See `Stream.read`."""
        try:
            return await self._carry_out(lambda: self._tls.read(size))
        except (ssl.SSLEOFError, ssl.SSLZeroReturnError):
            return b""

    async def write(self, data: bytes) -> None:
        """See `Stream.write`."""
        self._step(lambda: self._tls.write(data))
        await self._writer.drain()

    async def end(self) -> None:
        """See `Stream.end`."""
        self._farewell()
        await super().end()

    def close(self) -> None:
        """See `Stream.close`."""
        self._farewell()
        super().close()

    async def _carry_out(self, step: Callable[[], Done]) -> Done:
        while True:
            with contextlib.suppress(ssl.SSLWantReadError):
                return self._step(step)
            await self._writer.drain()
            if received := await self._reader.read(_PIECE):
                self._received.write(received)
            else:
                self._received.write_eof()

    def _step(self, step: Callable[[], Done]) -> Done:
        try:
            return step()
        finally:  # an alert too
            self._send()

    def _farewell(self) -> None:
        """Tell the client that nothing follows, once; it need not answer."""
        if not self._ended and not self._writer.is_closing():
            self._ended = True
            with contextlib.suppress(ssl.SSLError):
                self._step(self._tls.unwrap)

    def _send(self) -> None:
        if waiting := self._to_send.read():
            self._writer.write(waiting)
