"""Records of one text each, and what a spool directory holds of them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from label_studio_otel.settings import Destination
from label_studio_otel.spool import record as spool
from label_studio_otel.spool.reader import SpoolFile, spool_files

if TYPE_CHECKING:
    from pathlib import Path

DESTINATION = Destination("Project")


def record(text: str = "hello") -> list[bytes]:
    """Return a record as an application writes it."""
    span = {"traceId": "1" * 32, "spanId": "2" * 16, "startTimeUnixNano": 3, "attributes": {"text": text}}
    return spool.encode(spool.encode_destination(DESTINATION), "{}", span)


def texts(directory: Path) -> list[str]:
    """Return the texts of all records below a directory, in order."""
    found = []
    for path in spool_files(directory):
        with SpoolFile(path) as file:
            for read in file.records(0):
                span = spool.decode(read.payload).span
                assert span is not None
                found.append(span["attributes"]["text"])
    return found
