"""Requests and responses of Google's Gemini API, as Google's own libraries dump them (snake case or camel case).

https://ai.google.dev/api/generate-content and
https://github.com/googleapis/python-genai/blob/v1.50.0/google/genai/types.py (Content, Part)
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from label_studio_otel.generation import (
    Choice,
    Message,
    Part,
    ReasoningPart,
    TextPart,
    ToolCallPart,
    ToolResponsePart,
    UnknownPart,
)
from label_studio_otel.reading.finish_reason import finish_reason
from label_studio_otel.reading.forms import media

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

__all__ = ["choices_of", "messages_of", "part_of"]


def messages_of(request: Mapping[str, Any]) -> tuple[Message, ...] | None:
    """Read a request: the system instruction, then the contents; None where it is none."""
    contents = request.get("contents")
    if isinstance(contents, (str, dict)):
        contents = [contents]
    if not isinstance(contents, list):
        return None
    config = _dict(request.get("config") or request.get("generation_config"))
    system = _field(config, "system_instruction") or _field(request, "system_instruction")
    said = tuple(message for raw in contents for message in _messages(raw))
    return (Message("system", _parts(system)), *said) if system else said


def choices_of(response: Mapping[str, Any]) -> tuple[Choice, ...] | None:
    """Read a response with its candidates, or the one candidate that ADK makes of it; None where it is none."""
    candidates = response.get("candidates")
    if not isinstance(candidates, list):
        candidates = [response] if _is_content(response.get("content")) else None
    return None if candidates is None else tuple(_choice(raw) for raw in candidates)


def part_of(raw: Any) -> Part:
    """Read one part; one of a kind we do not know, or not in its kind's form, is kept as it came."""
    if isinstance(raw, str):
        return TextPart(raw)
    if not isinstance(raw, dict):
        return UnknownPart(raw)
    text = raw.get("text")
    if isinstance(text, str):
        return ReasoningPart(text) if raw.get("thought") is True else TextPart(text)
    return _call(raw) or _result(raw) or _medium(raw) or UnknownPart(raw)


def _messages(raw: Any) -> Iterator[Message]:
    """Yield a content as a message; results of tools among its parts are the tools'."""
    parts = _parts(raw)
    results = tuple(part for part in parts if isinstance(part, ToolResponsePart))
    if results:
        yield Message("tool", results)
    said = tuple(part for part in parts if not isinstance(part, ToolResponsePart))
    if said or not results:
        yield Message(_role(raw), said)


def _role(raw: Any) -> str:
    role = raw.get("role") if isinstance(raw, dict) else None
    if role in ("model", "assistant"):
        return "assistant"
    return role if isinstance(role, str) and role else "user"


def _parts(content: Any) -> tuple[Part, ...]:
    parts = content.get("parts") if isinstance(content, dict) else content
    if isinstance(parts, list):
        return tuple(part_of(part) for part in parts)
    return () if parts is None else (part_of(parts),)


def _choice(raw: Any) -> Choice:
    candidate = _dict(raw)
    parts = _parts(candidate.get("content"))
    reason = finish_reason(_field(candidate, "finish_reason"))
    # Gemini stops after a call as after any other answer.
    called = reason == "stop" and any(isinstance(part, ToolCallPart) for part in parts)
    return Choice(Message("assistant", parts), "tool_call" if called else reason)


def _is_content(value: Any) -> bool:
    return isinstance(value, dict) and isinstance(value.get("parts"), list)


def _call(raw: Mapping[str, Any]) -> Part | None:
    call = _dict(_field(raw, "function_call"))
    name, identifier = call.get("name"), call.get("id")
    if not isinstance(name, str):
        return None
    return ToolCallPart(name, call.get("args") or {}, identifier if isinstance(identifier, str) else None)


def _result(raw: Mapping[str, Any]) -> Part | None:
    result = _dict(_field(raw, "function_response"))
    identifier = result.get("id")
    if "response" not in result:
        return None
    return ToolResponsePart(result["response"], identifier if isinstance(identifier, str) else None)


def _medium(raw: Mapping[str, Any]) -> Part | None:
    data, file = _dict(_field(raw, "inline_data")), _dict(_field(raw, "file_data"))
    return media.inline(data.get("data"), _field(data, "mime_type"), "file") or media.by_reference(
        _field(file, "file_uri"), _modality(_field(file, "mime_type")), _field(file, "mime_type")
    )


def _modality(mime_type: Any) -> str:
    family = mime_type.partition("/")[0] if isinstance(mime_type, str) else ""
    return family if family in {"image", "audio", "video"} else "file"


def _field(raw: Mapping[str, Any], name: str) -> Any:
    """Return a field by its name in snake case or camel case."""
    head, *tail = name.split("_")
    return raw.get(name, raw.get(head + "".join(word.capitalize() for word in tail)))


def _dict(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, dict) else {}
