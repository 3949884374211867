"""OTLP/gRPC: the same requests and answers as over HTTP, by grpcio.

https://github.com/open-telemetry/opentelemetry-proto/blob/v1.9.0/docs/specification.md#otlpgrpc. grpcio decompresses,
and refuses what is larger than `Limits.body` then without having it whole.

Its server with threads, as one request with a path that is no UTF-8 ends the asyncio one (grpcio 1.85) for everybody. A
message that does not come holds a thread; there is one for each of `Limits.requests`, and what is late is cut off. Its
streaming form, as it asks for the message when the handler does: after the token was looked at.
"""

from __future__ import annotations

import logging
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from concurrent.futures import TimeoutError as FutureTimeoutError
from functools import partial
from typing import TYPE_CHECKING, Any, NoReturn

import grpc

from label_studio_otel import log
from label_studio_otel.errors import DecodeError, OutboxError, RequestTooLarge
from label_studio_otel.receiver import access
from label_studio_otel.receiver.decoding import ANSWER_WITHIN, RETRY_AFTER, read
from label_studio_otel.receiver.metrics import Traffic
from label_studio_otel.receiver.responses import retry_later, success
from label_studio_otel.receiver.settings import Limits
from label_studio_otel.receiver.tls import grpc_credentials

if TYPE_CHECKING:
    from collections.abc import Iterator

    from label_studio_otel.calls.selection import Selection
    from label_studio_otel.receiver.group_commit import Intake
    from label_studio_otel.receiver.settings import Tls

__all__ = ["OtlpGrpc"]

METHODS = {
    "/opentelemetry.proto.collector.trace.v1.TraceService/Export": "traces",
    "/opentelemetry.proto.collector.logs.v1.LogsService/Export": "logs",
    "/opentelemetry.proto.collector.metrics.v1.MetricsService/Export": "metrics",
}
NAMES = {signal: method[1:] for method, signal in METHODS.items()}
#: Requests of one connection at a time; a client keeps back what is more.
STREAMS = 128
#: Threads that tell those beyond `Limits.requests` to come again.
SPARE = 8
#: Requests that are read at a time: more only take turns at the interpreter's lock.
READERS = 2


class _Refused(Exception):
    """A request that is not taken; UNAVAILABLE means that the same may be sent again."""

    def __init__(self, code: grpc.StatusCode, message: str) -> None:
        super().__init__(message)
        self.code = code


class OtlpGrpc:
    """A receiver from `listen` to `close`.

    Args:
        token: that clients must send, None where all may.
        traffic: answers and what was taken are added here.
    """

    def __init__(
        self,
        selection: Selection,
        intake: Intake,
        *,
        token: str | None = None,
        limits: Limits | None = None,
        traffic: Traffic | None = None,
    ) -> None:
        self._selection = selection
        self._intake = intake
        self._token = token
        self._traffic = traffic or Traffic()
        self.limits = limits or Limits()
        #: Requests that are under way now, and the bytes of their messages.
        self.requests = self.held = 0
        #: When a message must be there, by the context of its request.
        self._coming: dict[Any, float] = {}
        self._lock = threading.Lock()
        self._readers = threading.BoundedSemaphore(READERS)
        self._ended = threading.Event()
        self._watch = threading.Thread(target=self._cut_off, name="LabelStudioGrpcWatch", daemon=True)
        self._server: Any = None

    def listen(self, host: str, port: int, tls: Tls | None = None) -> int:
        """Take requests from now on; return the port.

        Raises:
            OSError: the address cannot be used.
            ConfigError: a file of `tls` cannot be used.
        """
        address = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
        credentials = None if tls is None else grpc_credentials(tls)
        logging.getLogger("grpc._cython.cygrpc").setLevel(logging.CRITICAL)  # it quotes metadata that is no UTF-8
        threads = ThreadPoolExecutor(self.limits.requests + SPARE, "LabelStudioGrpc")
        server = grpc.server(threads, handlers=(self,), options=_options(self.limits))
        try:
            bound = server.add_secure_port(address, credentials) if credentials else server.add_insecure_port(address)
        except RuntimeError:
            bound = 0
        if not bound:
            raise OSError(f"gRPC cannot listen on port {port}")
        self._server = server
        self._watch.start()
        server.start()
        return int(bound)

    def close(self, timeout: float) -> None:
        """Take no more requests, and answer those that are under way for at most so many seconds."""
        self._ended.set()
        if self._server is not None:
            self._server.stop(timeout).wait()

    def service(self, call: Any) -> Any:
        """Return how a method is carried out, None for one that is not known; called by grpcio."""
        signal = METHODS.get(call.method)
        return grpc.stream_unary_rpc_method_handler(partial(self._export, signal)) if signal else None

    def _cut_off(self) -> None:
        """End the requests whose message is late; their clients send them again."""
        while not self._ended.wait(min(1.0, self.limits.sending / 4)):
            with self._lock:
                late = [context for context, end in self._coming.items() if end < time.monotonic()]
            for context in late:
                _cancel(context)

    def _export(self, signal: str, messages: Iterator[bytes], context: Any) -> bytes:
        size, code, began = 0, "CANCELLED", time.monotonic()
        self._count(1, 0)
        try:
            self._admit(context)
            body = self._message(messages, context)
            self._count(0, size := len(body))
            answer = self._taken(signal, body)
            code = "OK"
            return answer
        except grpc.RpcError:  # the client is gone, or was cut off
            raise
        except Exception as error:
            refused = _refusal(error)
            code = refused.code.name
            _end(context, refused)
        finally:
            self._traffic.answered_grpc(NAMES[signal], code, time.monotonic() - began, size)
            self._count(-1, -size)

    def _count(self, requests: int, size: int) -> None:
        with self._lock:
            self.requests += requests
            self.held += size

    def _admit(self, context: Any) -> None:
        """Look at what is known before the message was asked for."""
        given = [value for name, value in context.invocation_metadata() if name == "authorization"]
        if not access.may_send(self._token, ", ".join(given)):
            raise _Refused(grpc.StatusCode.UNAUTHENTICATED, "the bearer token is missing or wrong")
        if self.requests > self.limits.requests:
            raise _Refused(grpc.StatusCode.UNAVAILABLE, "too many requests at a time")

    def _message(self, messages: Iterator[bytes], context: Any) -> bytes:
        with self._lock:
            self._coming[context] = time.monotonic() + self.limits.sending
        try:
            body = next(messages, None)
        finally:
            with self._lock:
                del self._coming[context]
        if body is None:
            raise _Refused(grpc.StatusCode.INVALID_ARGUMENT, "there is no message in the request")
        return body

    def _taken(self, signal: str, body: bytes) -> bytes:
        if self.held > self.limits.bodies:
            raise _Refused(grpc.StatusCode.UNAVAILABLE, "too many requests at a time")
        with self._readers:
            found = read(self._selection, signal, body, is_json=False)
        if found.records:
            self._intake.take(found.records).result(ANSWER_WITHIN)
        self._traffic.took(signal, "grpc", found)
        return success(signal, is_json=False, rejected=found.rejected).body


def _options(limits: Limits) -> list[tuple[str, int]]:
    return [
        ("grpc.max_receive_message_length", limits.body),
        ("grpc.max_allowed_incoming_connections", limits.connections),
        ("grpc.server_handshake_timeout_ms", round(limits.handshake * 1000)),
        ("grpc.max_connection_idle_ms", round(limits.idle * 1000)),
        ("grpc.max_concurrent_streams", STREAMS),
        ("grpc.so_reuseport", 0),  # two services on one port would share the requests by chance
    ]


def _refusal(error: Exception) -> _Refused:
    """Return how a request ends that could not be taken."""
    if isinstance(error, _Refused):
        return error
    if isinstance(error, RequestTooLarge):
        return _Refused(grpc.StatusCode.RESOURCE_EXHAUSTED, str(error))
    if isinstance(error, DecodeError):
        return _Refused(grpc.StatusCode.INVALID_ARGUMENT, str(error))
    if isinstance(error, FutureTimeoutError):
        return _Refused(grpc.StatusCode.UNAVAILABLE, "the disk is slow; what was sent is not known to be safe")
    if isinstance(error, OutboxError):
        message = "nothing can be taken now; the log of label-studio-otel says why"
        return _Refused(grpc.StatusCode.UNAVAILABLE, message)
    # An error of ours: the same request would meet it again.
    log.warn_once("request", f"a request could not be taken: {log.kind(error)}")
    return _Refused(grpc.StatusCode.INTERNAL, "an error in label-studio-otel")


def _cancel(context: Any) -> None:
    try:
        context.cancel()
    except Exception as error:  # of grpcio, about one request: the others must not hold their threads
        log.warn_once("cut off", f"a request could not be cut off: {log.kind(error)}")


def _end(context: Any, refused: _Refused) -> NoReturn:
    """End a request; where it may be sent again, say when: Go reads it in the details, Python in a trailer."""
    if refused.code is grpc.StatusCode.UNAVAILABLE:
        details, info = retry_later(str(refused), RETRY_AFTER)
        context.set_trailing_metadata((("grpc-status-details-bin", details), ("google.rpc.retryinfo-bin", info)))
    context.abort(refused.code, str(refused))
    raise AssertionError("abort raises")
