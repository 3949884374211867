"""`OtlpGrpc` serves OTLP/gRPC with grpcio: the same requests and responses as over HTTP.

https://github.com/open-telemetry/opentelemetry-proto/blob/v1.9.0/docs/specification.md#otlpgrpc. grpcio decompresses a
message, and stops when it is larger than `Limits.body`.

The server uses threads and not asyncio: one request whose path is not UTF-8 stops grpcio's asyncio server (1.85). A
request waits for its message in a thread. So there is a thread for each of `Limits.requests`, and a request is
cancelled when its message is late. Methods have the streaming form, because it reads the message only when the handler
asks for it, which is after the check of the token.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any, NoReturn

import grpc

from label_studio_otel import log
from label_studio_otel.calls.selection import Selection
from label_studio_otel.receiver import access
from label_studio_otel.receiver.decoding import decode
from label_studio_otel.receiver.group_commit import GroupCommit
from label_studio_otel.receiver.metrics import ReceiverMetrics
from label_studio_otel.receiver.responses import CODES, RESPONSE_TIMEOUT_S, retry_later, status_of, success
from label_studio_otel.receiver.settings import Limits, Tls
from label_studio_otel.receiver.tls import grpc_credentials

METHODS = {
    "/opentelemetry.proto.collector.trace.v1.TraceService/Export": "traces",
    "/opentelemetry.proto.collector.logs.v1.LogsService/Export": "logs",
    "/opentelemetry.proto.collector.metrics.v1.MetricsService/Export": "metrics",
}
NAMES = {signal: method[1:] for method, signal in METHODS.items()}
#: Requests of one connection at a time; a client delays further ones.
MAX_STREAMS = 128
#: Threads for the requests beyond `Limits.requests`, which are refused.
SPARE_THREADS = 8
#: Requests that are decoded at a time. More threads would only wait for the interpreter's lock.
MAX_DECODING = 2


class _Refused(Exception):
    """A request that is not accepted. UNAVAILABLE means that the client may send it again."""

    def __init__(self, code: grpc.StatusCode, message: str) -> None:
        super().__init__(message)
        self.code = code


class OtlpGrpc:
    """A receiver from `listen` to `close`.

    Args:
        token: the bearer token that clients must send; None where they need none.
        metrics: requests and responses are counted in it.
    """

    def __init__(
        self,
        selection: Selection,
        group_commit: GroupCommit,
        *,
        token: str | None = None,
        limits: Limits | None = None,
        metrics: ReceiverMetrics | None = None,
    ) -> None:
        self._selection = selection
        self._group_commit = group_commit
        self._token = token
        self._metrics = metrics or ReceiverMetrics()
        self.limits = limits or Limits()
        #: The number of requests under way, and the bytes of their messages.
        self.requests = self.held = 0
        #: The deadline of each message that has not come, by the context of its request.
        self._deadlines: dict[Any, float] = {}
        self._lock = threading.Lock()
        self._decoding = threading.BoundedSemaphore(MAX_DECODING)
        self._ended = threading.Event()
        self._watch = threading.Thread(target=self._cancel_late, name="LabelStudioGrpcWatch", daemon=True)
        self._threads = ThreadPoolExecutor(self.limits.requests + SPARE_THREADS, "LabelStudioGrpc")
        self._server: Any = None

    def listen(self, host: str, port: int, tls: Tls | None = None) -> int:
        """Accept requests from now on; return the port.

        Raises:
            OSError: the address cannot be used.
            ConfigError: a file of `tls` cannot be used.
        """
        address = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
        credentials = None if tls is None else grpc_credentials(tls)
        logging.getLogger("grpc._cython.cygrpc").setLevel(logging.CRITICAL)  # it logs metadata that is not UTF-8
        server = grpc.server(self._threads, handlers=(self,), options=_options(self.limits))
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
        """Accept no more requests, and wait at most `timeout` seconds for the responses to those under way."""
        self._ended.set()
        if self._server is not None:
            self._server.stop(timeout).wait()
        self._threads.shutdown(wait=False)  # grpcio leaves them to wait for further requests

    def service(self, call: Any) -> Any:
        """Return the handler of a method, None for an unknown one. grpcio calls this."""
        signal = METHODS.get(call.method)
        return grpc.stream_unary_rpc_method_handler(partial(self._export, signal)) if signal else None

    def _cancel_late(self) -> None:
        """Cancel the requests whose message is late; their clients send them again."""
        while not self._ended.wait(min(1.0, self.limits.sending / 4)):
            with self._lock:
                late = [context for context, end in self._deadlines.items() if end < time.monotonic()]
            for context in late:
                _cancel(context)

    def _export(self, signal: str, messages: Iterator[bytes], context: Any) -> bytes:
        size, code, began = 0, "CANCELLED", time.monotonic()
        self._count(1, 0)
        try:
            self._admit(context)
            body = self._read_message(messages, context)
            self._count(0, size := len(body))
            response = self._export_body(signal, body)
            code = "OK"
            return response
        except grpc.RpcError:  # the client has left, or the request was cancelled
            raise
        except Exception as error:
            refused = error if isinstance(error, _Refused) else _refusal(*status_of(error))
            code = refused.code.name
            _end(context, refused)
        finally:
            self._metrics.add_grpc_response(NAMES[signal], code, time.monotonic() - began, size)
            self._count(-1, -size)

    def _count(self, requests: int, size: int) -> None:
        with self._lock:
            self.requests += requests
            self.held += size

    def _admit(self, context: Any) -> None:
        """Raise _Refused for a request whose message need not be read: no valid token, or too many requests."""
        given = [value for name, value in context.invocation_metadata() if name == "authorization"]
        if not access.may_send(self._token, ", ".join(given)):
            raise _Refused(grpc.StatusCode.UNAUTHENTICATED, "the bearer token is missing or wrong")
        if self.requests > self.limits.requests:
            raise _Refused(grpc.StatusCode.UNAVAILABLE, "too many requests at a time")

    def _read_message(self, messages: Iterator[bytes], context: Any) -> bytes:
        with self._lock:
            self._deadlines[context] = time.monotonic() + self.limits.sending
        try:
            body = next(messages, None)
        finally:
            with self._lock:
                del self._deadlines[context]
        if body is None:
            raise _Refused(grpc.StatusCode.INVALID_ARGUMENT, "there is no message in the request")
        return body

    def _export_body(self, signal: str, body: bytes) -> bytes:
        if self.held > self.limits.bodies:
            raise _Refused(grpc.StatusCode.UNAVAILABLE, "too many requests at a time")
        with self._decoding:
            decoded = decode(self._selection, signal, body, is_json=False)
        if decoded.records:
            self._group_commit.submit(decoded.records).result(RESPONSE_TIMEOUT_S)
        self._metrics.add_items(signal, "grpc", decoded)
        return success(signal, is_json=False, rejected=decoded.rejected).body


def _options(limits: Limits) -> list[tuple[str, int]]:
    return [
        ("grpc.max_receive_message_length", limits.body),
        ("grpc.max_allowed_incoming_connections", limits.connections),
        ("grpc.server_handshake_timeout_ms", round(limits.handshake * 1000)),
        ("grpc.max_connection_idle_ms", round(limits.idle * 1000)),
        ("grpc.max_concurrent_streams", MAX_STREAMS),
        ("grpc.so_reuseport", 0),  # else two services could listen on one port, and each would get some requests
    ]


def _cancel(context: Any) -> None:
    try:
        context.cancel()
    except Exception as error:  # an error of grpcio about one request must not stop the check of the others
        log.warn_once("cut off", f"a request could not be cut off: {log.kind(error)}")


def _refusal(status: int, message: str) -> _Refused:
    return _Refused(next(code for code in grpc.StatusCode if code.value[0] == CODES[status]), message)


def _end(context: Any, refused: _Refused) -> NoReturn:
    """End a request with its code and message.

    If the client may send it again, the response says when: Go clients read that in the details, Python's in a trailer.
    """
    if refused.code is grpc.StatusCode.UNAVAILABLE:
        details, info = retry_later(str(refused))
        context.set_trailing_metadata((("grpc-status-details-bin", details), ("google.rpc.retryinfo-bin", info)))
    context.abort(refused.code, str(refused))
    raise AssertionError("abort raises")
