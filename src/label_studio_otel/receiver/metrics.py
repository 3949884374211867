"""What receivers met, as metrics: the documentation's table is made from the one in here.

Names follow the semantic conventions where they have one. Labels have few values, and none that a client could choose:
what is not known is left out or `_OTHER`.
"""

from __future__ import annotations

import threading
from collections import Counter
from typing import TYPE_CHECKING, Any

from label_studio_otel.metrics.metric import Metric

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from opentelemetry.metrics import Histogram

    from label_studio_otel.calls.selection import Selection
    from label_studio_otel.receiver.decoding import Read
    from label_studio_otel.receiver.http import HttpServer
    from label_studio_otel.receiver.otlp_grpc import OtlpGrpc

__all__ = ["TRAFFIC_METRICS", "Traffic"]

HTTP_DURATION = "http.server.request.duration"
RPC_DURATION = "rpc.server.call.duration"
COMMIT_DURATION = "label_studio_otel.commit.duration"
COMMIT_SIZE = "label_studio_otel.commit.size"
#: Those that the semantic conventions ask for.
BOUNDARIES = (0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1, 2.5, 5, 7.5, 10)
SIZES = (1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000, 5000, 10000)
METHODS = ("CONNECT", "DELETE", "GET", "HEAD", "OPTIONS", "PATCH", "POST", "PUT", "TRACE")
#: Codes of gRPC that are the server's fault.
FAULTS = ("UNKNOWN", "DEADLINE_EXCEEDED", "UNIMPLEMENTED", "INTERNAL", "UNAVAILABLE", "DATA_LOSS")


class Traffic:
    """Numbers since the process began; any thread may add to them."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._histograms: Mapping[str, Histogram] = {}
        #: By signal, protocol, and what they are: `received`, `rejected`, `taken`.
        self.items: Counter[tuple[str, str, str]] = Counter()
        #: By protocol: bytes of bodies.
        self.bytes: Counter[str] = Counter()
        self._watched: tuple[Selection, HttpServer, OtlpGrpc] | None = None

    def watch(self, selection: Selection, http: HttpServer, grpc: OtlpGrpc) -> None:
        """Read from these too what they count themselves."""
        self._watched = (selection, http, grpc)

    @property
    def filtered(self) -> int:
        """LLM calls that settings left out."""
        return self._watched[0].filtered if self._watched else 0

    @property
    def connections(self) -> dict[str, int]:
        """Connections that are open, by protocol; gRPC does not tell."""
        return {"http": self._watched[1].connections} if self._watched else {}

    @property
    def held(self) -> dict[str, int]:
        """Bytes of bodies that are held, by protocol."""
        return {"http": self._watched[1].held, "grpc": self._watched[2].held} if self._watched else {}

    def record_in(self, histograms: Mapping[str, Histogram]) -> None:
        """Record what takes time in these histograms, by name, from now on."""
        self._histograms = histograms

    def took(self, signal: str, protocol: str, found: Read) -> None:
        """Note what a request brought that was answered with success."""
        with self._lock:
            self.items[signal, protocol, "received"] += found.received - found.rejected
            self.items[signal, protocol, "rejected"] += found.rejected
            self.items[signal, protocol, "taken"] += len(found.records)

    def answered_http(self, method: str, route: str | None, status: int, seconds: float, size: int) -> None:
        """Note an answer.

        Args:
            route: None for a path that is not known.
            size: bytes of the request's body, as it was sent.
        """
        with self._lock:
            self.bytes["http"] += size
        attributes: dict[str, Any] = {
            "http.request.method": method if method in METHODS else "_OTHER",
            "http.response.status_code": status,
        }
        if route:
            attributes["http.route"] = route
        if status >= 500:
            attributes["error.type"] = str(status)
        self._record(HTTP_DURATION, seconds, attributes)

    def answered_grpc(self, method: str, code: str, seconds: float, size: int) -> None:
        """Note an answer.

        Args:
            method: with its service, without a slash before it.
            code: such as `OK`.
        """
        with self._lock:
            self.bytes["grpc"] += size
        attributes = {"rpc.system.name": "grpc", "rpc.method": method, "rpc.response.status_code": code}
        if code in FAULTS:
            attributes["error.type"] = code
        self._record(RPC_DURATION, seconds, attributes)

    def committed(self, seconds: float, records: int) -> None:
        """Note a commit."""
        self._record(COMMIT_DURATION, seconds, {})
        self._record(COMMIT_SIZE, records, {})

    def _record(self, name: str, value: float, attributes: dict[str, Any]) -> None:
        if (histogram := self._histograms.get(name)) is not None:
            histogram.record(value, attributes)


def _items(signal: str) -> Callable[[Traffic], Iterator[tuple[float, dict[str, Any]]]]:
    """Return what reads how many came, and how many of them could not be read."""

    def read(traffic: Traffic) -> Iterator[tuple[float, dict[str, Any]]]:
        for (of, protocol, what), number in list(traffic.items.items()):
            if of == signal and what != "taken":
                failure = {"error.type": "rejected"} if what == "rejected" else {}
                yield number, {"network.protocol.name": protocol, **failure}

    return read


def _taken(signal: str) -> Callable[[Traffic], Iterator[tuple[float, dict[str, Any]]]]:
    def read(traffic: Traffic) -> Iterator[tuple[float, dict[str, Any]]]:
        for (of, protocol, what), number in list(traffic.items.items()):
            if of == signal and what == "taken":
                yield number, {"network.protocol.name": protocol}

    return read


def _by_protocol(
    numbers: Callable[[Traffic], Mapping[str, int]],
) -> Callable[[Traffic], Iterator[tuple[float, dict[str, Any]]]]:
    def read(traffic: Traffic) -> Iterator[tuple[float, dict[str, Any]]]:
        for protocol, number in list(numbers(traffic).items()):
            yield number, {"network.protocol.name": protocol}

    return read


def _filtered(traffic: Traffic) -> Iterator[tuple[float, dict[str, Any]]]:
    yield traffic.filtered, {}


#: Every metric of a receiver, in the order of the documentation.
TRAFFIC_METRICS = (
    Metric(
        HTTP_DURATION,
        "histogram",
        "s",
        "requests over HTTP, by method, route and status; from the end of the head to the answer",
        boundaries=BOUNDARIES,
    ),
    Metric(
        RPC_DURATION,
        "histogram",
        "s",
        "requests over gRPC, by method and status",
        boundaries=BOUNDARIES,
    ),
    Metric(
        "label_studio_otel.receiver.spans",
        "counter",
        "{span}",
        "spans of requests that were answered with success; with `error.type` `rejected`, those that cannot be read",
        _items("traces"),
    ),
    Metric(
        "label_studio_otel.receiver.calls",
        "counter",
        "{call}",
        "LLM calls among them that were taken",
        _taken("traces"),
    ),
    Metric(
        "label_studio_otel.receiver.filtered",
        "counter",
        "{call}",
        "LLM calls among them that settings left out: failed ones, other operations",
        _filtered,
    ),
    Metric(
        "label_studio_otel.receiver.log_records",
        "counter",
        "{record}",
        "log records of requests that were answered with success; with `error.type` `rejected`, those that cannot be "
        "read",
        _items("logs"),
    ),
    Metric(
        "label_studio_otel.receiver.events",
        "counter",
        "{event}",
        "log events among them that were kept for their calls",
        _taken("logs"),
    ),
    Metric(
        "label_studio_otel.receiver.size",
        "counter",
        "By",
        "bytes of requests, over HTTP as they were sent, over gRPC decompressed",
        _by_protocol(lambda traffic: traffic.bytes),
    ),
    Metric(
        "label_studio_otel.receiver.held",
        "up-down counter",
        "By",
        "bytes of requests that are under way",
        _by_protocol(lambda traffic: traffic.held),
    ),
    Metric(
        "label_studio_otel.receiver.connections",
        "up-down counter",
        "{connection}",
        "connections over HTTP",
        _by_protocol(lambda traffic: traffic.connections),
    ),
    Metric(
        COMMIT_DURATION,
        "histogram",
        "s",
        "how long the disk took to make safe what requests brought",
        boundaries=BOUNDARIES,
    ),
    Metric(
        COMMIT_SIZE,
        "histogram",
        "{record}",
        "calls and log events in one commit",
        boundaries=SIZES,
    ),
)
