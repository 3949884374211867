"""The servers that the benchmark's processes talk to, each in a process of its own: `python servers.py NAME [PORT]`.

`label-studio` answers as Label Studio does, at once; `forgetting` does too and keeps nothing but the last task; `otlp`
takes what it gets. The first line printed is the URL.
"""

from __future__ import annotations

import os
import subprocess
import sys
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["running"]


@contextmanager
def running(name: str, *port: int) -> Iterator[str]:
    """Run a server while the context lasts; yields its URL."""
    command = [sys.executable, str(Path(__file__)), name, *map(str, port)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        try:
            yield process.stdout.readline().strip()
        finally:
            process.stdin.close()
            process.wait()


class _Sink(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        """Take a batch of spans."""
        self.rfile.read(int(self.headers.get("Content-Length") or 0))
        self.send_response(200)
        self.send_header("Content-Type", "application/x-protobuf")
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the name is the base class's
        """Print nothing."""


def _serve_otlp() -> None:
    import threading

    server = ThreadingHTTPServer(("127.0.0.1", 0), _Sink)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, daemon=True).start()
    print(f"http://127.0.0.1:{server.server_address[1]}", flush=True)
    sys.stdin.read()


def _serve_label_studio() -> None:
    from label_studio_otel.testing import FakeLabelStudio

    with FakeLabelStudio() as server:
        print(server.url, flush=True)
        sys.stdin.read()


def _serve_forgetting() -> None:
    from label_studio_otel.testing import FakeLabelStudio

    class Forgetting(FakeLabelStudio):
        def carry_out(self, *arguments: Any) -> tuple[int, Any]:
            answer = super().carry_out(*arguments)
            self.requests.clear()
            self.store.tasks = dict(list(self.store.tasks.items())[-1:])
            return answer

    with Forgetting(port=int(sys.argv[2])) as server:
        print(server.url, flush=True)
        sys.stdin.read()


if __name__ == "__main__":
    if hasattr(os, "nice"):
        os.nice(19)  # it stands for another machine, and shall not take the processor from what is measured
    serve = {"otlp": _serve_otlp, "label-studio": _serve_label_studio, "forgetting": _serve_forgetting}
    serve[sys.argv[1]]()
