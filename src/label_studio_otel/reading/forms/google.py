"""Requests and responses of Google's Gemini API, as Google's own libraries dump them (snake case or camel case).

https://ai.google.dev/api/generate-content and
https://github.com/googleapis/python-genai/blob/v1.50.0/google/genai/types.py (Content, Part)
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from label_studio_otel.generation import Choice, Message, Part, ToolCallPart, ToolResponsePart, UnknownPart
from label_studio_otel.reading.attributes import as_dict, identifier, objects_of
from label_studio_otel.reading.finish_reason import finish_reason
from label_studio_otel.reading.forms import parts


def messages_of(request: Mapping[str, Any]) -> tuple[Message, ...] | None:
    """Return the messages of a request: the system instruction, then the contents; None if it is no request."""
    contents = request.get("contents")
    if isinstance(contents, (str, dict)):
        contents = [contents]
    if not isinstance(contents, list):
        return None
    config = as_dict(request.get("config") or request.get("generation_config"))
    system = _field(config, "system_instruction") or _field(request, "system_instruction")
    said = tuple(message for raw in contents for message in _messages(raw))
    return (Message("system", _parts(system)), *said) if system else said


def choices_of(response: Mapping[str, Any]) -> tuple[Choice, ...] | None:
    """Return the choices of a response with candidates, or of ADK's single candidate; None if it is no response."""
    candidates = response.get("candidates")
    if not isinstance(candidates, list):
        candidates = [response] if isinstance(as_dict(response.get("content")).get("parts"), list) else None
    return None if candidates is None else tuple(map(_choice, candidates))


def tools_of(request: Mapping[str, Any]) -> tuple[Mapping[str, Any], ...]:
    """Return the declarations of the functions in a request; tools of other kinds have no declaration."""
    groups = objects_of(as_dict(request.get("config")).get("tools") or request.get("tools"))
    return tuple(tool for group in groups for tool in objects_of(_field(group, "function_declarations")))


def is_message(raw: Mapping[str, Any]) -> bool:
    """Return whether a value is Google's Content, a role with parts."""
    return "content" not in raw and isinstance(raw.get("parts"), list)


def message_of(raw: Mapping[str, Any], default_role: str) -> Message:
    """Return a Content as one message."""
    return parts.message(_role(raw, default_role), _parts(raw))


def part_of(raw: Any) -> Part:
    """Return one part; an unknown part as an `UnknownPart`."""
    if not isinstance(raw, dict):
        return parts.text_or_unknown(raw)
    said = (parts.reasoning if raw.get("thought") is True else parts.text)(raw.get("text"))
    call, result = as_dict(_field(raw, "function_call")), as_dict(_field(raw, "function_response"))
    return (
        said
        or parts.call(call.get("name"), call.get("args") or {}, call.get("id"))
        or (parts.result(result["response"], result.get("id")) if "response" in result else None)
        or _medium(raw)
        or UnknownPart(raw)
    )


def _messages(raw: Any) -> Iterator[Message]:
    """Yield a Content as a message; its tool results are yielded before it, as a message of the role `tool`."""
    found = _parts(raw)
    results = tuple(part for part in found if isinstance(part, ToolResponsePart))
    if results:
        yield Message("tool", results)
    said = tuple(part for part in found if not isinstance(part, ToolResponsePart))
    if said or not results:
        yield Message(_role(raw), said)


def _role(raw: Any, default_role: str = "user") -> str:
    role = identifier(as_dict(raw), "role")
    return "assistant" if role == "model" else role or default_role


def _parts(content: Any) -> tuple[Part, ...]:
    said = content.get("parts") if isinstance(content, dict) else content
    if isinstance(said, list):
        return tuple(map(part_of, said))
    return () if said is None else (part_of(said),)


def _choice(raw: Any) -> Choice:
    candidate = as_dict(raw)
    said = _parts(candidate.get("content"))
    reason = finish_reason(_field(candidate, "finish_reason"))
    # Gemini stops after a call as after any other answer.
    called = reason == "stop" and any(isinstance(part, ToolCallPart) for part in said)
    return Choice(Message("assistant", said), "tool_call" if called else reason)


def _medium(raw: Mapping[str, Any]) -> Part | None:
    data, file = as_dict(_field(raw, "inline_data")), as_dict(_field(raw, "file_data"))
    mime_type = _field(file, "mime_type")
    return parts.inline(data.get("data"), _field(data, "mime_type"), "file") or parts.by_reference(
        _field(file, "file_uri"), parts.family_of(str(mime_type)), mime_type
    )


def _field(raw: Mapping[str, Any], name: str) -> Any:
    """Return a field, whether its name is in snake case or in camel case."""
    head, *tail = name.split("_")
    return raw.get(name, raw.get(head + "".join(word.capitalize() for word in tail)))
