"""OTLP/gRPC: the same requests and answers as over HTTP, by grpcio.

https://github.com/open-telemetry/opentelemetry-proto/blob/v1.9.0/docs/specification.md#otlpgrpc. grpcio decompresses,
and refuses what is larger than `MAX_BYTES` then without having it whole.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from concurrent.futures import TimeoutError as FutureTimeoutError
from functools import partial
from typing import TYPE_CHECKING, Any

import grpc

from label_studio_otel import log
from label_studio_otel.errors import DecodeError, OutboxError
from label_studio_otel.receiver import access
from label_studio_otel.receiver.answers import retry_later, success
from label_studio_otel.receiver.reading import ANSWER_WITHIN, MAX_BYTES, RETRY_AFTER, read

if TYPE_CHECKING:
    from label_studio_otel.receiver.intake import Intake
    from label_studio_otel.selection import Selection

__all__ = ["OtlpGrpc"]

METHODS = {
    "/opentelemetry.proto.collector.trace.v1.TraceService/Export": "traces",
    "/opentelemetry.proto.collector.logs.v1.LogsService/Export": "logs",
    "/opentelemetry.proto.collector.metrics.v1.MetricsService/Export": "metrics",
}
#: Requests that wait for a commit at a time; their threads sleep.
WORKERS = 32
OPTIONS = (
    ("grpc.max_receive_message_length", MAX_BYTES),
    ("grpc.max_concurrent_streams", 128),
    ("grpc.so_reuseport", 0),  # two services on one port would share the requests by chance
)


class OtlpGrpc:
    """A receiver from `listen` to `close`.

    Args:
        token: that clients must send, None where all may.
    """

    def __init__(self, selection: Selection, intake: Intake, *, token: str | None = None) -> None:
        self._selection = selection
        self._intake = intake
        self._token = token
        self._server = grpc.server(ThreadPoolExecutor(WORKERS, "LabelStudioGrpc"), handlers=(self,), options=OPTIONS)

    def listen(self, host: str, port: int) -> int:
        """Take requests from now on; return the port.

        Raises:
            OSError: the address cannot be used.
        """
        try:
            bound: int = self._server.add_insecure_port(f"[{host}]:{port}" if ":" in host else f"{host}:{port}")
        except RuntimeError:
            bound = 0
        if not bound:
            raise OSError(f"gRPC cannot listen on port {port}")
        self._server.start()
        return bound

    def close(self, timeout: float) -> None:
        """Take no more requests, and answer those that are under way for at most so many seconds."""
        self._server.stop(timeout).wait()

    def service(self, call: Any) -> Any:
        """Return how a method is carried out, None for one that is not known; called by grpcio."""
        signal = METHODS.get(call.method)
        return grpc.unary_unary_rpc_method_handler(partial(self._export, signal)) if signal else None

    def _export(self, signal: str, body: bytes, context: Any) -> bytes:
        metadata = {name: value for name, value in context.invocation_metadata() if isinstance(value, str)}
        if not access.may_send(self._token, metadata.get("authorization", "")):
            context.abort(grpc.StatusCode.UNAUTHENTICATED, "the bearer token is missing or wrong")
        try:
            return self._taken(signal, body)
        except DecodeError as error:
            context.abort(grpc.StatusCode.INVALID_ARGUMENT, str(error))
        except FutureTimeoutError:
            _come_again(context, "the disk is slow; what was sent is not known to be safe")
        except OutboxError:
            _come_again(context, "nothing can be taken now; the log of label-studio-otel says why")
        except Exception as error:  # an error of ours: the same request would meet it again
            log.warn_once("request", f"a request could not be taken: {log.kind(error)}")
            context.abort(grpc.StatusCode.INTERNAL, "an error in label-studio-otel")
        raise AssertionError("abort raises")

    def _taken(self, signal: str, body: bytes) -> bytes:
        found = read(self._selection, signal, body, is_json=False)
        if found.records:
            self._intake.take(found.records).result(ANSWER_WITHIN)
        return success(signal, is_json=False, rejected=found.rejected).body


def _come_again(context: Any, message: str) -> None:
    """End a request that may be sent again, and say when: Go reads it in the details, Python in a trailer."""
    details, info = retry_later(message, RETRY_AFTER)
    context.set_trailing_metadata((("grpc-status-details-bin", details), ("google.rpc.retryinfo-bin", info)))
    context.abort(grpc.StatusCode.UNAVAILABLE, message)
