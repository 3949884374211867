"""What a client, the disk or the state can make the receiver hold or wait for, and who may send."""

from __future__ import annotations

import asyncio
import gzip
import sqlite3
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from google.rpc.status_pb2 import Status

from label_studio_otel import log
from label_studio_otel.calls.selection import Selection
from label_studio_otel.errors import ConfigError, DecodeError, OutboxError
from label_studio_otel.outbox.database import Database
from label_studio_otel.outbox.outbox import Outbox
from label_studio_otel.receiver import access, otlp_http
from label_studio_otel.receiver.http import Head
from label_studio_otel.receiver.otlp_http import decompressed
from label_studio_otel.receiver.service import Bridge
from label_studio_otel.receiver.settings import Limits, ServeSettings, Tls
from label_studio_otel.receiver.settings import load as load_serve_settings
from label_studio_otel.settings import load
from support.receiving import JSON, PROTOBUF, Receiver, bomb, read_response, span, traces

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from label_studio_otel.receiver.http import Response


def test_64_mib_decompressed_are_read_and_a_byte_more_is_413(tmp_path: Path) -> None:
    body = traces(span())
    with Receiver(tmp_path) as receiver:
        largest = gzip.compress(body + b" " * ((64 << 20) - len(body)), 1)
        assert receiver.post(largest, content_encoding="gzip").status == 200
        got = receiver.post(gzip.compress(body + b" " * ((64 << 20) - len(body) + 1), 1), content_encoding="gzip")
        assert (got.status, got.json["code"]) == (413, 8)
        assert receiver.kept == 1


def test_decompression_takes_no_more_memory_than_its_limit() -> None:
    import tracemalloc

    packed = bomb(1 << 30)
    tracemalloc.start()
    began = time.process_time()
    with pytest.raises(DecodeError, match=r"larger than 1048576 bytes, decompressed"):
        decompressed(packed, 1 << 20)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 8 << 20
    assert time.process_time() - began < 1


def test_an_endless_chunked_body_is_413(tmp_path: Path) -> None:
    with Receiver(tmp_path, limits=Limits(body=100_000)) as receiver, receiver.connect() as client:
        head = f"POST /v1/traces HTTP/1.1\r\nHost: x\r\nContent-Type: {PROTOBUF}\r\nTransfer-Encoding: chunked\r\n\r\n"
        client.sendall(head.encode())
        for _ in range(11):
            client.sendall(b"2710\r\n" + b"x" * 10_000 + b"\r\n")
        got = read_response(client)
    assert (got.status, Status.FromString(got.body).code) == (413, 8)
    assert got.headers["connection"] == "close"


def test_a_refused_client_that_sends_all_before_it_reads_gets_the_response(tmp_path: Path) -> None:
    with Receiver(tmp_path, limits=Limits(body=100_000)) as receiver:
        assert receiver.post(b"x" * (8 << 20)).status == 413


def test_bodies_beyond_the_limit_are_503(tmp_path: Path) -> None:
    with Receiver(tmp_path, limits=Limits(bodies=100_000)) as receiver:
        got = receiver.post(b" " * 200_000)
        assert (got.status, got.json["code"], got.headers["retry-after"]) == (503, 14, "5")
        assert receiver.post(traces(span())).status == 200
        assert _soon(lambda: receiver.server.held == 0)


def test_connections_beyond_the_limit_are_503(tmp_path: Path) -> None:
    with Receiver(tmp_path, limits=Limits(connections=1)) as receiver:
        with receiver.connect() as first:
            first.sendall(b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n")
            assert read_response(first, "GET").status == 200
            with receiver.connect() as second:
                got = read_response(second)
            assert (got.status, got.json["message"], got.headers["retry-after"]) == (503, "too many connections", "5")
        assert _soon(lambda: receiver.send("GET", "/healthz").status == 200)


def _soon(true: Any) -> bool:
    end = time.monotonic() + 5
    while time.monotonic() < end:
        if true():
            return True
    return False


def test_a_head_that_comes_byte_by_byte_times_out(tmp_path: Path) -> None:
    with Receiver(tmp_path, limits=Limits(head=0.2)) as receiver, receiver.connect() as client:
        client.sendall(b"POST /v1/traces HTTP/1.1\r\nHost:")
        got = read_response(client)
    assert (got.status, got.json["code"]) == (408, 4)


def test_a_body_that_does_not_come_times_out(tmp_path: Path) -> None:
    with Receiver(tmp_path, limits=Limits(sending=0.2)) as receiver:
        got = receiver.send("POST", "/v1/traces", b"{", content_type=JSON, content_length="2")
    assert got.status == 408


def test_a_silent_connection_is_closed(tmp_path: Path) -> None:
    with Receiver(tmp_path, limits=Limits(idle=0.1)) as receiver, receiver.connect() as client:
        assert client.recv(1) == b""


@pytest.mark.parametrize(
    "sent",
    [
        b"\x16\x03\x01 TLS\r\n\r\n",
        b"GET / HTTP/1.1\r\n\r\n",
        b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: x\r\n\r\n",
    ],
)
def test_bytes_that_are_not_http_are_400(tmp_path: Path, sent: bytes) -> None:
    with Receiver(tmp_path) as receiver, receiver.connect() as client:
        client.sendall(sent)
        got = read_response(client)
    assert (got.status, got.json["code"]) == (400, 3)


def test_a_body_in_chunks_of_one_byte_does_not_delay_other_clients(tmp_path: Path) -> None:
    with Receiver(tmp_path) as receiver, receiver.connect() as slow:
        head = f"POST /v1/traces HTTP/1.1\r\nHost: x\r\nContent-Type: {JSON}\r\nTransfer-Encoding: chunked\r\n\r\n"
        slow.sendall(head.encode() + b"1\r\n \r\n" * 80_000)
        began = time.monotonic()
        assert receiver.post(traces(span())).status == 200
        assert time.monotonic() - began < 1
        slow.sendall(b"2\r\n{}\r\n0\r\n\r\n")
        assert read_response(slow).status == 200


def test_connections_far_beyond_the_limit_are_closed_without_a_response(tmp_path: Path) -> None:
    with Receiver(tmp_path, limits=Limits(connections=1, lingering=5)) as receiver, ExitStack() as clients:
        crowd = [clients.enter_context(receiver.connect()) for _ in range(100)]
        assert _soon(lambda: len(receiver.server._connections) == 65)
        for last in crowd[65:]:
            with suppress(ConnectionResetError):
                assert last.recv(1) == b""


def test_a_head_too_large_is_431(tmp_path: Path) -> None:
    with Receiver(tmp_path) as receiver:
        assert receiver.send("GET", "/healthz", x="y" * 32_000).status == 200
        assert receiver.send("GET", "/healthz", x="y" * 34_000).status == 431
        assert receiver.send("GET", "/healthz", x="y" * 100_000).status == 431


def test_hundreds_of_silent_connections_do_not_keep_others_out(tmp_path: Path) -> None:
    with Receiver(tmp_path, limits=Limits(connections=400)) as receiver:
        idle = [receiver.connect() for _ in range(350)]
        try:
            for client in idle:
                client.sendall(b"POST /v1/tra")
            began = time.monotonic()
            assert receiver.post(traces(span())).status == 200
            assert time.monotonic() - began < 5
        finally:
            for client in idle:
                client.close()


def test_a_full_outbox_is_503_with_retry_after_and_nothing_is_stored(tmp_path: Path) -> None:
    with Receiver(tmp_path, max_state_bytes=1) as receiver:
        got = receiver.post(traces(span()))
        assert (got.status, got.json["code"], got.headers["retry-after"]) == (503, 14, "5")
        ready = receiver.send("GET", "/readyz")
        assert (ready.status, ready.body) == (503, b"the outbox is full\n")
        assert receiver.send("GET", "/healthz").status == 200
        assert receiver.kept == 0


def test_without_the_lock_it_is_503_until_this_process_has_it(tmp_path: Path) -> None:
    with Receiver(tmp_path) as receiver:
        receiver.holding = False
        assert receiver.post(traces(span())).status == 503
        assert receiver.send("GET", "/readyz").status == 503
        receiver.holding = True
        assert receiver.post(traces(span())).status == 200
        assert receiver.send("GET", "/readyz").status == 200


def test_requests_are_503_while_the_disk_refuses_and_accepted_after_that(tmp_path: Path) -> None:
    class Refusing(Database):
        refuses = True

        def _open(self) -> sqlite3.Connection:
            if self.refuses:
                raise sqlite3.OperationalError("database or disk is full")
            return super()._open()

    database = Refusing(tmp_path / "outbox.db", synchronous="FULL")
    with Receiver(tmp_path, outbox=Outbox(database)) as receiver:
        got = receiver.post(traces(span()))
        assert (got.status, got.headers["retry-after"]) == (503, "5")
        assert b"disk" not in got.body
        assert receiver.send("GET", "/readyz").status == 503
        database.refuses = False
        assert receiver.post(traces(span())).status == 200
        assert receiver.kept == 1


def test_the_service_synchronises_every_commit(tmp_path: Path) -> None:
    bridge = Bridge(load({"state_dir": tmp_path}, {}), ServeSettings(settle=0))
    outbox = bridge._deliverer.outbox
    with outbox.database.transaction() as run:
        assert run.connection.execute("PRAGMA synchronous").fetchone()[0] == 2  # FULL
    assert bridge._group_commit._outbox is outbox
    outbox.close()


class Slow(Outbox):
    """Counts commits, and waits in the first one until the test lets it go on."""

    def __init__(self, path: Path) -> None:
        super().__init__(Database(path, synchronous="FULL"))
        self.commits: list[int] = []
        self.go = threading.Event()

    def accept(self, records: Sequence[Any], *rest: Any) -> int:
        self.commits.append(len(records))
        assert self.go.wait(10)
        if any(one.key.startswith("dead") for one in records):
            raise ZeroDivisionError
        return super().accept(records, *rest)


@pytest.fixture
def slow(tmp_path: Path) -> Iterator[Slow]:
    outbox = Slow(tmp_path / "outbox.db")
    yield outbox
    outbox.go.set()


def test_requests_that_wait_are_committed_together(tmp_path: Path, slow: Slow) -> None:
    with Receiver(tmp_path, outbox=slow) as receiver, ThreadPoolExecutor(20) as clients:
        sent = [clients.submit(receiver.post, traces(span(number))) for number in range(1, 21)]
        assert _soon(lambda: len(receiver._group_commit._waiting) == 20 - sum(slow.commits))
        assert not any(one.done() for one in sent)  # not before the commit
        slow.go.set()
        assert {one.result().status for one in sent} == {200}
        assert sum(slow.commits) == 20
        assert len(slow.commits) <= 3
        assert receiver.kept == 20


def test_a_request_that_fails_does_not_make_others_of_its_commit_fail(tmp_path: Path, slow: Slow) -> None:
    with Receiver(tmp_path, outbox=slow) as receiver, ThreadPoolExecutor(20) as clients:
        first = clients.submit(receiver.post, traces(span(1)))
        assert _soon(lambda: slow.commits)
        bad = clients.submit(receiver.post, traces(span(2, traceId="dead" * 8)))
        good = clients.submit(receiver.post, traces(span(3)))
        assert _soon(lambda: len(receiver._group_commit._waiting) == 2)
        slow.go.set()
        assert [one.result().status for one in (first, bad, good)] == [200, 500, 200]
        assert receiver.kept == 2


def test_requests_under_way_are_answered_when_the_server_closes(tmp_path: Path, slow: Slow) -> None:
    with Receiver(tmp_path, outbox=slow) as receiver, ThreadPoolExecutor(2) as clients, receiver.connect() as idle:
        idle.sendall(b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n")
        assert read_response(idle, "GET").status == 200
        sent = clients.submit(receiver.post, traces(span()))
        assert _soon(lambda: slow.commits)
        ended = clients.submit(receiver.stop)
        assert idle.recv(1) == b""
        slow.go.set()
        assert (sent.result().status, sent.result().headers["connection"]) == (200, "close")
        ended.result()
        with pytest.raises(ConnectionRefusedError):
            receiver.connect()


@pytest.mark.parametrize(
    ("authorization", "status"),
    [
        ("Bearer s3cret-token", 200),
        ("bearer s3cret-token", 200),
        ("", 401),
        ("Bearer s3cret-toke", 401),
        ("Bearer s3cret-token2", 401),
        ("Basic s3cret-token", 401),
        ("Bearer \u00ff", 401),
        ("Bearer s3cret-token\u00ff", 401),
        ("Bearer s3cret-token\r\nAuthorization: Bearer s3cret-token", 401),
        ("Bearer wrong\r\nAuthorization: Bearer s3cret-token", 401),
    ],
)
def test_only_clients_with_the_token_may_send(tmp_path: Path, authorization: str, status: int) -> None:
    with Receiver(tmp_path, token="s3cret-token") as receiver, receiver.connect() as client:
        body = traces(span())
        head = f"POST /v1/traces HTTP/1.1\r\nHost: x\r\nContent-Type: {JSON}\r\nContent-Length: {len(body)}\r\n"
        client.sendall(f"{head}Authorization: {authorization}\r\n\r\n".encode("latin-1") + body)
        got = read_response(client)
        assert got.status == status
        if status == 401:
            assert (got.json["code"], got.headers["www-authenticate"]) == (16, "Bearer")
            assert b"s3cret" not in got.body
        assert receiver.send("GET", "/readyz").status == 200
        assert receiver.kept == (1 if status == 200 else 0)


@pytest.mark.parametrize("origin", ["https://evil.example", "null", "http://127.0.0.1:4318"])
def test_a_web_page_cannot_send_without_a_token(tmp_path: Path, origin: str) -> None:
    with Receiver(tmp_path) as receiver:
        got = receiver.post(traces(span()), origin=origin)
        assert (got.status, got.json["code"], receiver.kept) == (403, 7, 0)
        assert receiver.send("OPTIONS", "/v1/traces", origin=origin).status == 405
        assert not [name for name in got.headers if name.startswith("access-control")]
    with Receiver(tmp_path, token="s3cret-token") as receiver:
        sent = receiver.post(traces(span()), origin=origin, authorization="Bearer s3cret-token")
        assert sent.status == 200


@pytest.mark.parametrize("token", [None, "s3cret-token"])
@pytest.mark.parametrize("tls", [None, Tls(Path("a"), Path("b")), Tls(Path("a"), Path("b"), Path("c"))])
@pytest.mark.parametrize("host", ["127.0.0.1", "10.0.0.5"])
def test_an_address_for_other_machines_is_refused_without_token_and_client_certificates(
    host: str, tls: Tls | None, token: str | None
) -> None:
    refused = access.why_refused(host, token, tls)
    known = token is not None or (tls is not None and tls.client_ca_file is not None)
    if host == "127.0.0.1" or known:
        assert refused is None
    else:
        assert refused is not None
        assert refused.startswith("other machines can reach 10.0.0.5, and anybody there could write tasks: ")


@pytest.mark.parametrize(
    ("host", "token", "tls", "warned"),
    [
        ("127.0.0.1", "s3cret-token", None, []),
        ("10.0.0.5", "s3cret-token", Tls(Path("a"), Path("b")), []),
        (
            "10.0.0.5",
            "s3cret-token",
            None,
            ["10.0.0.5 is served without TLS: anybody on the network can read the token and what is sent"],
        ),
        ("10.0.0.5", None, None, ["10.0.0.5 is served without TLS: anybody on the network can read what is sent"]),
    ],
)
def test_an_address_for_other_machines_without_tls_is_a_warning(
    host: str, token: str | None, tls: Tls | None, warned: list[str]
) -> None:
    assert access.warnings(host, token, tls) == warned


@pytest.mark.parametrize(
    ("host", "only_here"),
    [
        ("127.0.0.1", True),
        ("127.9.9.9", True),
        ("::1", True),
        ("localhost", True),
        ("0.0.0.0", False),
        ("::", False),
        ("", False),
        ("10.0.0.5", False),
        ("example.com", False),
    ],
)
def test_loopback_addresses_are_known(host: str, only_here: bool) -> None:
    assert access.is_loopback(host) is only_here


def token_of(environ: dict[str, str]) -> str | None:
    return load_serve_settings({}, environ).token


def test_the_token_comes_from_a_variable_or_a_file(tmp_path: Path) -> None:
    (tmp_path / "token").write_text("from-file\n")
    (tmp_path / "empty").write_text("\n")
    assert token_of({}) is None
    assert token_of({"LABEL_STUDIO_OTEL_SERVE_TOKEN": "x"}) == "x"
    file = {"LABEL_STUDIO_OTEL_SERVE_TOKEN_FILE": str(tmp_path / "token")}
    assert token_of({**file, "LABEL_STUDIO_OTEL_SERVE_TOKEN": "x"}) == "from-file"
    for wrong in ("empty", "missing"):
        with pytest.raises(ConfigError, match=wrong):
            token_of({"LABEL_STUDIO_OTEL_SERVE_TOKEN_FILE": str(tmp_path / wrong)})
    with pytest.raises(ConfigError, match="must be ASCII"):
        token_of({"LABEL_STUDIO_OTEL_SERVE_TOKEN": "schlüssel"})


def test_of_several_tokens_each_is_accepted(tmp_path: Path) -> None:
    (tmp_path / "token").write_text("new-token\nold-token\n")
    tokens = token_of({"LABEL_STUDIO_OTEL_SERVE_TOKEN_FILE": str(tmp_path / "token")})

    assert [
        access.may_send(tokens, f"Bearer {sent}") for sent in ("new-token", "old-token", "new-token old-token", "")
    ] == [True, True, False, False]


class TestProbes:
    def test_readyz_does_not_wait_for_requests_that_are_decoded(self, tmp_path: Path) -> None:
        go_on = threading.Event()
        with Receiver(tmp_path) as receiver:
            for _ in range(2):
                receiver._otlp._decoders.submit(go_on.wait, 10)

            assert receiver.send("GET", "/readyz").status == 200
            assert not go_on.is_set()
            go_on.set()

    def test_readyz_writes_nothing_while_recent_commits_prove_that_the_outbox_can_be_written(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        now = [0.0]
        with Receiver(tmp_path) as receiver:
            monkeypatch.setattr(receiver._group_commit, "_monotonic", lambda: now[0])
            noted: list[str] = []
            store = receiver.outbox.set_counter
            monkeypatch.setattr(
                receiver.outbox, "set_counter", lambda name, value: noted.append(name) or store(name, value)
            )

            assert receiver.post(traces(span())).status == 200
            now[0] = 9.0
            assert (receiver.send("GET", "/readyz").status, noted) == (200, [])
            now[0] = 10.0
            assert (receiver.send("GET", "/readyz").status, noted) == (200, ["ready_at"])
            assert (receiver.send("GET", "/readyz").status, noted) == (200, ["ready_at"])
            now[0] = 20.0
            assert (receiver.send("GET", "/readyz").status, noted) == (200, ["ready_at"] * 2)

    def test_a_failed_commit_ends_the_proof_of_earlier_ones(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        with Receiver(tmp_path) as receiver:
            assert receiver.send("GET", "/readyz").status == 200

            def fail(*_: object) -> None:
                raise OutboxError("disk I/O error")

            monkeypatch.setattr(receiver.outbox, "accept", fail)
            monkeypatch.setattr(receiver.outbox, "set_counter", fail)
            assert receiver.post(traces(span())).status == 503
            ready = receiver.send("GET", "/readyz")
            assert (ready.status, ready.body) == (503, b"disk I/O error\n")

    def test_simultaneous_probes_share_one_check_and_time_out(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        go_on = threading.Event()
        checks: list[bool] = []

        def ready() -> None:
            checks.append(True)
            go_on.wait(10)

        monkeypatch.setattr(otlp_http, "RESPONSE_TIMEOUT_S", 0.01)
        group_commit: Any = None
        otlp = otlp_http.OtlpHttp(Selection(load({"state_dir": tmp_path}, {})), group_commit, check=ready)

        async def probe() -> list[Response]:
            return list(await asyncio.gather(*(otlp._probe(Head("GET", "/readyz")) for _ in range(3))))

        answers = asyncio.run(probe())
        go_on.set()
        otlp.close()

        assert [(one.status, one.body) for one in answers] == [(503, b"the disk is slow\n")] * 3
        assert checks == [True]

    def test_readyz_gives_its_reason_only_to_clients_with_the_token(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
    ) -> None:
        """The error of an outbox begins with its path."""
        monkeypatch.setattr(log, "_said", set())

        def fail(*_: object) -> None:
            raise OutboxError("/var/lib/secret/outbox.db: disk I/O error")

        with Receiver(tmp_path, token="s3cret") as receiver:
            monkeypatch.setattr(receiver.outbox, "set_counter", fail)
            ready = receiver.send("GET", "/readyz", authorization="Bearer s3cret")
            untold = [receiver.send("GET", "/readyz"), receiver.send("GET", "/readyz", authorization="Bearer wrong")]

        assert (ready.status, ready.body) == (503, b"/var/lib/secret/outbox.db: disk I/O error\n")
        assert [(one.status, one.body) for one in untold] == [
            (503, b"nothing can be taken now; the log of label-studio-otel says why\n")
        ] * 2
        assert [record.getMessage() for record in caplog.records] == [
            "label-studio-otel: /readyz is answered 503: /var/lib/secret/outbox.db: disk I/O error"
        ]

    def test_the_bridge_is_not_ready_without_its_delivery_thread(self, tmp_path: Path) -> None:
        bridge = Bridge(load({"state_dir": tmp_path}, {}), ServeSettings())
        with pytest.raises(OutboxError, match="the thread that delivers has ended by an error of ours"):
            bridge._check()
