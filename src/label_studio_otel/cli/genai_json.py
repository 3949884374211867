"""The JSON of a call for `label-studio-otel convert`: messages have the form of OTel's GenAI conventions.

https://github.com/open-telemetry/semantic-conventions/blob/v1.37.0/docs/gen-ai/gen-ai-input-messages.json and
gen-ai-output-messages.json.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from datetime import datetime, timezone
from typing import Any

from label_studio_otel import generation
from label_studio_otel.calls.assembly import Call, calls
from label_studio_otel.calls.log_events import join
from label_studio_otel.errors import DialectError
from label_studio_otel.spans import LogRecord, Span
from label_studio_otel.tasks.metadata import link_to, tool_names

#: Value of `error.type` for an unknown error in the conventions.
UNKNOWN_ERROR = "_OTHER"


def convert(
    spans: Iterable[Span],
    logs: Iterable[LogRecord],
    unreadable: Callable[[Span, DialectError], None],
    trace_link: str | None = None,
) -> Iterator[dict[str, Any]]:
    """Yield each LLM call among these spans, in the order of their start.

    Args:
        spans: of any kind; those that are not LLM calls are skipped.
        logs: log events of these spans.
        unreadable: called for each span of an LLM call that cannot be read.
        trace_link: template of the URL in `trace_link`.
    """
    spans = list(spans)
    for call in calls(join(spans, logs), unreadable, spans):
        line = call_to_json(call)
        link = link_to(call.span, trace_link)
        yield {**line, "trace_link": link} if link else line


def call_to_json(call: Call) -> dict[str, Any]:
    """Return a call as a JSON object; unknown values are null."""
    span, read = call.span, call.generation
    return {
        "trace_id": span.trace_id,
        "span_id": span.span_id,
        "dialect": call.dialect,
        "operation": "text_completion" if read.operation == "text_completion" else "chat",
        "provider": read.provider,
        "request_model": read.request_model,
        "response_model": read.response_model,
        "input": [_message(message) for message in read.messages],
        "output": [{**_message(one.message), "finish_reason": one.finish_reason} for one in read.choices],
        "tools": list(tool_names(read)),
        "usage": {"input_tokens": read.input_tokens, "output_tokens": read.output_tokens},
        "session_id": read.session_id or read.conversation_id,
        "user_id": read.user_id,
        "error": read.error_type or (UNKNOWN_ERROR if read.error else None),
        "incomplete": list(dict.fromkeys(gap.reason for gap in read.incomplete)),
        "start_time": _iso(call.start_time_unix_nano),
        "duration_ms": max(0, span.end_time_unix_nano - call.start_time_unix_nano) / 1e6,
    }


def _message(message: generation.Message) -> dict[str, Any]:
    named = {"name": message.name} if message.name else {}
    return {"role": message.role, **named, "parts": [_part(part) for part in message.parts]}


def _part(part: generation.Part) -> Any:
    match part:
        case generation.TextPart(content):
            return {"type": "text", "content": content}
        case generation.ReasoningPart(content):
            return {"type": "reasoning", "content": content}
        case generation.RefusalPart(content):
            return {"type": "refusal", "content": content}
        case generation.ToolCallPart(name, arguments, identifier):
            # Emitters write a call without arguments as null, "" or {}.
            arguments = {} if arguments is None or arguments == "" else arguments
            return {"type": "tool_call", "id": identifier, "name": name, "arguments": arguments}
        case generation.ToolResponsePart(response, identifier):
            return {"type": "tool_call_response", "id": identifier, "response": response}
        case generation.BlobPart(modality, mime_type, content):
            return {"type": "blob", "modality": modality, "mime_type": mime_type or None, "content": content}
        case generation.UriPart(modality, uri, mime_type):
            return {"type": "uri", "modality": modality, "mime_type": mime_type or None, "uri": uri}
        case generation.FilePart(modality, file_id, mime_type):
            return {"type": "file", "modality": modality, "mime_type": mime_type or None, "file_id": file_id}
        case _:
            return part.raw


def _iso(unix_nano: int) -> str:
    # In integers, as a float cannot hold nanoseconds.
    seconds, rest = divmod(unix_nano, 1_000_000_000)
    moment = datetime.fromtimestamp(seconds, timezone.utc)
    return f"{moment:%Y-%m-%dT%H:%M:%S}.{rest // 1000:06d}Z"
