"""What it costs to take spans in, durably, beside the OpenTelemetry Collector and rotel.

    python benchmarks/receiver.py           # six minutes
    python benchmarks/receiver.py --quick   # does it work?

Requests of 512 spans, of which so many are LLM calls of 2 KB and the others HTTP requests of 1 KB, come over four
connections at a time. *Spans/s per core* are the spans answered with success by the processor time of the server's
process, so that the clients on the same machine do not count. The Collector has an OTLP receiver, a queue on the disk
(`file_storage`) and behind it the debug exporter, which prints a line a request; once as it is by default, and once
with `fsync`, which is what the bridge's answer promises. rotel keeps nothing: its exporter is the one that drops all.
The bridge delivers nothing meanwhile. Two processors are needed.
"""

from __future__ import annotations

import argparse
import gzip
import importlib.util
import os
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.client import HTTPConnection
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import grpc
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

sys.path[:0] = [str(Path(__file__).parent), str(Path(__file__).parents[1] / "tests")]

from spans import attributes_of  # noqa: E402

from support.go_programs import collector_program  # noqa: E402

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

SPANS = 512
CONNECTIONS = 4
SHARES = (0.01, 0.1, 1.0)
TRANSPORTS = ("http", "http gzip", "grpc")
METHOD = "/opentelemetry.proto.collector.trace.v1.TraceService/Export"
#: Stands for a trace's id in the bodies, and is replaced by a new one for each request.
TRACE = b"\xfe" * 16
TICKS = os.sysconf("SC_CLK_TCK")

COLLECTOR = """\
extensions:
  file_storage: {{directory: {directory}, fsync: {fsync}}}
receivers:
  otlp:
    protocols:
      grpc: {{endpoint: "127.0.0.1:{grpc}", max_recv_msg_size_mib: 64}}
      http: {{endpoint: "127.0.0.1:{http}"}}
exporters:
  debug: {{sending_queue: {{enabled: true, storage: file_storage, queue_size: 1000000}}}}
service:
  extensions: [file_storage]
  telemetry: {{logs: {{level: error}}, metrics: {{level: none}}}}
  pipelines: {{traces: {{receivers: [otlp], exporters: [debug]}}}}
"""


class Ports(NamedTuple):
    """Where a server listens."""

    http: int
    grpc: int


@dataclass
class Figures:
    """What came of one server and one kind of requests."""

    spans: int = 0
    processor: float = 0.0
    seconds: list[float] = field(default_factory=list)
    megabytes: float = 0.0

    @property
    def per_core(self) -> float:
        """Spans answered with success, by seconds of processor time."""
        return self.spans / self.processor

    @property
    def shown(self) -> str:
        """The columns of the table."""
        p50, p99 = (statistics.quantiles(self.seconds, n=100)[at] * 1000 for at in (49, 98))
        return f"{self.per_core:9,.0f}   {p50:6.1f} {p99:7.1f}   {self.megabytes:6.0f}"


def body(share: float) -> bytes:
    """Return an export request; the calls are spread evenly."""
    request = ExportTraceServiceRequest()
    group = request.resource_spans.add()
    group.resource.attributes.add(key="service.name").value.string_value = "shop"
    spans = group.scope_spans.add(scope={"name": "opentelemetry.instrumentation.langchain"}).spans
    every = round(1 / share)
    for number in range(SPANS):
        is_call = number % every == 0
        name = "ChatOpenAI.chat" if is_call else "GET"
        span = spans.add(trace_id=TRACE, span_id=number.to_bytes(8, "big"), name=name)
        span.start_time_unix_nano = time.time_ns()
        span.end_time_unix_nano = span.start_time_unix_nano + 1_000_000
        for key, value in attributes_of("llm_2kb" if is_call else "other", number).items():
            _set(span.attributes.add(key=key).value, value)
    return bytes(request.SerializeToString())


def _set(written: Any, value: Any) -> None:
    if isinstance(value, list):
        for one in value:
            _set(written.array_value.values.add(), one)
    else:
        setattr(written, {int: "int_value", float: "double_value", str: "string_value"}[type(value)], value)


def _over_http(ports: Ports, *, is_packed: bool) -> Callable[[bytes], None]:
    connection = HTTPConnection("127.0.0.1", ports.http, timeout=60)
    connection.connect()
    connection.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    headers = {"Content-Type": "application/x-protobuf", **({"Content-Encoding": "gzip"} if is_packed else {})}

    def send(data: bytes) -> None:
        connection.request("POST", "/v1/traces", data, headers)
        answer = connection.getresponse()
        answer.read()
        assert answer.status == 200, answer.status

    return send


def _over_grpc(ports: Ports) -> Callable[[bytes], None]:
    channel = grpc.insecure_channel(f"127.0.0.1:{ports.grpc}", [("grpc.use_local_subchannel_pool", 1)])
    call = channel.unary_unary(METHOD)

    def send(data: bytes) -> None:
        call(data, timeout=60, wait_for_ready=True)

    return send


def measure(transport: str, template: bytes, ports: Ports, process: int, seconds: float) -> Figures:
    """Send for so long, and return what it took the server."""
    is_packed = transport == "http gzip"
    figures = Figures()

    def request() -> bytes:
        data = template.replace(TRACE, os.urandom(16))
        return gzip.compress(data, 1) if is_packed else data

    def worker(_: int) -> None:
        send = _over_grpc(ports) if transport == "grpc" else _over_http(ports, is_packed=is_packed)
        send(request())
        ready.append(1)
        while len(ready) < CONNECTIONS:
            time.sleep(0.01)
        end = time.perf_counter() + seconds
        while time.perf_counter() < end:
            data = request()
            began = time.perf_counter()
            send(data)
            figures.seconds.append(time.perf_counter() - began)

    ready: list[int] = []
    before = _processor(process)
    with ThreadPoolExecutor(CONNECTIONS) as pool:
        list(pool.map(worker, range(CONNECTIONS)))
    figures.processor = _processor(process) - before
    figures.spans = (len(figures.seconds) + CONNECTIONS) * SPANS
    figures.megabytes = _peak(process)
    return figures


def _processor(process: int) -> float:
    fields = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / TICKS


def _peak(process: int) -> float:
    status = Path(f"/proc/{process}/status").read_text()
    return int(status.partition("VmHWM:")[2].split()[0]) / 1024


def _ports() -> Ports:
    with socket.create_server(("127.0.0.1", 0)) as one, socket.create_server(("127.0.0.1", 0)) as two:
        return Ports(one.getsockname()[1], two.getsockname()[1])


@contextmanager
def server(name: str, programs: dict[str, str]) -> Iterator[tuple[Ports, int]]:
    """Run one while the context lasts; yields where it listens, and its process."""
    ports = _ports()
    with tempfile.TemporaryDirectory() as directory:
        command, environ = _command(name, ports, Path(directory), programs)
        process = subprocess.Popen(command, env=environ, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
        try:
            for port in ports:
                _wait(port, process)
            yield ports, process.pid
        finally:
            process.kill()
            process.communicate()


def _command(name: str, ports: Ports, directory: Path, programs: dict[str, str]) -> tuple[list[str], dict[str, str]]:
    environ = {**os.environ, "HOME": str(directory)}
    if name == "bridge":
        options = ["--port", str(ports.http), "--grpc-port", str(ports.grpc), "--settle", "3600"]
        environ |= {
            "LABEL_STUDIO_URL": "http://127.0.0.1:9",
            "LABEL_STUDIO_OTEL_STATE_DIR": str(directory),
            "LABEL_STUDIO_OTEL_MAX_STATE_BYTES": "0",
        }
        return [sys.executable, "-m", "label_studio_otel", "serve", *options], environ
    if name == "rotel":
        grpc_at, http_at = f"127.0.0.1:{ports.grpc}", f"127.0.0.1:{ports.http}"
        options = ["--exporter", "blackhole", "--otlp-grpc-endpoint", grpc_at, "--otlp-http-endpoint", http_at]
        return [programs["rotel"], "start", *options, "--otlp-grpc-max-recv-msg-size-mib", "64"], environ
    written = directory / "collector.yaml"
    fsync = str(name.endswith("fsync")).lower()
    written.write_text(COLLECTOR.format(directory=directory, fsync=fsync, http=ports.http, grpc=ports.grpc))
    return [programs["collector"], "--config", str(written)], environ


def _wait(port: int, process: subprocess.Popen[bytes]) -> None:
    for _ in range(600):
        if process.poll() is not None:
            assert process.stderr is not None
            raise SystemExit(process.stderr.read().decode())
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.05)
    raise SystemExit(f"nothing listens on port {port}")


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="short runs, for nothing but to see that it works")
    parser.add_argument("--collector", metavar="FILE", help="an otelcol with file_storage; built where none is given")
    parser.add_argument("--rotel", metavar="FILE", help="rotel's program; left out where there is none")
    args = parser.parse_args()
    programs = _programs(args)
    names = ["bridge", "collector", "collector fsync"] + ["rotel"] * ("rotel" in programs)
    seconds, turns, shares = (0.5, 1, SHARES[:1]) if args.quick else (5.0, 2, SHARES)
    print(f"load {os.getloadavg()[0]:.1f}, Python {sys.version.split()[0]}, {SPANS} spans a request\n")
    print("                                        spans/s   p50 ms  p99 ms   peak")
    print("LLM calls  transport  server           per core    of the answer     MB   against the Collector")
    for share in shares:
        template = body(share)
        for transport in TRANSPORTS:
            found: dict[str, Figures] = {}
            for _ in range(turns):
                for name in names:
                    with server(name, programs) as (ports, process):
                        figures = measure(transport, template, ports, process, seconds)
                    if name not in found or figures.per_core > found[name].per_core:
                        found[name] = figures
            for name, figures in found.items():
                ratio = figures.per_core / found["collector"].per_core
                print(f"{share:9.0%}  {transport:9}  {name:15} {figures.shown}   {ratio:5.2f}", flush=True)
    print(f"\nload {os.getloadavg()[0]:.1f}")


def _programs(args: argparse.Namespace) -> dict[str, str]:
    collector = args.collector or str(collector_program())
    rotel = args.rotel or _installed("rotel", "rotel-agent")
    return {"collector": collector, **({"rotel": rotel} if rotel else {})}


def _installed(package: str, program: str) -> str | None:
    found = importlib.util.find_spec(package)
    return str(Path(found.origin).with_name(program)) if found and found.origin else None


if __name__ == "__main__":
    main()
