"""`label-studio-otel serve` as a process that can be killed and started again, always on the same port and state."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from label_studio_otel.cli.demo.label_studio_server import free_port
from support.collector import Daemon

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path


class Bridge(Daemon):
    """Serves OTLP/HTTP while its context lasts.

    Args:
        directory: for its log.
        variables: its settings.
        options: of the command, beside the port.
    """

    def __init__(self, directory: Path, variables: Mapping[str, str], *options: str) -> None:
        port = free_port()
        self.url = f"{'https' if '--tls-cert' in options else 'http'}://127.0.0.1:{port}"
        self._read = 0
        command = [sys.executable, "-m", "label_studio_otel", "serve", "--port", str(port), "--no-grpc"]
        super().__init__(directory, [*command, "--settle", "0.5", *options], variables, self._says_so)

    def start(self) -> None:
        """Return when it serves."""
        self._read = self.log.stat().st_size if self.log.exists() else 0
        super().start()

    def _says_so(self) -> bool:
        return "OTLP is received on" in self.said[self._read :]
