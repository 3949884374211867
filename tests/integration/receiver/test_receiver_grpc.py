"""The OTLP/gRPC receiver over a socket, rule by rule of the OTLP specification."""

from __future__ import annotations

import threading
import time
from contextlib import ExitStack, suppress
from typing import TYPE_CHECKING, Any

import grpc
import pytest
from google.rpc.error_details_pb2 import RetryInfo
from google.rpc.status_pb2 import Status
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceResponse

from label_studio_otel import log
from label_studio_otel.receiver.service import _allow_many_files
from label_studio_otel.receiver.settings import Limits
from support.http2 import GOAWAY, HEADERS, PING, RST_STREAM, Http2Client, frame, message
from support.receiving import LOGS, METRICS, TRACES, VALID, GrpcReceiver, bomb, traces_in_protobuf

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture
def receiver(tmp_path: Path) -> Iterator[GrpcReceiver]:
    with GrpcReceiver(tmp_path) as one:
        yield one


@pytest.mark.parametrize("compression", list(grpc.Compression))
def test_a_call_is_stored_when_its_request_is_answered(receiver: GrpcReceiver, compression: grpc.Compression) -> None:
    assert receiver.export(traces_in_protobuf(VALID), compression=compression) == b""
    assert receiver.kept == 1


@pytest.mark.parametrize("method", [TRACES, LOGS, METRICS])
def test_an_empty_request_is_a_success(receiver: GrpcReceiver, method: str) -> None:
    assert receiver.export(b"", method) == b""


def test_metrics_are_accepted_and_dropped(receiver: GrpcReceiver) -> None:
    assert receiver.export(b"whatever", METRICS) == b""


def test_spans_without_valid_ids_are_a_partial_success(receiver: GrpcReceiver) -> None:
    got = receiver.export(traces_in_protobuf(VALID, (b"", b"\2" * 8)))

    partial = ExportTraceServiceResponse.FromString(got).partial_success
    assert (partial.rejected_spans, partial.error_message) == (1, "1 spans cannot be read, or have no valid ids")
    assert receiver.kept == 1


def test_data_that_is_not_otlp_is_invalid_argument(receiver: GrpcReceiver) -> None:
    got = receiver.export(b"secret")
    assert (got.code(), got.details()) == (
        grpc.StatusCode.INVALID_ARGUMENT,
        "no OTLP request for traces in protobuf",
    )


def test_another_service_is_unimplemented(receiver: GrpcReceiver) -> None:
    method = "/opentelemetry.proto.collector.profiles.v1development.ProfilesService/Export"
    assert receiver.export(b"", method).code() is grpc.StatusCode.UNIMPLEMENTED


def test_more_than_64_mib_are_resource_exhausted_so_that_clients_do_not_retry(receiver: GrpcReceiver) -> None:
    for compression in (grpc.Compression.Gzip, grpc.Compression.NoCompression):
        got = receiver.export(bytes((64 << 20) + 1), compression=compression)
        assert got.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
        assert "grpc-status-details-bin" not in dict(got.trailing_metadata() or ())
    assert receiver.export(bytes(64 << 20), METRICS) == b""


def test_a_full_outbox_is_unavailable_with_both_forms_of_the_retry_delay(tmp_path: Path) -> None:
    with GrpcReceiver(tmp_path, max_state_bytes=1) as receiver:
        got = receiver.export(traces_in_protobuf(VALID))
        assert got.code() is grpc.StatusCode.UNAVAILABLE
        trailers = dict(got.trailing_metadata())
        status = Status.FromString(trailers["grpc-status-details-bin"])
        info = RetryInfo()
        assert status.details[0].Unpack(info)
        assert (status.code, status.message, info.retry_delay.seconds) == (14, got.details(), 5)
        assert RetryInfo.FromString(trailers["google.rpc.retryinfo-bin"]).retry_delay.seconds == 5
        assert receiver.kept == 0


def test_without_the_lock_it_is_unavailable_until_this_process_has_it(receiver: GrpcReceiver) -> None:
    receiver.holding = False
    assert receiver.export(traces_in_protobuf(VALID)).code() is grpc.StatusCode.UNAVAILABLE
    receiver.holding = True
    assert receiver.export(traces_in_protobuf(VALID)) == b""


@pytest.mark.parametrize("authorization", ["Bearer s3cret-token", "", "Bearer s3cret", "Basic s3cret-token"])
def test_only_clients_with_the_token_may_send(tmp_path: Path, authorization: str) -> None:
    with GrpcReceiver(tmp_path, token="s3cret-token") as receiver:
        got = receiver.export(traces_in_protobuf(VALID), metadata=[("authorization", authorization)])
        if authorization == "Bearer s3cret-token":
            assert (got, receiver.kept) == (b"", 1)
        else:
            assert (got.code(), receiver.kept) == (grpc.StatusCode.UNAUTHENTICATED, 0)
            assert "s3cret" not in got.details()


def test_a_port_that_is_taken_is_an_error(receiver: GrpcReceiver, tmp_path: Path) -> None:
    other = GrpcReceiver(tmp_path / "other")
    with pytest.raises(OSError, match=f"port {receiver.port}"):
        other.otlp.listen("127.0.0.1", receiver.port)
    other.otlp.close(1)


def test_messages_that_never_end_do_not_delay_other_clients(tmp_path: Path) -> None:
    with GrpcReceiver(tmp_path) as receiver, Http2Client(receiver.port) as client:
        for stream in range(1, 201, 2):
            client.open(stream)
            client.data(b"\0\0\0\0\x05ab", stream)
        assert _soon(lambda: receiver.otlp.requests == 100)
        began = time.monotonic()
        assert receiver.export(traces_in_protobuf(VALID)) == b""
        assert time.monotonic() - began < 2


def test_a_request_whose_message_does_not_come_is_cancelled(tmp_path: Path) -> None:
    with GrpcReceiver(tmp_path, limits=Limits(sending=0.2)) as receiver, Http2Client(receiver.port) as client:
        client.open()
        client.data(b"\0\0\0\0\x05ab")
        assert b"grpc-status\x011" in client.until(HEADERS).payload  # CANCELLED, which clients send again
        assert _soon(lambda: receiver.otlp.requests == 0)


def test_a_request_without_a_message_is_invalid_argument(receiver: GrpcReceiver) -> None:
    with grpc.insecure_channel(f"127.0.0.1:{receiver.port}") as channel:
        with pytest.raises(grpc.RpcError) as error:
            channel.stream_unary(TRACES)(iter(()), timeout=10)
        assert error.value.code() is grpc.StatusCode.INVALID_ARGUMENT


def test_requests_beyond_the_limit_are_unavailable(tmp_path: Path) -> None:
    with GrpcReceiver(tmp_path, limits=Limits(requests=3)) as receiver, Http2Client(receiver.port) as client:
        for stream in (1, 3, 5):
            client.open(stream)
        assert _soon(lambda: receiver.otlp.requests == 3)
        got = receiver.export(traces_in_protobuf(VALID))
        assert (got.code(), got.details()) == (grpc.StatusCode.UNAVAILABLE, "too many requests at a time")
        hint = RetryInfo.FromString(dict(got.trailing_metadata())["google.rpc.retryinfo-bin"])
        assert hint.retry_delay.seconds == 5
        client.send(b"".join(frame(RST_STREAM, 0, stream, b"\0\0\0\x08") for stream in (1, 3, 5)))
        assert _soon(lambda: receiver.otlp.requests == 0)
        assert receiver.export(traces_in_protobuf(VALID)) == b""


def test_bodies_beyond_the_limit_are_unavailable(tmp_path: Path) -> None:
    with GrpcReceiver(tmp_path, limits=Limits(bodies=10_000)) as receiver:
        got = receiver.export(bytes(20_000), METRICS)
        assert got.code() is grpc.StatusCode.UNAVAILABLE
        assert _soon(lambda: receiver.otlp.held == 0)
        assert receiver.export(bytes(9_000), METRICS) == b""


def test_a_client_without_the_token_is_refused_before_its_message_is_read(tmp_path: Path) -> None:
    with GrpcReceiver(tmp_path, token="s3cret-token") as receiver, Http2Client(receiver.port) as client:
        client.open()
        assert b"grpc-status\x0216" in client.until(HEADERS).payload  # UNAUTHENTICATED
        assert _soon(lambda: receiver.otlp.requests == 0)


@pytest.mark.parametrize(
    "authorization",
    [
        ["Bearer wrong", "Bearer s3cret-token"],
        ["Bearer s3cret-token", "Bearer wrong"],
        ["Bearer s3cret-token", "Bearer s3cret-token"],
    ],
)
def test_several_authorization_headers_are_refused(tmp_path: Path, authorization: list[str]) -> None:
    with GrpcReceiver(tmp_path, token="s3cret-token") as receiver:
        got = receiver.export(traces_in_protobuf(VALID), metadata=[("authorization", one) for one in authorization])
        assert (got.code(), receiver.kept) == (grpc.StatusCode.UNAUTHENTICATED, 0)


def test_a_token_that_is_not_ascii_is_refused(tmp_path: Path) -> None:
    with GrpcReceiver(tmp_path, token="s3cret-token") as receiver, Http2Client(receiver.port) as client:
        client.open(authorization="Bearer s3cret-token\u00ff")
        with suppress(ConnectionError):
            assert b"grpc-status\x010" not in client.until(HEADERS).payload
        assert receiver.kept == 0


def test_decompression_stops_at_the_limit(tmp_path: Path) -> None:
    packed = bomb(1 << 30)
    with GrpcReceiver(tmp_path) as receiver, Http2Client(receiver.port) as client:
        began = time.process_time()
        client.open(grpc_encoding="gzip")
        client.data(message(packed, compressed=True))
        client.until(RST_STREAM)
        assert time.process_time() - began < 1
        assert not [one for one in client.frames if one.kind == HEADERS and b"grpc-status\x010" in one.payload]
        assert receiver.kept == 0


def test_connections_beyond_the_limit_are_closed_and_silent_ones_make_room(tmp_path: Path) -> None:
    with GrpcReceiver(tmp_path, limits=Limits(connections=20, handshake=0.5)) as receiver:
        silent = [receiver.connect() for _ in range(20)]
        try:
            with receiver.connect() as beyond:
                beyond.settimeout(5)
                with suppress(ConnectionError):
                    assert beyond.recv(9) == b""
            assert _soon(lambda: receiver.export(traces_in_protobuf(VALID)) == b"")
        finally:
            for one in silent:
                one.close()


def test_a_connection_without_requests_is_closed(tmp_path: Path) -> None:
    with GrpcReceiver(tmp_path, limits=Limits(idle=1)) as receiver, Http2Client(receiver.port) as client:
        client.until(GOAWAY)


def test_a_flood_of_pings_ends_the_connection(receiver: GrpcReceiver) -> None:
    with Http2Client(receiver.port) as client:
        client.open()
        with suppress(BrokenPipeError, ConnectionResetError):
            for _ in range(20):
                client.send(frame(PING, 0, 0, b"12345678"))
        assert b"too_many_pings" in client.until(GOAWAY).payload


def test_requests_that_are_cancelled_at_once_do_not_delay_other_clients(receiver: GrpcReceiver) -> None:
    with Http2Client(receiver.port) as client, suppress(ConnectionError):
        for stream in range(1, 4001, 2):
            client.open(stream)
            client.send(frame(RST_STREAM, 0, stream, b"\0\0\0\x08"))
    assert receiver.export(traces_in_protobuf(VALID)) == b""
    assert _soon(lambda: receiver.otlp.requests == 0)


def test_metadata_too_large_is_resource_exhausted(receiver: GrpcReceiver) -> None:
    got = receiver.export(traces_in_protobuf(VALID), metadata=[("x", "y" * 100_000)])
    assert (got.code(), receiver.kept) == (grpc.StatusCode.RESOURCE_EXHAUSTED, 0)


def test_a_thousand_connections_do_not_keep_others_out(tmp_path: Path) -> None:
    _allow_many_files()
    with GrpcReceiver(tmp_path, limits=Limits(connections=1100)) as receiver, ExitStack() as clients:
        for _ in range(1000):
            clients.enter_context(Http2Client(receiver.port))
        began = time.monotonic()
        assert receiver.export(traces_in_protobuf(VALID)) == b""
        assert time.monotonic() - began < 5


def _soon(true: Any) -> bool:
    end = time.monotonic() + 10
    while time.monotonic() < end:
        if true():
            return True
        time.sleep(0.01)
    return False


def test_a_request_that_cannot_be_cancelled_does_not_stop_the_others_from_it(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(log, "_said", set())
    receiver = GrpcReceiver(tmp_path)
    cut: list[str] = []

    class Context:
        def __init__(self, name: str) -> None:
            self.name = name

        def cancel(self) -> None:
            cut.append(self.name)
            if self.name == "broken":
                raise RuntimeError("secret")
            receiver.otlp._ended.set()

    receiver.otlp._deadlines = {Context("broken"): 0.0, Context("sound"): 0.0}
    monkeypatch.setattr(receiver.otlp._ended, "wait", lambda _: receiver.otlp._ended.is_set())
    receiver.otlp._cancel_late()

    assert cut == ["broken", "sound"]
    (message,) = [record.getMessage() for record in caplog.records]
    assert "a request could not be cut off: RuntimeError in cancel, line " in message


def test_no_thread_is_left_when_the_receiver_is_closed(tmp_path: Path) -> None:
    before = set(threading.enumerate())
    with GrpcReceiver(tmp_path) as receiver:
        assert receiver.export(traces_in_protobuf(VALID)) == b""
        assert any(thread.name.startswith("LabelStudioGrpc_") for thread in threading.enumerate())

    assert _soon(lambda: not [one for one in set(threading.enumerate()) - before if "LabelStudio" in one.name])
