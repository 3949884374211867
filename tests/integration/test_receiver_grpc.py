"""The OTLP/gRPC receiver over a socket, rule by rule of the OTLP specification."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import grpc
import pytest
from google.rpc.error_details_pb2 import RetryInfo
from google.rpc.status_pb2 import Status
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceResponse

from label_studio_otel.counts import Counts
from label_studio_otel.outbox.sqlite import SqliteOutbox
from label_studio_otel.receiver.intake import Intake
from label_studio_otel.receiver.otlp_grpc import OtlpGrpc
from label_studio_otel.selection import Selection
from label_studio_otel.settings import load
from receiving import traces_in_protobuf

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from typing_extensions import Self

TRACES = "/opentelemetry.proto.collector.trace.v1.TraceService/Export"
LOGS = "/opentelemetry.proto.collector.logs.v1.LogsService/Export"
METRICS = "/opentelemetry.proto.collector.metrics.v1.MetricsService/Export"
VALID = (b"\1" * 16, b"\2" * 8)


class GrpcReceiver:
    """A receiver on a free port while its context lasts; nothing is delivered."""

    def __init__(self, directory: Path, *, token: str | None = None, max_state_bytes: int = 0) -> None:
        self.outbox = SqliteOutbox(directory / "outbox.db", synchronous="FULL")
        self.holding = True
        self._intake = Intake(
            self.outbox,
            holding=lambda: self.holding,
            due_at=lambda: 0.0,
            max_state_bytes=max_state_bytes,
            counts=Counts(),
        )
        self.otlp = OtlpGrpc(Selection(load({"state_dir": directory}, {})), self._intake, token=token)
        self.port = 0

    def __enter__(self) -> Self:
        self._intake.start()
        self.port = self.otlp.listen("127.0.0.1", 0)
        return self

    def __exit__(self, *error: object) -> None:
        self.otlp.close(1)
        self._intake.close()
        self.outbox.close()

    @property
    def kept(self) -> int:
        """Number of calls in the outbox."""
        return self.outbox.summary().states["pending"]

    def export(self, body: bytes, method: str = TRACES, **options: Any) -> Any:
        """Return the answer to a request, or the error that it is."""
        compression = options.pop("compression", grpc.Compression.NoCompression)
        unlimited = [("grpc.max_send_message_length", -1)]
        with grpc.insecure_channel(f"127.0.0.1:{self.port}", unlimited, compression) as channel:
            try:
                return channel.unary_unary(method)(body, timeout=20, **options)
            except grpc.RpcError as error:
                return error


@pytest.fixture
def receiver(tmp_path: Path) -> Iterator[GrpcReceiver]:
    with GrpcReceiver(tmp_path) as one:
        yield one


@pytest.mark.parametrize("compression", list(grpc.Compression))
def test_what_is_sent_is_durable_when_it_is_answered(receiver: GrpcReceiver, compression: grpc.Compression) -> None:
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


def test_what_is_no_otlp_is_invalid_argument(receiver: GrpcReceiver) -> None:
    got = receiver.export(b"secret")
    assert (got.code(), got.details()) == (
        grpc.StatusCode.INVALID_ARGUMENT,
        "no OTLP request for traces in protobuf",
    )


def test_another_service_is_unimplemented(receiver: GrpcReceiver) -> None:
    method = "/opentelemetry.proto.collector.profiles.v1development.ProfilesService/Export"
    assert receiver.export(b"", method).code() is grpc.StatusCode.UNIMPLEMENTED


def test_more_than_64_mib_are_resource_exhausted_and_do_not_come_again(receiver: GrpcReceiver) -> None:
    for compression in (grpc.Compression.Gzip, grpc.Compression.NoCompression):
        got = receiver.export(bytes((64 << 20) + 1), compression=compression)
        assert got.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
        assert "grpc-status-details-bin" not in dict(got.trailing_metadata() or ())
    assert receiver.export(bytes(64 << 20), METRICS) == b""


def test_a_full_outbox_is_unavailable_with_both_hints_when_to_come_again(tmp_path: Path) -> None:
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
def test_only_who_has_the_token_may_send(tmp_path: Path, authorization: str) -> None:
    with GrpcReceiver(tmp_path, token="s3cret-token") as receiver:
        got = receiver.export(traces_in_protobuf(VALID), metadata=[("authorization", authorization)])
        if authorization == "Bearer s3cret-token":
            assert (got, receiver.kept) == (b"", 1)
        else:
            assert (got.code(), receiver.kept) == (grpc.StatusCode.UNAUTHENTICATED, 0)
            assert "s3cret" not in got.details()


def test_a_port_that_is_taken_is_an_error(receiver: GrpcReceiver, tmp_path: Path) -> None:
    with GrpcReceiver(tmp_path / "other") as other, pytest.raises(OSError, match=f"port {receiver.port}"):
        other.otlp.listen("127.0.0.1", receiver.port)
