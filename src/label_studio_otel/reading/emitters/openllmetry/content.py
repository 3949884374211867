"""Reads OpenLLMetry's `content` and `tool_calls` of one message (see `openllmetry`).

A text is written unchanged and a list of parts as its JSON, and the attribute does not say which. It is read as parts
only if it is exactly what `json.dumps` writes for a list of known parts. A list with one plain text stays a text,
because the user may have typed it.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from label_studio_otel.generation import ReasoningPart, TextPart, UnknownPart
from label_studio_otel.reading.attributes import first_text, json_of
from label_studio_otel.reading.forms import openai_responses, parts
from label_studio_otel.reading.forms.openai_parts import KINDS, part_of
from label_studio_otel.reading.indexed import indexed

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from label_studio_otel.generation import Part

__all__ = ["parts_of"]

_ITEMS = ("function_call", "custom_tool_call", "reasoning")
#: What stands beside a message's calls where it has no content: none, or the JSON of none.
_NOTHING = ("", '""', "[]", "null")
_PLAIN_TEXT = frozenset({"type", "text"})


def parts_of(fields: Mapping[str, Any]) -> tuple[Part, ...]:
    """Return the parts of a message; a tool call that is in `content` and in `tool_calls` is returned once."""
    calls = [_call(call) for call in indexed(fields, "tool_calls.").values()]
    legacy = {
        name: fields[f"function_call.{name}"] for name in ("name", "arguments") if f"function_call.{name}" in fields
    }
    if legacy and not calls:
        calls = [_call(legacy)]
    content = _content(fields.get("content"), has_calls=bool(calls))
    return (*_reasoning(fields.get("reasoning")), *parts.with_calls(content, calls))


def _call(fields: Mapping[str, Any]) -> Part:
    name = first_text(fields, "name", "function.name")
    arguments = parts.arguments_of(fields.get("arguments", fields.get("function.arguments")))
    return parts.call(name, arguments, first_text(fields, "id")) or UnknownPart(dict(fields))


def _reasoning(value: Any) -> tuple[Part, ...]:
    """Return the reasoning of OpenAI's Responses API, whose parts are written as JSON."""
    if not isinstance(value, str) or not value:
        return ()
    decoded = json_of(value)
    return openai_responses.reasoning_of({"summary": decoded}) if isinstance(decoded, list) else (ReasoningPart(value),)


def _content(value: Any, *, has_calls: bool) -> Iterator[Part]:
    if isinstance(value, str):
        found = _decoded(value)
        if found is not None:
            yield from (part for raw in found for part in _part(raw))
        elif value not in _NOTHING or not has_calls:
            yield TextPart(value)
    elif isinstance(value, (list, tuple)):
        yield from (part for raw in value for part in _part(raw))
    elif value is not None:
        yield UnknownPart(value)


def _decoded(text: str) -> list[Any] | None:
    """Return the parts whose JSON a text is; None if it is an ordinary text."""
    if not text.startswith("[{"):
        return None
    found = json_of(text)
    if not isinstance(found, list) or not all(map(_is_part, found)) or _is_plain_text(found):
        return None
    # OpenLLMetry writes with `json.dumps`; the JSON of somebody else is what somebody said.
    return found if text in {json.dumps(found), json.dumps(found, ensure_ascii=False)} else None


def _is_part(raw: Any) -> bool:
    return isinstance(raw, dict) and isinstance(raw.get("type"), str) and raw["type"] in KINDS.union(_ITEMS)


def _is_plain_text(found: list[Any]) -> bool:
    return len(found) == 1 and found[0].keys() == _PLAIN_TEXT


def _part(raw: Any) -> tuple[Part, ...]:
    kind = raw.get("type") if isinstance(raw, dict) else None
    if kind == "reasoning":
        return openai_responses.reasoning_of(raw)
    return (openai_responses.tool_call_of(raw),) if kind in _ITEMS else (part_of(raw),)
