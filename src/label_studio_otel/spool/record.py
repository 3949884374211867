"""The form of spool files and of the records in them.

A file is a run of records, each written with one system call::

    ┌───────┬─────────┬──────────┬───────┐┌───────────────┬──────────────┬─────────┬─────┐
    │ "LSO" │ version │  length  │ CRC32 ││ header length │ header, JSON │ texts …       │
    │ 3     │ 1       │  4       │ 4     ││ 4             │              │               │
    └───────┴─────────┴──────────┴───────┘└───────────────┴──────────────┴───────────────┘
      frame                                 payload, `length` bytes, what the CRC covers

The header holds the destination, the resource and the span. Attributes that are longer than `MAX_HEADER_TEXT` stand
behind it as plain UTF-8: JSON has to look at every character and a copy does not, so a prompt of 5 MB costs the
application's thread milliseconds instead of tens of them. A writer holds a lock on its file, and a file is finished
only once that lock is free.

Every version of this package begins its records with this frame. A reader leaves a file with records of a higher
version where it is.
"""

from __future__ import annotations

import base64
import contextlib
import dataclasses
import json
import os
import struct
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from label_studio_otel.errors import SpoolError
from label_studio_otel.settings import Destination

SUFFIX = ".spool"
PREFIX = b"LSO"
VERSION = 1
MAGIC = PREFIX + bytes([VERSION])
FRAME = struct.Struct("<4sII")
#: Characters of a text that stands in the header.
MAX_HEADER_TEXT = 512
_HEADER = struct.Struct("<I")


@dataclasses.dataclass(frozen=True, slots=True)
class Record:
    """One record: a span with its destination, a log event, or a request to send parked items again."""

    destination: Destination | None = None
    #: By `spans.fields_of`, with its resource.
    span: Mapping[str, Any] | None = None
    #: By `spans.log_fields_of`, with its resource. A log event goes to the destination of its span.
    log: Mapping[str, Any] | None = None
    #: True for a request to send the parked items of this server again.
    retry: bool = False


def size_of(directory: Path) -> int:
    """Return how many bytes the spool files of a directory hold.

    Raises:
        OSError: the directory cannot be read.
    """
    size = 0
    with os.scandir(directory) as entries:
        for entry in entries:
            if entry.name.endswith(SUFFIX):
                with contextlib.suppress(FileNotFoundError):  # its deliverer removed it in the meantime
                    size += entry.stat().st_size
    return size


def to_json(value: Any) -> str:
    """Return JSON that keeps all strings, with lone surrogates; bytes become OTLP's `bytesValue`."""
    try:
        return _to_json(value)
    except ValueError:
        return _to_json(_writable(value))


def _writable(value: Any) -> Any:
    """Return the value with hexadecimal text in place of integers that are too long for Python to write in decimal."""
    if isinstance(value, Mapping):
        return {name: _writable(inner) for name, inner in value.items()}
    if isinstance(value, (list, tuple, set, frozenset)):
        return [_writable(inner) for inner in value]
    if isinstance(value, int):
        try:
            str(value)
        except ValueError:
            return hex(value)
    return value


def _json_form(value: Any) -> Any:
    """Return what JSON can hold in place of a value: an object for bytes, a list for a tuple or set, else a text."""
    if isinstance(value, (bytes, bytearray)):
        return {"bytesValue": base64.b64encode(value).decode()}
    return list(value) if isinstance(value, (tuple, set, frozenset)) else str(value)


# No value of the SDK contains itself, and the check for that takes a tenth of the time.
_to_json = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"), default=_json_form, check_circular=False).encode


def encode_destination(destination: Destination) -> str:
    """Return the destination as JSON, for `encode`."""
    return to_json({one.name: getattr(destination, one.name) for one in dataclasses.fields(destination)})


def encode(destination: str, resource: str, fields: Mapping[str, Any]) -> list[bytes]:
    """Return a span's record as buffers, which one `os.writev` writes one after the other.

    Args:
        destination: as JSON, by `encode_destination`.
        resource: its attributes as JSON.
        fields: by `spans.fields_of`; they are not changed.
    """
    long: list[tuple[str, int]] = []
    texts: list[bytes] = []
    short: dict[str, Any] = {}
    for name, value in fields["attributes"].items():
        if type(value) is str and len(value) > MAX_HEADER_TEXT:
            text = value.encode("utf-8", "surrogatepass")
            long.append((name, len(text)))
            texts.append(text)
        else:
            short[name] = value
    span = to_json({**fields, "attributes": short})
    return _framed(f'{{"destination":{destination},"resource":{resource},"long":{to_json(long)},"span":{span}}}', texts)


def encode_log(resource: str, fields: Mapping[str, Any]) -> list[bytes]:
    """Return a log event's record as buffers, of its resource's attributes as JSON and `spans.log_fields_of`."""
    return _framed(f'{{"resource":{resource},"log":{to_json(fields)}}}', [])


def encode_retry() -> list[bytes]:
    """Return the record of a request to send parked items again."""
    return _framed('{"retry":true}', [])


def key_of(span: Mapping[str, Any]) -> str:
    """Return the key of a call. Its start is part of it: a program that seeds `random` repeats its span ids."""
    return f"{span['traceId']}:{span['spanId']}:{span['startTimeUnixNano']}"


def frame(payload: bytes) -> bytes:
    """Return a payload with its frame: the whole record."""
    return FRAME.pack(MAGIC, len(payload), zlib.crc32(payload)) + payload


def _framed(header: str, texts: list[bytes]) -> list[bytes]:
    head = header.encode("utf-8", "surrogatepass")
    first = _HEADER.pack(len(head)) + head
    crc = zlib.crc32(first)
    length = len(first)
    for text in texts:
        crc = zlib.crc32(text, crc)
        length += len(text)
    return [FRAME.pack(MAGIC, length, crc) + first, *texts]


def decode(payload: bytes) -> Record:
    """Return the record of a payload.

    Raises:
        SpoolError: no function of this module made it.
    """
    try:
        (size,) = _HEADER.unpack_from(payload)
        position = _HEADER.size + size
        header = json.loads(payload[_HEADER.size : position].decode("utf-8", "surrogatepass"))
        if header.get("retry"):
            return Record(retry=True)
        if "log" in header:
            log = {**header["log"], "resource": header["resource"]}
            _ = log["traceId"], log["spanId"]  # an event without them has no span
            return Record(log=log)
        span = header["span"]
        key_of(span)  # a call without a key cannot be delivered once
        span["resource"] = header["resource"]
        for name, length in header["long"]:
            span["attributes"][name] = payload[position : position + length].decode("utf-8", "surrogatepass")
            position += length
        return Record(Destination(**header["destination"]), span)
    except (ValueError, KeyError, TypeError, AttributeError, struct.error) as error:
        # Only the type: the text of a UnicodeDecodeError shows the bytes.
        raise SpoolError(f"a record of {len(payload)} bytes cannot be read: {type(error).__name__}") from error
