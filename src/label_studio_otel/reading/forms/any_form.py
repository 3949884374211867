"""Requests and responses in whose form ever: what a tracer has that copies inputs and outputs as they are.

LangSmith, Langfuse and MLflow copy what the traced function got and gave: a provider's request and response,
LangChain's dump of them, or a list of messages in something like either form. The form is told by the keys.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

from label_studio_otel.generation import Choice, Message, Part, TextPart, ToolCallPart, UnknownPart
from label_studio_otel.reading import gaps
from label_studio_otel.reading.attributes import first_integer, first_text, json_of
from label_studio_otel.reading.finish_reason import finish_reason
from label_studio_otel.reading.forms import anthropic, bedrock, google, langchain, openai, openai_responses
from label_studio_otel.reading.forms.any_form_messages import (
    is_dumped,
    is_item,
    is_message,
    is_tool,
    message_of,
    messages_of,
)
from label_studio_otel.reading.truncated_json import beginning_of

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from label_studio_otel.generation import Gap

__all__ = ["Request", "Response", "operation_of", "read_request", "read_response", "request_of", "response_of"]

_T = TypeVar("_T")

#: The `repr` of a stream that the tracer did not follow.
_OBJECT = re.compile(r"<[\w.]+ object at 0x[0-9a-f]+>")
#: Keys of which a whole response has one.
_RESPONSE_KEYS = frozenset({"candidates", "choices", "generations", "output", "response_metadata", "stop_reason"})


@dataclass(frozen=True, slots=True)
class Request:
    """What a model was asked."""

    messages: tuple[Message, ...]
    model: str | None = None
    #: Definitions as they came.
    tools: tuple[Mapping[str, Any], ...] = ()
    #: chat, or text_completion where the model was given a text to go on with.
    operation: str = "chat"
    #: The application's user, as OpenAI's `user` has it.
    user: str | None = None


@dataclass(frozen=True, slots=True)
class Response:
    """What it answered."""

    choices: tuple[Choice, ...]
    id: str | None = None
    model: str | None = None
    input_tokens: int | None = None
    output_tokens: int | None = None


def read_request(value: Any, name: str, incomplete: list[Gap]) -> Request:
    """Read an attribute that holds a request; what is none of the known becomes the one message of a user."""
    request = _read(value, name, request_of, incomplete)
    if request is not None:
        return request
    parts = _plain(value)
    operation = "text_completion" if parts == (TextPart(value),) else "chat"
    return Request((Message("user", parts),) if parts else (), operation=operation)


def operation_of(value: Any) -> str:
    """Return the operation of what `read_request` makes of an attribute, of most without reading the messages."""
    decoded = json_of(value) if isinstance(value, str) else value
    if isinstance(decoded, dict) and isinstance(decoded.get("messages"), list):
        return "chat"
    return read_request(value, "", []).operation


def read_response(value: Any, name: str, incomplete: list[Gap]) -> Response:
    """Read an attribute that holds a response; what is none of the known becomes the one answer."""
    response = _read(value, name, response_of, incomplete)
    if response is not None:
        return response
    parts = _plain(value)
    return Response((Choice(Message("assistant", parts)),) if parts else ())


def _read(value: Any, name: str, reader: Callable[[Any], _T | None], incomplete: list[Gap]) -> _T | None:
    """Return what the reader makes of an attribute that is structured, or the JSON of something structured."""
    if not isinstance(value, str):
        return reader(value)
    decoded = json_of(value)
    if isinstance(decoded, (dict, list)):
        return reader(decoded)
    if decoded is not None or not value.startswith(("{", "[{", "[[")):
        return None
    found = reader(beginning_of(value))
    if found is not None:
        incomplete.append(gaps.truncated(name))
    return found


def _plain(value: Any) -> tuple[Part, ...]:
    """Return a text as it is, an object that nobody knows as it came; nothing for nothing."""
    decoded = json_of(value) if isinstance(value, str) else value
    if decoded is None and value in (None, "null"):
        return ()
    if isinstance(value, str) and _OBJECT.fullmatch(value):
        return ()
    if isinstance(decoded, dict):
        said = [item for item in decoded.values() if item not in (None, [], {})]
        if len(said) == 1 and isinstance(said[0], list) and len(said[0]) == 1:
            said = said[0]
        if not said or (len(said) == 1 and isinstance(said[0], str)):
            # What a traced function got or gave, by its name.
            return tuple(TextPart(text) for text in said)
    if isinstance(decoded, dict) or not isinstance(value, str):
        return (UnknownPart(decoded),)
    return (TextPart(value),)


def request_of(value: Any) -> Request | None:
    """Read a request; None where it is none that is known, such as a text."""
    if isinstance(value, list):
        return _request_of_list(value)
    if not isinstance(value, dict):
        return None
    messages = _messages_of(value)
    if messages is None:
        return next(filter(None, map(request_of, _arguments(value))), None)
    prompted = "messages" not in value and ("prompt" in value or "prompts" in value)
    operation = "text_completion" if prompted else "chat"
    return Request(messages, first_text(value, "model", "modelId"), _tools(value), operation, first_text(value, "user"))


def _arguments(value: Mapping[str, Any]) -> list[Any]:
    """Return what a traced function was called with that can be a request."""
    if value.keys() == {"args", "kwargs"} and isinstance(value["args"], list):
        return [value["kwargs"], *value["args"]]
    return [item for item in value.values() if isinstance(item, dict)] if len(value) == 1 else []


def _request_of_list(value: list[Any]) -> Request | None:
    """Read messages without a request around them; texts are prompts."""
    flat = [inner for item in value for inner in (item if isinstance(item, list) else [item])]
    if flat and all(isinstance(text, str) for text in flat):
        return Request(tuple(Message("user", (TextPart(text),)) for text in flat), operation="text_completion")
    if not flat or not all(is_message(raw) for raw in flat):
        return None
    tools = tuple(raw["content"] for raw in flat if is_tool(raw))
    return Request(messages_of([raw for raw in flat if not is_tool(raw)]), tools=tools)


def _messages_of(value: Mapping[str, Any]) -> tuple[Message, ...] | None:
    for key in ("messages", "input"):
        if isinstance(value.get(key), list):
            found = _request_of_list(value[key])
            if found is None or found.operation != "chat":
                continue
            system = _system(value)
            return (Message("system", system), *found.messages) if system else found.messages
    if "prompts" in value:
        return langchain.messages_of(value)
    return google.messages_of(value) if "contents" in value else openai.messages_of(value)


def _system(value: Mapping[str, Any]) -> tuple[Part, ...]:
    """Return what stands apart: `system` of Anthropic's and Bedrock's APIs, `instructions` of OpenAI's Responses."""
    system = value.get("system") or value.get("instructions")
    if system and bedrock.are_blocks(system):
        return tuple(map(bedrock.block_of, system))
    return anthropic.system_of(system)


def response_of(value: Any) -> Response | None:
    """Read a response; None where it says nothing."""
    choices = tuple(map(_with_reason, _choices_of(value) or ()))
    if not choices:
        return None
    if not isinstance(value, dict):
        return Response(choices)
    generations = {"generations": [{"message": value}]} if langchain.is_message(value) else value
    said = value | langchain.response_of(generations)
    counts = _usage(said)
    return Response(
        choices,
        # A message or an item has an id of its own, which is not the response's.
        None if _RESPONSE_KEYS.isdisjoint(value) else first_text(said, "id", "response_id"),
        first_text(said, "model_name", "model", "model_version"),
        first_integer(counts, "input_tokens", "prompt_tokens", "inputTokens", "prompt_token_count"),
        first_integer(counts, "output_tokens", "completion_tokens", "outputTokens", "candidates_token_count"),
    )


def _with_reason(choice: Choice) -> Choice:
    """Say why an answer ended that ends in tool calls: most forms of a bare message have no place for the reason."""
    parts = choice.message.parts
    if choice.finish_reason or not parts or not isinstance(parts[-1], ToolCallPart):
        return choice
    return Choice(choice.message, "tool_call")


def _choices_of(value: Any) -> tuple[Choice, ...] | None:
    if isinstance(value, str):
        return None if _OBJECT.fullmatch(value) else (Choice(Message("assistant", (TextPart(value),))),)
    if isinstance(value, list):
        return _choices_of_list(value)
    if not isinstance(value, dict) or not value:
        return None
    if langchain.is_message(value):
        return langchain.choices_of({"generations": [{"message": value}]})
    if "tool_calls" in value and "content" in value:
        # A message that has the fields of a response: what LangSmith makes of Anthropic's.
        return _loose(value)
    choices = langchain.choices_of(value) or _dumped_choices(value.get("choices")) or openai.choices_of(value)
    if choices is None and "candidates" in value:
        choices = google.choices_of(value)
    return choices if choices is not None else _loose(value)


def _dumped_choices(raws: Any) -> tuple[Choice, ...] | None:
    """Read choices of Chat Completions in whose messages MLflow left LangChain's blocks."""
    if not isinstance(raws, list) or not raws or not all(map(_is_dumped_choice, raws)):
        return None
    return tuple(Choice(message_of(raw["message"], "assistant"), _reason(raw)) for raw in raws)


def _is_dumped_choice(raw: Any) -> bool:
    message = raw.get("message") if isinstance(raw, dict) else None
    return isinstance(message, dict) and is_dumped(message)


def _choices_of_list(value: list[Any]) -> tuple[Choice, ...] | None:
    """Read the items of one answer, or one message or text for each of several."""
    if any(map(is_item, value)) and all(map(is_message, value)):
        return _items_choices(value)
    choices = [_choices_of(raw) for raw in value if isinstance(raw, (dict, str))]
    return tuple(choice for one in choices for choice in one or ()) if all(choices) else None


def _items_choices(items: list[Any]) -> tuple[Choice, ...]:
    """Read the items of a response of which nothing else is there."""
    status = items[-1].get("status") if isinstance(items[-1], dict) else None
    return openai_responses.choices_of({"output": items, "status": status})


def _loose(value: Mapping[str, Any]) -> tuple[Choice, ...] | None:
    """Read a message without a response around it, or what a traced function gave under some name."""
    if is_item(value):
        return _items_choices([value])
    if not value.keys().isdisjoint({"blocks", "content", "function_call", "tool_calls"}):
        return (_message_choice(value),)
    for key in ("message", "output", "generation", "text"):
        if value.get(key) is not None:
            choices = _choices_of(value[key]) or ()
            return tuple(Choice(choice.message, choice.finish_reason or _reason(value)) for choice in choices)
    return None


def _message_choice(raw: Any) -> Choice:
    return Choice(message_of(raw, "assistant"), _reason(raw) if isinstance(raw, dict) else None)


def _reason(raw: Mapping[str, Any]) -> str | None:
    return finish_reason(raw.get("finish_reason") or raw.get("stop_reason") or raw.get("stopReason"))


def _tools(value: Mapping[str, Any]) -> tuple[Mapping[str, Any], ...]:
    tools = value.get("tools") or value.get("functions")
    return tuple(tool for tool in tools if isinstance(tool, dict)) if isinstance(tools, list) else ()


def _usage(said: Mapping[str, Any]) -> Mapping[str, Any]:
    for key in ("usage", "token_usage", "usage_metadata"):
        if isinstance(said.get(key), dict):
            return said[key]  # type: ignore[no-any-return]
    return {}
