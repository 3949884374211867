"""Messages in whose form ever: OpenAI's, Anthropic's, Bedrock's, LangChain's, told by their keys (see `_payload`)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from label_studio_otel.generation import Message, ToolResponsePart
from label_studio_otel.reading.forms import bedrock, langchain, openai, openai_responses

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["is_dumped", "is_item", "is_message", "is_tool", "message_of", "messages_of"]

#: Keys that only LangChain's messages have, whatever they were made into.
_LANGCHAIN_KEYS = frozenset({"additional_kwargs", "response_metadata", "invalid_tool_calls"})
#: Kinds of content blocks that LangChain takes from a message's other fields.
_LANGCHAIN_BLOCKS = frozenset({"reasoning", "function_call", "custom_tool_call", "tool_call"})
_LANGCHAIN_ROLES = frozenset({"system", "user", "assistant", "tool", "developer"})


def messages_of(raws: list[Any]) -> tuple[Message, ...]:
    """Read messages; those of the Responses API are items, of which several can be one."""
    if any(is_item(raw) for raw in raws):
        return openai_responses.messages_of(raws)
    return tuple(map(message_of, raws))


def message_of(raw: Any, default_role: str = "user") -> Message:
    """Read one message; what is none is a message of the default role."""
    if langchain.is_message(raw):
        return langchain.message_of(raw)
    if isinstance(raw, dict) and "content" not in raw and isinstance(raw.get("blocks"), list):
        raw = {**raw, "content": [_block(block) for block in raw["blocks"]]}
    if isinstance(raw, dict) and is_dumped(raw) and str(raw.get("role", default_role)) in _LANGCHAIN_ROLES:
        return langchain.message_of(raw | {"type": raw.get("role", default_role)})
    if isinstance(raw, dict) and raw.get("content") and bedrock.are_blocks(raw["content"]):
        parts = tuple(map(bedrock.block_of, raw["content"]))
        answered = parts and all(isinstance(part, ToolResponsePart) for part in parts)
        return Message("tool" if answered else str(raw.get("role", default_role)), parts)
    return openai.message_of(raw, default_role)


def _block(raw: Any) -> Any:
    """Return a block of LlamaIndex's as LangChain writes it.

    https://github.com/run-llama/llama_index/blob/v0.14.0/llama-index-core/llama_index/core/base/llms/types.py
    """
    kind = raw.get("block_type") if isinstance(raw, dict) else None
    if not isinstance(kind, str):
        return raw
    return {"type": kind, **raw, "data": raw.get(kind), "mime_type": raw.get(f"{kind}_mimetype")}


def is_dumped(raw: Mapping[str, Any]) -> bool:
    """Tell a message of LangChain's that somebody gave a `role`."""
    calls, content = raw.get("tool_calls"), raw.get("content")
    return (
        not _LANGCHAIN_KEYS.isdisjoint(raw)
        or (isinstance(calls, list) and any(isinstance(call, dict) and "args" in call for call in calls))
        or (
            isinstance(content, list)
            and any(isinstance(block, dict) and str(block.get("type")) in _LANGCHAIN_BLOCKS for block in content)
        )
    )


def is_item(raw: Any) -> bool:
    """Tell an item of the Responses API, a message among them."""
    return openai_responses.is_item(raw) or (isinstance(raw, dict) and raw.get("type") == "message")


def is_message(raw: Any) -> bool:
    """Tell a message or an item from any other object that somebody put in a list."""
    if not isinstance(raw, dict):
        return False
    return isinstance(raw.get("role"), str) or langchain.is_message(raw) or is_item(raw)


def is_tool(raw: Mapping[str, Any]) -> bool:
    """Tell the definition of a tool that Langfuse's LangChain handler puts after the messages."""
    content = raw.get("content")
    return raw.get("role") == "tool" and "tool_call_id" not in raw and isinstance(content, dict)
