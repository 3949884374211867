"""Haystack's chat messages as a Python `repr`, which OpenInference writes into its JSON.

https://github.com/deepset-ai/haystack/blob/v2.20.0/haystack/dataclasses/chat_message.py
"""

from __future__ import annotations

import ast
import re
from typing import Any

from label_studio_otel.generation import Choice, Message, Part, ReasoningPart, TextPart, UnknownPart
from label_studio_otel.reading.attributes import as_dict, as_text
from label_studio_otel.reading.finish_reason import finish_reason
from label_studio_otel.reading.forms import parts

_START = re.compile(r"ChatMessage\(_role=<ChatRole\.\w+: '(\w+)'>,")
_CUT = "..."  # how the `repr` of an image ends


def messages_of(raws: Any) -> tuple[Message, ...] | None:
    """Return the messages of a list; None if one of its items is no such `repr`."""
    choices = choices_of(raws)
    return tuple(choice.message for choice in choices) if choices else None


def choices_of(raws: Any) -> tuple[Choice, ...] | None:
    """Return the choices of a list of replies; None if one of its items is no such `repr`."""
    found = [_read(raw) for raw in raws] if isinstance(raws, list) else []
    known = tuple(filter(None, found))
    return known if known and len(known) == len(found) else None


def _read(raw: Any) -> Choice | None:
    start = _START.match(raw) if isinstance(raw, str) else None
    if start is None:
        return None
    try:
        fields = value_of(ast.parse(f"ChatMessage({raw[start.end() :].lstrip()}", mode="eval").body)
    except (SyntaxError, TypeError, ValueError, MemoryError, RecursionError):
        return None
    content = fields.get("_content")
    if not isinstance(content, list):
        return None
    said = tuple(part for block in content for part in parts_of(block))
    message = Message(start[1], said, as_text(fields.get("_name")))
    return Choice(message, finish_reason(as_dict(fields.get("_meta")).get("finish_reason")))


def value_of(node: ast.expr) -> Any:
    """Return the value of an expression; an object becomes a dictionary of its fields, with its class as `class`."""
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
        return {"class": node.func.id, **{word.arg: value_of(word.value) for word in node.keywords if word.arg}}
    if isinstance(node, ast.List):
        return [value_of(item) for item in node.elts]
    if isinstance(node, ast.Dict):
        return {value_of(key): value_of(item) for key, item in zip(node.keys, node.values, strict=True) if key}
    return ast.literal_eval(node)


def parts_of(block: Any) -> tuple[Part, ...]:
    """Return the parts of one content of a message, which is the dictionary of its fields and its class."""
    match block:
        case {"class": "TextContent", "text": str(text)}:
            return (TextPart(text),)
        case {"class": "ReasoningContent", "reasoning_text": str(text)}:
            return (ReasoningPart(text),)
        case {"class": "ToolCall", "tool_name": str(name), "arguments": arguments}:
            return (parts.call(name, arguments, block.get("id")) or UnknownPart(block),)
        case {"class": "ToolCallResult", "result": result, "origin": origin}:
            return (parts.result(result, as_dict(origin).get("id")),)
        case {"class": "ImageContent", "base64_image": str(data)} if data.endswith(_CUT):
            return ()
        case {"class": "ImageContent" | "FileContent" as kind}:
            data = block.get("base64_image", block.get("base64_data"))
            medium = parts.inline(data, block.get("mime_type"), "image" if kind == "ImageContent" else "file")
            return (medium or UnknownPart(block),)
    return (UnknownPart(block),)
