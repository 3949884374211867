"""Attributes that LiteLLM writes beside the conventions: tools and tool calls, with an attribute for each field.

https://github.com/BerriAI/litellm/blob/v1.79.0-stable/litellm/integrations/opentelemetry.py (set_tools_attributes,
_tool_calls_kv_pair); OpenLLMetry wrote the same names before it followed the conventions.
"""

from __future__ import annotations

import re
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from label_studio_otel.generation import Choice, Message, TextPart, ToolCallPart
from label_studio_otel.reading.forms.parts import arguments_of

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

__all__ = ["function_calls", "functions", "with_calls"]

_CALL = re.compile(r"gen_ai\.completion\.(\d{1,6})\.function_call\.(name|arguments|id)")
_FUNCTION = re.compile(r"llm\.request\.functions\.(\d{1,6})\.(name|description|parameters)")


def function_calls(attributes: Mapping[str, Any]) -> tuple[ToolCallPart, ...]:
    """Return the tool calls of the answer. The number in an attribute is that of the call, not of the choice."""
    return tuple(
        ToolCallPart(fields["name"], arguments_of(fields.get("arguments")), fields.get("id"))
        for fields in _numbered(_CALL, attributes)
        if isinstance(fields.get("name"), str)
    )


def functions(attributes: Mapping[str, Any]) -> tuple[Mapping[str, Any], ...]:
    """Return the definitions of the request's tools."""
    return tuple(
        {**fields, "parameters": arguments_of(fields["parameters"])} if "parameters" in fields else fields
        for fields in _numbered(_FUNCTION, attributes)
    )


def with_calls(choices: Sequence[Choice], calls: Sequence[ToolCallPart]) -> tuple[Choice, ...]:
    """Return the choices, the last one with these calls, unless a choice has calls already.

    LiteLLM overwrites the calls of each choice with those of the next.
    """
    said = any(isinstance(part, ToolCallPart) for choice in choices for part in choice.message.parts)
    if not calls or said:
        return tuple(choices)
    *before, last = choices or (Choice(Message("assistant", ())),)
    parts = tuple(part for part in last.message.parts if part != TextPart(""))
    return (*before, replace(last, message=Message("assistant", (*parts, *calls))))


def _numbered(pattern: re.Pattern[str], attributes: Mapping[str, Any]) -> list[dict[str, Any]]:
    found: dict[int, dict[str, Any]] = {}
    for key, value in attributes.items():
        match = pattern.fullmatch(key)
        if match:
            found.setdefault(int(match[1]), {})[match[2]] = value
    return [found[number] for number in sorted(found)]
