"""A connection in front of a receiver on which the first answers are lost: the receiver gave them, nobody got them."""

from __future__ import annotations

import contextlib
import socket
import threading
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from typing_extensions import Self

#: HTTP/2: a frame has its length, type, flags and stream before it. An answer begins with one of this type, and what
#: gRPC says at its end has the same one.
HEADERS = 1


class LostAnswers:
    """Runs while its context lasts: breaks the connection when the receiver begins to answer, so many times.

    Args:
        port: of the receiver, on the loopback interface.
        times: number of answers that are lost before they get through.
        http2: HTTP/2, as gRPC speaks it, and not HTTP/1.1.
    """

    def __init__(self, port: int, times: int = 1, *, http2: bool = False) -> None:
        self._port, self._left, self._http2 = port, times, http2
        #: Number of answers that the receiver began, and of those that were lost.
        self.begun = self.lost = 0
        self._lock = threading.Lock()
        self._open: list[socket.socket] = []
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = int(self._listener.getsockname()[1])

    def __enter__(self) -> Self:
        threading.Thread(target=self._accept, daemon=True).start()
        return self

    def __exit__(self, *error: object) -> None:
        _close(self._listener, *self._open)

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                server = socket.create_connection(("127.0.0.1", self._port))
                self._open += [client, server]
                threading.Thread(target=self._pump, args=(client, server, False), daemon=True).start()
                threading.Thread(target=self._pump, args=(server, client, True), daemon=True).start()

    def _pump(self, source: socket.socket, target: socket.socket, answers: bool) -> None:
        """Copy until one side ends, or an answer is lost."""
        rest, streams = b"", set[bytes]()
        with contextlib.suppress(OSError):
            while data := source.recv(65536):
                if answers:
                    begun, rest = self._begun_in(rest + data)
                    if begun - streams and self._lose():
                        break
                    streams |= begun if self._http2 else set()
                target.sendall(data)
        _close(source, target)

    def _begun_in(self, data: bytes) -> tuple[set[bytes], bytes]:
        """Return the streams whose answers begin in these bytes, and what is there of a frame that is not whole."""
        if not self._http2:
            return ({b""} if data.startswith(b"HTTP/1.1 ") else set()), b""
        found = set()
        while len(data) >= 9 and len(data) >= (end := 9 + int.from_bytes(data[:3], "big")):
            if data[3] == HEADERS:
                found.add(data[5:9])
            data = data[end:]
        return found, data

    def _lose(self) -> bool:
        """Count an answer, and tell whether it is one to lose."""
        with self._lock:
            self.begun += 1
            if not self._left:
                return False
            self._left -= 1
            self.lost += 1
            return True


def _close(*sockets: socket.socket) -> None:
    for one in sockets:
        with contextlib.suppress(OSError):
            one.shutdown(socket.SHUT_RDWR)
        one.close()
