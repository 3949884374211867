"""Clients that are slow, silent, rude or gone, by the hundred: others are answered, and nothing is left of them."""

from __future__ import annotations

import resource
import socket
import struct
import threading
import time
from contextlib import ExitStack, contextmanager, suppress
from typing import TYPE_CHECKING, Any

import grpc
import pytest

from label_studio_otel.receiver.settings import Limits
from support.receiving import TRACES, GrpcReceiver, Receiver, read_response, span, traces, traces_in_protobuf

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from typing_extensions import Self

HEAD = b"POST /v1/traces HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
SETTINGS = bytes(3) + b"\4" + bytes(5)
#: Seconds that a healthy client may wait for an answer on a busy machine.
PATIENCE = 5.0


@pytest.fixture(autouse=True)
def _many_files() -> Iterator[None]:
    """Let this process have both ends of a thousand connections."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, 4096), hard))
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


class Healthy:
    """A client that sends one request after the other while its context lasts, and times the answers."""

    def __init__(self, send: Callable[[int], Any]) -> None:
        self._send = send
        self._ending = threading.Event()
        self._thread = threading.Thread(target=self._run)
        self.answers: list[Any] = []
        self.longest = 0.0

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._ending.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._ending.is_set() or len(self.answers) < 3:
            began = time.monotonic()
            self.answers.append(self._send(len(self.answers) + 1))
            self.longest = max(self.longest, time.monotonic() - began)

    def check(self) -> int:
        """See that all was answered with success, and soon; return how many there were."""
        assert set(self.answers) <= {200, b""}
        assert self.longest < PATIENCE
        return len(self.answers)


def over_http(receiver: Receiver) -> Healthy:
    return Healthy(lambda number: receiver.post(traces(span(number))).status)


@contextmanager
def over_grpc(receiver: GrpcReceiver) -> Iterator[Healthy]:
    def body(number: int) -> bytes:
        return traces_in_protobuf((b"\1" * 16, number.to_bytes(8, "big")))

    with grpc.insecure_channel(f"127.0.0.1:{receiver.port}") as channel:
        export = channel.unary_unary(TRACES)
        with Healthy(lambda number: export(body(number), timeout=20, wait_for_ready=True)) as client:
            yield client


@contextmanager
def connected(receiver: Receiver | GrpcReceiver, number: int) -> Iterator[list[socket.socket]]:
    with ExitStack() as clients:
        yield [clients.enter_context(receiver.connect()) for _ in range(number)]


def soon(true: Callable[[], Any]) -> bool:
    end = time.monotonic() + 10
    while not true() and time.monotonic() < end:
        time.sleep(0.01)
    return bool(true())


def drip(clients: list[socket.socket], data: bytes) -> None:
    """Send the same to all, a byte at a time."""
    for byte in data:
        for client in clients:
            client.sendall(bytes([byte]))
        time.sleep(0.002)


def reset(client: socket.socket) -> None:
    """Be gone without a farewell."""
    client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    client.close()


def is_left_alone(receiver: Receiver) -> bool:
    """Tell whether nothing is left of clients that went."""
    return soon(lambda: receiver.server.held == 0 and not receiver.server._connections)


@pytest.mark.parametrize("sent", [b"", b"POST /v1/tra", HEAD + b"Content-Length: 9\r\n\r\n{"])
def test_1000_silent_connections_over_http_keep_nobody_out(tmp_path: Path, sent: bytes) -> None:
    with Receiver(tmp_path, limits=Limits(connections=1100)) as receiver:
        with connected(receiver, 1000) as clients:
            for client in clients:
                client.sendall(sent)
            assert soon(lambda: len(receiver.server._connections) == 1000)
            with over_http(receiver) as healthy:
                time.sleep(0.5)
            assert healthy.check() == receiver.kept
        assert is_left_alone(receiver)


@pytest.mark.parametrize("sent", [b"", PREFACE[:9], PREFACE + SETTINGS])
def test_1000_silent_connections_over_grpc_do_not_keep_others_out(tmp_path: Path, sent: bytes) -> None:
    with GrpcReceiver(tmp_path, limits=Limits(connections=1100)) as receiver, connected(receiver, 1000) as clients:
        for client in clients:
            client.sendall(sent)
        with over_grpc(receiver) as healthy:
            time.sleep(0.5)
        assert healthy.check() == receiver.kept


def test_requests_that_come_byte_by_byte_are_answered_and_do_not_delay_others(tmp_path: Path) -> None:
    with Receiver(tmp_path) as receiver, connected(receiver, 20) as clients, over_http(receiver) as healthy:
        body = traces(span(1 << 32))
        drip(clients, HEAD + f"Content-Length: {len(body)}\r\n\r\n".encode() + body[:-1])
        before = receiver.server.held
        drip(clients, body[-1:])
        assert [read_response(client).status for client in clients] == [200] * 20
        assert before >= 20 * (len(body) - 1)
    healthy.check()


def test_chunks_of_one_byte_are_answered_and_do_not_delay_others(tmp_path: Path) -> None:
    body = traces(span(1 << 32, "Hello" * 4_000))
    chunked = b"".join(b"1\r\n%c\r\n" % byte for byte in body) + b"0\r\n\r\n"
    with Receiver(tmp_path) as receiver, connected(receiver, 4) as clients, over_http(receiver) as healthy:
        senders = [
            threading.Thread(target=client.sendall, args=(HEAD + b"Transfer-Encoding: chunked\r\n\r\n" + chunked,))
            for client in clients
        ]
        for sender in senders:
            sender.start()
        for client in clients:
            client.settimeout(60)
            assert read_response(client).status == 200
        for sender in senders:
            sender.join()
    healthy.check()


def test_a_client_that_reads_no_responses_is_disconnected_and_does_not_delay_others(tmp_path: Path) -> None:
    with Receiver(tmp_path, limits=Limits(idle=1)) as receiver:
        # Connections inherit it: else the kernel takes megabytes of answers before the server waits for this client.
        receiver.server._server.sockets[0].setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)  # type: ignore[union-attr]
        with over_http(receiver) as healthy:
            ask_without_end(receiver.port)
    healthy.check()


def ask_without_end(port: int) -> None:
    """Ask until the connection is reset, and never read an answer."""
    with socket.socket() as client:
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)  # before it is agreed on
        client.settimeout(60)
        client.connect(("127.0.0.1", port))
        with suppress(ConnectionError):
            while True:
                client.sendall(b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n" * 1000)


def test_a_client_that_has_closed_its_side_reads_the_response(tmp_path: Path) -> None:
    body = traces(span())
    with Receiver(tmp_path) as receiver, receiver.connect() as client:
        client.sendall(HEAD + f"Content-Length: {len(body)}\r\n\r\n".encode() + body)
        client.shutdown(socket.SHUT_WR)
        assert read_response(client).status == 200
        assert client.recv(1) == b""
        assert receiver.kept == 1


@pytest.mark.parametrize("sent", [HEAD[:30], HEAD + b"Content-Length: 1000\r\n\r\n{"])
def test_a_request_that_ends_in_the_middle_gets_a_400(tmp_path: Path, sent: bytes) -> None:
    with Receiver(tmp_path) as receiver, receiver.connect() as client:
        client.sendall(sent)
        client.shutdown(socket.SHUT_WR)
        got = read_response(client)
        assert (got.status, got.json["code"], got.headers["connection"]) == (400, 3, "close")
        assert is_left_alone(receiver)
        assert receiver.kept == 0


@pytest.mark.parametrize("share", [0.0, 0.2, 0.5, 0.99, 1.0])
def test_connections_reset_in_the_middle_leave_nothing_in_memory(tmp_path: Path, share: float) -> None:
    body = traces(span(1 << 32, "Hello" * 2_000))
    sent = HEAD + f"Content-Length: {len(body)}\r\n\r\n".encode() + body
    with Receiver(tmp_path) as receiver:
        with over_http(receiver) as healthy:
            for _ in range(100):
                client = receiver.connect()
                client.sendall(sent[: round(len(sent) * share)])
                reset(client)
        assert is_left_alone(receiver)
        # Who had sent all may have been heard: then once.
        assert receiver.kept - healthy.check() in ((0, 1) if share == 1 else (0,))


def test_cancelled_grpc_requests_leave_nothing_in_memory(tmp_path: Path) -> None:
    body = traces_in_protobuf((b"\2" * 16, b"\2" * 8)) * 1000
    with GrpcReceiver(tmp_path) as receiver, over_grpc(receiver) as healthy:
        for number in range(50):
            with grpc.insecure_channel(f"127.0.0.1:{receiver.port}") as channel:
                sent = channel.unary_unary(TRACES).future(body)
                if number % 2:
                    time.sleep(0.002)
                sent.cancel()
        assert soon(lambda: receiver.otlp.held <= 1000)
    assert soon(lambda: (receiver.otlp.held, receiver.otlp.requests) == (0, 0))
    healthy.check()


def test_grpc_connections_reset_in_the_middle_do_not_keep_others_out(tmp_path: Path) -> None:
    call = PREFACE + SETTINGS + called(TRACES.encode()) + frame(0, 0, b"\0" + (1 << 20).to_bytes(4, "big") + b"x" * 100)
    with GrpcReceiver(tmp_path) as receiver:
        with over_grpc(receiver) as healthy:
            for size in range(0, len(call) + 1, 3):
                client = receiver.connect()
                client.sendall(call[:size])
                reset(client)
        healthy.check()
        assert soon(lambda: (receiver.otlp.held, receiver.otlp.requests) == (0, 0))


@pytest.mark.parametrize(
    "path", [b"/x/\xff\xfe", b"/\xc3", b"", b"/opentelemetry.proto.collector.trace.v1.TraceService/Export\xff"]
)
def test_a_grpc_path_that_is_not_utf_8_does_not_keep_others_out(tmp_path: Path, path: bytes) -> None:
    with GrpcReceiver(tmp_path) as receiver:
        with receiver.connect() as client:
            client.sendall(PREFACE + SETTINGS + called(path) + frame(0, 1, bytes(5)))
            client.settimeout(1)
            while b"grpc-status" not in (got := received(client)) and got:
                continue
        with over_grpc(receiver) as healthy:
            time.sleep(0.1)
        healthy.check()


def test_metadata_that_is_not_utf_8_is_not_logged(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    head = called(TRACES.encode(), authorization=b"Bearer s3cret-token\xff")
    with GrpcReceiver(tmp_path, token="s3cret-token") as receiver, receiver.connect() as client:
        client.sendall(PREFACE + SETTINGS + head + frame(0, 1, bytes(5)))
        client.settimeout(2)
        while b"grpc-status" not in (got := received(client)) and got:
            continue
    assert "s3cret" not in caplog.text


def received(client: socket.socket) -> bytes:
    """Return what comes next, nothing at the end or when nothing comes."""
    try:
        return client.recv(1 << 16)
    except OSError:
        return b""


def frame(kind: int, flags: int, payload: bytes) -> bytes:
    """Return a frame of HTTP/2 on the first stream."""
    return len(payload).to_bytes(3, "big") + bytes([kind, flags]) + b"\0\0\0\1" + payload


def called(path: bytes, **metadata: bytes) -> bytes:
    """Return the head of a call."""
    fields = {b":method": b"POST", b":scheme": b"http", b":path": path, b":authority": b"x"}
    fields |= {b"content-type": b"application/grpc", b"te": b"trailers"}
    fields |= {name.encode(): value for name, value in metadata.items()}
    return frame(1, 4, b"".join(b"\0%c%b%c%b" % (len(name), name, len(value), value) for name, value in fields.items()))
