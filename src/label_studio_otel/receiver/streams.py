"""`Stream` reads and writes the bytes of a connection for `http.py`; `TlsStream` does it over TLS.

TLS is done here because asyncio's own hands a connection to a server only after the handshake: connections that never
begin one could not be counted.
"""

from __future__ import annotations

import asyncio
import contextlib
import ssl
from collections.abc import Callable
from typing import TypeVar

READ_BYTES = 256 * 1024
#: How long a client may read the last bytes after `close`; asyncio alone would wait for ever.
CLOSE_TIMEOUT_S = 2.0
Result = TypeVar("Result")


class Stream:
    """A connection without TLS."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer

    async def handshake(self) -> None:
        """Prepare the connection for reading and writing.

        Raises:
            OSError: client and server could not agree on TLS.
        """

    async def read(self, size: int) -> bytes:
        """Return at most so many bytes; none where the client sends no more."""
        return await self._reader.read(size)

    async def write(self, data: bytes) -> None:
        """Send bytes; wait while the client does not read."""
        self._writer.write(data)
        await self._writer.drain()

    async def drain_to_end(self) -> None:
        """End sending, and read until the client closes: an earlier close could discard the unread response."""
        self._writer.write_eof()
        while await self._reader.read(READ_BYTES):
            continue

    def close(self) -> None:
        """Close the connection, within seconds also where the client does not read."""
        self._writer.close()
        if self._writer.transport.get_write_buffer_size():
            asyncio.get_running_loop().call_later(CLOSE_TIMEOUT_S, self._writer.transport.abort)


class TlsStream(Stream):
    """A connection with TLS: `ssl` encrypts between two buffers, and this class moves their bytes to the socket."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, context: ssl.SSLContext) -> None:
        super().__init__(reader, writer)
        self._incoming, self._outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self._tls = context.wrap_bio(self._incoming, self._outgoing, server_side=True)
        self._close_notify_sent = False

    async def handshake(self) -> None:
        """See `Stream.handshake`; a client that speaks plain HTTP gets a response that says so."""
        try:
            await self._complete(self._tls.do_handshake)
        except ssl.SSLError as error:
            if error.reason == "HTTP_REQUEST":
                self._writer.write(b"HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\nthis port speaks TLS\n")
            raise

    async def read(self, size: int) -> bytes:
        """See `Stream.read`."""
        try:
            return await self._complete(lambda: self._tls.read(size))
        except (ssl.SSLEOFError, ssl.SSLZeroReturnError):
            return b""

    async def write(self, data: bytes) -> None:
        """See `Stream.write`."""
        # Encrypting into a buffer takes all bytes at once and needs nothing from the client.
        self._call(lambda: self._tls.write(data))
        await self._writer.drain()

    async def drain_to_end(self) -> None:
        """See `Stream.drain_to_end`."""
        self._send_close_notify()
        await super().drain_to_end()

    def close(self) -> None:
        """See `Stream.close`."""
        self._send_close_notify()
        super().close()

    async def _complete(self, operation: Callable[[], Result]) -> Result:
        """Return the result of an operation of `ssl`, called until it has enough of the client's bytes."""
        while True:
            with contextlib.suppress(ssl.SSLWantReadError):
                return self._call(operation)
            await self._writer.drain()
            if received := await self._reader.read(READ_BYTES):
                self._incoming.write(received)
            else:
                self._incoming.write_eof()

    def _call(self, operation: Callable[[], Result]) -> Result:
        """Return the result of an operation of `ssl`, and send the bytes that it made; after an error, an alert."""
        try:
            return operation()
        finally:
            if outgoing := self._outgoing.read():
                self._writer.write(outgoing)

    def _send_close_notify(self) -> None:
        """Send TLS's end of the connection, once; the client need not confirm it."""
        if not self._close_notify_sent and not self._writer.is_closing():
            self._close_notify_sent = True
            with contextlib.suppress(ssl.SSLError):
                self._call(self._tls.unwrap)
