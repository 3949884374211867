"""The metrics of the receivers: `ReceiverMetrics` holds the numbers, `RECEIVER_METRICS` is the table of instruments.

Names follow the semantic conventions where these have one. An attribute has few values, and a client can choose none of
them: what is not known is left out or is `_OTHER`. Otherwise a client could make as many time series as it likes.
"""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from label_studio_otel.metrics.metric import Values, counter, histogram, up_down_counter
from label_studio_otel.receiver.decoding import DecodedRequest

if TYPE_CHECKING:
    from opentelemetry.metrics import Histogram

HTTP_DURATION = "http.server.request.duration"
RPC_DURATION = "rpc.server.call.duration"
COMMIT_DURATION = "label_studio_otel.commit.duration"
COMMIT_SIZE = "label_studio_otel.commit.size"
#: The boundaries that the semantic conventions recommend.
DURATION_BOUNDARIES_S = (0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1, 2.5, 5, 7.5, 10)
COMMIT_SIZE_BOUNDARIES = (1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000, 5000, 10000)
HTTP_METHODS = ("CONNECT", "DELETE", "GET", "HEAD", "OPTIONS", "PATCH", "POST", "PUT", "TRACE")
#: The gRPC codes that mean a failure of the server.
GRPC_SERVER_ERRORS = ("UNKNOWN", "DEADLINE_EXCEEDED", "UNIMPLEMENTED", "INTERNAL", "UNAVAILABLE", "DATA_LOSS")


class ReceiverMetrics:
    """Numbers since the process began. Any thread may add to them."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        #: Durations and sizes are recorded in these, by name.
        self.histograms: Mapping[str, Histogram] = {}
        #: Number of spans or log records by signal, protocol and kind; a kind is `readable`, `rejected` or `kept`.
        self.items: Counter[tuple[str, str, str]] = Counter()
        #: Bytes of request bodies by protocol.
        self.body_bytes: Counter[str] = Counter()
        #: Returns the number of LLM calls that the settings excluded.
        self.filtered: Callable[[], int] = lambda: 0
        #: Return the open connections, and the bytes of request bodies in memory, by protocol.
        self.connections: Callable[[], Mapping[str, int]] = dict
        self.held: Callable[[], Mapping[str, int]] = dict

    def add_items(self, signal: str, protocol: str, decoded: DecodedRequest) -> None:
        """Add the spans or log records of a request that was answered with success."""
        with self._lock:
            self.items[signal, protocol, "readable"] += decoded.span_count - decoded.rejected
            self.items[signal, protocol, "rejected"] += decoded.rejected
            self.items[signal, protocol, "kept"] += len(decoded.records)

    def add_http_response(self, method: str, route: str | None, status: int, seconds: float, body_bytes: int) -> None:
        """Add a response over HTTP.

        Args:
            route: None for an unknown path.
            body_bytes: the size of the request's body as it was sent.
        """
        with self._lock:
            self.body_bytes["http"] += body_bytes
        attributes: dict[str, Any] = {
            "http.request.method": method if method in HTTP_METHODS else "_OTHER",
            "http.response.status_code": status,
        }
        if route:
            attributes["http.route"] = route
        if status >= 500:
            attributes["error.type"] = str(status)
        self._record(HTTP_DURATION, seconds, attributes)

    def add_grpc_response(self, method: str, code: str, seconds: float, body_bytes: int) -> None:
        """Add a response over gRPC.

        Args:
            method: the service and the method, without a slash before them.
            code: the name of the status code, such as `OK`.
        """
        with self._lock:
            self.body_bytes["grpc"] += body_bytes
        attributes = {"rpc.system.name": "grpc", "rpc.method": method, "rpc.response.status_code": code}
        if code in GRPC_SERVER_ERRORS:
            attributes["error.type"] = code
        self._record(RPC_DURATION, seconds, attributes)

    def add_commit(self, seconds: float, records: int) -> None:
        """Add a commit of so many calls and log events."""
        self._record(COMMIT_DURATION, seconds, {})
        self._record(COMMIT_SIZE, records, {})

    def _record(self, name: str, value: float, attributes: dict[str, Any]) -> None:
        if (found := self.histograms.get(name)) is not None:
            found.record(value, attributes)


def _items(signal: str, *kinds: str) -> Callable[[ReceiverMetrics], Values]:
    """Return a function that reads the numbers of spans or log records of these kinds."""

    def read(metrics: ReceiverMetrics) -> Values:
        for (of, protocol, kind), number in list(metrics.items.items()):
            if of == signal and kind in kinds:
                failure = {"error.type": "rejected"} if kind == "rejected" else {}
                yield number, {"network.protocol.name": protocol, **failure}

    return read


def _by_protocol(numbers: Mapping[str, int]) -> Values:
    return [(number, {"network.protocol.name": protocol}) for protocol, number in list(numbers.items())]


#: Every metric of a receiver, in the order of the documentation.
RECEIVER_METRICS = (
    histogram(
        HTTP_DURATION,
        "s",
        "requests over HTTP, by method, route and status; from the end of the head to the answer",
        DURATION_BOUNDARIES_S,
    ),
    histogram(RPC_DURATION, "s", "requests over gRPC, by method and status", DURATION_BOUNDARIES_S),
    counter(
        "label_studio_otel.receiver.spans",
        "{span}",
        "spans of requests that were answered with success; with `error.type` `rejected`, those that cannot be read",
        _items("traces", "readable", "rejected"),
    ),
    counter(
        "label_studio_otel.receiver.calls", "{call}", "LLM calls among them that were taken", _items("traces", "kept")
    ),
    counter(
        "label_studio_otel.receiver.filtered",
        "{call}",
        "LLM calls among them that settings left out: failed ones, other operations",
        lambda metrics: [(metrics.filtered(), {})],
    ),
    counter(
        "label_studio_otel.receiver.log_records",
        "{record}",
        "log records of requests that were answered with success; with `error.type` `rejected`, those that cannot be "
        "read",
        _items("logs", "readable", "rejected"),
    ),
    counter(
        "label_studio_otel.receiver.events",
        "{event}",
        "log events among them that were kept for their calls",
        _items("logs", "kept"),
    ),
    counter(
        "label_studio_otel.receiver.size",
        "By",
        "bytes of requests, over HTTP as they were sent, over gRPC decompressed",
        lambda metrics: _by_protocol(metrics.body_bytes),
    ),
    up_down_counter(
        "label_studio_otel.receiver.held",
        "By",
        "bytes of requests that are under way",
        lambda metrics: _by_protocol(metrics.held()),
    ),
    up_down_counter(
        "label_studio_otel.receiver.connections",
        "{connection}",
        "connections over HTTP",
        lambda metrics: _by_protocol(metrics.connections()),
    ),
    histogram(COMMIT_DURATION, "s", "how long the disk took to make safe what requests brought", DURATION_BOUNDARIES_S),
    histogram(COMMIT_SIZE, "{record}", "calls and log events in one commit", COMMIT_SIZE_BOUNDARIES),
)
