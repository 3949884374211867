"""Recorded OTLP as commands read it: one document after the other, and what is wrong is said."""

from __future__ import annotations

import contextlib
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from typing import BinaryIO

    from label_studio_otel.otlp.json import Telemetry

__all__ = ["HELP", "Files"]

STANDARD_INPUT = "-"
HELP = (
    "traces and logs: OTLP requests in protobuf or JSON, or lines of the Collector's file exporter; "
    f"{STANDARD_INPUT} is standard input. Several are one input"
)


class Files:
    """What stands in these files, in their order. A file of lines is never held whole.

    Args:
        names: paths, or `-`.
    """

    def __init__(self, names: Iterable[str]) -> None:
        self._names = names
        #: Called with the bytes of each document when it was read.
        self.on_read: Callable[[int], object] = lambda _: None
        #: True where something could not be read.
        self.failed = False

    def __iter__(self) -> Iterator[Telemetry]:
        for name in self._names:
            yield from self._file(name)

    def say(self, sentence: str) -> None:
        """Name something that could not be read."""
        self.failed = True
        sys.stderr.write(f"label-studio-otel: {sentence}\n")

    def _file(self, name: str) -> Iterator[Telemetry]:
        try:
            with _opened(name) as stream:
                yield from self._documents(stream, "standard input" if name == STANDARD_INPUT else name)
        except OSError as error:
            self.say(f"{name}: {error.strerror or error}")

    def _documents(self, stream: BinaryIO, source: str) -> Iterator[Telemetry]:
        from label_studio_otel.errors import DecodeError
        from label_studio_otel.otlp import json as otlp

        for document, where in otlp.documents(stream, source):
            try:
                telemetry = otlp.decode(document, where)
            except DecodeError as error:
                self.say(str(error))
            else:
                if telemetry.unreadable:
                    self.say(f"{where}: {telemetry.unreadable} spans or log records cannot be read")
                yield telemetry
            self.on_read(len(document))


@contextlib.contextmanager
def _opened(name: str) -> Iterator[BinaryIO]:
    if name == STANDARD_INPUT:
        yield sys.stdin.buffer
    else:
        with open(name, "rb") as stream:
            yield stream
