"""Reads OpenInference's `input.value` and `output.value`, which hold the request and the response in any form.

They hold what OpenInference's other attributes cannot hold: sound, files, refusals, the text of a completion, the
response id. Only known forms are read, because any other value may be an argument of the traced function.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from label_studio_otel.generation import Choice, Message, Part, TextPart
from label_studio_otel.reading.attributes import as_dict, as_list, first_text, json_of
from label_studio_otel.reading.finish_reason import finish_reason
from label_studio_otel.reading.forms import google, haystack_repr, known_request, known_response, langchain, openai
from label_studio_otel.reading.forms.openai import tool_call_of
from label_studio_otel.reading.truncated_json import beginning_of

_MODEL = re.compile(r"_meta=\{'model': '([^']+)'")
_TOOL = re.compile(r"Tool\(name='([^']+)'")


@dataclass(frozen=True, slots=True)
class Value:
    """The decoded JSON of `input.value` or `output.value`."""

    #: None where the attribute is missing or no JSON of an object or list.
    content: Any = None
    #: A length limit cut the JSON.
    cut: bool = False
    #: The object, or an empty one.
    fields: Mapping[str, Any] = field(default_factory=dict)


def value_of(raw: Any, mime_type: Any) -> Value:
    """Return the decoded value of an attribute; of JSON that was cut, the value of its beginning."""
    if not isinstance(raw, str) or raw[:1] not in ("{", "["):
        return Value()
    content = json_of(raw)
    cut = content is None and mime_type == "application/json"
    if cut:
        content = beginning_of(raw)
    return Value(content, cut, as_dict(content))


def messages_of(value: Value) -> tuple[Message, ...] | None:
    """Return the messages of a request; None if the value has no known form."""
    fields = value.fields
    shown = fields.get("messages")
    if isinstance(shown, list) and any(isinstance(raw, str) for raw in shown):
        return haystack_repr.messages_of(shown)
    request = known_request(value.content)
    return request.messages if request and (request.operation == "chat" or "prompt" in fields) else None


def choices_of(value: Value) -> tuple[Choice, ...] | None:
    """Return the choices of a response; None if the value has no known form."""
    fields = value.fields
    if isinstance(value.content, list):
        return _listed(value.content)
    return (
        langchain.choices_of(fields)
        or openai.choices_of(fields)
        or google.choices_of(fields)
        or haystack_repr.choices_of(fields.get("replies"))
        or _autogen(fields)
    )


def answered_by(value: Value) -> str | None:
    """Return the model that the response names, None if it names none."""
    said = {**value.fields, **langchain.response_of(value.fields)}
    replies = value.fields.get("replies")
    shown = _MODEL.search(replies[0]) if isinstance(replies, list) and replies and isinstance(replies[0], str) else None
    return first_text(said, "model_name", "model", "model_version") or (shown[1] if shown else None)


def id_of(value: Value) -> str | None:
    """Return the provider's id of the response."""
    return first_text({**value.fields, **langchain.response_of(value.fields)}, "id", "response_id", "responseId")


def usage_of(value: Value) -> tuple[int | None, int | None]:
    """Return the provider's counts of input and output tokens, None for an unknown one.

    The emitter's counts are no use: some add cached tokens, or add the count once for each choice.
    """
    response = known_response(value.content) if value.fields and not value.cut else None
    return (response.input_tokens, response.output_tokens) if response else (None, None)


def tools_of(value: Value) -> tuple[Mapping[str, Any], ...]:
    """Return the definitions of the tools in a request; of tools that Haystack wrote as `repr`, only the names."""
    found: list[Mapping[str, Any]] = []
    for tool in as_list(value.fields.get("tools")):
        shown = _TOOL.match(tool) if isinstance(tool, str) else None
        if shown:
            found.append({"name": shown[1]})
        elif isinstance(tool, dict):
            found.append(tool)
    return tuple(found)


def _listed(items: list[Any]) -> tuple[Choice, ...] | None:
    """Return the choices of a list of messages, or of a streamed response (Agents SDK); None for another list."""
    if not items or not all(isinstance(raw, dict) for raw in items):
        return None
    if len(items) == 1 and isinstance(items[0].get("output"), list):
        return openai.choices_of(items[0])
    if all(raw.get("role") == "assistant" for raw in items):
        return tuple(Choice(openai.message_of(raw, "assistant")) for raw in items)
    return None


def _autogen(fields: Mapping[str, Any]) -> tuple[Choice, ...] | None:
    """Return the choice of AutoGen's result of a call, None for another value; `thought` is the text beside tool calls.

    https://github.com/microsoft/autogen/blob/python-v0.7.5/python/packages/autogen-core/src/autogen_core/models/_types.py
    """
    content = fields.get("content")
    if "finish_reason" not in fields or "cached" not in fields:
        return None
    thought = fields.get("thought")
    parts: tuple[Part, ...] = (TextPart(thought),) if isinstance(thought, str) and thought else ()
    if isinstance(content, list):
        parts += tuple(tool_call_of(call) for call in content)
    elif isinstance(content, str):
        parts = (TextPart(content),)
    return (Choice(Message("assistant", parts), finish_reason(fields["finish_reason"])),)
