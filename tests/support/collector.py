"""A real OpenTelemetry Collector, a real Jaeger, and a sink that plays Honeycomb, each on free loopback ports."""

from __future__ import annotations

import http.client
import json
import os
import signal
import subprocess
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode

from label_studio_otel.cli.demo.label_studio_server import free_port
from support.go_programs import collector_program, jaeger_program
from support.servers import wait_for

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from typing_extensions import Self

    from support.bridge import Bridge
    from support.telemetry_sink import TelemetrySink

FAN_OUT = Path(__file__).parents[2] / "collector" / "fan-out.yaml"
#: Seconds for a start, on a machine that is busy with other tests.
PATIENCE = 60.0
#: Everything in memory; only what the tests ask for listens.
JAEGER_CONFIG = """
extensions:
  jaeger_storage: {backends: {memory: {memory: {max_traces: 100000}}}}
  jaeger_query:
    storage: {traces: memory}
    http: {endpoint: "127.0.0.1:${env:QUERY_PORT}"}
    grpc: {endpoint: "127.0.0.1:${env:QUERY_GRPC_PORT}"}
receivers:
  otlp:
    protocols:
      grpc: {endpoint: "127.0.0.1:${env:GRPC_PORT}"}
      http: {endpoint: "127.0.0.1:${env:HTTP_PORT}"}
exporters:
  jaeger_storage_exporter: {trace_storage: memory}
service:
  extensions: [jaeger_storage, jaeger_query]
  telemetry: {metrics: {level: none}}
  pipelines:
    traces: {receivers: [otlp], exporters: [jaeger_storage_exporter]}
"""


class Daemon:
    """A program that serves while its context lasts; it can be killed and started again on the same ports.

    Args:
        directory: for its log.
        variables: on top of this process's, without those of OpenTelemetry.
        serves: tells whether it does, once it was started.
        folder: where it runs.
    """

    def __init__(
        self,
        directory: Path,
        command: list[str],
        variables: Mapping[str, str],
        serves: Callable[[], bool],
        folder: Path | None = None,
    ) -> None:
        directory.mkdir(parents=True, exist_ok=True)
        self.log = directory / f"{Path(command[0]).name}.log"
        self._command = command
        own = {name: value for name, value in os.environ.items() if not name.startswith(("OTEL_", "LABEL_STUDIO_"))}
        self._environ = {**own, **variables}
        self._serves = serves
        self._folder = folder
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *error: object) -> None:
        self.kill()

    def start(self) -> None:
        """Return when it serves."""
        with self.log.open("ab") as output:
            self._process = subprocess.Popen(
                self._command,
                cwd=self._folder,
                env=self._environ,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
            )
        wait_for(self._lives_and_serves, timeout=PATIENCE, what=f"answer of {self._command[0]}")

    def _lives_and_serves(self) -> bool:
        assert self._process is not None
        assert self._process.poll() is None, f"{self._command[0]} ended:\n{self.said[-3000:]}"
        return self._serves()

    def kill(self) -> None:
        """End it as `kill -9` does."""
        self._end(signal.SIGKILL)

    def stop(self) -> None:
        """End it as an operator does; it has the time that it takes."""
        self._end(signal.SIGTERM)

    def _end(self, number: int) -> None:
        process, self._process = self._process, None
        if process is not None:
            process.send_signal(number)
            process.wait(PATIENCE)

    @property
    def said(self) -> str:
        """What stands in its log."""
        return self.log.read_text("utf-8", "replace")


class Collector(Daemon):
    """The Collector of collector/builder.yaml with a configuration of this repository.

    Args:
        directory: for what it keeps, unless the variables say otherwise, and for its log.
        variables: those of the configuration, instead of their defaults.
    """

    def __init__(self, directory: Path, *configs: Path, **variables: str) -> None:
        self.grpc, self.http, health, metrics = (free_port() for _ in range(4))
        self.url = f"http://127.0.0.1:{self.http}"
        #: What the Collector tells of itself.
        self.metrics_port = metrics
        own = {
            "OTELCOL_GRPC_ENDPOINT": f"127.0.0.1:{self.grpc}",
            "OTELCOL_HTTP_ENDPOINT": f"127.0.0.1:{self.http}",
            "OTELCOL_HEALTH_ENDPOINT": f"127.0.0.1:{health}",
            "OTELCOL_METRICS_PORT": str(metrics),
            "OTELCOL_STATE_DIR": str(directory / "state"),
            "JAEGER_ENDPOINT": "127.0.0.1:9",
            "HONEYCOMB_ENDPOINT": "http://127.0.0.1:9",
            "LABEL_STUDIO_OTEL_ENDPOINT": "http://127.0.0.1:9",
            **variables,
        }
        options = [option for config in configs or (FAN_OUT,) for option in ("--config", str(config))]
        super().__init__(directory, [str(collector_program()), *options], own, lambda: answers(health, "/"))

    def metric(self, name: str, **labels: str) -> float:
        """Return the sum of a metric over all that has these labels; 0 where there is none."""
        _, body = get(self.metrics_port, "/metrics")
        lines = (line for line in body.decode().splitlines() if line.startswith((f"{name}{{", f"{name} ")))
        wanted = [f'{label}="{value}"' for label, value in labels.items()]
        return sum(float(line.rpartition(" ")[2]) for line in lines if all(one in line for one in wanted))


class Jaeger(Daemon):
    """Jaeger with its storage in memory; what it has is asked for by its API."""

    def __init__(self, directory: Path) -> None:
        self.grpc, self.http, self._query, query_grpc = (free_port() for _ in range(4))
        self.endpoint, self.url = f"127.0.0.1:{self.grpc}", f"http://127.0.0.1:{self.http}"
        ports = {
            "GRPC_PORT": str(self.grpc),
            "HTTP_PORT": str(self.http),
            "QUERY_PORT": str(self._query),
            "QUERY_GRPC_PORT": str(query_grpc),
        }
        command = [str(jaeger_program()), "--config", f"yaml:{JAEGER_CONFIG}"]
        super().__init__(directory, command, ports, lambda: answers(self._query, "/api/services"))

    def spans(self, service: str, lookback: float = 3600) -> list[dict[str, Any]]:
        """Return the spans of a service as Jaeger's API has them, each as often as Jaeger has it."""
        now = time.time()
        period = {"start": int((now - lookback) * 1e6), "end": int((now + 60) * 1e6)}
        query = urlencode({"service": service, "limit": 100_000, **period})
        status, body = get(self._query, f"/api/traces?{query}")
        assert status == 200, body
        return [span for trace in json.loads(body)["data"] for span in trace["spans"]]


def fan_out_variables(jaeger: Jaeger, honeycomb: TelemetrySink, bridge: TelemetrySink | Bridge) -> dict[str, str]:
    """Return the variables that `collector/fan-out.yaml` names, for these destinations."""
    return {
        "JAEGER_ENDPOINT": jaeger.endpoint,
        "HONEYCOMB_ENDPOINT": honeycomb.url,
        "HONEYCOMB_API_KEY": "key-1",
        "LABEL_STUDIO_OTEL_ENDPOINT": bridge.url,
        "LABEL_STUDIO_OTEL_SERVE_TOKEN": "token-1",
    }


def answers(port: int, path: str) -> bool:
    """Tell whether a server on this machine answers 200."""
    try:
        return get(port, path)[0] == 200
    except (OSError, http.client.HTTPException):
        return False


def get(port: int, path: str) -> tuple[int, bytes]:
    """Ask a server on this machine."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    try:
        connection.request("GET", path)
        answer = connection.getresponse()
        return answer.status, answer.read()
    finally:
        connection.close()


def validate(*configs: Path) -> str:
    """Return what `otelcol validate` has against a configuration, nothing where it is valid."""
    options = [option for config in configs for option in ("--config", str(config))]
    command = [str(collector_program()), "validate", *options]
    ran = subprocess.run(command, capture_output=True, text=True, check=False)
    return "" if ran.returncode == 0 else ran.stdout + ran.stderr or "it failed without a word"
