"""The spool: append-only files in which an application's process keeps the spans it took.

A file is a run of records, each written with one system call::

    ┌───────┬─────────┬──────────┬───────┐┌───────────────┬──────────────┬─────────┬─────┐
    │ "LSO" │ version │  length  │ CRC32 ││ header length │ header, JSON │ texts …       │
    │ 3     │ 1       │  4       │ 4     ││ 4             │              │               │
    └───────┴─────────┴──────────┴───────┘└───────────────┴──────────────┴───────────────┘
      frame                                 payload, `length` bytes, what the CRC covers

The header holds the destination, the resource and the span; attributes longer than `LONG` stand behind it as plain
UTF-8. That is what makes a 5 MB prompt cost milliseconds in the application's thread instead of tens of them: JSON
has to look at every character, a copy does not. Whole files are sent away only after their writer has let go of the
file's lock, so nothing is read as finished that may still grow.

Every version begins its records with this frame. Who meets a higher version than its own leaves the file where it is.
"""

from __future__ import annotations

import base64
import dataclasses
import json
import os
import struct
import zlib
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from label_studio_otel.errors import SpoolError
from label_studio_otel.settings import Destination

if TYPE_CHECKING:
    from pathlib import Path

__all__ = [
    "FRAME",
    "MAGIC",
    "PREFIX",
    "SUFFIX",
    "VERSION",
    "Record",
    "decode",
    "encode",
    "encode_destination",
    "encode_log",
    "encode_retry",
    "frame",
    "key_of",
    "size_of",
    "to_json",
]

SUFFIX = ".spool"
PREFIX = b"LSO"
VERSION = 1
MAGIC = PREFIX + bytes([VERSION])
FRAME = struct.Struct("<4sII")
LONG = 512
_HEADER = struct.Struct("<I")


@dataclasses.dataclass(frozen=True, slots=True)
class Record:
    """One record: a span and where it goes, a log event of one, or an operator's wish."""

    destination: Destination | None = None
    #: As `spans.fields_of` gave it, with its resource.
    span: Mapping[str, Any] | None = None
    #: A log event in OTLP's names (`spans.LogRecord.from_fields`); it goes where its span goes.
    log: Mapping[str, Any] | None = None
    #: Parked items of this server shall be sent again.
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
                try:
                    size += entry.stat().st_size
                except FileNotFoundError:
                    continue  # delivered in the meantime
    return size


def to_json(value: Any) -> str:
    """Return JSON that keeps every string as it is, lone surrogates too; bytes become OTLP's `bytesValue`."""
    try:
        return _to_json(value)
    except ValueError:
        return _to_json(_writable(value))


def _writable(value: Any) -> Any:
    """Return the value with hexadecimal text for each integer that is longer than Python writes in decimal."""
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


def _foreign(value: Any) -> Any:
    if isinstance(value, (bytes, bytearray)):
        return {"bytesValue": base64.b64encode(value).decode()}
    return list(value) if isinstance(value, (tuple, set, frozenset)) else str(value)


# Nothing that the SDK keeps holds itself, and the check for that is a tenth of the time.
_to_json = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"), default=_foreign, check_circular=False).encode


def encode_destination(destination: Destination) -> str:
    """Return the destination as JSON, for `encode`; made once per destination."""
    return to_json({one.name: getattr(destination, one.name) for one in dataclasses.fields(destination)})


def encode(destination: str, resource: str, fields: Mapping[str, Any]) -> list[bytes]:
    """Return a span's record as buffers for one gathering write.

    Args:
        destination: JSON of where it goes.
        resource: JSON of the resource's attributes.
        fields: what `spans.fields_of` gave; it is not changed.
    """
    long: list[tuple[str, int]] = []
    texts: list[bytes] = []
    short: dict[str, Any] = {}
    for name, value in fields["attributes"].items():
        if type(value) is str and len(value) > LONG:
            text = value.encode("utf-8", "surrogatepass")
            long.append((name, len(text)))
            texts.append(text)
        else:
            short[name] = value
    span = to_json({**fields, "attributes": short})
    return _framed(f'{{"destination":{destination},"resource":{resource},"long":{to_json(long)},"span":{span}}}', texts)


def encode_log(resource: str, fields: Mapping[str, Any]) -> list[bytes]:
    """Return a log event's record as buffers for one gathering write.

    Args:
        resource: JSON of the resource's attributes.
        fields: by OTLP's JSON names, attributes and body as plain values.
    """
    return _framed(f'{{"resource":{resource},"log":{to_json(fields)}}}', [])


def encode_retry() -> list[bytes]:
    """Return the record that asks whoever delivers to send parked items again."""
    return _framed('{"retry":true}', [])


def key_of(span: Mapping[str, Any]) -> str:
    """Return what tells a call from all others; span ids alone repeat, wherever a program seeds its random numbers."""
    return f"{span['traceId']}:{span['spanId']}:{span['startTimeUnixNano']}"


def frame(payload: bytes) -> bytes:
    """Return the record of a payload that was read."""
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
    """Read a payload again.

    Raises:
        SpoolError: the payload is not one that `encode` made.
    """
    try:
        (size,) = _HEADER.unpack_from(payload)
        position = _HEADER.size + size
        header = json.loads(payload[_HEADER.size : position].decode("utf-8", "surrogatepass"))
        if header.get("retry"):
            return Record(retry=True)
        if "log" in header:
            log = {**header["log"], "resource": header["resource"]}
            _ = log["traceId"], log["spanId"]  # as below
            return Record(log=log)
        span = header["span"]
        key_of(span)  # what cannot be told apart cannot be delivered once
        span["resource"] = header["resource"]
        for name, length in header["long"]:
            span["attributes"][name] = payload[position : position + length].decode("utf-8", "surrogatepass")
            position += length
        return Record(Destination(**header["destination"]), span)
    except (ValueError, KeyError, TypeError, AttributeError, struct.error) as error:
        # Only the kind: a UnicodeDecodeError shows the bytes that it met.
        raise SpoolError(f"a record of {len(payload)} bytes cannot be read: {type(error).__name__}") from error
