"""Reads the request of a call in any form.

LangSmith, Langfuse and MLflow copy the arguments of the traced function: a provider's request, LangChain's dump of one,
or a list of messages. The form is recognized by the keys of the value.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, NamedTuple

from label_studio_otel.generation import Message, Part, TextPart, UnknownPart
from label_studio_otel.reading.attributes import as_list, decoded, first_text, objects_of
from label_studio_otel.reading.forms import anthropic, bedrock, google, langchain, openai, parts
from label_studio_otel.reading.forms.any_message import is_message, is_tool, messages_of
from label_studio_otel.reading.forms.unwrapping import unwrapped

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["OBJECT", "Request", "known_request", "operation_of", "request_of", "unknown_value"]

#: The `repr` of an object, such as a stream that the tracer did not follow.
OBJECT = re.compile(r"<[\w.]+ object at 0x[0-9a-f]+>")


class Request(NamedTuple):
    """The request of a call, as it was read."""

    messages: tuple[Message, ...]
    model: str | None = None
    #: Definitions as they came.
    tools: tuple[Mapping[str, Any], ...] = ()
    #: chat, or text_completion where the model was given a text to go on with.
    operation: str = "chat"
    #: The application's user, as OpenAI's `user` has it.
    user: str | None = None
    #: Only the beginning was there: a length limit cut the rest.
    is_cut: bool = False


def request_of(value: Any) -> Request:
    """Return the request of any value; a value of no known form becomes one message of the user."""
    content, is_cut = unwrapped(value)
    known = known_request(content)
    if known is not None:
        return known._replace(is_cut=True) if is_cut else known
    said = unknown_value(value)
    operation = "text_completion" if said == (TextPart(value),) else "chat"
    return Request((Message("user", said),) if said else (), operation=operation)


def operation_of(value: Any) -> str:
    """Return the operation that `request_of` gives, for most values without reading the messages."""
    content = decoded(value)
    if isinstance(content, dict) and isinstance(content.get("messages"), list):
        return "chat"
    return request_of(value).operation


def unknown_value(value: Any) -> tuple[Part, ...]:
    """Return a value of no known form as one part, a text or an `UnknownPart`; no part for an empty value."""
    if value in (None, "null") or (isinstance(value, str) and OBJECT.fullmatch(value)):
        return ()
    content = decoded(value) if isinstance(value, str) and value.lstrip()[:1] == "{" else value
    if isinstance(content, dict):
        said = [item for item in content.values() if item not in (None, [], {})]
        if len(said) == 1 and isinstance(said[0], list) and len(said[0]) == 1:
            said = said[0]
        if not said or (len(said) == 1 and isinstance(said[0], str)):
            # What a traced function got or gave, by its name.
            return tuple(TextPart(text) for text in said)
        return (UnknownPart(content),)
    return (parts.text_or_unknown(value),)


def known_request(value: Any) -> Request | None:
    """Return the request of a value; None for a value of no known form, such as a text."""
    if isinstance(value, list):
        return _request_of_list(value)
    if not isinstance(value, dict):
        return None
    messages = _messages_of(value)
    if messages is None:
        return next(filter(None, map(known_request, _arguments(value))), None)
    prompted = "messages" not in value and ("prompt" in value or "prompts" in value)
    return Request(
        messages,
        first_text(value, "model", "modelId"),
        google.tools_of(value) if "contents" in value else objects_of(value.get("tools") or value.get("functions")),
        "text_completion" if prompted else "chat",
        first_text(value, "user"),
    )


def _arguments(value: Mapping[str, Any]) -> list[Any]:
    """Return those arguments of a traced function that can be a request."""
    if value.keys() == {"args", "kwargs"} and isinstance(value["args"], list):
        return [value["kwargs"], *value["args"]]
    return [item for item in value.values() if isinstance(item, dict)] if len(value) == 1 else []


def _request_of_list(value: list[Any]) -> Request | None:
    """Return the request of a list of messages, or of texts, which are prompts; None for any other list."""
    flat = [inner for item in value for inner in (item if isinstance(item, list) else [item])]
    if flat and all(isinstance(text, str) for text in flat):
        return Request(parts.prompts(flat), operation="text_completion")
    if not flat or not all(map(is_message, flat)):
        return None
    tools = tuple(raw["content"] for raw in flat if is_tool(raw))
    return Request(messages_of(raw for raw in flat if not is_tool(raw)), tools=tools)


def _messages_of(value: Mapping[str, Any]) -> tuple[Message, ...] | None:
    for key in ("messages", "input"):
        found = _request_of_list(as_list(value.get(key)))
        if found is not None and found.operation == "chat":
            system = _system(value)
            return (Message("system", system), *found.messages) if system else found.messages
    if "prompts" in value:
        return langchain.messages_of(value)
    return google.messages_of(value) if "contents" in value else openai.messages_of(value)


def _system(value: Mapping[str, Any]) -> tuple[Part, ...]:
    """Return the system message beside the messages: `system` (Anthropic, Bedrock) or `instructions` (OpenAI)."""
    system = value.get("system") or value.get("instructions")
    if system and bedrock.are_blocks(system):
        return tuple(map(bedrock.block_of, system))
    return anthropic.system_of(system)
