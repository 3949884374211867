"""Reads files of OTLP: requests in protobuf or JSON, or a request in each line (the Collector's file exporter).

The content shows whether a request has traces or logs. Metrics are not read.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, BinaryIO

from label_studio_otel.errors import DecodeError
from label_studio_otel.otlp import json

_BYTE_ORDER_MARK = b"\xef\xbb\xbf"
#: The tag of field 1, with which every request in protobuf begins that is not empty. It is also a line feed.
_FIELD_1 = b"\n"


@dataclass(frozen=True, slots=True)
class Telemetry:
    """The content of an export request."""

    #: For `Span.from_fields`.
    spans: tuple[dict[str, Any], ...] = ()
    #: For `LogRecord.from_fields`.
    logs: tuple[dict[str, Any], ...] = ()
    #: The number of further spans and log records that cannot be read.
    unreadable: int = 0


def documents(stream: BinaryIO, source: str) -> Iterator[tuple[bytes, str]]:
    """Yield each request of a file with its name for `decode`: the whole file, or its lines where each is JSON.

    A file of lines is read line by line.
    """
    first = stream.readline()
    if not _is_json(first) or first.startswith(_FIELD_1):
        yield first + stream.read(), source
        return
    second = stream.readline()
    if not second:
        yield first, source
    elif _is_document(first):
        for number, line in enumerate(itertools.chain((first, second), stream), 1):
            if line.strip():
                yield line, f"{source}, line {number}"
    else:
        yield first + second + stream.read(), source


def decode(data: bytes, source: str) -> Telemetry:
    """Return the content of one export request.

    Args:
        data: protobuf or JSON.
        source: the name of its origin, for the error.

    Raises:
        DecodeError: the data is not OTLP. The message names the source and quotes nothing of the data.
    """
    # Protobuf first where the data could be both: JSON after an empty line is not valid protobuf.
    if data.startswith(_FIELD_1) or not _is_json(data):
        if (decoded := _decode_protobuf(data)) is not None:
            return decoded
        if not _is_json(data):
            raise DecodeError(f"{source}: neither an OTLP request in protobuf nor JSON")
    try:
        request = json.load(data.removeprefix(_BYTE_ORDER_MARK))
        spans, logs = json.select("traces", request), json.select("logs", request)
    except DecodeError as error:
        raise DecodeError(f"{source}: {error}") from None
    return Telemetry(tuple(spans.items), tuple(logs.items), spans.rejected + logs.rejected)


def _is_json(data: bytes) -> bool:
    return data.removeprefix(_BYTE_ORDER_MARK).lstrip()[:1] in (b"{", b"[")


def _is_document(line: bytes) -> bool:
    try:
        json.load(line)
    except DecodeError:
        return False
    return True


def _decode_protobuf(data: bytes) -> Telemetry | None:
    """Return the content of a request in protobuf, None if it has neither traces nor logs.

    Requests for traces and for logs have the same form except for the single span or record, so both are tried. Read in
    the wrong way, a record becomes a span without valid ids, and a span becomes a record without a time.
    """
    from label_studio_otel.otlp import protobuf  # noqa: PLC0415 - it takes 60 ms to import

    for signal, is_valid in (("traces", _is_span), ("logs", _is_record)):
        try:
            found = protobuf.select(signal, data)
        except DecodeError:
            continue
        if not found.rejected and all(map(is_valid, found.items)):
            items = tuple(found.items)
            return Telemetry(spans=items) if signal == "traces" else Telemetry(logs=items)
    return None


def _is_span(span: dict[str, Any]) -> bool:
    return len(span["traceId"]) == 32 and len(span["spanId"]) == 16


def _is_record(record: dict[str, Any]) -> bool:
    """Return whether this is a log record: it may lack its ids or its times, but not both."""
    ids = (len(record["traceId"]), len(record["spanId"]))
    has_time = record["timeUnixNano"] or record["observedTimeUnixNano"]
    return ids in {(32, 16), (32, 0), (0, 0)} and bool(ids[0] or has_time)
