"""Sends changed HTTP/2 connections to a real server of grpcio. The originals are recorded from grpcio's own client."""

from __future__ import annotations

import os
import random
import socket
import tempfile
import threading
import time
from contextlib import ExitStack, suppress
from typing import TYPE_CHECKING

import grpc
from fuzz_receiver_bodies import SECRET, CapturedLogs, FakeGroupCommit, seeds

from label_studio_otel.calls.selection import Selection
from label_studio_otel.receiver.otlp_grpc import METHODS, OtlpGrpc
from label_studio_otel.receiver.settings import Limits
from label_studio_otel.settings import load

if TYPE_CHECKING:
    from fuzz_receiver_changes import Mutate
    from typing_extensions import Self

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
TRACES = next(method for method, signal in METHODS.items() if signal == "traces")
#: The number of connections between two checks of the server.
EVERY = 200
#: Seconds that a connection may be silent.
SILENT = 0.02


class Server:
    """A receiver, and a client that must get responses whatever other clients do."""

    def __init__(self) -> None:
        selection = Selection(load({"state_dir": tempfile.gettempdir()}, {}))
        limits = Limits(sending=1, idle=5, handshake=1)
        self.receiver = OtlpGrpc(selection, FakeGroupCommit(), limits=limits)  # type: ignore[arg-type]
        self.port = self.receiver.listen("127.0.0.1", 0)
        self._ending = ExitStack()
        self._ending.callback(self.receiver.close, 1)
        self._channel = self._ending.enter_context(grpc.insecure_channel(f"127.0.0.1:{self.port}"))
        self._logs = self._ending.enter_context(CapturedLogs.capturing())
        self._sent = 0
        self._files = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self._ending.close()

    def send(self, data: bytes) -> None:
        """Send the bytes of a connection, read the response, and close. Check the server after each `EVERY`."""
        with self._connected() as client:
            client.settimeout(SILENT)
            with suppress(OSError):
                client.sendall(data)
                while client.recv(1 << 16):
                    continue
        self._sent += 1
        if self._sent % EVERY == 0:
            self.check()

    def check(self) -> None:
        """Check that the server answers, holds no bytes or files, and has logged neither errors nor content."""
        assert any(self._is_answered() for _ in range(3))  # a client sends again what was cut off
        assert self.receiver.held <= 1 << 20
        assert not self._logs.errors, self._logs.errors
        assert not (leaked := [line for line in self._logs.lines if SECRET in line]), leaked
        self._logs.lines.clear()
        files = len(os.listdir("/proc/self/fd"))
        self._files = self._files or files
        assert files < self._files + 100

    def _is_answered(self) -> bool:
        try:
            return bool(self._channel.unary_unary(TRACES)(b"", timeout=10, wait_for_ready=True) == b"")
        except grpc.RpcError:
            return False

    def _connected(self) -> socket.socket:
        """Connect; try again for five seconds where the server resets the connection."""
        end = time.monotonic() + 5
        while time.monotonic() < end:
            with suppress(ConnectionError):
                return socket.create_connection(("127.0.0.1", self.port), timeout=5)
        raise AssertionError("the server does not listen")

    def connections(self) -> list[bytes]:
        """Return the bytes that grpcio's client sends for some requests, with and without compression."""
        bodies = [(signal, body) for signal, body, is_json in seeds() if not is_json][:6]
        methods = {signal: method for method, signal in METHODS.items()}
        return [
            self._recorded(methods[signal], body, compression)
            for signal, body in bodies
            for compression in (grpc.Compression.NoCompression, grpc.Compression.Gzip)
        ]

    def _recorded(self, method: str, body: bytes, compression: grpc.Compression) -> bytes:
        data = bytearray()
        with socket.create_server(("127.0.0.1", 0)) as listening:
            relay = threading.Thread(target=self._relay, args=(listening, data))
            relay.start()
            address = f"127.0.0.1:{listening.getsockname()[1]}"
            with grpc.insecure_channel(address, [("grpc.enable_retries", 0)], compression) as channel:
                for _ in range(2):
                    channel.unary_unary(method)(body, timeout=10, metadata=[("x-content", SECRET)])
            relay.join(10)
        return bytes(data)

    def _relay(self, listening: socket.socket, data: bytearray) -> None:
        client, _ = listening.accept()
        with client, socket.create_connection(("127.0.0.1", self.port)) as other:
            back = threading.Thread(target=_pump, args=(other, client, None))
            back.start()
            _pump(client, other, data)
            back.join(10)


def _pump(source: socket.socket, target: socket.socket, seen: bytearray | None) -> None:
    with suppress(OSError):
        while piece := source.recv(1 << 16):
            if seen is not None:
                seen += piece
            target.sendall(piece)
        target.shutdown(socket.SHUT_WR)


def mutate_frames(data: bytes, max_size: int, seed: int) -> bytes:
    """Change one frame."""
    import atheris

    chance = random.Random(seed)
    return changed(data, chance, atheris.Mutate)[:max_size]


def changed(data: bytes, chance: random.Random, mutate: Mutate) -> bytes:
    """Return a connection with one of its frames changed, left out, repeated or moved."""
    if not data.startswith(PREFACE) or chance.random() < 0.05:
        return mutate(data, len(data) + 64)
    frames = _frames(data[len(PREFACE) :])
    place = chance.randrange(len(frames) or 1)
    kind = chance.randrange(8)
    if not frames or kind == 0:
        frames.insert(place, _odd(chance))
    elif kind == 1:
        del frames[place]
    elif kind == 2:
        frames += [frames[place]] * chance.choice((1, 1, 1, 50))
    elif kind == 3:
        frames.append(frames.pop(place))
    elif kind == 4:
        head = bytearray(frames[place][:9])
        at = chance.choice((0, 1, 2, 3, 4, 4, 5, 8))
        head[at % max(1, len(head))] = chance.randrange(256)
        frames[place] = bytes(head) + frames[place][9:]
    else:
        frames[place] = _framed(frames[place][3:9], mutate(frames[place][9:], len(frames[place]) + 64))
    return PREFACE + b"".join(frames)


def _frames(data: bytes) -> list[bytes]:
    found = []
    while data:
        size = 9 + int.from_bytes(data[:3], "big")
        found.append(data[:size])
        data = data[size:]
    return found


def _framed(head: bytes, payload: bytes) -> bytes:
    return len(payload).to_bytes(3, "big") + head + payload


def _odd(chance: random.Random) -> bytes:
    """Return a frame of any type: settings, pings, resets, window updates, continuations and unknown ones."""
    kind = chance.randrange(12)
    stream = chance.choice((0, 1, 3, 5, 2, (1 << 31) - 1))
    payload = chance.choice((b"", bytes(4), bytes(8), b"\0\4\x7f\xff\xff\xff", b"\0\3\0\0\0\0", b"\xff" * 5))
    return _framed(bytes([kind, chance.choice((0, 1, 4, 5, 8, 32, 255))]) + stream.to_bytes(4, "big"), payload)
