"""A request in protobuf as OTLP/JSON, by protobuf's own means."""

from __future__ import annotations

import base64
import json
from typing import Any

from google.protobuf import json_format
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from label_studio_otel.otlp import files as otlp


def json_of(body: bytes) -> bytes:
    """Return a request of traces or logs as JSON."""
    kind = ExportTraceServiceRequest if otlp.decode(body, "request").spans else ExportLogsServiceRequest
    return json.dumps(_with_hexadecimal_ids(json_format.MessageToDict(kind.FromString(body)))).encode()


def _with_hexadecimal_ids(value: Any) -> Any:
    if isinstance(value, dict):
        return {
            key: base64.b64decode(item).hex()
            if key.lower().endswith(("traceid", "spanid"))
            else _with_hexadecimal_ids(item)
            for key, item in value.items()
        }
    return [_with_hexadecimal_ids(item) for item in value] if isinstance(value, list) else value
