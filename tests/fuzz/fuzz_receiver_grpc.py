"""Coverage-guided fuzzing of OTLP/gRPC: messages and metadata, or with `--sockets` raw HTTP/2.

    pip install atheris
    python tests/fuzz/fuzz_receiver_grpc.py -max_total_time=300 -max_len=65536 FOLDER
    python tests/fuzz/fuzz_receiver_grpc.py --sockets -max_total_time=300 -max_len=65536 OTHER_FOLDER

FOLDER keeps the inputs that reached new code; valid requests are put into it first. The options are those of
libFuzzer. The first two bytes of an input are a `Call`: the method, the metadata and the state of the server. The
handler is called as grpcio calls it. For every input:

- no exception leaves the handler, and no request ends with INTERNAL or UNKNOWN;
- Google's library can read the response; UNAVAILABLE says in two places when to retry;
- the calls of successful requests are stored, and no others; no call is missed or invented;
- no bytes are held afterwards, and no content is in logs or responses.

With `--sockets`, connections that grpcio's client made are changed frame by frame and sent to a real server. It must
go on, respond to other clients meanwhile, and free everything.

The suite runs some thousand changes of the same requests without coverage (test_fuzz_receivers.py).
"""

from __future__ import annotations

import contextlib
import hashlib
import random
import sys
from functools import cache
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, NamedTuple

import grpc
from google.rpc.error_details_pb2 import RetryInfo
from google.rpc.status_pb2 import Status
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceResponse

try:
    import atheris
except ModuleNotFoundError:  # in the suite
    atheris = None

with atheris.instrument_imports(include=["label_studio_otel"]) if atheris else contextlib.nullcontext():
    from label_studio_otel.calls.selection import Selection
    from label_studio_otel.receiver.otlp_grpc import METHODS, OtlpGrpc
    from label_studio_otel.receiver.settings import Limits
    from label_studio_otel.settings import load

from fuzz_receiver_bodies import SECRET, CapturedLogs, FakeGroupCommit, check_stored, seeds
from fuzz_receiver_changes import changed as changed_body

if TYPE_CHECKING:
    from collections.abc import Iterator

    from fuzz_receiver_changes import Mutate

TOKEN = "s3cret-token"
LIMITS = Limits(requests=1, bodies=50_000, sending=20)
SIGNALS = {signal: method for method, signal in METHODS.items()}
ORDER = ("traces", "logs", "metrics")
METADATA: tuple[tuple[tuple[str, Any], ...], ...] = (
    (),
    (("authorization", f"Bearer {TOKEN}"),),
    (("authorization", f"Bearer {SECRET}"),),
    (("authorization", f"bearer {TOKEN}"), ("authorization", "Basic x")),
    (("authorization", ""),),
    (("authorization", "\xff\xfe Bearer"),),
    (("x-odd-bin", b"\0\xff"), ("authorization", f"Bearer  {TOKEN} ")),
    (("user-agent", SECRET), ("grpc-encoding", "gzip")),
)
REFUSALS = {"UNAUTHENTICATED", "INVALID_ARGUMENT", "RESOURCE_EXHAUSTED", "UNAVAILABLE"}


class Call(NamedTuple):
    """The call of an input, by its first two bytes."""

    signal: str
    refuses: bool
    token: bool
    #: The client ends the call without a message.
    no_message: bool
    crowded: bool
    metadata: tuple[tuple[str, Any], ...]

    @classmethod
    def of(cls, data: bytes) -> Call:
        flags = (bool(data[0] & bit) for bit in (4, 8, 16, 32))
        return cls(ORDER[(data[0] & 3) % 3], *flags, METADATA[data[1] % len(METADATA)])

    @property
    def is_known(self) -> bool:
        given = [value for name, value in self.metadata if name == "authorization"]
        return not self.token or (len(given) == 1 and given[0].split() in (["Bearer", TOKEN], ["bearer", TOKEN]))


class Aborted(Exception):
    """The exception with which grpcio ends a handler."""


class Context:
    """The context that grpcio gives to a handler."""

    def __init__(self, call: Call, body: bytes) -> None:
        self._call = call
        self._body = body
        self.code: grpc.StatusCode | None = None
        self.details = ""
        self.trailers: dict[str, bytes] = {}

    def invocation_metadata(self) -> tuple[tuple[str, Any], ...]:
        return self._call.metadata

    def messages(self) -> Iterator[bytes]:
        return iter([] if self._call.no_message else [self._body])

    def set_trailing_metadata(self, metadata: Any) -> None:
        self.trailers |= dict(metadata)

    def abort(self, code: grpc.StatusCode, details: str) -> None:
        assert self.code is None, "aborted twice"
        self.code, self.details = code, details
        raise Aborted


@cache
def _selection() -> Selection:
    return Selection(load({"state_dir": "state", "include_errors": True}, {}))


def _response(receiver: OtlpGrpc, call: Call, context: Context) -> bytes | None:
    handler = receiver.service(SimpleNamespace(method=SIGNALS[call.signal], invocation_metadata=call.metadata))
    try:
        response: bytes = handler.stream_unary(context.messages(), context)
    except Aborted:
        return None
    return response


def test_one_input(data: bytes) -> None:
    """Call the handler once."""
    if len(data) < 2:
        return
    call, body = Call.of(data), data[2:]
    group_commit = FakeGroupCommit()
    group_commit.refuses = call.refuses
    receiver = OtlpGrpc(_selection(), group_commit, token=TOKEN if call.token else None, limits=LIMITS)
    receiver.requests = int(call.crowded)
    context = Context(call, body)
    with CapturedLogs.capturing() as logs:
        response = _response(receiver, call, context)
    receiver.close(0)
    assert not logs.errors, logs.errors
    assert (receiver.held, receiver.requests) == (0, int(call.crowded))
    assert SECRET not in "".join([*logs.lines, context.details])
    if response is None:
        _check_refused(call, body, context, group_commit)
    else:
        assert call.is_known
        assert not call.crowded
        assert not call.no_message
        assert not (call.refuses and group_commit.batches)
        _check_accepted(call, body, response, group_commit)


def _check_refused(call: Call, body: bytes, context: Context, group_commit: FakeGroupCommit) -> None:
    assert context.code is not None
    assert context.code.name in REFUSALS, (context.code, context.details)
    assert (context.code.name == "UNAUTHENTICATED") == (not call.is_known)
    assert context.details
    assert call.refuses or not group_commit.batches
    assert ("grpc-status-details-bin" in context.trailers) == (context.code.name == "UNAVAILABLE")
    if context.code.name == "UNAVAILABLE":
        assert call.refuses or call.crowded or len(body) > LIMITS.bodies
        status, info = Status.FromString(context.trailers["grpc-status-details-bin"]), RetryInfo()
        assert (status.code, status.message) == (14, context.details)
        assert status.details[0].Unpack(info)
        assert info == RetryInfo.FromString(context.trailers["google.rpc.retryinfo-bin"])
        assert info.retry_delay.seconds > 0


def _check_accepted(call: Call, body: bytes, response: bytes, group_commit: FakeGroupCommit) -> None:
    if call.signal == "traces":
        check_stored(body, group_commit.batches, response)
    elif call.signal == "logs":
        ExportLogsServiceResponse.FromString(response)
    else:
        assert response == b""
        assert not group_commit.batches


def changed(data: bytes, chance: random.Random, mutate: Mutate) -> bytes:
    """Return the input with one change."""
    if chance.random() < 0.05:
        return bytes([chance.randrange(64), chance.randrange(len(METADATA))]) + data[2:]
    return data[:2] + changed_body(data[2:], False, chance, mutate)


def mutate(data: bytes, max_size: int, seed: int) -> bytes:
    """Change an input so that it mostly stays a valid message."""
    chance = random.Random(seed)
    if len(data) < 2 or chance.random() < 0.1:
        return atheris.Mutate(data, max_size)
    return changed(data, chance, atheris.Mutate)[:max_size]


def inputs() -> Iterator[bytes]:
    """Yield valid calls."""
    for signal, body, is_json in seeds():
        if not is_json:
            yield bytes([ORDER.index(signal), 0]) + body


def main() -> None:
    """Fuzz as long as the options of libFuzzer say."""
    if "--sockets" in sys.argv:
        from fuzz_receiver_frames import Server, mutate_frames

        sys.argv.remove("--sockets")
        server = Server()
        begin, run, change = server.connections(), server.send, mutate_frames
    else:
        begin, run, change = list(inputs()), test_one_input, mutate
    folder = Path(next((argument for argument in sys.argv[1:] if not argument.startswith("-")), "."))
    if folder != Path() and not folder.is_file():
        folder.mkdir(parents=True, exist_ok=True)
        for data in begin:
            (folder / hashlib.sha1(data).hexdigest()).write_bytes(data)
    atheris.Setup(sys.argv, run, custom_mutator=change)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
