"""Attributes that LiteLLM writes beside the conventions: tools and tool calls, with an attribute for each field.

https://github.com/BerriAI/litellm/blob/v1.79.0-stable/litellm/integrations/opentelemetry.py (set_tools_attributes,
_tool_calls_kv_pair); OpenLLMetry wrote the same names before it followed the conventions.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from label_studio_otel.generation import Choice, Message, TextPart, ToolCallPart
from label_studio_otel.reading.forms import parts
from label_studio_otel.reading.indexed import indexed

FUNCTIONS = "llm.request.functions."


def function_calls(attributes: Mapping[str, Any]) -> tuple[ToolCallPart, ...]:
    """Return the tool calls of the answer. The number in an attribute is that of the call, not of the choice."""
    calls = (
        parts.call(
            fields.get("function_call.name"),
            parts.arguments_of(fields.get("function_call.arguments")),
            fields.get("function_call.id"),
        )
        for fields in indexed(attributes, "gen_ai.completion.").values()
    )
    return tuple(filter(None, calls))


def functions(attributes: Mapping[str, Any]) -> tuple[Mapping[str, Any], ...]:
    """Return the definitions of the request's tools."""
    return tuple(map(_function, indexed(attributes, FUNCTIONS).values()))


def _function(fields: Mapping[str, Any]) -> Mapping[str, Any]:
    tool = {field: fields[field] for field in ("name", "description") if field in fields}
    parameters = fields.get("parameters", fields.get("input_schema"))
    return tool if parameters is None else {**tool, "parameters": parts.arguments_of(parameters)}


def with_calls(choices: Sequence[Choice], calls: Sequence[ToolCallPart]) -> tuple[Choice, ...]:
    """Return the choices, the last one with these calls, unless a choice has calls already.

    LiteLLM overwrites the calls of each choice with those of the next.
    """
    said = any(isinstance(part, ToolCallPart) for choice in choices for part in choice.message.parts)
    if not calls or said:
        return tuple(choices)
    *before, last = choices or (Choice(Message("assistant", ())),)
    kept = tuple(part for part in last.message.parts if part != TextPart(""))
    return (*before, replace(last, message=Message("assistant", (*kept, *calls))))
