"""Whether the bridge's memory stays flat under load: `label-studio-otel serve` in a process, and all that clients do.

    python benchmarks/receiver_memory.py [--minutes 10] [--rate 20] [--quick]

A client for HTTP and one for gRPC send requests of 512 spans, 1 % of them LLM calls with new ids and new text, at a
steady rate; among them JSON, gzip, duplicates, what is no OTLP, what is too large, bombs, and connections that end in
the middle. A Label Studio that answers at once takes the tasks. The bridge's resident memory, files and threads are
read each second. What the figures mean: README.md.
"""

from __future__ import annotations

import argparse
import gzip
import http.client
import itertools
import json
import os
import re
import subprocess
import sys
import tempfile
import threading
import time
import zlib
from collections import Counter
from pathlib import Path
from statistics import linear_regression, median
from typing import TYPE_CHECKING, Any, NamedTuple

import grpc
from google.protobuf import json_format
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from label_studio_otel.testing import FakeLabelStudio
from servers import running

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

SPANS, LLM = 512, 5
MIB = 1 << 20
#: Seconds until imports, caches and pools have what they need.
WARM_UP = 180
EXPORT = "/opentelemetry.proto.collector.trace.v1.TraceService/Export"
PROTOBUF, JSON = "application/x-protobuf", "application/json"


class Sample(NamedTuple):
    """What the system says of the bridge's process."""

    second: float
    #: Resident, in MiB.
    memory: float
    files: int
    threads: int


class Bodies:
    """Requests whose LLM calls are new each time; their other spans are the same."""

    def __init__(self) -> None:
        self._numbers = itertools.count(1)
        request = ExportTraceServiceRequest()
        group = request.resource_spans.add()
        group.resource.attributes.add(key="service.name").value.string_value = "shop"
        spans = group.scope_spans.add().spans
        for number in range(1, SPANS - LLM + 1):
            span = spans.add(trace_id=os.urandom(16), span_id=os.urandom(8), name="GET", kind=3)
            span.start_time_unix_nano, span.end_time_unix_nano = time.time_ns(), time.time_ns()
            for name in ("http.request.method", "url.full", "server.address", "user_agent.original"):
                span.attributes.add(key=name).value.string_value = f"{name} of order {number}"
        self._others: bytes = request.SerializeToString()

    def __call__(self) -> bytes:
        """Return a request in protobuf."""
        calls: bytes = self._calls().SerializeToString()
        return self._others + calls  # requests are concatenated by concatenation

    def in_json(self) -> bytes:
        """Return a request of LLM calls alone, in JSON."""
        written = json_format.MessageToDict(self._calls())
        for span in written["resourceSpans"][0]["scopeSpans"][0]["spans"]:
            span |= {"traceId": os.urandom(16).hex(), "spanId": os.urandom(8).hex()}
        return json.dumps(written).encode()

    def _calls(self) -> Any:
        request = ExportTraceServiceRequest()
        group = request.resource_spans.add()
        scope = group.scope_spans.add()
        scope.scope.name = "opentelemetry.instrumentation.langchain"
        for number in itertools.islice(self._numbers, LLM):
            span = scope.spans.add(trace_id=os.urandom(16), span_id=os.urandom(8), name="chat", kind=3)
            span.start_time_unix_nano, span.end_time_unix_nano = time.time_ns(), time.time_ns()
            for role, name in (("user", "gen_ai.input.messages"), ("assistant", "gen_ai.output.messages")):
                text = f"[case {number}] " + "It takes about 60 minutes, whatever the headway is. " * 20
                message = [{"role": role, "parts": [{"type": "text", "content": text}]}]
                span.attributes.add(key=name).value.string_value = json.dumps(message)
            span.attributes.add(key="gen_ai.operation.name").value.string_value = "chat"
        return request


class HttpClient:
    """What clients of OTLP/HTTP do; each method is one request, and returns what came of it."""

    def __init__(self, port: int, bodies: Bodies) -> None:
        self._port = port
        self._bodies = bodies
        self._sent = 0
        self._connection = self._connect()
        self._last = bodies()
        packer = zlib.compressobj(wbits=31)
        self._bomb = b"".join(packer.compress(bytes(MIB)) for _ in range(80)) + packer.flush()

    def ways(self) -> Iterator[Callable[[], str]]:
        """Yield what to do next, for ever."""
        for number in itertools.count(1):
            for every, way in (
                (211, self.bomb),
                (101, self.too_large),
                (53, self.broken_off),
                (47, self.malformed),
                (43, self.duplicate),
                (7, self.json),
                (3, self.compressed),
            ):
                if number % every == 0:
                    yield way
                    break
            else:
                yield self.plain

    def plain(self) -> str:
        """Send a request."""
        self._last = self._bodies()
        return self._post(self._last)

    def json(self) -> str:
        """Send one in JSON."""
        return self._post(self._bodies.in_json(), JSON)

    def compressed(self) -> str:
        """Send one in gzip."""
        return self._post(gzip.compress(self._bodies(), 1), encoding="gzip")

    def duplicate(self) -> str:
        """Send the last one again."""
        return self._post(self._last)

    def malformed(self) -> str:
        """Send what ends too early."""
        return self._post(self._bodies()[:-1])

    def bomb(self) -> str:
        """Send little that becomes too much."""
        return self._post(self._bomb, encoding="gzip")

    def too_large(self) -> str:
        """Declare more than is taken."""
        self._connection.putrequest("POST", "/v1/traces")
        self._connection.putheader("Content-Type", PROTOBUF)
        self._connection.putheader("Content-Length", str(100 * MIB))
        self._connection.endheaders(bytes(MIB))
        return self._answer()

    def broken_off(self) -> str:
        """Be gone in the middle of a body."""
        self._connection.putrequest("POST", "/v1/traces")
        self._connection.putheader("Content-Type", PROTOBUF)
        self._connection.putheader("Content-Length", str(8 * MIB))
        self._connection.endheaders(bytes(4 * MIB))
        self._again()
        return "broken off"

    def _post(self, body: bytes, content_type: str = PROTOBUF, encoding: str = "identity") -> str:
        self._connection.request(
            "POST", "/v1/traces", body, {"Content-Type": content_type, "Content-Encoding": encoding}
        )
        return self._answer()

    def _answer(self) -> str:
        response = self._connection.getresponse()
        response.read()
        self._sent += 1
        if self._sent % 20 == 0 or response.will_close:
            self._again()
        return str(response.status)

    def _again(self) -> None:
        self._connection.close()
        self._connection = self._connect()

    def _connect(self) -> http.client.HTTPConnection:
        return http.client.HTTPConnection("127.0.0.1", self._port, timeout=30)


class GrpcClient:
    """The same over gRPC."""

    def __init__(self, address: str, bodies: Bodies) -> None:
        self._address = address
        self._bodies = bodies
        self._sent = 0
        self._channel = self._connect()
        self._last = bodies()

    def ways(self) -> Iterator[Callable[[], str]]:
        """Yield what to do next, for ever."""
        for number in itertools.count(1):
            for every, way in (
                (211, self.too_large),
                (53, self.given_up),
                (47, self.malformed),
                (43, self.duplicate),
                (3, self.compressed),
            ):
                if number % every == 0:
                    yield way
                    break
            else:
                yield self.plain

    def plain(self) -> str:
        """Send a request."""
        self._last = self._bodies()
        return self._export(self._last)

    def compressed(self) -> str:
        """Send one in gzip."""
        return self._export(self._bodies(), compression=grpc.Compression.Gzip)

    def duplicate(self) -> str:
        """Send the last one again."""
        return self._export(self._last)

    def malformed(self) -> str:
        """Send what ends too early."""
        return self._export(self._bodies()[:-1])

    def too_large(self) -> str:
        """Send too much."""
        return self._export(bytes(65 * MIB), compression=grpc.Compression.Gzip)

    def given_up(self) -> str:
        """Be gone before the answer."""
        self._channel.unary_unary(EXPORT).future(self._bodies()).cancel()
        return "given up"

    def _export(self, body: bytes, **options: Any) -> str:
        self._sent += 1
        if self._sent % 20 == 0:
            self._channel.close()
            self._channel = self._connect()
        try:
            self._channel.unary_unary(EXPORT)(body, timeout=30, **options)
        except grpc.RpcError as error:
            return str(error.code().name)
        return "OK"

    def _connect(self) -> grpc.Channel:
        return grpc.insecure_channel(self._address, [("grpc.max_send_message_length", -1)])


class Load(threading.Thread):
    """One client at a steady rate for a while."""

    def __init__(self, client: HttpClient | GrpcClient, rate: float, seconds: float) -> None:
        super().__init__(daemon=True)
        self._client = client
        self._pause = 1 / rate
        self._seconds = seconds
        #: By what was done and what came of it.
        self.outcomes: Counter[str] = Counter()

    def run(self) -> None:
        """Send."""
        due = began = time.monotonic()
        for way in self._client.ways():
            if time.monotonic() - began > self._seconds:
                return
            time.sleep(max(0.0, due - time.monotonic()))
            due = max(due + self._pause, time.monotonic() - 1)
            try:
                outcome = way()
            except (OSError, http.client.HTTPException) as error:
                outcome = type(error).__name__
                if isinstance(self._client, HttpClient):
                    self._client._again()
            self.outcomes[f"{way.__name__} {outcome}"] += 1


def sample(pid: int, began: float) -> Sample:
    """Read what the system says."""
    status = Path(f"/proc/{pid}/status").read_text()
    numbers = {name: int(re.search(rf"{name}:\s+(\d+)", status)[1]) for name in ("VmRSS", "Threads")}  # type: ignore[index]
    files = len(os.listdir(f"/proc/{pid}/fd"))
    return Sample(time.monotonic() - began, numbers["VmRSS"] / 1024, files, numbers["Threads"])


def report(samples: list[Sample], warm_up: float) -> None:
    """Print the figures of those after the warm-up."""
    warm = [one for one in samples if one.second >= warm_up] or samples
    tenth = max(1, len(warm) // 10)
    slope = linear_regression([one.second / 60 for one in warm], [one.memory for one in warm]).slope
    first, last = (median(one.memory for one in part) for part in (warm[:tenth], warm[-tenth:]))
    print(f"at the start {samples[0].memory:.1f} MiB; after the warm-up, {len(warm)} samples:")
    print(f"  memory: first tenth {first:.1f} MiB, last tenth {last:.1f} MiB (medians)")
    print(f"          least {min(one.memory for one in warm):.1f}, most {max(one.memory for one in warm):.1f} MiB")
    print(f"          slope {slope:+.3f} MiB/min")
    for name in ("files", "threads"):
        values = [getattr(one, name) for one in warm]
        print(f"  {name}: first {values[0]}, last {values[-1]}, most {max(values)}")


def measure(seconds: float, rate: float, directory: Path, csv: Path | None) -> None:
    """Run the bridge under load, and print what came of it."""
    with running("forgetting", 0) as url:
        environ = {name: value for name, value in os.environ.items() if not name.startswith(("OTEL_", "LABEL_STUDIO_"))}
        environ |= {
            "LABEL_STUDIO_URL": url,
            "LABEL_STUDIO_API_KEY": FakeLabelStudio.token,
            "LABEL_STUDIO_OTEL_STATE_DIR": str(directory),
        }
        command = [sys.executable, "-m", "label_studio_otel", "serve", "--port", "0", "--grpc-port", "0"]
        with subprocess.Popen([*command, "--settle", "1"], env=environ, stdout=subprocess.PIPE, text=True) as bridge:
            try:
                _under_load(bridge, seconds, rate, csv)
            finally:
                bridge.terminate()
                bridge.communicate()
        print(f"it ended with {bridge.returncode}")
        _say_state(environ)


def _under_load(bridge: subprocess.Popen[str], seconds: float, rate: float, csv: Path | None) -> None:
    assert bridge.stdout is not None
    port, address = re.findall(r"127\.0\.0\.1:\d+", bridge.stdout.readline())
    bodies = Bodies()
    clients = (HttpClient(int(port.partition(":")[2]), bodies), GrpcClient(address, bodies))
    loads = [Load(client, rate / 2, seconds) for client in clients]
    began = time.monotonic()
    samples = [sample(bridge.pid, began)]
    for load in loads:
        load.start()
    while time.monotonic() - began < seconds and bridge.poll() is None:
        time.sleep(1)
        samples.append(sample(bridge.pid, began))
    for load in loads:
        load.join(60)
    if csv:
        csv.write_text("".join(f"{one.second:.1f},{one.memory:.2f},{one.files},{one.threads}\n" for one in samples))
    outcomes = loads[0].outcomes + loads[1].outcomes
    report(samples, min(WARM_UP, seconds / 2))
    print(f"requests: {outcomes.total()} in {seconds:g} s, {SPANS} spans each: {dict(sorted(outcomes.items()))}")
    seconds_of_cpu = sum(map(int, Path(f"/proc/{bridge.pid}/stat").read_text().rpartition(")")[2].split()[11:13]))
    print(f"processor time of the bridge: {seconds_of_cpu / os.sysconf('SC_CLK_TCK'):.1f} s")


def _say_state(environ: dict[str, str]) -> None:
    """Print what the outbox knows of the calls."""
    command = [sys.executable, "-m", "label_studio_otel", "status", "--json"]
    print(subprocess.run(command, env=environ, stdout=subprocess.PIPE, text=True, check=False).stdout)


def main() -> None:
    """Read the options, and measure."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--minutes", type=float, default=10)
    parser.add_argument("--rate", type=float, default=20, help="requests per second, half of them by each client")
    parser.add_argument("--csv", type=Path, help="where to write all samples: second, MiB, files, threads")
    parser.add_argument("--quick", action="store_true", help="show in half a minute that it works")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as directory:
        measure(30 if args.quick else args.minutes * 60, args.rate, Path(directory), args.csv)


if __name__ == "__main__":
    main()
