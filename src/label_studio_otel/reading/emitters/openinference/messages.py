"""Messages in OpenInference's attributes: one attribute for each field of each part of each message.

Emitters differ from the conventions:

- an index can be missing: the OpenAI package reserves 0 for `instructions`, even if there are none;
- a tool call of Anthropic is in `tool_calls` and, with the same id, in `contents`;
- the Agents SDK writes the text in `content` and in `contents`, and the items of one answer as several messages;
- AutoGen writes tool results as `function.N`, each as JSON, and `developer` for the role `system`;
- content that was hidden or is too long is the word __REDACTED__.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from label_studio_otel.generation import (
    BlobPart,
    Message,
    Part,
    ReasoningPart,
    TextPart,
    ToolCallPart,
    ToolResponsePart,
    UnknownPart,
    UriPart,
)
from label_studio_otel.reading.attributes import as_dict, decoded, first_text, json_of
from label_studio_otel.reading.forms import parts
from label_studio_otel.reading.forms.openai import joined, part_of
from label_studio_otel.reading.indexed import indexed

REDACTED = "__REDACTED__"

ROLE = "message.role"
CONTENT = "message.content"
NAME = "message.name"
TOOL_CALL_ID = "message.tool_call_id"
CONTENTS = "message.contents."
TOOL_CALLS = "message.tool_calls."
FUNCTION_NAME = "message.function_call_name"
FUNCTION_ARGUMENTS = "message.function_call_arguments_json"
FUNCTIONS = "function."
#: All of them, for the documentation.
NAMES = (
    *(ROLE, CONTENT, NAME, TOOL_CALL_ID, f"{CONTENTS}*", f"{TOOL_CALLS}*", FUNCTION_NAME, FUNCTION_ARGUMENTS),
    f"{FUNCTIONS}*",
)

_PART = "message_content."
_CALL = "tool_call."
_ROLES = {"model": "assistant", "function": "tool", "ai": "assistant", "human": "user"}


def messages_of(items: Iterable[Mapping[str, Any]], default_role: str) -> tuple[Message, ...]:
    """Return the messages of these items; an item without fields is no message."""
    return tuple(message for fields in items for message in _messages(fields, default_role))


def merged(messages: Iterable[Message]) -> tuple[Message, ...]:
    """Return the messages, those joined that are items of one answer: reasoning, then the text or the tool calls.

    Two messages that both have a text are two choices.
    """
    found: list[Message] = []
    for message in messages:
        last = found[-1] if found else None
        if last and (
            parts.are_all(last.parts, ReasoningPart)
            or (
                parts.are_all(message.parts, ToolCallPart)
                and not any(isinstance(part, ToolCallPart) for part in last.parts)
            )
        ):
            found[-1] = Message(message.role, last.parts + message.parts, last.name)
        else:
            found.append(message)
    return tuple(found)


def without_redacted(message: Message) -> Message:
    """Return a message without the parts whose content is the placeholder."""
    if not any(map(_is_hidden, message.parts)):
        return message
    return Message(message.role, tuple(part for part in message.parts if not _is_hidden(part)), message.name)


def _is_hidden(part: Part) -> bool:
    match part:
        case TextPart() | ReasoningPart() | BlobPart():
            return part.content == REDACTED
        case UriPart():
            return part.uri == REDACTED
    return False


def _messages(fields: Mapping[str, Any], default_role: str) -> Iterator[Message]:
    functions = indexed(fields, FUNCTIONS)
    if functions:
        for value in (function.get("") for function in functions.values()):
            result = as_dict(decoded(value))
            part = parts.result(result["content"], result.get("call_id")) if "content" in result else None
            yield Message("tool", (part or ToolResponsePart(value),))
        return
    raw_role = first_text(fields, ROLE) or default_role
    role = _ROLES.get(raw_role, raw_role)
    if role == "tool":
        yield Message(role, tuple(_tool_result(fields)), first_text(fields, NAME))
    elif fields:
        yield Message(role, tuple(_parts(fields)), first_text(fields, NAME))


def _tool_result(fields: Mapping[str, Any]) -> Iterator[Part]:
    contents = _contents(fields)
    content = fields.get(CONTENT)
    if content is None:
        texts = [part.content for part in contents if isinstance(part, TextPart)]
        content = "".join(texts) if texts else None
    if content == REDACTED:
        return
    if content is not None or TOOL_CALL_ID in fields:
        yield ToolResponsePart("" if content is None else _result(content), first_text(fields, TOOL_CALL_ID))
    yield from (part for part in contents if not isinstance(part, TextPart))


def _result(content: Any) -> Any:
    """Return the result of a tool; Anthropic's text blocks, which are written as JSON, as one text."""
    blocks = json_of(content) if isinstance(content, str) and content.startswith('[{"type": "text"') else None
    return joined(blocks) if isinstance(blocks, list) and isinstance(joined(blocks), str) else content


def _parts(fields: Mapping[str, Any]) -> Iterator[Part]:
    calls = list(map(_call, indexed(fields, TOOL_CALLS).values()))
    name = first_text(fields, FUNCTION_NAME)
    if name is not None:  # before tool_calls came, a message could have one
        calls.append(ToolCallPart(name, parts.arguments_of(fields.get(FUNCTION_ARGUMENTS))))
    contents = _contents(fields)
    texts = [part.content for part in contents if isinstance(part, TextPart)]
    content = fields.get(CONTENT)
    if isinstance(content, str) and content not in ("".join(texts), *texts):
        contents.insert(0, TextPart(content))
    elif content is not None and not isinstance(content, str):
        contents.insert(0, UnknownPart(content))
    # Beside a call an empty text is how clients write that there is none.
    said = [part for part in contents if not calls or part != TextPart("")]
    yield from parts.with_calls(said, calls)


def _contents(fields: Mapping[str, Any]) -> list[Part]:
    return list(filter(None, map(_content, indexed(fields, CONTENTS).values())))


def _content(fields: Mapping[str, Any]) -> Part | None:
    """Return one part; None if its content is the placeholder."""
    kind, text = fields.get(f"{_PART}type"), fields.get(f"{_PART}text")
    if f"{_CALL}function.name" in fields:
        return _call(fields)
    medium = _medium(fields)
    if medium is not None:
        return medium
    if text is None or text == REDACTED:
        return None
    if not isinstance(text, str):
        return UnknownPart(dict(fields))
    if kind == "reasoning":
        return ReasoningPart(text) if text else None
    # What is no text and has no fields of its own is the JSON of the provider's block.
    block = json_of(text) if kind not in (None, "text") else None
    return part_of(block) if isinstance(block, dict) else TextPart(text)


def _medium(fields: Mapping[str, Any]) -> Part | None:
    for kind in ("image", "audio", "video", "file"):
        prefix = f"{_PART}{kind}.{kind}."
        url = fields.get(f"{prefix}url")
        if url and url != REDACTED:
            return parts.by_reference(url, kind, fields.get(f"{prefix}mime_type"))
    return None


def _call(fields: Mapping[str, Any]) -> Part:
    name = first_text(fields, f"{_CALL}function.name")
    arguments = parts.arguments_of(fields.get(f"{_CALL}function.arguments", {}))
    return parts.call(name, arguments, first_text(fields, f"{_CALL}id")) or UnknownPart(dict(fields))
