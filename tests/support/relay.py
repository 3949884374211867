"""An address in front of a real server that behaves as a test says, and in the end as the server."""

from __future__ import annotations

import contextlib
import shutil
import socket
import threading
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from typing_extensions import Self

STRANGER = b"HTTP/1.1 404 Not Found\r\nContent-Type: text/html\r\nContent-Length: 14\r\n\r\n<h1>Apache</h1"


class Relay:
    """Runs while its context lasts. Behaves as nobody until told otherwise: connections are refused.

    Args:
        port: of the real server, on the loopback interface.
    """

    def __init__(self, port: int) -> None:
        self._port = port
        self._behaviour = "nobody"
        self._open: list[socket.socket] = []
        self._listener = socket.socket()
        self._listener.bind(("127.0.0.1", 0))  # bound and not listening
        self.url = f"http://127.0.0.1:{self._listener.getsockname()[1]}"

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        for one in [self._listener, *self._open]:
            with contextlib.suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)
            one.close()

    def behave(self, as_: str) -> None:
        """Behave as `silence` (accepts, and never answers), a `stranger` (a web server) or the real `server`."""
        if self._behaviour == "nobody":
            self._listener.listen()
            threading.Thread(target=self._accept, daemon=True).start()
        self._behaviour = as_

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                self._open.append(client)
                threading.Thread(target=self._serve, args=(client, self._behaviour), daemon=True).start()

    def _serve(self, client: socket.socket, behaviour: str) -> None:
        with contextlib.suppress(OSError):
            if behaviour == "stranger":
                client.recv(65536)
                client.sendall(STRANGER)
                client.shutdown(socket.SHUT_RDWR)
            elif behaviour == "server":
                server = socket.create_connection(("127.0.0.1", self._port))
                self._open.append(server)
                threading.Thread(target=_pump, args=(server, client), daemon=True).start()
                _pump(client, server)


def _pump(source: socket.socket, target: socket.socket) -> None:
    """Copy until one side ends."""
    with contextlib.suppress(OSError), source.makefile("rb", buffering=0) as file, target.makefile("wb", 0) as out:
        shutil.copyfileobj(file, out)
    with contextlib.suppress(OSError):
        target.shutdown(socket.SHUT_RDWR)
