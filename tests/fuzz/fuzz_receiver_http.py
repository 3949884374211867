"""Coverage-guided fuzzing of OTLP/HTTP: what a client sends on a connection, in pieces, with or without an end.

    pip install atheris
    python tests/fuzz/fuzz_receiver_http.py -max_total_time=300 -max_len=65536 FOLDER

FOLDER keeps the inputs that reached new code; valid requests are put into it first. The options are those of
libFuzzer. The first byte of an input is `Flags`: how the server gets the rest. Everything runs in this thread, without
sockets. For every input:

- no exception leaves the server, and no response is 500;
- each request gets one response, in order and in its own encoding, which h11 as a client and Google's library can read;
- the calls of requests with response 200 are stored, and no others; no call is missed or invented;
- no bytes are held afterwards, and no content is in logs or responses.

The suite runs some thousand changes of the same requests without coverage (test_fuzz_receivers.py).
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import random
import sys
from functools import cache
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, NamedTuple

try:
    import atheris
except ModuleNotFoundError:  # in the suite
    atheris = None

with atheris.instrument_imports(include=["label_studio_otel", "h11"]) if atheris else contextlib.nullcontext():
    from label_studio_otel.calls.selection import Selection
    from label_studio_otel.receiver.http import HttpServer
    from label_studio_otel.receiver.otlp_http import OtlpHttp, decompressed
    from label_studio_otel.receiver.settings import Limits
    from label_studio_otel.settings import load

from fuzz_receiver_bodies import SECRET, CapturedLogs, FakeGroupCommit, check_stored, seeds
from fuzz_receiver_requests import PROTOBUF, export, mutated, read
from fuzz_receiver_responses import REFUSALS, check, responses, sent

if TYPE_CHECKING:
    from collections.abc import Iterator

    from fuzz_receiver_changes import Mutate

    from label_studio_otel.receiver.http import Head, Response

TOKEN = "s3cret-token"
LIMITS = Limits(connections=1, body=50_000, bodies=60_000, idle=20, head=20, sending=20, lingering=0.01)
DECOMPRESSED = 200_000
PIECES = (1 << 30, 1, 13, 1000)
#: The number of small pieces; the rest comes in one piece.
SLOW = 400
#: The piece before which the server is stopped.
ENDS_AT = 100


class Flags(NamedTuple):
    """How the server gets an input, by the bits of its first byte."""

    piece: int
    #: The client resets the connection at its end.
    reset: bool
    refuses: bool
    token: bool
    #: The server is stopped before the end of the input.
    stopping: bool
    crowded: bool
    #: The connection breaks after the first bytes of a response.
    gone: bool

    @classmethod
    def of(cls, byte: int) -> Flags:
        return cls(PIECES[byte & 3], *(bool(byte & bit) for bit in (4, 8, 16, 32, 64, 128)))


class Transport(asyncio.Transport):
    """A transport without a socket, which keeps what is written."""

    def __init__(self, protocol: asyncio.StreamReaderProtocol, gone: bool) -> None:
        super().__init__({"peername": ("192.0.2.1", 1)})
        self._protocol = protocol
        self._gone = gone
        self._closing = False
        self.written = bytearray()

    def write(self, data: Any) -> None:
        if self._closing:
            return  # as a real one does
        self.written += data
        if self._gone:
            self._closing = True
            self._protocol.connection_lost(ConnectionResetError())

    def close(self) -> None:
        if not self._closing:
            self._closing = True
            self._protocol.connection_lost(None)

    abort = close

    def is_closing(self) -> bool:
        return self._closing

    def can_write_eof(self) -> bool:
        return True

    def write_eof(self) -> None:
        pass

    def get_write_buffer_size(self) -> int:
        return 0

    def pause_reading(self) -> None:
        pass

    def resume_reading(self) -> None:
        pass


class CheckedHandler:
    """`OtlpHttp` with a check of each response."""

    def __init__(self, group_commit: FakeGroupCommit, token: str | None) -> None:
        self._otlp = OtlpHttp(_selection(), group_commit, token=token, max_bytes=DECOMPRESSED)
        self._group_commit = group_commit

    def refuse(self, head: Head) -> Response | None:
        return self._otlp.refuse(head)

    def error(self, status: int, message: str, head: Head | None) -> Response:
        return self._otlp.error(status, message, head)

    def observe(self, head: Head | None, response: Response, seconds: float, body_bytes: int) -> None:
        self._otlp.observe(head, response, seconds, body_bytes)

    async def respond(self, head: Head, body: bytes) -> Response:
        before = len(self._group_commit.batches)
        response = await self._otlp.respond(head, body)
        assert response.status == 200 or response.status in REFUSALS, response
        stored = self._group_commit.batches[before:]
        assert len(stored) <= 1
        if stored:
            assert response.status == (503 if self._group_commit.refuses else 200)
        if response.status == 200 and head.path.startswith("/v1/traces"):
            _check_stored(head, body, stored, response)
        return response

    def close(self) -> None:
        self._otlp.close()


@cache
def _selection() -> Selection:
    return Selection(load({"state_dir": "state", "include_errors": True}, {}))


def _check_stored(head: Head, body: bytes, stored: list[Any], response: Response) -> None:
    if head.headers.get("content-encoding", "").strip() not in ("", "identity"):
        body = decompressed(body, DECOMPRESSED)
    if response.content_type == PROTOBUF:
        check_stored(body, stored, response.body)


async def _connection(data: bytes, flags: Flags, server: HttpServer) -> bytes:
    loop = asyncio.get_running_loop()
    reader = asyncio.StreamReader(limit=1 << 18)
    protocol = asyncio.StreamReaderProtocol(reader)
    transport = Transport(protocol, flags.gone)
    protocol.connection_made(transport)
    other = loop.create_future()
    other.set_result(None)
    if flags.crowded:
        server._connections[other] = SimpleNamespace(close_if_idle=lambda: None)
    task = asyncio.ensure_future(server._serve(reader, asyncio.StreamWriter(transport, protocol, reader, loop)))
    ending = None
    for number, piece in enumerate(_pieces(data, flags.piece)):
        if number == ENDS_AT and flags.stopping:
            ending = asyncio.ensure_future(server.close(5))
        if not transport.is_closing():
            reader.feed_data(piece)
        for _ in range(3):
            await asyncio.sleep(0)
    server._connections.pop(other, None)
    if flags.reset:
        reader.set_exception(ConnectionResetError())
    else:
        reader.feed_eof()
    await asyncio.wait_for(task, 10)
    if ending:
        await ending
    assert transport.is_closing()
    assert not server._connections
    return bytes(transport.written)


def _pieces(data: bytes, size: int) -> Iterator[bytes]:
    slow = min(len(data), SLOW * size)
    for start in range(0, slow, size):
        yield data[start : min(start + size, slow)]
    if data[slow:]:
        yield data[slow:]


def test_one_input(data: bytes) -> None:
    """Serve one connection."""
    if not data:
        return
    flags = Flags.of(data[0])
    group_commit = FakeGroupCommit()
    group_commit.refuses = flags.refuses
    handler = CheckedHandler(group_commit, TOKEN if flags.token else None)
    server = HttpServer(handler, LIMITS)
    try:
        with CapturedLogs.capturing() as logs:
            written = logs.run(_connection(data[1:], flags, server))
    finally:
        handler.close()
    assert not logs.errors, logs.errors
    assert server.held == 0
    assert SECRET not in "".join(logs.lines)
    assert SECRET.encode() not in written
    if not flags.gone:
        expected = sent(data[1:])
        check(responses(written, expected.requests), expected, cut_off=flags.reset or flags.crowded or flags.stopping)


def mutate(data: bytes, max_size: int, seed: int) -> bytes:
    """Change an input so that it mostly stays a valid request."""
    chance = random.Random(seed)
    among = chance.random()
    if among < 0.1 or not data:
        return atheris.Mutate(data, max_size)
    if among < 0.15:
        return bytes([chance.randrange(256)]) + data[1:]
    return changed(data, chance, atheris.Mutate)[:max_size]


def changed(data: bytes, chance: random.Random, mutate: Mutate) -> bytes:
    """Return the input with one change in its requests."""
    return data[:1] + b"".join(map(bytes, mutated(read(data[1:]), chance, mutate)))


def inputs() -> Iterator[bytes]:
    """Yield inputs with one valid request each."""
    for signal, body, is_json in seeds():
        yield b"\0" + bytes(export(signal, body, is_json=is_json))


def _seed(folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for data in inputs():
        (folder / hashlib.sha1(data).hexdigest()).write_bytes(data)


def main() -> None:
    """Fuzz as long as the options of libFuzzer say."""
    folder = next((argument for argument in sys.argv[1:] if not argument.startswith("-")), None)
    if folder is not None and not Path(folder).is_file():
        _seed(Path(folder))
    atheris.Setup(sys.argv, test_one_input, custom_mutator=mutate)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
