"""Reads the response of a call in any form; the form is recognized by the keys of the value (see `request`)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from label_studio_otel.generation import Choice, Message, TextPart, ToolCallPart
from label_studio_otel.reading.attributes import first_integer, first_text
from label_studio_otel.reading.finish_reason import finish_reason
from label_studio_otel.reading.forms import google, langchain, openai, openai_responses
from label_studio_otel.reading.forms.any_message import is_item, is_message, message_of
from label_studio_otel.reading.forms.request import OBJECT, unknown_value
from label_studio_otel.reading.forms.unwrapping import unwrapped

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

__all__ = ["Response", "known_response", "response_of"]

#: Keys of which a whole response has one.
_RESPONSE_KEYS = frozenset({"candidates", "choices", "generations", "output", "response_metadata", "stop_reason"})
#: Keys of which a message has one.
_MESSAGE_KEYS = frozenset({"blocks", "content", "function_call", "parts", "tool_calls"})


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
    said = unknown_value(value)
    return Response((Choice(Message("assistant", said)),) if said else ())


def known_response(value: Any) -> Response | None:
    """Return the response of a value of a known form, or of a text; None if it has no choice."""
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
    """Return a choice with the finish reason `tool_call` if it has none and ends with a tool call."""
    parts = choice.message.parts
    if choice.finish_reason or not parts or not isinstance(parts[-1], ToolCallPart):
        return choice
    return Choice(choice.message, "tool_call")


def _choices_of(value: Any) -> tuple[Choice, ...] | None:
    if isinstance(value, str):
        return None if OBJECT.fullmatch(value) else (Choice(Message("assistant", (TextPart(value),))),)
    if isinstance(value, list):
        return _choices_of_list(value)
    if not isinstance(value, dict) or not value:
        return None
    return next((choices for read in _READERS if (choices := read(value)) is not None), None)


def _langchain_message(value: Mapping[str, Any]) -> tuple[Choice, ...] | None:
    return langchain.choices_of({"generations": [{"message": value}]}) if langchain.is_message(value) else None


def _message_with_calls(value: Mapping[str, Any]) -> tuple[Choice, ...] | None:
    """Return the choice of a message that has the fields of a response, as LangSmith writes Anthropic's; else None."""
    return _bare(value) if "tool_calls" in value and "content" in value else None


def _dumped_choices(value: Mapping[str, Any]) -> tuple[Choice, ...] | None:
    """Return choices of Chat Completions in whose messages MLflow kept LangChain's blocks; None for other choices."""
    raws = value.get("choices")
    if not isinstance(raws, list) or not raws or not all(map(_is_dumped, raws)):
        return None
    return tuple(Choice(message_of(raw["message"], "assistant"), _reason(raw)) for raw in raws)


def _is_dumped(raw: Any) -> bool:
    message = raw.get("message") if isinstance(raw, dict) else None
    return isinstance(message, dict) and langchain.is_message_with_role(message)


def _bare(value: Mapping[str, Any]) -> tuple[Choice, ...] | None:
    """Return the choices of a message without a response around it, or of an output under a name; else None."""
    if is_item(value):
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
    _langchain_message,
    _message_with_calls,
    langchain.choices_of,
    _dumped_choices,
    openai.choices_of,
    google.choices_of,
    _bare,
)


def _choices_of_list(value: list[Any]) -> tuple[Choice, ...] | None:
    """Return one choice for a list of items, or one choice for each message or text in a list; else None."""
    if any(map(is_item, value)) and all(map(is_message, value)):
        return _items_choices(value)
    choices = [_choices_of(raw) for raw in value if isinstance(raw, (dict, str))]
    return tuple(choice for one in choices for choice in one or ()) if all(choices) else None


def _items_choices(items: list[Any]) -> tuple[Choice, ...]:
    """Return the choice of a list of items, of which the rest of the response is missing."""
    status = items[-1].get("status") if isinstance(items[-1], dict) else None
    return openai_responses.choices_of({"output": items, "status": status})


def _reason(raw: Mapping[str, Any]) -> str | None:
    return finish_reason(raw.get("finish_reason") or raw.get("stop_reason") or raw.get("stopReason"))


def _usage(said: Mapping[str, Any]) -> Mapping[str, Any]:
    found = (said.get(key) for key in ("usage", "token_usage", "usage_metadata"))
    return next((usage for usage in found if isinstance(usage, dict)), {})
