"""Coverage-guided fuzzing of OTLP/gRPC: messages and metadata, or with `--sockets` raw HTTP/2.

    pip install atheris
    python tests/fuzz/fuzz_receiver_grpc.py -max_total_time=300 -max_len=65536 FOLDER
    python tests/fuzz/fuzz_receiver_grpc.py --sockets -max_total_time=300 -max_len=65536 OTHER_FOLDER

FOLDER keeps what was found interesting; valid requests are put into it first. The options are those of libFuzzer. An
input's first two bytes say which method is called and what comes with it (`Call`); the handler is called as grpcio
calls it. Whatever is sent:

- no exception escapes, and nothing ends with INTERNAL or UNKNOWN;
- an answer can be read by Google's library; UNAVAILABLE says twice when to come again;
- what was answered is in the outbox and what was refused is not; no call is overlooked or made up;
- nothing is held afterwards; content comes neither into logs nor into answers.

With `--sockets` connections as grpcio's client makes them are changed frame by frame and sent to a real server: it
lives, answers others meanwhile, and lets go of everything.

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

from fuzz_receiver_bodies import SECRET, FakeGroupCommit, Said, check_taken, seeds
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
    """How a message comes, by the first two bytes of an input."""

    signal: str
    refuses: bool
    token: bool
    #: The client ends the call without one.
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
    """What grpcio ends a handler with."""


class Context:
    """A call as grpcio shows it to a handler."""

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


def _carried_out(receiver: OtlpGrpc, call: Call, context: Context) -> bytes | None:
    handler = receiver.service(SimpleNamespace(method=SIGNALS[call.signal], invocation_metadata=call.metadata))
    try:
        answer: bytes = handler.stream_unary(context.messages(), context)
    except Aborted:
        return None
    return answer


def test_one_input(data: bytes) -> None:
    """Carry out one call."""
    if len(data) < 2:
        return
    call, body = Call.of(data), data[2:]
    group_commit = FakeGroupCommit()
    group_commit.refuses = call.refuses
    receiver = OtlpGrpc(_selection(), group_commit, token=TOKEN if call.token else None, limits=LIMITS)
    receiver.requests = int(call.crowded)
    context = Context(call, body)
    with Said.listening() as said:
        answer = _carried_out(receiver, call, context)
    receiver.close(0)
    assert not said.errors, said.errors
    assert (receiver.held, receiver.requests) == (0, int(call.crowded))
    assert SECRET not in "".join([*said.lines, context.details])
    if answer is None:
        _check_refused(call, body, context, group_commit)
    else:
        assert call.is_known
        assert not call.crowded
        assert not call.no_message
        assert not (call.refuses and group_commit.batches)
        _check_answered(call, body, answer, group_commit)


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


def _check_answered(call: Call, body: bytes, answer: bytes, group_commit: FakeGroupCommit) -> None:
    if call.signal == "traces":
        check_taken(body, group_commit.batches, answer)
    elif call.signal == "logs":
        ExportLogsServiceResponse.FromString(answer)
    else:
        assert answer == b""
        assert not group_commit.batches


def changed(data: bytes, chance: random.Random, mutate: Mutate) -> bytes:
    """Return the input with one change."""
    if chance.random() < 0.05:
        return bytes([chance.randrange(64), chance.randrange(len(METADATA))]) + data[2:]
    return data[:2] + changed_body(data[2:], False, chance, mutate)


def mutate(data: bytes, max_size: int, seed: int) -> bytes:
    """Change a message so that it stays one, mostly."""
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
    """Fuzz until libFuzzer's options say that it is enough."""
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
