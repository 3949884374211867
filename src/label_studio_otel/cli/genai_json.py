"""The JSON of a call for `label-studio-otel convert`: messages have the form of OTel's GenAI conventions.

https://github.com/open-telemetry/semantic-conventions/blob/v1.37.0/docs/gen-ai/gen-ai-input-messages.json and
gen-ai-output-messages.json.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from datetime import datetime, timezone
from typing import Any

from label_studio_otel.calls import assembly
from label_studio_otel.errors import DialectError
from label_studio_otel.generation import (
    BlobPart,
    FilePart,
    Generation,
    Message,
    Part,
    ReasoningPart,
    RefusalPart,
    TextPart,
    ToolCallPart,
    ToolResponsePart,
    UriPart,
)
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
    for call in assembly.calls(assembly.join(spans, logs), unreadable, spans):
        line = call_to_json(call.span, call.dialect, call.generation, call.start_time_unix_nano)
        link = link_to(call.span, trace_link)
        yield {**line, "trace_link": link} if link else line


def call_to_json(
    span: Span, dialect: str, generation: Generation, start_time_unix_nano: int | None = None
) -> dict[str, Any]:
    """Return a call as a JSON object; unknown values are null.

    Args:
        span: the call's span, with its ids and times.
        dialect: name of the dialect that read it.
        generation: the call as the dialect read it.
        start_time_unix_nano: start of the call; None takes that of its span.
    """
    started = span.start_time_unix_nano if start_time_unix_nano is None else start_time_unix_nano
    return {
        "trace_id": span.trace_id,
        "span_id": span.span_id,
        "dialect": dialect,
        "operation": "text_completion" if generation.operation == "text_completion" else "chat",
        "provider": generation.provider,
        "request_model": generation.request_model,
        "response_model": generation.response_model,
        "input": [_message(message) for message in generation.messages],
        "output": [{**_message(one.message), "finish_reason": one.finish_reason} for one in generation.choices],
        "tools": list(tool_names(generation)),
        "usage": {"input_tokens": generation.input_tokens, "output_tokens": generation.output_tokens},
        "session_id": generation.session_id or generation.conversation_id,
        "user_id": generation.user_id,
        "error": generation.error_type or (UNKNOWN_ERROR if generation.error else None),
        "incomplete": list(dict.fromkeys(gap.reason for gap in generation.incomplete)),
        "start_time": _iso(started),
        "duration_ms": max(0, span.end_time_unix_nano - started) / 1e6,
    }


def _message(message: Message) -> dict[str, Any]:
    named = {"name": message.name} if message.name else {}
    return {"role": message.role, **named, "parts": [_part(part) for part in message.parts]}


def _part(part: Part) -> Any:
    match part:
        case TextPart(content):
            return {"type": "text", "content": content}
        case ReasoningPart(content):
            return {"type": "reasoning", "content": content}
        case RefusalPart(content):
            return {"type": "refusal", "content": content}
        case ToolCallPart(name, arguments, identifier):
            # Emitters write a call without arguments as null, "" or {}.
            arguments = {} if arguments is None or arguments == "" else arguments
            return {"type": "tool_call", "id": identifier, "name": name, "arguments": arguments}
        case ToolResponsePart(response, identifier):
            return {"type": "tool_call_response", "id": identifier, "response": response}
        case BlobPart(modality, mime_type, content):
            return {"type": "blob", "modality": modality, "mime_type": mime_type or None, "content": content}
        case UriPart(modality, uri, mime_type):
            return {"type": "uri", "modality": modality, "mime_type": mime_type or None, "uri": uri}
        case FilePart(modality, file_id, mime_type):
            return {"type": "file", "modality": modality, "mime_type": mime_type or None, "file_id": file_id}
        case _:
            return part.raw


def _iso(unix_nano: int) -> str:
    # In integers, as a float cannot hold nanoseconds.
    seconds, rest = divmod(unix_nano, 1_000_000_000)
    moment = datetime.fromtimestamp(seconds, timezone.utc)
    return f"{moment:%Y-%m-%dT%H:%M:%S}.{rest // 1000:06d}Z"
