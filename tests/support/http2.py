"""HTTP/2 frame by frame, for what no gRPC client does: half a message, a compressed bomb, floods of frames."""

from __future__ import annotations

import socket
import struct
from typing import TYPE_CHECKING, NamedTuple

from support.receiving import TRACES

if TYPE_CHECKING:
    from typing_extensions import Self

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
DATA, HEADERS, RST_STREAM, SETTINGS, PING, GOAWAY, WINDOW_UPDATE = 0, 1, 3, 4, 6, 7, 8
_SMALLEST_WINDOW = 65_535


class Frame(NamedTuple):
    """One frame that came."""

    kind: int
    stream: int
    payload: bytes


def frame(kind: int, flags: int, stream: int, payload: bytes = b"") -> bytes:
    return struct.pack(">I", len(payload))[1:] + bytes([kind, flags]) + struct.pack(">I", stream) + payload


def message(body: bytes, *, compressed: bool = False) -> bytes:
    """Return a message as gRPC writes it."""
    return bytes([compressed]) + struct.pack(">I", len(body)) + body


class Http2Client:
    """A connection to a gRPC server while its context lasts."""

    def __init__(self, port: int) -> None:
        self._socket = socket.create_connection(("127.0.0.1", port), timeout=10)
        self._received = b""
        self._windows = {0: _SMALLEST_WINDOW}
        self._initial = _SMALLEST_WINDOW
        #: What came that is not about windows, settings and pings.
        self.frames: list[Frame] = []
        self.send(PREFACE + frame(SETTINGS, 0, 0))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self._socket.close()

    def send(self, data: bytes) -> None:
        self._socket.sendall(data)

    def open(self, stream: int = 1, **headers: str) -> None:
        """Begin a request; names of headers have `_` for `-`."""
        known = {":method": "POST", ":scheme": "http", ":path": TRACES, ":authority": "x", "te": "trailers"}
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        fields = {**known, "content-type": "application/grpc", **named}
        self._windows[stream] = self._initial
        self.send(frame(HEADERS, 4, stream, b"".join(_literal(*field) for field in fields.items())))

    def data(self, payload: bytes, stream: int = 1) -> None:
        """Send as fast as the server lets us, until it ends the stream."""
        while payload and not any(one.stream == stream and one.kind == RST_STREAM for one in self.frames):
            size = min(len(payload), 16_384, self._windows[0], self._windows[stream])
            if size <= 0:
                self._read()
                continue
            self.send(frame(DATA, 0, stream, payload[:size]))
            self._windows[0] -= size
            self._windows[stream] -= size
            payload = payload[size:]

    def until(self, kind: int) -> Frame:
        """Return the first frame of a kind.

        Raises:
            ConnectionError: the server closed before.
        """
        while not (found := [one for one in self.frames if one.kind == kind]):
            self._read()
        return found[0]

    def _read(self) -> None:
        if not (data := self._socket.recv(65_536)):
            raise ConnectionError
        self._received += data
        while len(self._received) >= 9 and len(self._received) >= 9 + (
            size := int.from_bytes(self._received[:3], "big")
        ):
            head, payload = self._received[:9], self._received[9 : 9 + size]
            self._received = self._received[9 + size :]
            self._take(head[4], Frame(head[3], int.from_bytes(head[5:9], "big"), payload))

    def _take(self, flags: int, one: Frame) -> None:
        if one.kind == WINDOW_UPDATE:
            self._windows[one.stream] = self._windows.get(one.stream, 0) + int.from_bytes(one.payload, "big")
        elif one.kind == SETTINGS and not flags & 1:
            for key, value in struct.iter_unpack(">HI", one.payload):
                if key == 4:
                    for stream in self._windows.keys() - {0}:
                        self._windows[stream] += value - self._initial
                    self._initial = value
            self.send(frame(SETTINGS, 1, 0))
        elif one.kind == PING and not flags & 1:
            self.send(frame(PING, 1, 0, one.payload))
        elif one.kind not in (SETTINGS, PING):
            self.frames.append(one)


def _literal(name: str, value: str) -> bytes:
    """Write a header without HPACK's table and without Huffman's code."""
    return b"\0" + b"".join(_length(len(text)) + text.encode() for text in (name, value))


def _length(number: int) -> bytes:
    if number < 127:
        return bytes([number])
    number -= 127
    found = b"\x7f"
    while number > 127:
        found += bytes([number & 127 | 128])
        number >>= 7
    return found + bytes([number])
