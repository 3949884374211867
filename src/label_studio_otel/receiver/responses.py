"""What an OTLP/HTTP receiver answers: empty or partial success, and `google.rpc.Status`, in the request's encoding.

https://github.com/googleapis/googleapis/blob/master/google/rpc/status.proto and error_details.proto; the few fields are
written by hand, as their Python package is one more that could not go together with an application's.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from label_studio_otel.receiver.http import Response

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["JSON", "PROTOBUF", "error", "retry_later", "success"]

PROTOBUF = "application/x-protobuf"
JSON = "application/json"
#: google.rpc.Code by HTTP status.
#: https://github.com/googleapis/googleapis/blob/master/google/rpc/code.proto
CODES = {400: 3, 401: 16, 403: 7, 404: 5, 405: 12, 408: 4, 413: 8, 415: 3, 431: 8, 500: 13, 503: 14}
UNKNOWN = 2
#: What a partial success calls those that were left out, and their field number.
REJECTED = {"traces": ("rejectedSpans", "spans"), "logs": ("rejectedLogRecords", "log records")}
_BAD_REQUEST = "type.googleapis.com/google.rpc.BadRequest"
_RETRY_INFO = "type.googleapis.com/google.rpc.RetryInfo"


def success(signal: str, *, is_json: bool, rejected: int = 0) -> Response:
    """Return the answer to a request that was taken, but for so many spans or log records."""
    if not rejected:
        return Response(200, JSON, b"{}") if is_json else Response(200, PROTOBUF)
    name, things = REJECTED[signal]
    message = f"{rejected} {things} cannot be read, or have no valid ids"
    if is_json:
        return _json(200, {"partialSuccess": {name: str(rejected), "errorMessage": message}})
    partial = b"\x08" + _varint(rejected) + _text(2, message)
    return Response(200, PROTOBUF, _message(1, partial))


def error(code: int, message: str, *, is_json: bool, headers: Mapping[str, str] | None = None) -> Response:
    """Return an error; what is wrong with a bad request stands in its details too."""
    number = CODES.get(code, UNKNOWN)
    if is_json:
        details = [{"@type": _BAD_REQUEST, "fieldViolations": [{"description": message}]}] if code == 400 else []
        return _json(code, {"code": number, "message": message, **({"details": details} if details else {})}, headers)
    body = b"\x08" + _varint(number) + _text(2, message)
    if code == 400:
        violation = _message(1, _text(2, message))
        body += _message(3, _text(1, _BAD_REQUEST) + _message(2, violation))
    return Response(code, PROTOBUF, body, headers or {})


def retry_later(message: str, seconds: int) -> tuple[bytes, bytes]:
    """Return the `google.rpc.Status` of UNAVAILABLE and the `RetryInfo` that it holds, in protobuf."""
    info = _message(1, b"\x08" + _varint(seconds))
    details = _text(1, _RETRY_INFO) + _message(2, info)
    return b"\x08" + _varint(CODES[503]) + _text(2, message) + _message(3, details), info


def _json(code: int, value: Any, headers: Mapping[str, str] | None = None) -> Response:
    return Response(code, JSON, json.dumps(value).encode(), headers or {})


def _varint(number: int) -> bytes:
    found = bytearray()
    while number > 0x7F:
        found.append(number & 0x7F | 0x80)
        number >>= 7
    found.append(number)
    return bytes(found)


def _message(field: int, value: bytes) -> bytes:
    return bytes([field << 3 | 2]) + _varint(len(value)) + value


def _text(field: int, value: str) -> bytes:
    return _message(field, value.encode())
