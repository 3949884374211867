"""Makes the responses of the receivers: success, partial success, and errors as `google.rpc.Status`.

A response has the encoding of its request, protobuf or JSON.
https://github.com/open-telemetry/opentelemetry-proto/blob/v1.9.0/docs/specification.md#otlphttp-response
"""

from __future__ import annotations

import asyncio
import concurrent.futures
from collections.abc import Mapping
from typing import Any

from google.protobuf import json_format
from google.rpc import code_pb2
from google.rpc.error_details_pb2 import BadRequest, RetryInfo
from google.rpc.status_pb2 import Status
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceResponse
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceResponse

from label_studio_otel import log
from label_studio_otel.errors import DecodeError, OutboxError, RequestTooLarge
from label_studio_otel.receiver.http import Response

PROTOBUF = "application/x-protobuf"
JSON = "application/json"
#: Seconds that a request waits for its commit; then its response is 503. Python's exporters wait ten seconds in all,
#: their retries included.
RESPONSE_TIMEOUT_S = 8.0
#: Seconds after which a client should send a request again that was answered 503 (`Retry-After`).
RETRY_AFTER_S = 5
OUTBOX_UNUSABLE = "nothing can be taken now; the log of label-studio-otel says why"
#: The gRPC code, by HTTP status.
CODES = {
    400: code_pb2.INVALID_ARGUMENT,
    401: code_pb2.UNAUTHENTICATED,
    403: code_pb2.PERMISSION_DENIED,
    404: code_pb2.NOT_FOUND,
    405: code_pb2.UNIMPLEMENTED,
    408: code_pb2.DEADLINE_EXCEEDED,
    413: code_pb2.RESOURCE_EXHAUSTED,
    415: code_pb2.INVALID_ARGUMENT,
    431: code_pb2.RESOURCE_EXHAUSTED,
    500: code_pb2.INTERNAL,
    503: code_pb2.UNAVAILABLE,
}


def success(signal: str, *, is_json: bool, rejected: int = 0) -> Response:
    """Return the response to a request that was accepted, except `rejected` of its spans or log records."""
    if not rejected:
        return Response(200, JSON, b"{}") if is_json else Response(200, PROTOBUF)
    reason = "cannot be read, or have no valid ids"
    message: Any
    if signal == "traces":
        message = ExportTraceServiceResponse()
        message.partial_success.rejected_spans = rejected
        message.partial_success.error_message = f"{rejected} spans {reason}"
    else:
        message = ExportLogsServiceResponse()
        message.partial_success.rejected_log_records = rejected
        message.partial_success.error_message = f"{rejected} log records {reason}"
    return _response(200, message, is_json=is_json)


def error(status: int, message: str, *, is_json: bool, headers: Mapping[str, str] | None = None) -> Response:
    """Return the response of an error. For a bad request (400) OTLP requires the message in the details too."""
    body = Status(code=CODES.get(status, code_pb2.UNKNOWN), message=message)
    if status == 400:
        body.details.add().Pack(BadRequest(field_violations=[{"description": message}]))
    return _response(status, body, is_json=is_json, headers=headers)


def status_of(failure: Exception) -> tuple[int, str]:
    """Return the HTTP status and the message of the response to a request that failed."""
    if isinstance(failure, RequestTooLarge):
        return 413, str(failure)
    if isinstance(failure, DecodeError):
        return 400, str(failure)
    if isinstance(failure, (asyncio.TimeoutError, concurrent.futures.TimeoutError)):
        return 503, "the disk is slow; what was sent is not known to be safe"
    if isinstance(failure, OutboxError):
        return 503, OUTBOX_UNUSABLE
    # An error of ours: the same request would fail again.
    log.warn_once("request", f"a request could not be taken: {log.kind(failure)}")
    return 500, "an error in label-studio-otel"


def retry_later(message: str) -> tuple[bytes, bytes]:
    """Return a `Status` of UNAVAILABLE in protobuf, and the `RetryInfo` in its details, for the trailers of gRPC."""
    info = RetryInfo(retry_delay={"seconds": RETRY_AFTER_S})
    status = Status(code=code_pb2.UNAVAILABLE, message=message)
    status.details.add().Pack(info)
    return status.SerializeToString(), info.SerializeToString()


def _response(status: int, message: Any, *, is_json: bool, headers: Mapping[str, str] | None = None) -> Response:
    if is_json:
        return Response(status, JSON, json_format.MessageToJson(message, indent=None).encode(), headers or {})
    return Response(status, PROTOBUF, message.SerializeToString(), headers or {})
