"""OTLP/gRPC: the same requests and answers as over HTTP, by grpcio.

https://github.com/open-telemetry/opentelemetry-proto/blob/v1.9.0/docs/specification.md#otlpgrpc. grpcio decompresses,
and refuses what is larger than `Limits.body` then without having it whole.

Its asyncio server, as a thread of its other one waits for each message: a few clients that never end theirs would keep
all others out. Its streaming form, as it asks for the message when the handler does: after the token was looked at.
"""

from __future__ import annotations

import asyncio
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import TYPE_CHECKING, Any, NoReturn

import grpc
import grpc.aio

from label_studio_otel import log
from label_studio_otel.errors import DecodeError, OutboxError, RequestTooLarge
from label_studio_otel.receiver import access
from label_studio_otel.receiver.answers import retry_later, success
from label_studio_otel.receiver.http import Limits
from label_studio_otel.receiver.reading import ANSWER_WITHIN, RETRY_AFTER, read
from label_studio_otel.receiver.traffic import Traffic

if TYPE_CHECKING:
    from label_studio_otel.receiver.intake import Intake
    from label_studio_otel.receiver.tls import Tls
    from label_studio_otel.selection import Selection

__all__ = ["OtlpGrpc"]

METHODS = {
    "/opentelemetry.proto.collector.trace.v1.TraceService/Export": "traces",
    "/opentelemetry.proto.collector.logs.v1.LogsService/Export": "logs",
    "/opentelemetry.proto.collector.metrics.v1.MetricsService/Export": "metrics",
}
NAMES = {signal: method[1:] for method, signal in METHODS.items()}
#: Requests of one connection at a time; a client keeps back what is more.
STREAMS = 128
#: Bytes of a request that is read at once: a Collector's batch; the change of threads would cost a tenth of it.
SMALL = 1 << 20


class _Refused(Exception):
    """A request that is not taken; UNAVAILABLE means that the same may be sent again."""

    def __init__(self, code: grpc.StatusCode, message: str) -> None:
        super().__init__(message)
        self.code = code


class OtlpGrpc:
    """A receiver from `listen` to `close`, in a thread of its own.

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
        self._readers = ThreadPoolExecutor(2, "LabelStudioReceiver")  # as many as for HTTP, for the same reason
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None
        self._server: Any = None

    def listen(self, host: str, port: int, tls: Tls | None = None) -> int:
        """Take requests from now on; return the port.

        Raises:
            OSError: the address cannot be used.
            ConfigError: a file of `tls` cannot be used.
        """
        credentials = None if tls is None else tls.credentials()
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="LabelStudioGrpc", daemon=True)
        self._thread.start()
        address = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
        try:
            return asyncio.run_coroutine_threadsafe(self._listen(address, credentials), self._loop).result()
        except RuntimeError:
            raise OSError(f"gRPC cannot listen on port {port}") from None

    def close(self, timeout: float) -> None:
        """Take no more requests, and answer those that are under way for at most so many seconds."""
        if self._loop is not None and self._thread is not None:
            asyncio.run_coroutine_threadsafe(self._stop(timeout), self._loop).result()
            self._loop.call_soon_threadsafe(self._loop.stop)
            self._thread.join()
            self._loop.close()
            self._loop = None
        self._readers.shutdown(wait=False, cancel_futures=True)

    def service(self, call: Any) -> Any:
        """Return how a method is carried out, None for one that is not known; called by grpcio."""
        signal = METHODS.get(call.method)
        return grpc.stream_unary_rpc_method_handler(partial(self._export, signal)) if signal else None

    async def _listen(self, address: str, credentials: Any) -> int:
        self._server = grpc.aio.server(handlers=(self,), options=_options(self.limits))
        if credentials is None:
            bound: int = self._server.add_insecure_port(address)
        else:
            bound = self._server.add_secure_port(address, credentials)
        await self._server.start()
        return bound

    async def _stop(self, timeout: float) -> None:
        if self._server is not None:
            await self._server.stop(timeout)

    async def _export(self, signal: str, _: Any, context: Any) -> bytes:
        size, code, began = 0, "CANCELLED", time.monotonic()
        self.requests += 1
        try:
            self._admit(context)
            body = await self._message(context)
            self.held += (size := len(body))
            answer = await self._taken(signal, body)
            code = "OK"
            return answer
        except Exception as error:
            refused = _refusal(error)
            code = refused.code.name
        finally:  # before the answer leaves: who has it finds it counted
            self._traffic.answered_grpc(NAMES[signal], code, time.monotonic() - began, size)
            self.requests -= 1
            self.held -= size
        await _end(context, refused)

    def _admit(self, context: Any) -> None:
        """Look at what is known before the message was asked for."""
        given = [value for name, value in context.invocation_metadata() if name == "authorization"]
        if not access.may_send(self._token, ", ".join(given)):
            raise _Refused(grpc.StatusCode.UNAUTHENTICATED, "the bearer token is missing or wrong")
        if self.requests > self.limits.requests:
            raise _Refused(grpc.StatusCode.UNAVAILABLE, "too many requests at a time")

    async def _message(self, context: Any) -> bytes:
        # Not cancelled when it is late: grpcio would write to memory that is not there any more. It ends with the call.
        reading = asyncio.ensure_future(context.read())
        reading.add_done_callback(lambda done: done.cancelled() or done.exception())
        await asyncio.wait({reading}, timeout=self.limits.sending)
        if not reading.done():
            message = f"the request did not come within {self.limits.sending:g} s"
            raise _Refused(grpc.StatusCode.DEADLINE_EXCEEDED, message)
        if (body := reading.result()) is grpc.aio.EOF:
            raise _Refused(grpc.StatusCode.INVALID_ARGUMENT, "there is no message in the request")
        assert isinstance(body, bytes)
        return body

    async def _taken(self, signal: str, body: bytes) -> bytes:
        if self.held > self.limits.bodies:
            raise _Refused(grpc.StatusCode.UNAVAILABLE, "too many requests at a time")
        reading = partial(read, self._selection, signal, body, is_json=False)
        if len(body) <= SMALL:
            found = reading()
        else:
            found = await asyncio.get_running_loop().run_in_executor(self._readers, reading)
        if found.records:
            done = asyncio.shield(asyncio.wrap_future(self._intake.take(found.records)))
            await asyncio.wait_for(done, ANSWER_WITHIN)
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
    if isinstance(error, asyncio.TimeoutError):
        return _Refused(grpc.StatusCode.UNAVAILABLE, "the disk is slow; what was sent is not known to be safe")
    if isinstance(error, OutboxError):
        message = "nothing can be taken now; the log of label-studio-otel says why"
        return _Refused(grpc.StatusCode.UNAVAILABLE, message)
    # An error of ours: the same request would meet it again.
    log.warn_once("request", f"a request could not be taken: {log.kind(error)}")
    return _Refused(grpc.StatusCode.INTERNAL, "an error in label-studio-otel")


async def _end(context: Any, refused: _Refused) -> NoReturn:
    """End a request; where it may be sent again, say when: Go reads it in the details, Python in a trailer."""
    if refused.code is grpc.StatusCode.UNAVAILABLE:
        details, info = retry_later(str(refused), RETRY_AFTER)
        context.set_trailing_metadata((("grpc-status-details-bin", details), ("google.rpc.retryinfo-bin", info)))
    await context.abort(refused.code, str(refused))
    raise AssertionError("abort raises")
