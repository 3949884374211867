"""Where a Collector or an application sends: takes OTLP/HTTP in protobuf and keeps it, with the time of its arrival."""

from __future__ import annotations

import gzip
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any, NamedTuple

from label_studio_otel.otlp import json as otlp

if TYPE_CHECKING:
    from typing_extensions import Self


class Arrived(NamedTuple):
    """A span or log record, as `otlp.decode` reads it."""

    #: `time.time()`.
    at: float
    fields: dict[str, Any]


class TelemetrySink:
    """Runs while its context lasts, on a free loopback port.

    Args:
        headers: what each request must have, else it is answered 401 and nothing is kept, as Honeycomb does.
    """

    def __init__(self, **headers: str) -> None:
        self.spans: list[Arrived] = []
        self.logs: list[Arrived] = []
        #: How many requests had other headers.
        self.refused = 0
        self._headers = {name.replace("_", "-"): value for name, value in headers.items()}
        self._http = ThreadingHTTPServer(("127.0.0.1", 0), type("Handler", (_Handler,), {"sink": self}))
        self._http.daemon_threads = True
        self._thread = threading.Thread(target=self._http.serve_forever, args=(0.05,), daemon=True)
        self.url = f"http://127.0.0.1:{self._http.server_address[1]}"

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._http.shutdown()
        self._http.server_close()
        self._thread.join()

    def take(self, headers: Any, body: bytes) -> int:
        """Keep what a request holds, and return the status of its answer."""
        if any(headers.get(name) != value for name, value in self._headers.items()):
            self.refused += 1
            return 401
        now = time.time()
        found = otlp.decode(gzip.decompress(body) if headers.get("Content-Encoding") == "gzip" else body, "a request")
        self.spans += [Arrived(now, fields) for fields in found.spans]
        self.logs += [Arrived(now, fields) for fields in found.logs]
        return 200


class _Handler(BaseHTTPRequestHandler):
    sink: TelemetrySink
    protocol_version = "HTTP/1.1"

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the name is the base class's
        """Keep the tests' output quiet."""

    def do_POST(self) -> None:
        status = self.sink.take(self.headers, self.rfile.read(int(self.headers["Content-Length"])))
        self.send_response(status)
        self.send_header("Content-Type", "application/x-protobuf")
        self.send_header("Content-Length", "0")
        self.end_headers()
