"""Coverage-guided fuzzing of OTLP/HTTP: all that clients can send over a connection, in pieces, cut off, reset.

    pip install atheris
    python tests/fuzz/fuzz_receiver_http.py -max_total_time=300 -max_len=65536 FOLDER

FOLDER keeps what was found interesting; valid requests are put into it first. The options are those of libFuzzer. An
input's first byte says how the rest comes (`Flags`); everything runs in this thread, without sockets. Whatever is sent:

- no exception escapes, and nothing is answered 500;
- each request gets one answer, in order, in its own encoding, that h11 as a client and Google's library can read;
- what was answered 200 is in the outbox and what was answered otherwise is not; no call is overlooked or made up;
- no bytes are held afterwards; content comes neither into logs nor into answers.

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

from fuzz_receiver_answers import REFUSALS, answers, check, sent
from fuzz_receiver_bodies import SECRET, FakeGroupCommit, Said, check_taken, seeds
from fuzz_receiver_requests import PROTOBUF, export, mutated, read

if TYPE_CHECKING:
    from collections.abc import Iterator

    from fuzz_receiver_changes import Mutate

    from label_studio_otel.receiver.http import Head, Response

TOKEN = "s3cret-token"
LIMITS = Limits(connections=1, body=50_000, bodies=60_000, idle=20, head=20, sending=20, lingering=0.01)
DECOMPRESSED = 200_000
PIECES = (1 << 30, 1, 13, 1000)
#: Bytes that come one by one, where pieces are so small; the rest comes at once.
SLOW = 400
#: The piece before which it is told to end.
ENDS_AT = 100


class Flags(NamedTuple):
    """How an input comes, by the bits of its first byte."""

    piece: int
    #: Reset by the client at the end.
    reset: bool
    refuses: bool
    token: bool
    #: The server is told to end in the middle.
    stopping: bool
    crowded: bool
    #: Answers can no longer be written after the first bytes of one.
    gone: bool

    @classmethod
    def of(cls, byte: int) -> Flags:
        return cls(PIECES[byte & 3], *(bool(byte & bit) for bit in (4, 8, 16, 32, 64, 128)))


class Transport(asyncio.Transport):
    """A socket that is not there."""

    def __init__(self, protocol: asyncio.StreamReaderProtocol, gone: bool) -> None:
        super().__init__({"peername": ("192.0.2.1", 1)})
        self._protocol = protocol
        self._gone = gone
        self._closing = False
        self.written = bytearray()

    def write(self, data: Any) -> None:
        if self._closing:
            return  # as real ones do
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


class Watched:
    """The handler, each of whose answers is looked at."""

    def __init__(self, group_commit: FakeGroupCommit, token: str | None) -> None:
        self._otlp = OtlpHttp(_selection(), group_commit, token=token, max_bytes=DECOMPRESSED)
        self._group_commit = group_commit
        self.answers = 0

    def refuse(self, head: Head) -> Response | None:
        return self._otlp.refuse(head)

    def error(self, status: int, message: str, head: Head | None) -> Response:
        return self._otlp.error(status, message, head)

    def observe(self, head: Head | None, response: Response, seconds: float, body_bytes: int) -> None:
        self._otlp.observe(head, response, seconds, body_bytes)

    async def respond(self, head: Head, body: bytes) -> Response:
        before = len(self._group_commit.batches)
        response = await self._otlp.respond(head, body)
        self.answers += 1
        assert response.status == 200 or response.status in REFUSALS, response
        taken = self._group_commit.batches[before:]
        assert len(taken) <= 1
        if taken:
            assert response.status == (503 if self._group_commit.refuses else 200)
        if response.status == 200 and head.path.startswith("/v1/traces"):
            _check_taken(head, body, taken, response)
        return response

    def close(self) -> None:
        self._otlp.close()


@cache
def _selection() -> Selection:
    return Selection(load({"state_dir": "state", "include_errors": True}, {}))


def _check_taken(head: Head, body: bytes, taken: list[Any], response: Response) -> None:
    if head.headers.get("content-encoding", "").strip() not in ("", "identity"):
        body = decompressed(body, DECOMPRESSED)
    if response.content_type == PROTOBUF:
        check_taken(body, taken, response.body)


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
    handler = Watched(group_commit, TOKEN if flags.token else None)
    server = HttpServer(handler, LIMITS)
    try:
        with Said.listening() as said:
            written = said.hear(_connection(data[1:], flags, server))
    finally:
        handler.close()
    assert not said.errors, said.errors
    assert server.held == 0
    assert SECRET not in "".join(said.lines)
    assert SECRET.encode() not in written
    if not flags.gone:
        expected = sent(data[1:])
        check(answers(written, expected.asked), expected, cut_off=flags.reset or flags.crowded or flags.stopping)


def mutate(data: bytes, max_size: int, seed: int) -> bytes:
    """Change a request so that it stays one, mostly."""
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
    """Yield valid requests, one on each connection."""
    for signal, body, is_json in seeds():
        yield b"\0" + bytes(export(signal, body, is_json=is_json))


def _seed(folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for data in inputs():
        (folder / hashlib.sha1(data).hexdigest()).write_bytes(data)


def main() -> None:
    """Fuzz until libFuzzer's options say that it is enough."""
    folder = next((argument for argument in sys.argv[1:] if not argument.startswith("-")), None)
    if folder is not None and not Path(folder).is_file():
        _seed(Path(folder))
    atheris.Setup(sys.argv, test_one_input, custom_mutator=mutate)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
