"""OTLP/HTTP: which request gets which answer.

https://github.com/open-telemetry/opentelemetry-proto/blob/v1.9.0/docs/specification.md#otlphttp. Of the errors, clients
send only what was answered 429, 502, 503 or 504 again; so 503 is what may be mended by waiting, and nothing else.
"""

from __future__ import annotations

import asyncio
import zlib
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

from label_studio_otel import log
from label_studio_otel.errors import DecodeError, OutboxError, RequestTooLarge
from label_studio_otel.receiver import access
from label_studio_otel.receiver.decoding import ANSWER_WITHIN, MAX_BYTES, RETRY_AFTER, Read, read
from label_studio_otel.receiver.http import Response
from label_studio_otel.receiver.metrics import Traffic
from label_studio_otel.receiver.responses import JSON, PROTOBUF, status, success

if TYPE_CHECKING:
    from collections.abc import Callable

    from label_studio_otel.calls.selection import Selection
    from label_studio_otel.receiver.group_commit import Intake
    from label_studio_otel.receiver.http import Head

__all__ = ["ROUTES", "OtlpHttp", "decompressed"]

#: By path, with or without a slash at its end: a redirect would lose the data of clients that take it for success.
SIGNALS = {"/v1/traces": "traces", "/v1/logs": "logs", "/v1/metrics": "metrics"}
METRICS = "/metrics"
PROBES = ("/healthz", "/readyz")
#: Every path.
ROUTES = (*SIGNALS, *PROBES, METRICS)
COMPRESSIONS = ("gzip", "x-gzip", "deflate")
_PIECE = 1 << 20
_TEXT = "text/plain; charset=utf-8"


class OtlpHttp:
    """The handler of an `HttpServer`.

    Args:
        token: that clients must send, None where all may.
        max_bytes: of a body, decompressed.
        metrics: gives the content type and the text of metrics; without it they are not there.
        metrics_token: that must be sent for them, None where all may read them.
        traffic: what was taken is added here.
        ready: raises an OutboxError while what comes would not be taken; by default the intake's check.
    """

    def __init__(
        self,
        selection: Selection,
        intake: Intake,
        *,
        token: str | None = None,
        max_bytes: int = MAX_BYTES,
        metrics: Callable[[], tuple[str, bytes]] | None = None,
        metrics_token: str | None = None,
        traffic: Traffic | None = None,
        ready: Callable[[], None] | None = None,
    ) -> None:
        self._selection = selection
        self._intake = intake
        self._token = token
        self._max_bytes = max_bytes
        self._metrics = metrics
        self._metrics_token = metrics_token
        self._traffic = traffic or Traffic()
        # Two, so that one large request does not hold up all others; more only take turns at the interpreter's lock.
        self._readers = ThreadPoolExecutor(2, "LabelStudioReceiver")
        # Of its own: a probe must not wait for large requests to be read.
        self._prober = ThreadPoolExecutor(1, "LabelStudioProbe")
        self._ready = ready or intake.check
        #: One check for all probes that come while it goes on.
        self._checking: asyncio.Future[None] | None = None

    def refuse(self, head: Head) -> Response | None:
        """See `Handler.refuse`."""
        path = _path(head)
        if path in PROBES or (path == METRICS and self._metrics):
            allowed = "GET, HEAD"
        elif path in SIGNALS:
            allowed = "POST"
        else:
            return self.wrong(404, f"there is nothing at this path; known are {', '.join(SIGNALS)}", head)
        if head.method not in allowed.split(", "):
            return status(405, f"only {allowed} can be used here", is_json=_is_json(head), headers={"Allow": allowed})
        if path == METRICS and not access.may_send(self._metrics_token, head.headers.get("authorization", "")):
            return _unauthorized(head)
        return self._unreadable(head) if path in SIGNALS else None

    def wrong(self, code: int, message: str, head: Head | None) -> Response:
        """See `Handler.wrong`."""
        headers = {"Retry-After": str(RETRY_AFTER)} if code == 503 else {}
        return status(code, message, is_json=head is None or _is_json(head), headers=headers)

    async def answer(self, head: Head, body: bytes) -> Response:
        """See `Handler.answer`."""
        try:
            if (path := _path(head)) in PROBES:
                return await self._probe(path)
            if path == METRICS and self._metrics:
                content_type, text = await asyncio.to_thread(self._metrics)
                return Response(200, content_type, text)
            signal = SIGNALS[path]
            if signal == "metrics":
                return success(signal, is_json=_is_json(head))
            return await self._take(signal, head, body)
        except RequestTooLarge as error:
            return self.wrong(413, str(error), head)
        except DecodeError as error:
            return self.wrong(400, str(error), head)
        except asyncio.TimeoutError:
            return self.wrong(503, "the disk is slow; what was sent is not known to be safe", head)
        except OutboxError:
            return self.wrong(503, "nothing can be taken now; the log of label-studio-otel says why", head)
        except Exception as error:  # an error of ours: the same request would meet it again
            log.warn_once("request", f"a request could not be taken: {log.kind(error)}")
            return self.wrong(500, "an error in label-studio-otel", head)

    def close(self) -> None:
        """Let go of the threads."""
        self._readers.shutdown(wait=False, cancel_futures=True)
        self._prober.shutdown(wait=False, cancel_futures=True)

    def _unreadable(self, head: Head) -> Response | None:
        """Return why this export request is not even read."""
        if not access.may_send(self._token, head.headers.get("authorization", "")):
            return _unauthorized(head)
        if self._token is None and "origin" in head.headers:
            # Browsers say it of every page that sends; a page whose name was made to mean this address needs nothing
            # else to be let in.
            return self.wrong(403, "a web page may send only where there is a token", head)
        if _content_type(head) not in (JSON, PROTOBUF):
            return self.wrong(415, f"Content-Type must be {PROTOBUF} or {JSON}", head)
        if _compression(head) not in ("", "identity", *COMPRESSIONS):
            accepted = {"Accept-Encoding": "gzip, deflate"}
            message = "Content-Encoding must be gzip, deflate or identity"
            return status(415, message, is_json=_is_json(head), headers=accepted)
        return None

    async def _take(self, signal: str, head: Head, body: bytes) -> Response:
        loop = asyncio.get_running_loop()
        found = await loop.run_in_executor(self._readers, self._read, signal, head, body)
        if found.records:
            # Shielded: what was begun ends, and a client that comes again with the same makes no double.
            taken = asyncio.wrap_future(self._intake.take(found.records))
            taken.add_done_callback(lambda one: one.cancelled() or one.exception())  # nobody may be there any more
            done = asyncio.shield(taken)
            await asyncio.wait_for(done, ANSWER_WITHIN)
        self._traffic.took(signal, "http", found)
        return success(signal, is_json=_is_json(head), rejected=found.rejected)

    def _read(self, signal: str, head: Head, body: bytes) -> Read:
        if _compression(head) in COMPRESSIONS:
            body = decompressed(body, self._max_bytes)
        return read(self._selection, signal, body, is_json=_is_json(head))

    async def _probe(self, path: str) -> Response:
        if path == "/readyz":
            try:
                await asyncio.wait_for(asyncio.shield(self._check()), ANSWER_WITHIN)
            except OutboxError as error:
                return Response(503, _TEXT, f"{error}\n".encode())
            except asyncio.TimeoutError:
                return Response(503, _TEXT, b"the disk is slow\n")
        return Response(200, _TEXT, b"ok\n")

    def _check(self) -> asyncio.Future[None]:
        if self._checking is None or self._checking.done():
            self._checking = asyncio.get_running_loop().run_in_executor(self._prober, self._ready)
            self._checking.add_done_callback(lambda one: one.cancelled() or one.exception())  # nobody may wait any more
        return self._checking


def decompressed(data: bytes, max_bytes: int) -> bytes:
    """Return what gzip or zlib made of at most so many bytes; a bomb costs no more than it may.

    Raises:
        DecodeError: it is something else, or larger (`RequestTooLarge`).
    """
    pieces: list[bytes] = []
    size = 0
    try:
        while data:
            unpacker = zlib.decompressobj(wbits=zlib.MAX_WBITS | 32)
            while not unpacker.eof:
                piece = unpacker.decompress(data, _PIECE)
                data = unpacker.unconsumed_tail
                size += len(piece)
                if size > max_bytes:
                    raise RequestTooLarge(f"the request is larger than {max_bytes} bytes, decompressed")
                if not piece and not data and not unpacker.eof:
                    raise DecodeError("the request's compressed body ends too early")
                pieces.append(piece)
            data = unpacker.unused_data  # gzip files are concatenated by concatenation
    except zlib.error:
        raise DecodeError("the request's body is not what its Content-Encoding says") from None
    return b"".join(pieces)


def _unauthorized(head: Head) -> Response:
    challenge = {"WWW-Authenticate": "Bearer"}
    return status(401, "the bearer token is missing or wrong", is_json=_is_json(head), headers=challenge)


def _path(head: Head) -> str:
    return head.path.removesuffix("/")


def _content_type(head: Head) -> str:
    return head.headers.get("content-type", "").partition(";")[0].strip().lower()


def _is_json(head: Head) -> bool:
    """Tell whether to answer in JSON: also who sends neither that nor protobuf can read it."""
    return _content_type(head) != PROTOBUF


def _compression(head: Head) -> str:
    return head.headers.get("content-encoding", "").strip().lower()
