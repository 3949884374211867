"""Bodies of export requests for the fuzzing of receivers: to begin with, and what must be taken of them."""

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

#: Stands in what is said; nowhere may it come out.
SECRET = "S3CRET"
#: Of an emitter that no dialect knows.
SCOPE = "acme"
LARGEST_SEED = 6_000


class FakeGroupCommit:
    """Counts what it takes; refuses when told."""

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


class Meaning(NamedTuple):
    """What a request for traces means to somebody who reads all of it with Google's library."""

    #: Keys of calls that no reader can overlook.
    calls: set[str]
    #: Keys of all spans that have an identity.
    valid: set[str]
    #: Number of calls that have none, and of all such spans.
    calls_rejected: int
    all_rejected: int


def meaning(body: bytes) -> Meaning | None:
    """Read a request in protobuf; None where it is no valid one."""
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
    return Meaning(calls, valid, calls_rejected, all_rejected)


def check_taken(body: bytes, taken: list[Sequence[Any]], response: bytes) -> None:
    """See that a request for traces in protobuf was taken as it is meant."""
    if (meant := meaning(body)) is None:
        return
    keys = {":".join(one.key.split(":")[:2]) for batch in taken for one in batch}
    assert meant.calls <= keys <= meant.valid
    partial = ExportTraceServiceResponse.FromString(response).partial_success
    assert meant.calls_rejected <= partial.rejected_spans <= meant.all_rejected
    assert bool(partial.error_message) == bool(partial.rejected_spans)


def _key(one: Any) -> str:
    return f"{one.trace_id.hex()}:{one.span_id.hex()}"


def _is_chat(one: Any) -> bool:
    found = [pair.value.string_value for pair in one.attributes if pair.key == "gen_ai.operation.name"]
    return found == ["chat"]


def seeds() -> Iterator[tuple[str, bytes, bool]]:
    """Yield signal, body, and whether it is JSON."""
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


class Said(logging.Handler):
    """What was logged, and what asyncio could give to nobody."""

    def __init__(self) -> None:
        super().__init__()
        self.lines: list[str] = []
        self.errors: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        """Keep it."""
        self.lines.append(self.format(record))
        if record.name == "asyncio":
            self.errors.append(self.lines[-1])

    def hear(self, work: Coroutine[Any, Any, Any]) -> Any:
        """Carry out what needs no waiting, with what goes to threads in this one."""
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
    def listening(cls) -> Iterator[Said]:
        """Hear all while the context lasts."""
        said, root = cls(), logging.getLogger()
        root.addHandler(said)
        try:
            yield said
        finally:
            root.removeHandler(said)


def _at_once(loop: asyncio.AbstractEventLoop, _executor: Any, call: Any, *arguments: Any) -> asyncio.Future[Any]:
    done = loop.create_future()
    try:
        done.set_result(call(*arguments))
    except Exception as error:
        done.set_exception(error)
    return done
