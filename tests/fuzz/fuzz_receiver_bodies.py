"""Valid bodies of export requests for the fuzzing of receivers, and a check of the calls that are stored for a body."""

from __future__ import annotations

import asyncio
import logging
import sys
from concurrent.futures import Future
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from google.protobuf.message import DecodeError
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)

TESTS = Path(__file__).parents[1]
sys.path.insert(0, str(TESTS))

from corpus.recordings import runs, variants  # noqa: E402
from label_studio_otel.errors import OutboxError  # noqa: E402
from support.receiving import span, traces  # noqa: E402

if TYPE_CHECKING:
    from collections.abc import Coroutine, Iterator, Sequence

#: The content of calls; it must be in no log and in no response.
SECRET = "S3CRET"
#: A scope that no dialect reads specially.
SCOPE = "acme"
LARGEST_SEED = 6_000


class FakeGroupCommit:
    """Keeps the records of requests, or refuses all where `refuses` is set."""

    def __init__(self) -> None:
        self.refuses = False
        self.batches: list[Sequence[Any]] = []

    def submit(self, records: Sequence[Any]) -> Future[None]:
        self.batches.append(records)
        done: Future[None] = Future()
        if self.refuses:
            done.set_exception(OutboxError("it refuses"))
        else:
            done.set_result(None)
        return done

    def check(self) -> None:
        if self.refuses:
            raise OutboxError("it refuses")


class Content(NamedTuple):
    """The content of a request for traces, as Google's library reads it."""

    #: Keys of the spans that are certainly calls.
    calls: set[str]
    #: Keys of all spans with valid ids.
    valid: set[str]
    #: Number of calls without valid ids, and of all spans without them.
    calls_rejected: int
    all_rejected: int


def content_of(body: bytes) -> Content | None:
    """Read a request in protobuf; return None where it is not valid."""
    try:
        request = ExportTraceServiceRequest.FromString(body)
    except DecodeError:
        return None
    valid, calls, calls_rejected, all_rejected = set(), set(), 0, 0
    for scope in (scope for group in request.resource_spans for scope in group.scope_spans):
        for one in scope.spans:
            is_call = scope.scope.name == SCOPE and _is_chat(one)
            if len(one.trace_id) == 16 and len(one.span_id) == 8 and any(one.trace_id) and any(one.span_id):
                valid.add(_key(one))
                calls |= {_key(one)} if is_call else set()
            else:
                all_rejected += 1
                calls_rejected += is_call
    return Content(calls, valid, calls_rejected, all_rejected)


def check_stored(body: bytes, stored: list[Sequence[Any]], response: bytes) -> None:
    """Check the records and the response of a request for traces in protobuf against its content."""
    if (expected := content_of(body)) is None:
        return
    keys = {":".join(one.key.split(":")[:2]) for batch in stored for one in batch}
    assert expected.calls <= keys <= expected.valid
    partial = ExportTraceServiceResponse.FromString(response).partial_success
    assert expected.calls_rejected <= partial.rejected_spans <= expected.all_rejected
    assert bool(partial.error_message) == bool(partial.rejected_spans)


def _key(one: Any) -> str:
    return f"{one.trace_id.hex()}:{one.span_id.hex()}"


def _is_chat(one: Any) -> bool:
    found = [pair.value.string_value for pair in one.attributes if pair.key == "gen_ai.operation.name"]
    return found == ["chat"]


def seeds() -> Iterator[tuple[str, bytes, bool]]:
    """Yield the signal and the body of valid requests, and whether it is JSON."""
    yield "traces", traces(span(1, SECRET), span(2, SECRET, traceId="", name=SECRET)), True
    yield "traces", _in_protobuf(), False
    yield "logs", _event_in_protobuf(), False
    yield "traces", b"", False
    yield "traces", b"{}", True
    for variant in variants(TESTS / "cases"):
        requests = {name: body for run in runs(variant) for name, body in run.requests}
        for signal in ("otlp", "logs"):
            named = [(len(body), name, body) for name, body in requests.items() if f".{signal}." in name]
            size, name, body = min(named, default=(LARGEST_SEED, "", b""))
            if size < LARGEST_SEED:
                yield signal.replace("otlp", "traces"), body, name.endswith("json")


def _in_protobuf() -> bytes:
    request = ExportTraceServiceRequest()
    group = request.resource_spans.add(schema_url="https://opentelemetry.io/schemas/1.30.0")
    group.resource.attributes.add(key="service.name").value.string_value = "acme"
    scope = group.scope_spans.add()
    scope.scope.name, scope.scope.version = SCOPE, "1"
    for number in (1, 2, 3):
        one = scope.spans.add(trace_id=bytes([number]) * 16, span_id=bytes([number]) * 8, name=SECRET, kind=3)
        one.parent_span_id, one.start_time_unix_nano, one.flags = b"\7" * 8, 1_700_000_000_000_000_000, 257
        one.status.code, one.status.message = number % 3, SECRET
        one.events.add(name="gen_ai.choice").attributes.add(key="content").value.string_value = SECRET
        one.links.add(trace_id=b"\1" * 16, span_id=b"\2" * 8)
        if number < 3:
            one.attributes.add(key="gen_ai.operation.name").value.string_value = "chat"
            values = one.attributes.add(key="list").value.array_value.values
            values.add().kvlist_value.values.add(key="k").value.bytes_value = b"\0\xff"
            values.add().double_value = 0.5
            values.add().int_value = -1
    body: bytes = request.SerializeToString()
    return body


def _event_in_protobuf() -> bytes:
    request = ExportLogsServiceRequest()
    record = request.resource_logs.add().scope_logs.add().log_records.add(trace_id=b"\1" * 16, span_id=b"\1" * 8)
    record.event_name, record.time_unix_nano = "gen_ai.choice", 1
    record.body.kvlist_value.values.add(key="message").value.string_value = SECRET
    body: bytes = request.SerializeToString()
    return body


class CapturedLogs(logging.Handler):
    """Keeps what is logged, and the errors that asyncio gives to no caller."""

    def __init__(self) -> None:
        super().__init__()
        self.lines: list[str] = []
        self.errors: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        """Keep a record."""
        self.lines.append(self.format(record))
        if record.name == "asyncio":
            self.errors.append(self.lines[-1])

    def run(self, work: Coroutine[Any, Any, Any]) -> Any:
        """Run a coroutine in a new event loop; calls that it gives to an executor run in this thread."""
        loop = asyncio.new_event_loop()
        loop.set_exception_handler(lambda _, context: self.errors.append(repr(context)))
        loop.run_in_executor = partial(_at_once, loop)  # type: ignore[method-assign]
        try:
            return loop.run_until_complete(work)
        finally:
            loop.run_until_complete(loop.shutdown_asyncgens())
            loop.close()

    @classmethod
    @contextmanager
    def capturing(cls) -> Iterator[CapturedLogs]:
        """Keep all records while the context lasts."""
        logs, root = cls(), logging.getLogger()
        root.addHandler(logs)
        try:
            yield logs
        finally:
            root.removeHandler(logs)


def _at_once(loop: asyncio.AbstractEventLoop, _executor: Any, call: Any, *arguments: Any) -> asyncio.Future[Any]:
    done = loop.create_future()
    try:
        done.set_result(call(*arguments))
    except Exception as error:
        done.set_exception(error)
    return done
