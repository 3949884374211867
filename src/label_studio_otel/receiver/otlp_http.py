"""`OtlpHttp` makes the response to each request of OTLP/HTTP.

https://github.com/open-telemetry/opentelemetry-proto/blob/v1.9.0/docs/specification.md#otlphttp. Clients send a request
again only after 429, 502, 503 and 504. So the status is 503 exactly if a later attempt may succeed.
"""

from __future__ import annotations

import asyncio
import zlib
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

from label_studio_otel import log
from label_studio_otel.calls.selection import Selection
from label_studio_otel.errors import DecodeError, OutboxError, RequestTooLarge
from label_studio_otel.receiver import access
from label_studio_otel.receiver.decoding import DecodedRequest, decode
from label_studio_otel.receiver.group_commit import GroupCommit
from label_studio_otel.receiver.http import Head, Response
from label_studio_otel.receiver.metrics import ReceiverMetrics
from label_studio_otel.receiver.responses import (
    JSON,
    OUTBOX_UNUSABLE,
    PROTOBUF,
    RESPONSE_TIMEOUT_S,
    RETRY_AFTER_S,
    error,
    status_of,
    success,
)
from label_studio_otel.receiver.settings import Limits

#: The paths of requests. A slash may follow: clients that take a redirect for a success would lose their data.
SIGNALS = {"/v1/traces": "traces", "/v1/logs": "logs", "/v1/metrics": "metrics"}
METRICS = "/metrics"
PROBES = ("/healthz", "/readyz")
#: Every path that can be in a metric.
ROUTES = (*SIGNALS, *PROBES, METRICS)
COMPRESSIONS = ("gzip", "x-gzip", "deflate")
CHUNK_BYTES = 1 << 20
TEXT = "text/plain; charset=utf-8"


class OtlpHttp:
    """The handler of an `HttpServer`.

    Args:
        token: the bearer token that clients must send; None where they need none.
        max_bytes: the limit of a body after decompression.
        exposition: returns the content type and the text of the metrics; None for no path `/metrics`.
        metrics_token: the bearer token for `/metrics`; None where clients need none.
        metrics: requests and responses are counted in it.
        check: raises an OutboxError while a request would not be accepted; by default that of `group_commit`.
    """

    def __init__(
        self,
        selection: Selection,
        group_commit: GroupCommit,
        *,
        token: str | None = None,
        max_bytes: int = Limits().body,
        exposition: Callable[[], tuple[str, bytes]] | None = None,
        metrics_token: str | None = None,
        metrics: ReceiverMetrics | None = None,
        check: Callable[[], None] | None = None,
    ) -> None:
        self._selection = selection
        self._group_commit = group_commit
        self._token = token
        self._max_bytes = max_bytes
        self._exposition = exposition
        self._metrics_token = metrics_token
        self._metrics = metrics or ReceiverMetrics()
        # Two threads, so that others need not wait for a large request; more would wait for the interpreter's lock.
        self._decoders = ThreadPoolExecutor(2, "LabelStudioDecoder")
        # A thread of its own, so that a probe need not wait for large requests.
        self._prober = ThreadPoolExecutor(1, "LabelStudioProbe")
        self._check = check or group_commit.check
        #: The present check. Probes that come during it share it.
        self._checking: asyncio.Future[None] | None = None

    def refuse(self, head: Head) -> Response | None:
        """See `Handler.refuse`."""
        path = _path(head)
        if path in PROBES or (path == METRICS and self._exposition):
            allowed = "GET, HEAD"
        elif path in SIGNALS:
            allowed = "POST"
        else:
            return self.error(404, f"there is nothing at this path; known are {', '.join(SIGNALS)}", head)
        if head.method not in allowed.split(", "):
            return error(405, f"only {allowed} can be used here", is_json=_is_json(head), headers={"Allow": allowed})
        if path == METRICS and not access.may_send(self._metrics_token, head.headers.get("authorization", "")):
            return _unauthorized(head)
        return self._refuse_export(head) if path in SIGNALS else None

    def error(self, status: int, message: str, head: Head | None) -> Response:
        """See `Handler.error`."""
        headers = {"Retry-After": str(RETRY_AFTER_S)} if status == 503 else {}
        return error(status, message, is_json=head is None or _is_json(head), headers=headers)

    def observe(self, head: Head | None, response: Response, seconds: float, body_bytes: int) -> None:
        """See `Handler.observe`."""
        path = _path(head) if head else ""
        route = path if path in ROUTES else None
        self._metrics.add_http_response(head.method if head else "", route, response.status, seconds, body_bytes)

    async def respond(self, head: Head, body: bytes) -> Response:
        """See `Handler.respond`."""
        try:
            if (path := _path(head)) in PROBES:
                return await self._probe(head)
            if path == METRICS and self._exposition:
                content_type, text = await asyncio.to_thread(self._exposition)
                return Response(200, content_type, text)
            signal = SIGNALS[path]
            if signal == "metrics":
                return success(signal, is_json=_is_json(head))
            return await self._export(signal, head, body)
        except Exception as failure:
            return self.error(*status_of(failure), head)

    def close(self) -> None:
        """End the threads."""
        self._decoders.shutdown(wait=False, cancel_futures=True)
        self._prober.shutdown(wait=False, cancel_futures=True)

    def _refuse_export(self, head: Head) -> Response | None:
        """Return the response to an export request whose body need not be read; None to read the body."""
        if not access.may_send(self._token, head.headers.get("authorization", "")):
            return _unauthorized(head)
        if self._token is None and "origin" in head.headers:
            # Browsers add Origin to what a page sends. Without a token a page of any site could send, because its host
            # name may resolve to this address.
            return self.error(403, "a web page may send only where there is a token", head)
        if _content_type(head) not in (JSON, PROTOBUF):
            return self.error(415, f"Content-Type must be {PROTOBUF} or {JSON}", head)
        if _compression(head) not in ("", "identity", *COMPRESSIONS):
            accepted = {"Accept-Encoding": "gzip, deflate"}
            message = "Content-Encoding must be gzip, deflate or identity"
            return error(415, message, is_json=_is_json(head), headers=accepted)
        return None

    async def _export(self, signal: str, head: Head, body: bytes) -> Response:
        loop = asyncio.get_running_loop()
        decoded = await loop.run_in_executor(self._decoders, self._decode, signal, head, body)
        if decoded.records:
            await _wait(asyncio.wrap_future(self._group_commit.submit(decoded.records)))
        self._metrics.add_items(signal, "http", decoded)
        return success(signal, is_json=_is_json(head), rejected=decoded.rejected)

    def _decode(self, signal: str, head: Head, body: bytes) -> DecodedRequest:
        if _compression(head) in COMPRESSIONS:
            body = decompressed(body, self._max_bytes)
        return decode(self._selection, signal, body, is_json=_is_json(head))

    async def _probe(self, head: Head) -> Response:
        if _path(head) == "/readyz":
            try:
                if self._checking is None or self._checking.done():
                    self._checking = asyncio.get_running_loop().run_in_executor(self._prober, self._check)
                await _wait(self._checking)
            except OutboxError as not_ready:
                return Response(503, TEXT, f"{self._reason(not_ready, head)}\n".encode())
            except asyncio.TimeoutError:
                return Response(503, TEXT, b"the disk is slow\n")
            log.resolved("ready", "/readyz is answered 200 again")
        return Response(200, TEXT, b"ok\n")

    def _reason(self, not_ready: OutboxError, head: Head) -> str:
        """Log why the outbox cannot be used, and return it.

        A client without the token gets a general sentence, because the reason can contain a path.
        """
        log.warn_once("ready", f"/readyz is answered 503: {not_ready}")
        may_see = access.may_send(self._token, head.headers.get("authorization", ""))
        return str(not_ready) if may_see else OUTBOX_UNUSABLE


async def _wait(work: asyncio.Future[None]) -> None:
    """Wait at most `RESPONSE_TIMEOUT_S` for work. The work goes on after that, because others may wait for it too."""
    work.add_done_callback(lambda one: one.cancelled() or one.exception())  # asyncio logs errors that nobody reads
    await asyncio.wait_for(asyncio.shield(work), RESPONSE_TIMEOUT_S)


def decompressed(data: bytes, max_bytes: int) -> bytes:
    """Return the decompressed bytes of gzip or zlib.

    They are decompressed in chunks and only up to the limit, because a small body can hold gigabytes.

    Raises:
        DecodeError: the data is not valid.
        RequestTooLarge: the result has more than `max_bytes`.
    """
    chunks: list[bytes] = []
    size = 0
    try:
        while data:
            unpacker = zlib.decompressobj(wbits=zlib.MAX_WBITS | 32)
            while not unpacker.eof:
                chunk = unpacker.decompress(data, CHUNK_BYTES)
                data = unpacker.unconsumed_tail
                size += len(chunk)
                if size > max_bytes:
                    raise RequestTooLarge(f"the request is larger than {max_bytes} bytes, decompressed")
                if not chunk and not data and not unpacker.eof:
                    raise DecodeError("the request's compressed body ends too early")
                chunks.append(chunk)
            data = unpacker.unused_data  # gzip data may have several members
    except zlib.error:
        raise DecodeError("the request's body is not what its Content-Encoding says") from None
    return b"".join(chunks)


def _unauthorized(head: Head) -> Response:
    challenge = {"WWW-Authenticate": "Bearer"}
    return error(401, "the bearer token is missing or wrong", is_json=_is_json(head), headers=challenge)


def _path(head: Head) -> str:
    return head.path.removesuffix("/")


def _content_type(head: Head) -> str:
    return head.headers.get("content-type", "").partition(";")[0].strip().lower()


def _is_json(head: Head) -> bool:
    """Return whether the response is JSON; only a request in protobuf gets a response in protobuf."""
    return _content_type(head) != PROTOBUF


def _compression(head: Head) -> str:
    return head.headers.get("content-encoding", "").strip().lower()
