"""Reads a message in any form; the form is recognized by the keys of the message."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from label_studio_otel.reading.forms import bedrock, gen_ai, google, langchain, llama_index, openai, openai_responses
from label_studio_otel.reading.forms import vercel as vercel_prompt

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from label_studio_otel.generation import Message

__all__ = ["is_item", "is_message", "is_tool", "message_of", "messages_of"]


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
    return openai_responses.messages_of(listed) if any(map(is_item, listed)) else tuple(map(message_of, listed))


def is_message(raw: Any) -> bool:
    """Return whether a value in a list is a message or an item, and no other object."""
    return isinstance(raw, dict) and (isinstance(raw.get("role"), str) or langchain.is_message(raw) or is_item(raw))


def is_item(raw: Any) -> bool:
    """Return whether a value is an item of the Responses API, perhaps a message."""
    return openai_responses.is_item(raw) or (isinstance(raw, dict) and raw.get("type") == "message")


def is_tool(raw: dict[str, Any]) -> bool:
    """Return whether a value is a tool's definition, which Langfuse's LangChain handler writes after the messages."""
    return raw.get("role") == "tool" and "tool_call_id" not in raw and isinstance(raw.get("content"), dict)


def _llama_index(raw: dict[str, Any], default_role: str) -> Message:
    return message_of(llama_index.with_content(raw), default_role)


#: The keys of a message of a text, which is the same in all forms.
_IN_ALL_FORMS = frozenset({"role", "content"})

#: How each form is told, and the function that reads it: the first form that is told reads the message, OpenAI's
#: reads all others.
_FORMS: tuple[tuple[Callable[[dict[str, Any]], bool], Callable[[dict[str, Any], str], Message]], ...] = (
    (langchain.is_message, langchain.message_of),
    (llama_index.is_message, _llama_index),
    (langchain.is_message_with_role, langchain.message_with_role),
    (bedrock.is_message, bedrock.message_of),
    (vercel_prompt.is_message, vercel_prompt.message_of),
    (gen_ai.is_message, gen_ai.message_of),
    (google.is_message, google.message_of),
)
