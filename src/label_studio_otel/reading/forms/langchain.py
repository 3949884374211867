"""LangChain's messages and generations, as its tracers write them.

A message has one of three forms: `{"lc": 1, "type": "constructor", "id": […, "HumanMessage"], "kwargs": {…}}`
(`langchain_core.load.dumps`), its `model_dump` (`{"type": "human", "content": …}`), or `messages_to_dict`
(`{"type": "human", "data": {…}}`).

- https://github.com/langchain-ai/langchain/blob/langchain-core%3D%3D1.0.0/libs/core/langchain_core/messages/ai.py
- https://github.com/langchain-ai/langchain/blob/langchain-core%3D%3D1.0.0/libs/core/langchain_core/messages/content.py

A tool call is in `tool_calls`, mostly also in `additional_kwargs`, and, with some providers, also among the blocks of
the content. It is read once, at its place among the blocks.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from label_studio_otel.generation import Choice, Message, Part, ReasoningPart, RefusalPart, UnknownPart
from label_studio_otel.reading.attributes import as_dict, as_list, identifier
from label_studio_otel.reading.finish_reason import finish_reason
from label_studio_otel.reading.forms import openai, parts
from label_studio_otel.reading.forms.openai import joined, part_of, tool_call_of

_CLASSES = {"human": "user", "ai": "assistant", "system": "system", "tool": "tool", "function": "tool", "chat": ""}
_ROLES = {
    **_CLASSES,
    **{f"{kind}message": role for kind, role in _CLASSES.items()},
    **{role: role for role in ("user", "assistant", "developer")},
}
_OPENAI_ROLES = frozenset({"system", "user", "assistant", "tool", "developer"})
#: Keys that only LangChain's messages have, whatever they were made into.
_ONLY_LANGCHAIN = frozenset({"additional_kwargs", "response_metadata", "invalid_tool_calls"})
#: Kinds of content blocks that LangChain takes from a message's other fields.
_ONLY_LANGCHAIN_BLOCKS = frozenset({"reasoning", "function_call", "custom_tool_call", "tool_call"})


def messages_of(inputs: Any) -> tuple[Message, ...] | None:
    """Return the messages of an input: `{"messages": [[…]]}`, `{"prompts": […]}` or a list; None for other values."""
    if isinstance(inputs, dict):
        prompts = inputs.get("prompts", inputs.get("prompt"))
        if isinstance(prompts, (str, list)):
            texts = [prompts] if isinstance(prompts, str) else prompts
            return tuple(Message("user", (part_of(text),)) for text in texts)
        inputs = inputs.get("messages")
    raws = _flat(inputs)
    return tuple(map(message_of, raws)) if raws and all(map(is_message, raws)) else None


def choices_of(outputs: Any) -> tuple[Choice, ...] | None:
    """Return the choices of an output, `{"generations": [[…]]}`; None for any other value."""
    generations = _flat(outputs.get("generations")) if isinstance(outputs, dict) else []
    return tuple(_choice(raw) for raw in generations) or None


def response_of(outputs: Any) -> dict[str, Any]:
    """Return what an output holds of the provider's response: `id`, `model_name`, `finish_reason`, … if known."""
    found: dict[str, Any] = {}
    if not isinstance(outputs, dict):
        return found
    if isinstance(outputs.get("llm_output"), dict):
        found |= outputs["llm_output"]
    for raw in _flat(outputs.get("generations"))[:1]:
        fields = _fields(raw.get("message")) if isinstance(raw, dict) else {}
        identifier = fields.get("id")
        # LangChain's own ids start with "run": another process cannot know them.
        if isinstance(identifier, str) and not identifier.startswith(("run-", "run--", "lc_run")):
            found.setdefault("id", identifier)
        found |= as_dict(fields.get("response_metadata"))
    return found


def is_message(raw: Any) -> bool:
    """Return whether a value is a message, in any of the three forms."""
    fields = _fields(raw)
    return "content" in fields and _kind(raw, fields) in _ROLES


def is_message_with_role(raw: Mapping[str, Any]) -> bool:
    """Return whether a value is a LangChain message with `role` in place of `type`, by its other keys."""
    if str(raw.get("role", "user")) not in _OPENAI_ROLES:
        return False
    if not _ONLY_LANGCHAIN.isdisjoint(raw):
        return True
    calls, content = as_list(raw.get("tool_calls")), as_list(raw.get("content"))
    return any(isinstance(call, dict) and "args" in call for call in calls) or any(
        isinstance(block, dict) and str(block.get("type")) in _ONLY_LANGCHAIN_BLOCKS for block in content
    )


def message_with_role(raw: Mapping[str, Any], default_role: str) -> Message:
    """Return the message of a value for which `is_message_with_role` is true."""
    return message_of({**raw, "type": raw.get("role", default_role)})


def message_of(raw: Any, default_role: str = "user") -> Message:
    """Return one message; a value that is no message becomes a message with an `UnknownPart`."""
    fields = _fields(raw)
    role = _ROLES.get(_kind(raw, fields)) if "content" in fields else None
    if role is None:
        return Message(default_role, (UnknownPart(raw),))
    if role == "tool":
        result = parts.result(joined(fields["content"]), fields.get("tool_call_id"))
        return parts.message(role, (result,), fields.get("name"))
    extra = as_dict(fields.get("additional_kwargs"))
    if extra.get("__openai_role__") == "developer":
        role = "developer"
    return parts.message(role or identifier(fields, "role") or "user", _parts(fields, extra), fields.get("name"))


def _fields(raw: Any) -> Mapping[str, Any]:
    if not isinstance(raw, dict):
        return {}
    for key in ("kwargs", "data"):
        if isinstance(raw.get(key), dict):
            return raw[key]  # type: ignore[no-any-return]
    return raw


def _kind(raw: Mapping[str, Any], fields: Mapping[str, Any]) -> str:
    """Return the `type` of a message, else the name of its class, in lower case and without `chunk`; empty for none."""
    kind = fields.get("type") or raw.get("type")
    if kind is None or kind == "constructor":
        path = raw.get("id")
        kind = path[-1] if isinstance(path, list) and path else None
    return kind.lower().removesuffix("chunk") if isinstance(kind, str) else ""


def _parts(fields: Mapping[str, Any], extra: Mapping[str, Any]) -> tuple[Part, ...]:
    calls = _calls(fields, extra)
    refusal = extra.get("refusal")
    more = [RefusalPart(refusal)] if isinstance(refusal, str) and refusal else []
    thoughts = parts.thoughts(extra.get("reasoning_content"))
    content = fields.get("content")
    if isinstance(content, list):
        said = tuple(part for block in content for part in _block(block))
    else:  # beside a tool call or a refusal LangChain writes an empty text, where the wire has none
        said = () if content == "" and (calls or more) else parts.plain(content)
    if any(isinstance(part, ReasoningPart) for part in said):
        thoughts = ()
    return (*thoughts, *parts.with_calls(said, calls), *more)


def _calls(fields: Mapping[str, Any], extra: Mapping[str, Any]) -> list[Part]:
    calls = [*as_list(fields.get("tool_calls")), *as_list(fields.get("invalid_tool_calls"))]
    if calls:
        return list(map(_call, calls))
    legacy = extra.get("function_call")
    raws = as_list(extra.get("tool_calls")) or ([{"function": legacy}] if isinstance(legacy, dict) else [])
    return list(map(tool_call_of, raws))


def _call(raw: Any) -> Part:
    """Return a tool call in LangChain's form or a provider's."""
    if isinstance(raw, dict) and "args" in raw:
        return parts.call(raw.get("name"), parts.arguments_of(raw["args"]), raw.get("id")) or tool_call_of(raw)
    return tool_call_of(raw)


def _block(raw: Any) -> tuple[Part, ...]:
    if not isinstance(raw, dict):
        return (part_of(raw),)
    kind = raw.get("type")
    if kind == "reasoning":
        return parts.thoughts(raw.get("reasoning")) or openai.reasoning_of(raw)
    if kind in ("function_call", "custom_tool_call"):
        return (openai.called_item(raw),)
    if kind == "tool_call":
        return (_call(raw),)
    if kind == "refusal" or "text" in raw:
        return (part_of(raw),)
    return (_standard_media(raw) or part_of(raw),)


def _standard_media(raw: Mapping[str, Any]) -> Part | None:
    """Return media in LangChain's form; None for a block in a provider's form."""
    kind, mime_type = raw.get("type"), raw.get("mime_type", "")
    if kind not in ("image", "audio", "video", "file"):
        return None
    return (
        parts.inline(raw.get("base64") or raw.get("data"), mime_type, kind)
        or parts.by_reference(raw.get("url"), kind, mime_type)
        or (None if isinstance(raw.get("file"), dict) else parts.by_id(raw.get("file_id") or raw.get("id"), kind))
    )


def _choice(raw: Any) -> Choice:
    if not isinstance(raw, dict):
        return Choice(Message("assistant", (part_of(raw),)))
    said = raw.get("message")
    info = as_dict(raw.get("generation_info"))
    if not is_message(said):
        return Choice(Message("assistant", (part_of(raw.get("text")),)), finish_reason(info.get("finish_reason")))
    message = message_of(said)
    metadata = as_dict(_fields(said).get("response_metadata")) | info
    raws = map(metadata.get, ("finish_reason", "stop_reason", "done_reason", "stopReason"))
    named = next(filter(None, raws), None)
    reason = finish_reason(named) if named else openai.finish_of(metadata, message.parts)
    return Choice(Message("assistant", message.parts, message.name), reason)


def _flat(value: Any) -> list[Any]:
    """Return a list of lists as one list. The outer list is the batch, and a span holds one input of it."""
    items = as_list(value)
    return [inner for item in items for inner in (item if isinstance(item, list) else [item])]
