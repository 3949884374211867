"""LangChain's messages and generations, as its tracers dump them.

Three forms of a message are met: `{"lc": 1, "type": "constructor", "id": […, "HumanMessage"], "kwargs": {…}}`
(`langchain_core.load.dumps`), its `model_dump` (`{"type": "human", "content": …}`) and `messages_to_dict`
(`{"type": "human", "data": {…}}`).

- https://github.com/langchain-ai/langchain/blob/langchain-core%3D%3D1.0.0/libs/core/langchain_core/messages/ai.py
- https://github.com/langchain-ai/langchain/blob/langchain-core%3D%3D1.0.0/libs/core/langchain_core/messages/content.py

A tool call stands in `tool_calls`, mostly a second time in `additional_kwargs`, and a third time among the content's
blocks where the provider has it there: it is read once, at its place among the blocks.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from label_studio_otel.generation import (
    Choice,
    Message,
    Part,
    ReasoningPart,
    RefusalPart,
    TextPart,
    ToolCallPart,
    ToolResponsePart,
    UnknownPart,
)
from label_studio_otel.reading.finish_reason import finish_reason
from label_studio_otel.reading.forms import media, openai_responses
from label_studio_otel.reading.forms.openai_parts import arguments_of, joined, part_of, tool_call_of, with_calls

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

__all__ = ["choices_of", "is_message", "message_of", "messages_of", "response_of"]

_ROLES = {
    "human": "user",
    "humanmessage": "user",
    "user": "user",
    "ai": "assistant",
    "aimessage": "assistant",
    "assistant": "assistant",
    "system": "system",
    "systemmessage": "system",
    "developer": "developer",
    "tool": "tool",
    "toolmessage": "tool",
    "function": "tool",
    "functionmessage": "tool",
    "chat": "",
    "chatmessage": "",
}


def messages_of(inputs: Any) -> tuple[Message, ...] | None:
    """Read what a model was called with: `{"messages": [[…]]}`, `{"prompts": […]}` or messages; None where none."""
    if isinstance(inputs, dict):
        prompts = inputs.get("prompts", inputs.get("prompt"))
        if isinstance(prompts, (str, list)):
            texts = [prompts] if isinstance(prompts, str) else prompts
            return tuple(Message("user", (part_of(text),)) for text in texts)
        inputs = inputs.get("messages")
    raws = _flat(inputs)
    return tuple(message_of(raw) for raw in raws) if raws and all(is_message(raw) for raw in raws) else None


def choices_of(outputs: Any) -> tuple[Choice, ...] | None:
    """Read what a model gave: `{"generations": [[…]]}`; None where it is nothing of the kind."""
    generations = _flat(outputs.get("generations")) if isinstance(outputs, dict) else []
    return tuple(_choice(raw) for raw in generations) or None


def response_of(outputs: Any) -> dict[str, Any]:
    """Return what the provider said about its response: `id`, `model_name`, `finish_reason`, … where it said it."""
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
        found |= _metadata(fields)
    return found


def is_message(raw: Any) -> bool:
    """Tell a dumped message of any of the three forms."""
    fields = _fields(raw)
    return "content" in fields and _kind(raw) in _ROLES


def message_of(raw: Any) -> Message:
    """Read one message; what is none is kept as it came."""
    if not is_message(raw):
        return Message("user", (UnknownPart(raw),))
    fields = _fields(raw)
    role, name = _role(raw, fields), fields.get("name")
    parts = (_tool_result(fields),) if role == "tool" else _parts(fields)
    return Message(role, parts, name if isinstance(name, str) and name else None)


def _fields(raw: Any) -> Mapping[str, Any]:
    if not isinstance(raw, dict):
        return {}
    for key in ("kwargs", "data"):
        if isinstance(raw.get(key), dict):
            return raw[key]  # type: ignore[no-any-return]
    return raw


def _kind(raw: Mapping[str, Any]) -> str:
    """Return the kind of a message by its `type`, else by the name of its class, without `Chunk`."""
    kind = _fields(raw).get("type", raw.get("type"))
    path = raw.get("id")
    if kind in (None, "constructor") and isinstance(path, list) and path:
        kind = path[-1]
    return kind.lower().removesuffix("chunk") if isinstance(kind, str) else ""


def _role(raw: Mapping[str, Any], fields: Mapping[str, Any]) -> str:
    extra = _dict(fields.get("additional_kwargs"))
    if extra.get("__openai_role__") == "developer":
        return "developer"
    own = fields.get("role")
    return _ROLES[_kind(raw)] or (own if isinstance(own, str) and own else "user")


def _tool_result(fields: Mapping[str, Any]) -> ToolResponsePart:
    identifier = fields.get("tool_call_id")
    return ToolResponsePart(joined(fields.get("content")), identifier if isinstance(identifier, str) else None)


def _parts(fields: Mapping[str, Any]) -> tuple[Part, ...]:
    extra = _dict(fields.get("additional_kwargs"))
    calls = _calls(fields, extra)
    refusal = extra.get("refusal")
    more = [RefusalPart(refusal)] if isinstance(refusal, str) and refusal else []
    thoughts = _thoughts(extra.get("reasoning_content"))
    content = list(_content(fields.get("content"), has_more=bool(calls or more)))
    if any(isinstance(part, ReasoningPart) for part in content):
        thoughts = ()
    return (*thoughts, *with_calls(content, calls), *more)


def _thoughts(text: Any) -> tuple[Part, ...]:
    return (ReasoningPart(text),) if isinstance(text, str) and text else ()


def _calls(fields: Mapping[str, Any], extra: Mapping[str, Any]) -> list[Part]:
    calls: list[Part] = [_call(raw) for key in ("tool_calls", "invalid_tool_calls") for raw in _list(fields.get(key))]
    if calls:
        return calls
    legacy = extra.get("function_call")
    return [tool_call_of(raw) for raw in _list(extra.get("tool_calls"))] or (
        [tool_call_of({"function": legacy})] if isinstance(legacy, dict) else []
    )


def _call(raw: Any) -> Part:
    """Read LangChain's tool call, or a provider's that stands in its place."""
    if not isinstance(raw, dict) or "args" not in raw or not isinstance(raw.get("name"), str):
        return tool_call_of(raw)
    identifier = raw.get("id")
    return ToolCallPart(raw["name"], arguments_of(raw["args"]), identifier if isinstance(identifier, str) else None)


def _content(content: Any, *, has_more: bool) -> Iterator[Part]:
    if isinstance(content, list):
        for block in content:
            yield from _block(block)
    elif isinstance(content, str):
        # LangChain writes "" where the wire has none.
        if content or not has_more:
            yield TextPart(content)
    elif content is not None:
        yield UnknownPart(content)


def _block(raw: Any) -> tuple[Part, ...]:
    if not isinstance(raw, dict):
        return (part_of(raw),)
    kind = raw.get("type")
    if kind == "reasoning":
        return _thoughts(raw.get("reasoning")) or openai_responses.reasoning_of(raw)
    if kind in ("function_call", "custom_tool_call"):
        return (openai_responses.tool_call_of(raw),)
    if kind == "tool_call":
        return (_call(raw),)
    if kind == "refusal" or "text" in raw:
        return (part_of(raw),)
    return (_standard_media(raw) or part_of(raw),)


def _standard_media(raw: Mapping[str, Any]) -> Part | None:
    """Read LangChain's own blocks of media; the providers' are left to others."""
    kind, mime_type = raw.get("type"), raw.get("mime_type", "")
    if kind not in ("image", "audio", "video", "file"):
        return None
    return (
        media.inline(raw.get("base64") or raw.get("data"), mime_type, kind)
        or media.by_reference(raw.get("url"), kind, mime_type)
        or (None if isinstance(raw.get("file"), dict) else media.by_id(raw.get("file_id") or raw.get("id"), kind))
    )


def _choice(raw: Any) -> Choice:
    if not isinstance(raw, dict):
        return Choice(Message("assistant", (part_of(raw),)))
    said = raw.get("message")
    info = _dict(raw.get("generation_info"))
    if not is_message(said):
        return Choice(Message("assistant", (part_of(raw.get("text")),)), finish_reason(info.get("finish_reason")))
    message = message_of(said)
    reason = _finish({**_metadata(_fields(said)), **info}, message)
    return Choice(Message("assistant", message.parts, message.name), reason)


def _metadata(fields: Mapping[str, Any]) -> dict[str, Any]:
    return dict(_dict(fields.get("response_metadata")))


def _finish(metadata: Mapping[str, Any], message: Message) -> str | None:
    for key in ("finish_reason", "stop_reason", "done_reason", "stopReason"):
        if metadata.get(key):
            return finish_reason(metadata[key])
    return openai_responses.finish_of(metadata, message.parts)


def _flat(value: Any) -> list[Any]:
    """Return a list of lists as one list: the outer one is the batch, of which a span holds one."""
    items = _list(value)
    return [inner for item in items for inner in (item if isinstance(item, list) else [item])]


def _dict(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, dict) else {}


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []
