"""`MetricReaders` publishes the metrics of a bridge: as Prometheus text, and by OTLP where the SDK's variables say so.

The meter provider is our own, with the SDK's readers. They export in a thread of their own, so no request waits for it.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator, Mapping
from contextlib import suppress
from importlib.metadata import entry_points
from typing import Any

import prometheus_client
from opentelemetry.exporter.prometheus import PrometheusMetricReader
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import MetricReader, PeriodicExportingMetricReader
from opentelemetry.sdk.resources import SERVICE_NAME, SERVICE_VERSION, Resource

from label_studio_otel import log
from label_studio_otel._version import __version__
from label_studio_otel.metrics import instruments
from label_studio_otel.receiver.metrics import RECEIVER_METRICS, ReceiverMetrics

#: The format of `prometheus_client.generate_latest`.
CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
LAST_EXPORT_TIMEOUT_S = 2.0
ENTRY_POINT_GROUP = "opentelemetry_metrics_exporter"


class MetricReaders:
    """Publishes metrics from now until `close`."""

    def __init__(self, metrics: ReceiverMetrics, environ: Mapping[str, str] = os.environ) -> None:
        self._registry = prometheus_client.CollectorRegistry()
        for collector in (
            prometheus_client.ProcessCollector,
            prometheus_client.PlatformCollector,
            prometheus_client.GCCollector,
        ):
            collector(registry=self._registry)
        #: Two scrapes at a time would take each other's numbers from the reader.
        self._lock = threading.Lock()
        readers = [PrometheusMetricReader(registry=self._registry), *_exporting(environ)]
        self._provider = MeterProvider(readers, _resource(), shutdown_on_exit=False)
        instruments.register(late=True, provider=self._provider)
        meter = self._provider.get_meter("label_studio_otel", __version__)
        metrics.histograms = instruments.instruments(meter, RECEIVER_METRICS, lambda: (metrics,))

    def exposition(self) -> tuple[str, bytes]:
        """Return the content type and the text of all metrics for Prometheus."""
        with self._lock:
            return CONTENT_TYPE, prometheus_client.generate_latest(self._registry)

    def close(self) -> None:
        """Export a last time, within seconds."""
        ending = threading.Thread(target=self._shut_down, name="LabelStudioMetrics", daemon=True)
        ending.start()
        ending.join(LAST_EXPORT_TIMEOUT_S)

    def _shut_down(self) -> None:
        with suppress(Exception):  # a reader that fails now must not stop the end of the process
            self._provider.shutdown(LAST_EXPORT_TIMEOUT_S * 1000)


def exporters(environ: Mapping[str, str]) -> list[str]:
    """Return the names of the entry points of the exporters that the SDK's variables ask for."""
    default = "otlp" if environ.get("OTEL_EXPORTER_OTLP_METRICS_ENDPOINT") else "none"
    names = (name.strip() for name in (environ.get("OTEL_METRICS_EXPORTER") or default).split(","))
    protocol = (
        environ.get("OTEL_EXPORTER_OTLP_METRICS_PROTOCOL") or environ.get("OTEL_EXPORTER_OTLP_PROTOCOL") or "grpc"
    )
    otlp = "otlp_proto_http" if protocol.strip().startswith("http/") else "otlp_proto_grpc"
    return [otlp if name == "otlp" else name for name in names if name not in ("", "none", "prometheus")]


def _exporting(environ: Mapping[str, str]) -> Iterator[MetricReader]:
    for name in exporters(environ):
        found = list(entry_points(group=ENTRY_POINT_GROUP, name=name))
        if not found:
            log.warn_once(
                f"exporter {name}",
                f"OTEL_METRICS_EXPORTER asks for {name}, which is not installed, so metrics are not sent: "
                'pip install "label-studio-otel[auto]"',
            )
            continue
        try:
            made: Any = found[0].load()()
            yield made if isinstance(made, MetricReader) else PeriodicExportingMetricReader(made)
        except Exception as error:  # an error of an exporter must not stop the bridge
            log.warn_once(f"exporter {name}", f"metrics are not sent by {name}: {log.kind(error)}")


def _resource() -> Resource:
    resource = Resource.create({SERVICE_VERSION: __version__})
    named = str(resource.attributes.get(SERVICE_NAME, "")).partition(":")[0] != "unknown_service"
    return resource if named else resource.merge(Resource({SERVICE_NAME: "label-studio-otel"}))
