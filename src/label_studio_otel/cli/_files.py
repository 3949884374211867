"""The reader of recorded OTLP for commands: it yields document after document and reports those that it cannot read."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Iterator
from typing import BinaryIO

from label_studio_otel.cli._output import print_error
from label_studio_otel.errors import DecodeError
from label_studio_otel.otlp import files as otlp

STANDARD_INPUT = "-"
HELP = (
    "traces and logs: OTLP requests in protobuf or JSON, or lines of the Collector's file exporter; "
    f"{STANDARD_INPUT} is standard input. Several are one input"
)


class Files:
    """The documents of files, in their order; of a file of lines only one line is in memory.

    Args:
        names: paths, or `-` for standard input.
    """

    def __init__(self, names: Iterable[str]) -> None:
        self.names = names
        #: Called with the size of each document in bytes after it was read.
        self.on_read: Callable[[int], object] = lambda _: None
        #: Whether a part could not be read.
        self.failed = False

    def __iter__(self) -> Iterator[otlp.Telemetry]:
        for name in self.names:
            yield from self._file(name)

    def report(self, sentence: str) -> None:
        """Print on standard error what could not be read."""
        self.failed = True
        print_error(f"label-studio-otel: {sentence}")

    def _file(self, name: str) -> Iterator[otlp.Telemetry]:
        try:
            if name == STANDARD_INPUT:
                yield from self._documents(sys.stdin.buffer, "standard input")
            else:
                with open(name, "rb") as stream:
                    yield from self._documents(stream, name)
        except OSError as error:
            self.report(f"{name}: {error.strerror or error}")

    def _documents(self, stream: BinaryIO, source: str) -> Iterator[otlp.Telemetry]:
        for document, where in otlp.documents(stream, source):
            try:
                telemetry = otlp.decode(document, where)
            except DecodeError as error:
                self.report(str(error))
            else:
                if telemetry.unreadable:
                    self.report(f"{where}: {telemetry.unreadable} spans or log records cannot be read")
                yield telemetry
            self.on_read(len(document))
