"""Reads messages, requests and responses in any form; the form is recognized by the keys of the value.

LangSmith, Langfuse and MLflow copy the arguments and the result of the traced function: a provider's request,
LangChain's dump of one, or a list of messages.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from typing import Any, NamedTuple

from label_studio_otel.generation import Choice, Message, Part, TextPart, ToolCallPart, UnknownPart
from label_studio_otel.reading.attributes import as_dict, as_list, decoded, first_integer, first_text, objects_of
from label_studio_otel.reading.finish_reason import finish_reason
from label_studio_otel.reading.forms import anthropic, bedrock, gen_ai, google, langchain, openai, parts, vercel
from label_studio_otel.reading.forms.unwrapping import unwrapped

#: The `repr` of an object, such as a stream that the tracer did not follow.
_OBJECT = re.compile(r"<[\w.]+ object at 0x[0-9a-f]+>")
#: The keys of a message of a text, which is the same in all forms.
_IN_ALL_FORMS = frozenset({"role", "content"})
#: Keys of which a whole response has one.
_RESPONSE_KEYS = frozenset({"candidates", "choices", "generations", "output", "response_metadata", "stop_reason"})
#: Keys of which a message has one.
_MESSAGE_KEYS = frozenset({"blocks", "content", "function_call", "parts", "tool_calls"})


def message_of(raw: Any, default_role: str = "user") -> Message:
    """Return one message; a value that is no message becomes a message of the default role."""
    if isinstance(raw, dict) and not (raw.keys() <= _IN_ALL_FORMS and isinstance(raw.get("content"), str)):
        for is_form, read in _FORMS:
            if is_form(raw):
                return read(raw, default_role)
    return openai.message_of(raw, default_role)


def messages_of(raws: Iterable[Any]) -> tuple[Message, ...]:
    """Return the messages of a list; several items of the Responses API can become one message."""
    listed = list(raws)
    return openai.messages_of_items(listed) if any(map(_is_item, listed)) else tuple(map(message_of, listed))


def _is_message(raw: Any) -> bool:
    """Return whether a value in a list is a message or an item, and no other object."""
    return isinstance(raw, dict) and (isinstance(raw.get("role"), str) or langchain.is_message(raw) or _is_item(raw))


def _is_item(raw: Any) -> bool:
    """Return whether a value is an item of the Responses API, perhaps a message."""
    return openai.is_item(raw) or (isinstance(raw, dict) and raw.get("type") == "message")


def _is_tool(raw: dict[str, Any]) -> bool:
    """Return whether a value is a tool's definition, which Langfuse's LangChain handler writes after the messages."""
    return raw.get("role") == "tool" and "tool_call_id" not in raw and isinstance(raw.get("content"), dict)


def _llama_index(raw: dict[str, Any], default_role: str) -> Message:
    """Return a message of LlamaIndex. Its content is in `blocks`, which become LangChain's blocks.

    https://github.com/run-llama/llama_index/blob/v0.14.0/llama-index-core/llama_index/core/base/llms/types.py
    """
    content = [
        {"type": kind, **block, "data": block.get(kind), "mime_type": block.get(f"{kind}_mimetype")}
        if isinstance(kind := as_dict(block).get("block_type"), str)
        else block
        for block in raw["blocks"]
    ]
    return message_of({**raw, "content": content}, default_role)


#: How each form is told, and the function that reads it: the first form that is told reads the message, OpenAI's
#: reads all others.
_FORMS: tuple[tuple[Callable[[dict[str, Any]], bool], Callable[[dict[str, Any], str], Message]], ...] = (
    (langchain.is_message, langchain.message_of),
    (lambda raw: "content" not in raw and isinstance(raw.get("blocks"), list), _llama_index),
    (langchain.is_message_with_role, langchain.message_with_role),
    (bedrock.is_message, bedrock.message_of),
    (vercel.is_message, vercel.message_of),
    (gen_ai.is_message, gen_ai.message_of),
    (google.is_message, google.message_of),
)


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
    said = _unknown_value(value)
    operation = "text_completion" if said == (TextPart(value),) else "chat"
    return Request((Message("user", said),) if said else (), operation=operation)


def operation_of(value: Any) -> str:
    """Return the operation that `request_of` gives, for most values without reading the messages."""
    content = decoded(value)
    if isinstance(content, dict) and isinstance(content.get("messages"), list):
        return "chat"
    return request_of(value).operation


def _unknown_value(value: Any) -> tuple[Part, ...]:
    """Return a value of no known form as one part, a text or an `UnknownPart`; no part for an empty value."""
    if value in (None, "null") or (isinstance(value, str) and _OBJECT.fullmatch(value)):
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
    messages = _messages_of_request(value)
    if messages is None:
        # What a traced function was called with can hold a request.
        if value.keys() == {"args", "kwargs"} and isinstance(value["args"], list):
            arguments = [value["kwargs"], *value["args"]]
        else:
            arguments = [item for item in value.values() if isinstance(item, dict)] if len(value) == 1 else []
        return next(filter(None, map(known_request, arguments)), None)
    prompted = "messages" not in value and ("prompt" in value or "prompts" in value)
    return Request(
        messages,
        first_text(value, "model", "modelId"),
        google.tools_of(value) if "contents" in value else objects_of(value.get("tools") or value.get("functions")),
        "text_completion" if prompted else "chat",
        first_text(value, "user"),
    )


def _request_of_list(value: list[Any]) -> Request | None:
    """Return the request of a list of messages, or of texts, which are prompts; None for any other list."""
    flat = [inner for item in value for inner in (item if isinstance(item, list) else [item])]
    if flat and all(isinstance(text, str) for text in flat):
        return Request(parts.prompts(flat), operation="text_completion")
    if not flat or not all(map(_is_message, flat)):
        return None
    tools = tuple(raw["content"] for raw in flat if _is_tool(raw))
    return Request(messages_of(raw for raw in flat if not _is_tool(raw)), tools=tools)


def _messages_of_request(value: Mapping[str, Any]) -> tuple[Message, ...] | None:
    for key in ("messages", "input"):
        found = _request_of_list(as_list(value.get(key)))
        if found is not None and found.operation == "chat":
            # `system` of Anthropic's and Bedrock's APIs, `instructions` of OpenAI's Responses
            raw = value.get("system") or value.get("instructions")
            system = tuple(map(bedrock.block_of, raw)) if raw and bedrock.are_blocks(raw) else anthropic.system_of(raw)
            return (Message("system", system), *found.messages) if system else found.messages
    if "prompts" in value:
        return langchain.messages_of(value)
    return google.messages_of(value) if "contents" in value else openai.messages_of(value)


class Response(NamedTuple):
    """The response of a call, as it was read."""

    choices: tuple[Choice, ...]
    id: str | None = None
    model: str | None = None
    input_tokens: int | None = None
    output_tokens: int | None = None
    #: Only the beginning was there: a length limit cut the rest.
    is_cut: bool = False


def response_of(value: Any) -> Response:
    """Return the response of any value; a value of no known form becomes one choice."""
    content, is_cut = unwrapped(value)
    known = known_response(content) if isinstance(content, (dict, list)) else None
    if known is not None:
        return known._replace(is_cut=True) if is_cut else known
    said = _unknown_value(value)
    return Response((Choice(Message("assistant", said)),) if said else ())


def known_response(value: Any) -> Response | None:
    """Return the response of a value of a known form, or of a text; None if it has no choice."""
    choices = tuple(map(_with_reason, _choices_of(value) or ()))
    if not choices:
        return None
    if not isinstance(value, dict) or value.keys() <= _IN_ALL_FORMS:
        return Response(choices)
    generations = {"generations": [{"message": value}]} if langchain.is_message(value) else value
    said = value | langchain.response_of(generations)
    usages = (said.get(key) for key in ("usage", "token_usage", "usage_metadata"))
    counts = next((usage for usage in usages if isinstance(usage, dict)), {})
    return Response(
        choices,
        # A message or an item has an id of its own, which is not the response's.
        None if _RESPONSE_KEYS.isdisjoint(value) else first_text(said, "id", "response_id"),
        first_text(said, "model_name", "model", "model_version"),
        first_integer(counts, "input_tokens", "prompt_tokens", "inputTokens", "prompt_token_count"),
        first_integer(counts, "output_tokens", "completion_tokens", "outputTokens", "candidates_token_count"),
    )


def _with_reason(choice: Choice) -> Choice:
    """Return a choice with the finish reason `tool_call` if it has none and ends with a tool call."""
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
    return next((choices for read in _READERS if (choices := read(value)) is not None), None)


def _dumped_choices(value: Mapping[str, Any]) -> tuple[Choice, ...] | None:
    """Return choices of Chat Completions in whose messages MLflow kept LangChain's blocks; None for other choices."""
    raws = as_list(value.get("choices"))
    messages = [as_dict(raw).get("message") for raw in raws]
    if not messages or not all(isinstance(raw, dict) and langchain.is_message_with_role(raw) for raw in messages):
        return None
    return tuple(Choice(message_of(raw["message"], "assistant"), _reason(raw)) for raw in raws)


def _bare(value: Mapping[str, Any]) -> tuple[Choice, ...] | None:
    """Return the choices of a message without a response around it, or of an output under a name; else None."""
    if _is_item(value):
        return _items_choices([value])
    if not _MESSAGE_KEYS.isdisjoint(value):
        return (Choice(message_of(value, "assistant"), _reason(value)),)
    for key in ("message", "output", "generation", "text"):
        if value.get(key) is not None:
            choices = _choices_of(value[key]) or ()
            return tuple(Choice(choice.message, choice.finish_reason or _reason(value)) for choice in choices)
    return None


#: The forms of a response; the first that returns choices reads it.
_READERS: tuple[Callable[[Mapping[str, Any]], tuple[Choice, ...] | None], ...] = (
    lambda value: langchain.choices_of({"generations": [{"message": value}]}) if langchain.is_message(value) else None,
    # A message that has the fields of a response, as LangSmith makes it of Anthropic's.
    lambda value: _bare(value) if "tool_calls" in value and "content" in value else None,
    langchain.choices_of,
    _dumped_choices,
    openai.choices_of,
    google.choices_of,
    _bare,
)


def _choices_of_list(value: list[Any]) -> tuple[Choice, ...] | None:
    """Return one choice for a list of items, or one choice for each message or text in a list; else None."""
    if any(map(_is_item, value)) and all(map(_is_message, value)):
        return _items_choices(value)
    choices = [_choices_of(raw) for raw in value if isinstance(raw, (dict, str))]
    return tuple(choice for one in choices for choice in one or ()) if all(choices) else None


def _items_choices(items: list[Any]) -> tuple[Choice, ...]:
    """Return the choice of a list of items, of which the rest of the response is missing."""
    status = items[-1].get("status") if isinstance(items[-1], dict) else None
    return openai.choices_of_items({"output": items, "status": status})


def _reason(raw: Mapping[str, Any]) -> str | None:
    return finish_reason(raw.get("finish_reason") or raw.get("stop_reason") or raw.get("stopReason"))
