"""`label-studio-otel serve` as a process: real exporters send to it, and it is ended in every way."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import sqlite3
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import pytest
import trustme
from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter as GrpcExporter
from opentelemetry.exporter.otlp.proto.http import Compression
from opentelemetry.exporter.otlp.proto.http._log_exporter import OTLPLogExporter
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk._logs import LoggerProvider
from opentelemetry.sdk._logs.export import SimpleLogRecordProcessor
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor, SpanExportResult
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from label_studio_otel.cli import main
from label_studio_otel.testing import FakeLabelStudio, Fault
from support.delivering import all_tasks, imports
from support.relay import Relay
from support.sdk import CALL

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from opentelemetry.sdk.trace import ReadableSpan


@pytest.fixture
def server() -> Iterator[FakeLabelStudio]:
    with FakeLabelStudio() as fake:
        yield fake


class Served:
    """A bridge in a process of its own."""

    COMMAND = (sys.executable, "-m", "label_studio_otel", "serve", "--port", "0", "--grpc-port", "0")

    def __init__(self, tmp_path: Path, server: FakeLabelStudio, *options: str, **environ: str) -> None:
        own = self.environ(tmp_path, server, **environ)
        self.state = tmp_path / "state"
        command = [*self.COMMAND, "--settle", "0.2", *options]
        self.process = subprocess.Popen(command, env=own, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        assert self.process.stdout is not None
        said = self.process.stdout.readline()
        found = re.fullmatch(r"OTLP is received on (http://[\d.]+:(\d+)), gRPC on ([\d.]+:\d+)\n", said)
        assert found, self.process.communicate()[1]
        self.url, self.port, self.grpc = found[1], int(found[2]), found[3]

    @staticmethod
    def environ(tmp_path: Path, server: FakeLabelStudio, **environ: str) -> dict[str, str]:
        """Return the environment of its process."""
        own = {name: value for name, value in os.environ.items() if not name.startswith(("OTEL_", "LABEL_STUDIO_"))}
        return {
            **own,
            "LABEL_STUDIO_URL": server.url,
            "LABEL_STUDIO_API_KEY": server.token,
            "LABEL_STUDIO_OTEL_STATE_DIR": str(tmp_path / "state"),
            **environ,
        }

    def end(self, number: int = signal.SIGTERM) -> tuple[int, str]:
        """Return the exit code and what stood on standard error."""
        self.process.send_signal(number)
        return self.process.wait(20), self.process.communicate()[1]


@contextmanager
def served(tmp_path: Path, server: FakeLabelStudio, *options: str, **environ: str) -> Iterator[Served]:
    bridge = Served(tmp_path, server, *options, **environ)
    try:
        yield bridge
    finally:
        bridge.process.kill()
        bridge.process.communicate()


def spans(number: int = 1) -> tuple[ReadableSpan, ...]:
    """Return LLM calls, and an HTTP span for each."""
    memory = InMemorySpanExporter()
    provider = TracerProvider(shutdown_on_exit=False)
    provider.add_span_processor(SimpleSpanProcessor(memory))
    tracer = provider.get_tracer("acme")
    for _ in range(number):
        with tracer.start_as_current_span("GET /", attributes={"http.request.method": "GET"}):
            tracer.start_span("chat", attributes=CALL).end()
    return memory.get_finished_spans()


def exporter(url: str, **options: Any) -> OTLPSpanExporter:
    return OTLPSpanExporter(f"{url}/v1/traces", **options)


def arrived(server: FakeLabelStudio, number: int, seconds: float = 20) -> list[dict[str, Any]]:
    """Wait for so many tasks, and return what there is."""
    end = time.monotonic() + seconds
    while len(all_tasks(server)) < number and time.monotonic() < end:
        time.sleep(0.02)
    return all_tasks(server)


@pytest.mark.parametrize("compression", list(Compression))
def test_what_pythons_exporter_sends_becomes_a_task(
    tmp_path: Path, server: FakeLabelStudio, compression: Compression
) -> None:
    with served(tmp_path, server, "--project-name", "Bridge") as bridge:
        assert exporter(bridge.url, compression=compression).export(spans()) is SpanExportResult.SUCCESS

        (task,) = arrived(server, 1)
        assert (task["data"]["prompt"], task["data"]["response"]) == ("User:\nHi", "Hello")
        assert [project["title"] for project in server.store.projects.values()] == ["Bridge"]
        assert bridge.end() == (0, "")


def test_what_pythons_grpc_exporter_sends_becomes_a_task(tmp_path: Path, server: FakeLabelStudio) -> None:
    with served(tmp_path, server) as bridge:
        client = GrpcExporter(bridge.grpc, insecure=True)
        assert client.export(spans()) is SpanExportResult.SUCCESS
        client.shutdown()

        (task,) = arrived(server, 1)
        assert task["data"]["response"] == "Hello"
        assert bridge.end() == (0, "")


def test_the_grpc_exporters_own_retries_end_in_one_task(tmp_path: Path, server: FakeLabelStudio) -> None:
    """At first it is answered UNAVAILABLE, as another process holds the state."""
    one = spans()
    with served(tmp_path, server) as holder, served(tmp_path, server) as bridge:
        client = GrpcExporter(bridge.grpc, insecure=True)
        threading.Timer(0.5, holder.process.kill).start()
        began = time.monotonic()
        assert client.export(one) is SpanExportResult.SUCCESS
        assert time.monotonic() - began > 4  # it kept to the time that it was told
        assert client.export(one) is SpanExportResult.SUCCESS
        client.shutdown()
        arrived(server, 1)
        time.sleep(1)
        assert len(all_tasks(server)) == 1


def test_log_events_of_pythons_exporter_come_into_their_task(tmp_path: Path, server: FakeLabelStudio) -> None:
    from opentelemetry._logs import LogRecord

    (call,) = [one for one in spans() if one.name == "chat"]
    with served(tmp_path, server) as bridge:
        provider = LoggerProvider(shutdown_on_exit=False)
        provider.add_log_record_processor(SimpleLogRecordProcessor(OTLPLogExporter(f"{bridge.url}/v1/logs")))
        provider.get_logger("acme").emit(
            LogRecord(
                timestamp=call.start_time,
                trace_id=call.context.trace_id,
                span_id=call.context.span_id,
                trace_flags=call.context.trace_flags,
                event_name="gen_ai.system.message",
                body={"content": "Be brief."},
            )
        )
        assert exporter(bridge.url).export([call]) is SpanExportResult.SUCCESS

        (task,) = arrived(server, 1)
    assert "Hello" in task["data"]["response"]


def test_the_exporters_own_retries_end_in_one_task(tmp_path: Path, server: FakeLabelStudio) -> None:
    """At first it is answered 503, as another process holds the state."""
    one = spans()
    with served(tmp_path, server) as holder, served(tmp_path, server) as bridge:
        freed = threading.Timer(0.5, holder.process.kill)
        freed.start()
        began = time.monotonic()
        assert exporter(bridge.url).export(one) is SpanExportResult.SUCCESS
        assert time.monotonic() - began > 1  # it was told to come again
        assert exporter(bridge.url).export(one) is SpanExportResult.SUCCESS  # as after an answer that was lost
        arrived(server, 1)
        time.sleep(1)
        assert len(all_tasks(server)) == 1
        assert "another process delivers what is in" in bridge.end()[1]


def test_an_answer_that_was_lost_makes_no_double(tmp_path: Path, server: FakeLabelStudio) -> None:
    with served(tmp_path, server) as bridge, Relay(bridge.port) as relay:
        relay.behave(as_="server")
        one = spans(3)
        for _ in range(3):
            assert exporter(relay.url).export(one) is SpanExportResult.SUCCESS
        assert len(arrived(server, 3)) == 3
        bridge.end()
    assert len(all_tasks(server)) == 3


@pytest.mark.parametrize("moment", [0.0, 0.3, 1.0])
def test_kill_9_after_the_answer_loses_nothing(tmp_path: Path, server: FakeLabelStudio, moment: float) -> None:
    server.fail(Fault(wait=0.5), Fault(wait=0.5))
    with served(tmp_path, server) as bridge:
        for _ in range(5):
            assert exporter(bridge.url).export(spans(2)) is SpanExportResult.SUCCESS
        time.sleep(moment)
        bridge.end(signal.SIGKILL)
    with served(tmp_path, server, LABEL_STUDIO_OTEL_UNCERTAIN_WAIT="1") as bridge:
        assert len(arrived(server, 10)) == 10
        assert bridge.end()[0] == 0
    keys = [task["data"]["span_id"] for task in all_tasks(server)]
    assert len(set(keys)) == len(keys) == 10


def test_told_to_end_it_leaves_the_rest_in_the_outbox(
    tmp_path: Path, server: FakeLabelStudio, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with served(tmp_path, server, "--settle", "60") as bridge:
        assert exporter(bridge.url).export(spans(3)) is SpanExportResult.SUCCESS
        began = time.monotonic()
        assert bridge.end() == (0, "")
        assert time.monotonic() - began < 5
    assert all_tasks(server) == []
    monkeypatch.setenv("LABEL_STUDIO_URL", server.url)
    monkeypatch.setenv("LABEL_STUDIO_API_KEY", server.token)
    monkeypatch.setenv("LABEL_STUDIO_OTEL_STATE_DIR", str(tmp_path / "state"))

    assert main(["deliver"]) == 0

    assert capsys.readouterr().out == "all delivered (3 LLM calls are tasks)\n"
    assert len(all_tasks(server)) == 3


def test_label_studio_away_is_nothing_to_who_sends(tmp_path: Path, server: FakeLabelStudio) -> None:
    with served(tmp_path, server, LABEL_STUDIO_URL="http://127.0.0.1:9") as bridge:
        began = time.monotonic()
        for _ in range(5):
            assert exporter(bridge.url).export(spans()) is SpanExportResult.SUCCESS
        assert time.monotonic() - began < 5
        assert bridge.process.stderr is not None
        assert "cannot be reached" in bridge.process.stderr.readline()
        assert bridge.end() == (0, "")


def test_told_to_end_it_does_not_wait_for_label_studio(tmp_path: Path, server: FakeLabelStudio) -> None:
    server.fail(Fault(wait=30))
    with served(tmp_path, server, LABEL_STUDIO_OTEL_UNCERTAIN_WAIT="1") as bridge:
        assert exporter(bridge.url).export(spans()) is SpanExportResult.SUCCESS
        end = time.monotonic() + 10
        while not imports(server) and time.monotonic() < end:
            time.sleep(0.02)
        began = time.monotonic()
        assert bridge.end() == (0, "")
        assert time.monotonic() - began < 5
    with served(tmp_path, server, LABEL_STUDIO_OTEL_UNCERTAIN_WAIT="1") as bridge:
        assert len(arrived(server, 1)) == 1


def test_with_a_token_only_who_has_it_is_served_and_no_log_shows_it(tmp_path: Path, server: FakeLabelStudio) -> None:
    with served(tmp_path, server, LABEL_STUDIO_OTEL_SERVE_TOKEN="s3cret-token") as bridge:
        assert exporter(bridge.url).export(spans()) is SpanExportResult.FAILURE
        headers = {"authorization": "Bearer s3cret-token"}
        assert exporter(bridge.url, headers=headers).export(spans()) is SpanExportResult.SUCCESS
        assert len(arrived(server, 1)) == 1
        assert bridge.end() == (0, "")


def held_up(bridge: Served) -> sqlite3.Connection:
    """Let the disk take nothing until this is closed."""
    (path,) = bridge.state.rglob("outbox.db")
    connection = sqlite3.connect(path, check_same_thread=False)
    connection.execute("BEGIN IMMEDIATE")
    return connection


def under_way(bridge: Served) -> set[str]:
    """Return the protocols over which requests are under way."""
    with urllib.request.urlopen(f"{bridge.url}/metrics") as answer:
        return set(re.findall(r'_receiver_held_bytes{network_protocol_name="(\w+)".* [1-9]', answer.read().decode()))


def value(url: str, name: str) -> float:
    """Return the sum of a metric, without what has an error."""
    with urllib.request.urlopen(url) as answer:
        lines = [line for line in answer.read().decode().splitlines() if re.match(rf"{name}[{{ ]", line)]
    return sum(float(line.rpartition(" ")[2]) for line in lines if not re.search('error_type="[^"]', line))


def eventually(condition: Callable[[], bool], seconds: float = 10) -> bool:
    end = time.monotonic() + seconds
    while not condition() and time.monotonic() < end:
        time.sleep(0.02)
    return condition()


def test_told_to_end_it_answers_what_is_under_way_however_slow_the_disk(
    tmp_path: Path, server: FakeLabelStudio
) -> None:
    with served(tmp_path, server, "--settle", "60") as bridge, ThreadPoolExecutor(2) as clients:
        disk = held_up(bridge)
        grpc = GrpcExporter(bridge.grpc, insecure=True)
        answers = [clients.submit(exporter(bridge.url).export, spans()), clients.submit(grpc.export, spans())]
        assert eventually(lambda: under_way(bridge) == {"http", "grpc"})
        bridge.process.send_signal(signal.SIGTERM)
        with pytest.raises(subprocess.TimeoutExpired):
            bridge.process.wait(0.5)  # it waits for the disk
        assert not any(one.done() for one in answers)
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection(("127.0.0.1", bridge.port))
        disk.close()
        assert [one.result(10) for one in answers] == [SpanExportResult.SUCCESS] * 2
        grpc.shutdown()
        assert bridge.process.wait(10) == 0
        assert bridge.process.communicate() == ("ended: LLM calls 2 taken, 0 delivered, 0 parked, 2 waiting\n", "")


def test_told_twice_to_end_it_ends_at_once(tmp_path: Path, server: FakeLabelStudio) -> None:
    with served(tmp_path, server) as bridge, ThreadPoolExecutor(1) as clients:
        disk = held_up(bridge)
        answer = clients.submit(exporter(bridge.url, timeout=2).export, spans())
        assert eventually(lambda: under_way(bridge) == {"http"})
        bridge.process.send_signal(signal.SIGTERM)
        with pytest.raises(subprocess.TimeoutExpired):
            bridge.process.wait(0.5)
        assert bridge.end() == (-signal.SIGTERM, "")
        assert answer.result(10) is SpanExportResult.FAILURE
        disk.close()


def test_a_file_is_all_that_it_needs(tmp_path: Path, server: FakeLabelStudio) -> None:
    (tmp_path / "key").write_text(f"{server.token}\n")
    (tmp_path / "key").chmod(0o600)
    (tmp_path / "bridge.yaml").write_text(
        f"""
label_studio:
  url: ${{env:LABELS}}
  api_key_file: {tmp_path}/key
  state_dir: {tmp_path}/elsewhere
  project_name: From the file
serve:
  token: ${{TOKEN_OF_THE_BRIDGE}}
  settle: 0.1
"""
    )
    empty = {"LABEL_STUDIO_URL": "", "LABEL_STUDIO_API_KEY": "", "LABEL_STUDIO_OTEL_STATE_DIR": ""}
    own = {
        "LABELS": server.url,
        "TOKEN_OF_THE_BRIDGE": "s3cret",
        "LABEL_STUDIO_OTEL_SERVE_CONFIG": f"{tmp_path}/bridge.yaml",
    }
    with served(tmp_path, server, **empty, **own) as bridge:
        assert exporter(bridge.url).export(spans()) is SpanExportResult.FAILURE
        headers = {"authorization": "Bearer s3cret"}
        assert exporter(bridge.url, headers=headers).export(spans()) is SpanExportResult.SUCCESS
        arrived(server, 1)
        assert [project["title"] for project in server.store.projects.values()] == ["From the file"]
        assert bridge.end() == (0, "")
    assert (tmp_path / "elsewhere").exists()


def test_who_speaks_no_tls_writes_no_lines_into_its_log(tmp_path: Path, server: FakeLabelStudio) -> None:
    """The core of gRPC would, by itself, and neither in JSON nor in a sentence."""
    certificate = trustme.CA().issue_cert("127.0.0.1")
    certificate.private_key_and_cert_chain_pem.write_to_path(tmp_path / "server.pem")
    (tmp_path / "server.pem").chmod(0o600)
    files = [f"--tls-{name}={tmp_path / 'server.pem'}" for name in ("cert", "key")]
    command = [*Served.COMMAND, "--grpc-port", "0", "--log-format", "json", *files]
    environ = Served.environ(tmp_path, server)
    with subprocess.Popen(command, env=environ, stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        ready = [json.loads(process.stderr.readline()) for _ in range(2)][1]
        for name in ("label_studio_otel.grpc.port", "server.port"):
            with socket.create_connection(("127.0.0.1", ready["attributes"][name]), timeout=10) as client:
                client.sendall(b"no TLS at all" * 10)
                while client.recv(1000):
                    continue
        process.terminate()
        _, rest = process.communicate(timeout=20)

    assert [json.loads(line)["body"] for line in rest.splitlines()] == [
        "ended: LLM calls 0 taken, 0 delivered, 0 parked, 0 waiting"
    ]


def test_its_log_is_lines_that_programs_read_and_says_nothing_that_was_said(
    tmp_path: Path, server: FakeLabelStudio
) -> None:
    command = [*Served.COMMAND, "--log-format", "json", "--settle", "0.1"]
    environ = Served.environ(tmp_path, server, LABEL_STUDIO_OTEL_SERVE_TOKEN="s3cret-token")
    with subprocess.Popen(command, env=environ, stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        begins, ready = (json.loads(process.stderr.readline()) for _ in range(2))
        client = exporter(
            f"http://127.0.0.1:{ready['attributes']['server.port']}", headers={"authorization": "Bearer s3cret-token"}
        )
        assert client.export(spans()) is SpanExportResult.SUCCESS
        metrics = f"http://127.0.0.1:{ready['attributes']['server.port']}/metrics"
        assert eventually(lambda: value(metrics, "label_studio_otel_delivery_latency_seconds_count") == 1)
        process.terminate()
        out, rest = process.communicate(timeout=20)
    lines = [begins, ready, *map(json.loads, rest.splitlines())]

    assert (process.returncode, out) == (0, "")
    assert begins["body"].endswith(" begins")
    assert ready["body"].startswith("OTLP is received on http://127.0.0.1:")
    assert lines[-1]["attributes"] == {
        "label_studio_otel.calls.taken": 1,
        "label_studio_otel.calls.delivered": 1,
        "label_studio_otel.calls.parked": 0,
        "label_studio_otel.calls.waiting": 0,
    }
    assert {(line["severity_text"], line["severity_number"]) for line in lines} <= {("INFO", 9), ("WARN", 13)}
    assert {line["logger"] for line in lines} == {"label_studio_otel"}
    assert not any(word in str(lines) for word in ("Hi", "Hello", "s3cret", server.token))


def test_its_metrics_are_there_for_prometheus(tmp_path: Path, server: FakeLabelStudio) -> None:
    with served(tmp_path, server) as bridge:
        metrics = f"{bridge.url}/metrics"
        assert exporter(bridge.url).export(spans(2)) is SpanExportResult.SUCCESS
        assert eventually(lambda: value(metrics, "label_studio_otel_delivery_latency_seconds_count") == 2)
        assert value(metrics, "label_studio_otel_receiver_spans_total") == 4
        assert value(metrics, "label_studio_otel_receiver_calls_total") == 2
        assert value(metrics, "label_studio_otel_calls_accepted_total") == 2
        assert eventually(lambda: value(metrics, "label_studio_otel_outbox_size_bytes") > 0)
        assert value(metrics, "label_studio_otel_calls_oldest_age_seconds") == 0
        assert bridge.end() == (0, "")


def status(url: str, **headers: str) -> int:
    try:
        with urllib.request.urlopen(urllib.request.Request(url, headers=headers)) as answer:
            return int(answer.status)
    except urllib.error.HTTPError as error:
        return error.code


def test_on_a_public_address_metrics_ask_for_the_token_and_probes_do_not(
    tmp_path: Path, server: FakeLabelStudio
) -> None:
    with served(tmp_path, server, "--host", "0.0.0.0", LABEL_STUDIO_OTEL_SERVE_TOKEN="s3cret") as bridge:
        url = f"http://127.0.0.1:{bridge.port}"
        assert status(f"{url}/metrics") == 401
        assert status(f"{url}/metrics", authorization="Bearer s3cret") == 200
        assert status(f"{url}/healthz") == status(f"{url}/readyz") == 200
        code, said = bridge.end()
    assert (code, "is served without TLS" in said, "s3cret" in said) == (0, True, False)


def test_metrics_can_be_open_to_all(tmp_path: Path, server: FakeLabelStudio) -> None:
    own = {"LABEL_STUDIO_OTEL_SERVE_TOKEN": "s3cret", "LABEL_STUDIO_OTEL_SERVE_METRICS": "open"}
    with served(tmp_path, server, "--host", "0.0.0.0", **own) as bridge:
        assert status(f"http://127.0.0.1:{bridge.port}/metrics") == 200


def test_metrics_can_be_left_out(tmp_path: Path, server: FakeLabelStudio) -> None:
    with served(tmp_path, server, LABEL_STUDIO_OTEL_SERVE_METRICS="off") as bridge:
        assert status(f"{bridge.url}/metrics") == 404


def test_a_public_address_without_a_token_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["serve", "--host", "0.0.0.0", "--port", "0"]) == 1

    assert "set LABEL_STUDIO_OTEL_SERVE_TOKEN" in capsys.readouterr().err


def test_a_port_that_is_taken_is_named(
    tmp_path: Path, server: FakeLabelStudio, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("LABEL_STUDIO_OTEL_STATE_DIR", str(tmp_path / "other"))
    with served(tmp_path, server) as bridge:
        assert main(["serve", "--port", str(bridge.port), "--no-grpc"]) == 1

    assert f"127.0.0.1, port {bridge.port}, or " in capsys.readouterr().err
