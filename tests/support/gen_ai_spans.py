"""What tests of the GenAI conventions share: spans and messages by hand."""

from __future__ import annotations

import json
from typing import Any

from label_studio_otel.generation import Generation
from label_studio_otel.reading import read
from label_studio_otel.spans import Span

__all__ = ["HELLO", "answered", "asked", "call", "message", "result", "said", "sentences", "span", "text", "tool_call"]


def sentences(generation: Generation) -> tuple[str, ...]:
    return tuple(gap.sentence for gap in generation.incomplete)


def span(scope: str = "opentelemetry.instrumentation.langchain", **fields: Any) -> Span:
    """Build an LLM span; attributes are written with `__` for a dot."""
    names = {"status_code", "status_message", "events", "dropped_attributes"}
    attributes = {key.replace("__", "."): value for key, value in fields.items() if key not in names}
    return Span(
        trace_id="0af7651916cd43dd8448eb211c80319c",
        span_id="b7ad6b7169203331",
        name="ChatOpenAI.chat",
        start_time_unix_nano=1_700_000_000_000_000_000,
        end_time_unix_nano=1_700_000_001_500_000_000,
        attributes={"gen_ai.operation.name": "chat", **attributes},
        scope_name=scope,
        **{key: value for key, value in fields.items() if key in names},
    )


def said(*parts: Any, role: str = "user") -> str:
    return json.dumps([{"role": role, "parts": list(parts)}])


def text(content: str) -> dict[str, str]:
    return {"type": "text", "content": content}


HELLO = said(text("Hello"))


def call(scope: str = "any", status: str = "UNSET", **attributes: Any) -> Generation:
    """Read an LLM span; attributes are written with `__` for a dot."""
    named = {key.replace("__", "."): value for key, value in attributes.items()}
    return read(
        Span(
            trace_id="0af7651916cd43dd8448eb211c80319c",
            span_id="b7ad6b7169203331",
            name="chat",
            start_time_unix_nano=1,
            end_time_unix_nano=2,
            attributes={"gen_ai.operation.name": "chat", **named},
            scope_name=scope,
            status_code=status,
        )
    )


def asked(*messages: dict[str, Any], **attributes: Any) -> Generation:
    return call(gen_ai__input__messages=json.dumps(messages), **attributes)


def answered(*messages: dict[str, Any], **attributes: Any) -> Generation:
    return call(gen_ai__output__messages=json.dumps(messages), **attributes)


def message(role: str, *parts: Any, **fields: Any) -> dict[str, Any]:
    return {"role": role, "parts": list(parts), **fields}


def tool_call(identifier: str | None) -> dict[str, Any]:
    return {"type": "tool_call", "id": identifier, "name": "f", "arguments": {"a": 1}}


def result(identifier: str | None, response: Any = "42") -> dict[str, Any]:
    return {"type": "tool_call_response", "id": identifier, "response": response}
