"""`span` returns the span of a sample LLM call, as an instrumentation writes it, for tests and for `setup`."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from label_studio_otel.spans import Span

#: 2026-01-01T00:00:00Z
START_TIME = 1767225600_000_000_000


def span(
    prompt: str | Sequence[Mapping[str, Any]] = "Say hello.",
    response: str | Sequence[str] = "Hello!",
    *,
    number: int = 1,
    operation: str = "chat",
    model: str = "gpt-4o-mini",
    system: str | None = None,
    attributes: Mapping[str, Any] | None = None,
    **fields: Any,
) -> Span:
    """Return the span of an LLM call as opentelemetry-instrumentation-langchain 0.62.4 writes it.

    Args:
        prompt: the user's message, or all messages in the format of `gen_ai.input.messages`.
        response: the answer, or the answers of all choices.
        number: the trace id and the span id; spans of different numbers are different calls.
        operation: chat or text_completion.
        model: the request model; the response model of a chat has a date appended.
        attributes: further attributes; they replace those of the same name.
        fields: any fields of `Span`.
    """
    chat = operation == "chat"
    messages = [_message("user", prompt)] if isinstance(prompt, str) else prompt
    choices = (_message("assistant", text) for text in ([response] if isinstance(response, str) else response))
    content: dict[str, Any] = {
        "gen_ai.provider.name": "openai",
        "gen_ai.operation.name": operation,
        "gen_ai.request.model": model,
        "gen_ai.input.messages": json.dumps(messages),
        "gen_ai.response.model": f"{model}-2026-01-15" if chat else model,
        "gen_ai.usage.input_tokens": 12,
        "gen_ai.usage.output_tokens": 34,
        "gen_ai.usage.total_tokens": 46,
        "gen_ai.output.messages": json.dumps([{**choice, "finish_reason": "stop"} for choice in choices]),
        "gen_ai.response.finish_reasons": ("stop",),
    }
    if chat:
        content["gen_ai.response.id"] = f"chatcmpl-{number}"
    if system is not None:
        content["gen_ai.system_instructions"] = json.dumps([{"type": "text", "content": system}])
    defaults: dict[str, Any] = {
        "trace_id": f"{number:032x}",
        "span_id": f"{number:016x}",
        "name": "ChatOpenAI.chat" if chat else "OpenAI.completion",
        "kind": "CLIENT",
        "start_time_unix_nano": START_TIME,
        "end_time_unix_nano": START_TIME + 1_500_000_000,
        "resource": {"service.name": "test-app"},
        "scope_name": "opentelemetry.instrumentation.langchain",
        "scope_version": "0.62.4",
        "attributes": {**content, **(attributes or {})},
    }
    return Span(**{**defaults, **fields})


def _message(role: str, text: str) -> dict[str, Any]:
    return {"role": role, "parts": [{"type": "text", "content": text}] if text else []}
