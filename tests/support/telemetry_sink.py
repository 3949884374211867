"""Where a Collector or an application sends: takes OTLP/HTTP in protobuf and keeps it, with the time of its arrival."""

from __future__ import annotations

import time
from typing import Any, NamedTuple

from label_studio_otel.otlp import files as otlp
from support.http_server import Handler, HttpServer


class Arrived(NamedTuple):
    """A span or log record, as `otlp.decode` reads it."""

    #: `time.time()`.
    at: float
    fields: dict[str, Any]


class TelemetrySink(HttpServer):
    """Runs while its context lasts, on a free loopback port.

    Args:
        headers: what each request must have, else it is answered 401 and nothing is kept, as Honeycomb does.
    """

    def __init__(self, **headers: str) -> None:
        super().__init__(_Handler)
        self.spans: list[Arrived] = []
        self.logs: list[Arrived] = []
        #: How many requests had other headers.
        self.refused = 0
        self._headers = {name.replace("_", "-"): value for name, value in headers.items()}

    def take(self, headers: Any, body: bytes) -> int:
        """Keep what a request holds, and return the status of its answer."""
        if any(headers.get(name) != value for name, value in self._headers.items()):
            self.refused += 1
            return 401
        now = time.time()
        found = otlp.decode(body, "a request")
        self.spans += [Arrived(now, fields) for fields in found.spans]
        self.logs += [Arrived(now, fields) for fields in found.logs]
        return 200


class _Handler(Handler):
    owner: TelemetrySink
    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        self.answer(self.owner.take(self.headers, self.body()), "application/x-protobuf")
