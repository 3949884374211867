"""Other people's clients of an OTLP receiver: Python's exporters, those of JavaScript, and rotel (a collector)."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import socket
import subprocess
import tempfile
import threading
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import grpc
import pytest
from opentelemetry import trace
from opentelemetry._logs import LogRecord
from opentelemetry.exporter.otlp.json.http import _log_exporter as json_logs
from opentelemetry.exporter.otlp.json.http import trace_exporter as json_traces
from opentelemetry.exporter.otlp.proto.grpc import _log_exporter as grpc_logs
from opentelemetry.exporter.otlp.proto.grpc import trace_exporter as grpc_traces
from opentelemetry.exporter.otlp.proto.http import _log_exporter as proto_logs
from opentelemetry.exporter.otlp.proto.http import trace_exporter as proto_traces
from opentelemetry.sdk._logs import LoggerProvider
from opentelemetry.sdk._logs.export import InMemoryLogRecordExporter, SimpleLogRecordProcessor
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from rotel.agent import Agent

from label_studio_otel.cli.demo.environment import cache_directory
from label_studio_otel.cli.demo.label_studio_server import free_port
from support.servers import wait_for

if TYPE_CHECKING:
    from collections.abc import Iterator

#: Seconds for an export with its retries. The default, 10, is short where many begin at once on a busy machine.
PATIENCE = 30
JS = Path(__file__).parents[1] / "acceptance" / "apps" / "js"
#: What an application says of its call, as attributes that any SDK takes.
CALL = {
    "gen_ai.operation.name": "chat",
    "gen_ai.provider.name": "openai",
    "gen_ai.request.model": "gpt-4o-mini",
    "gen_ai.request.temperature": 0.25,
    "gen_ai.response.finish_reasons": ["stop"],
    "gen_ai.usage.input_tokens": 2**53 - 1,
    "gen_ai.usage.output_tokens": 3,
    "gen_ai.conversation.id": "c-1",
    "app.stream": False,
    "app.bytes": b"\x89PNG",
}
SAID = {
    "gen_ai.input.messages": '[{"role": "user", "parts": [{"type": "text", "content": "What is this? ✓"}]}]',
    "gen_ai.output.messages": '[{"role": "assistant", "parts": [{"type": "text", "content": "A bell."}]}]',
}
EVENTS: tuple[tuple[str, dict[str, Any]], ...] = (
    ("gen_ai.system.message", {"content": "Be brief."}),
    ("gen_ai.user.message", {"content": "What is this? ✓"}),
    (
        "gen_ai.choice",
        {"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": "A bell."}},
    ),
)


class Sent(NamedTuple):
    """What a client says of one call."""

    span_id: str
    #: Of each export: `done`, or what was wrong.
    results: list[str]


class Python:
    """Python's exporters: `json` or `proto` over HTTP, or `grpc`."""

    def __init__(self, protocol: str) -> None:
        self.name = f"python-{protocol}"
        self.grpc = protocol == "grpc"
        self._traces = {"json": json_traces, "proto": proto_traces, "grpc": grpc_traces}[protocol]
        self._logs = {"json": json_logs, "proto": proto_logs, "grpc": grpc_logs}[protocol]

    def send(self, port: int, kind: str = "spans") -> Sent:
        """Send a call and an HTTP span; with `logs` its messages are log events, and go before."""
        spans = _spans(SAID if kind == "spans" else {})
        call = spans[0]
        results = []
        if kind == "logs":
            results.append(self._export(self._logs.OTLPLogExporter, port, "/v1/logs", _log_records(call)))
        results.append(self._export(self._traces.OTLPSpanExporter, port, "/v1/traces", spans))
        return Sent(f"{call.context.span_id:016x}", results)

    def _export(self, exporter: Any, port: int, path: str, items: Any) -> str:
        address = f"127.0.0.1:{port}"
        if self.grpc:
            client = exporter(address, insecure=True, compression=grpc.Compression.Gzip, timeout=PATIENCE)
        else:
            gzip = self._traces.Compression("gzip")
            client = exporter(f"http://{address}{path}", compression=gzip, timeout=PATIENCE)
        result = client.export(items).name
        client.shutdown()
        return {"SUCCESS": "done"}.get(result, result)


def _spans(more: dict[str, str]) -> tuple[Any, ...]:
    memory = InMemorySpanExporter()
    provider = TracerProvider(resource=Resource({"service.name": "shop"}), shutdown_on_exit=False)
    provider.add_span_processor(SimpleSpanProcessor(memory))
    tracer = provider.get_tracer("acme", "1.2")
    with tracer.start_as_current_span("GET /", attributes={"http.request.method": "GET"}):
        tracer.start_span("chat", attributes={**CALL, **more}).end()
    return memory.get_finished_spans()


def _log_records(call: Any) -> tuple[Any, ...]:
    memory = InMemoryLogRecordExporter()
    provider = LoggerProvider(resource=Resource({"service.name": "shop"}), shutdown_on_exit=False)
    provider.add_log_record_processor(SimpleLogRecordProcessor(memory))
    context = trace.set_span_in_context(trace.NonRecordingSpan(call.context))
    for name, body in EVENTS:
        provider.get_logger("acme").emit(
            LogRecord(timestamp=call.start_time, event_name=name, body=body, context=context)
        )
    return memory.get_finished_logs()


class JavaScript:
    """The exporters of OpenTelemetry JS: `json` or `proto` over HTTP, or `grpc`."""

    def __init__(self, protocol: str) -> None:
        self.name = f"js-{protocol}"
        self.grpc = protocol == "grpc"
        self._protocol = protocol

    def send(self, port: int, kind: str = "spans") -> Sent:
        """Send a call and an HTTP span; with `logs` its messages are log events, and go before."""
        own = {name: value for name, value in os.environ.items() if not name.startswith("OTEL_")}
        command = [_program("node"), str(JS / "send.js"), self._protocol, f"http://127.0.0.1:{port}", kind]
        ran = subprocess.run(
            command,
            env={**own, "NODE_PATH": str(_node_modules())},
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert ran.returncode == 0, ran.stderr
        said = json.loads(ran.stdout.splitlines()[-1])
        return Sent(said["spanId"], said["results"])


_installing = threading.Lock()


def _node_modules() -> Path:
    """Return the packages of the lock file, installed once."""
    lock = (JS / "package-lock.json").read_bytes()
    place = cache_directory() / f"test-js-{hashlib.sha256(lock).hexdigest()[:8]}"
    with _installing:
        if not place.exists():
            place.parent.mkdir(parents=True, exist_ok=True)
            # Beside its place, so that one that is there is whole.
            with tempfile.TemporaryDirectory(dir=place.parent) as made:
                for name in ("package.json", "package-lock.json"):
                    shutil.copy(JS / name, made)
                command = [_program("npm"), "ci", "--ignore-scripts", "--no-audit", "--no-fund"]
                ran = subprocess.run(command, cwd=made, capture_output=True, text=True, timeout=300, check=False)
                assert ran.returncode == 0, ran.stderr
                Path(made, "node_modules").rename(place)
    return place


def _program(name: str) -> str:
    found = shutil.which(name)
    if found is None:
        pytest.fail(f"no {name} on PATH: install Node.js 18.19 or newer with npm (Debian: nodejs and npm)")
    return found


class Rotel:
    """Rotel between Python's exporter and the receiver: it answers at once, and then sends and retries by itself."""

    def __init__(self, protocol: str) -> None:
        self.name = f"rotel-{protocol}"
        self.grpc = protocol == "grpc"
        self._protocol = protocol
        self._running = ExitStack()

    def send(self, port: int, kind: str = "spans") -> Sent:
        """Send a call and an HTTP span; with `logs` its messages are log events, and go before."""
        http, grpc = free_port(), free_port()
        options = {
            "otlp-http-endpoint": f"127.0.0.1:{http}",
            "otlp-grpc-endpoint": f"127.0.0.1:{grpc}",
            "exporter": "otlp",
            "otlp-exporter-endpoint": f"http://127.0.0.1:{port}",
            "otlp-exporter-protocol": self._protocol,
            "otlp-exporter-retry-initial-backoff": "1s",
            "batch-timeout": "200ms",
        }
        command = [str(Agent.agent_path), "start", *(f"--{name}={value}" for name, value in options.items())]
        agent = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        self._running.callback(agent.wait)
        self._running.callback(agent.kill)
        wait_for(lambda: _answers(http), timeout=10, what="rotel")
        return Python("proto").send(http, kind)

    def close(self) -> None:
        """End what was started."""
        self._running.close()


def _answers(port: int) -> bool:
    with socket.socket() as client:
        return client.connect_ex(("127.0.0.1", port)) == 0


Client = Python | JavaScript | Rotel


def clients() -> Iterator[Client]:
    """Yield one of each."""
    for protocol in ("json", "proto", "grpc"):
        yield Python(protocol)
        yield JavaScript(protocol)
    yield Rotel("http")
    yield Rotel("grpc")
