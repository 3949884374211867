"""Langfuse's SDK, from version 3: its LangChain handler, its OpenAI client, `@observe(as_type="generation")`.

https://github.com/langfuse/langfuse-python/blob/v3.5.0/langfuse/_client/attributes.py
https://github.com/langfuse/langfuse-python/blob/v3.5.0/langfuse/langchain/CallbackHandler.py
https://github.com/langfuse/langfuse-python/blob/v3.5.0/langfuse/openai.py

Input and output are JSON, but a text stands as it is. Media were cut out and uploaded elsewhere. The LangChain handler
puts the tools' definitions after the messages, keeps the last of several answers, and takes the parts of the usage out
of `input` and `output`. The model is the one that was asked for until the answer names its own.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from label_studio_otel.generation import Choice, FilePart, Generation, TextPart
from label_studio_otel.reading import gaps
from label_studio_otel.reading.attributes import MAX_COUNT, first_text, json_of
from label_studio_otel.reading.failure import error_of, error_type_of
from label_studio_otel.reading.finish_reason import finish_reason
from label_studio_otel.reading.forms.any_form import operation_of, read_request, read_response
from label_studio_otel.reading.stored_media import with_stored_media

if TYPE_CHECKING:
    from collections.abc import Mapping

    from label_studio_otel.generation import Gap
    from label_studio_otel.spans import Span

__all__ = ["keys", "matches", "name", "operation", "read"]

name = "langfuse"

TYPE = "langfuse.observation.type"
INPUT = "langfuse.observation.input"
OUTPUT = "langfuse.observation.output"
MODEL = "langfuse.observation.model.name"
USAGE = "langfuse.observation.usage_details"
PROMPT_NAME = "langfuse.observation.prompt.name"
PROMPT_VERSION = "langfuse.observation.prompt.version"
LEVEL = "langfuse.observation.level"
STATUS_MESSAGE = "langfuse.observation.status_message"
SESSION_ID = "session.id"
USER_ID = "user.id"
#: The application's own words; every value is JSON.
METADATA = "langfuse.observation.metadata."

#: How the OpenAI client names its spans, unless it is told to name them otherwise.
OPENAI_NAME = "OpenAI-generation"

keys = frozenset({TYPE})

_SWITCH = "do not mask inputs and outputs in the Langfuse client"

#: https://langfuse.com/docs/observability/features/multi-modality
_MEDIA = re.compile(r"@@@langfuseMedia:type=(?P<mime_type>[^|@]*)\|id=(?P<id>[^|@]+)\|source=[^@]*@@@")


def matches(attributes: Mapping[str, Any], scope_name: str) -> bool:
    """Tell a generation from spans, chains, agents, tools, retrievers and embeddings."""
    return attributes.get(TYPE) == "generation"


def operation(attributes: Mapping[str, Any], scope_name: str, span_name: str) -> str:
    """Return what `read` gives as the operation."""
    asked = operation_of(attributes.get(INPUT))
    if asked == "chat":
        return asked
    output = attributes.get(OUTPUT)
    return asked if _is_text(output, read_response(output, OUTPUT, []).choices) else "chat"


def read(span: Span) -> Generation:
    """Read a generation."""
    attributes = span.attributes
    incomplete: list[Gap] = []
    request = read_request(attributes.get(INPUT), INPUT, incomplete)
    response = read_response(attributes.get(OUTPUT), OUTPUT, incomplete)
    error_type, error = _failure(span)
    messages, choices = with_stored_media(request.messages, response.choices, _stored, incomplete)
    input_tokens, output_tokens = _usage(attributes)
    # A refusal leaves nothing but its tokens.
    answers = [choice for choice in choices if choice.message.parts or not output_tokens]
    incomplete += gaps.missing(span, messages, answers, _SWITCH, failed=error is not None)
    model = first_text(attributes, MODEL)
    return Generation(
        # A text that was answered with an object went to a chat model, OpenAI's Responses API.
        operation=request.operation if _is_text(attributes.get(OUTPUT), choices) else "chat",
        messages=messages,
        choices=_with_reason(choices, finish_reason(_metadata(attributes, "finish_reason"))),
        provider=_metadata(attributes, "ls_provider") or ("openai" if span.name == OPENAI_NAME else None),
        request_model=_metadata(attributes, "ls_model_name") or (None if choices else model),
        response_model=response.model or (model if choices else None),
        response_id=response.id,
        input_tokens=response.input_tokens if input_tokens is None else input_tokens,
        output_tokens=response.output_tokens if output_tokens is None else output_tokens,
        error=error,
        error_type=error_type,
        conversation_id=_metadata(attributes, "conversation_id", "thread_id"),
        # Where contexts leak the span's own metadata is right, the attribute is an earlier call's.
        session_id=_metadata(attributes, "langfuse_session_id", "session_id") or first_text(attributes, SESSION_ID),
        user_id=_metadata(attributes, "langfuse_user_id", "user_id") or first_text(attributes, USER_ID),
        prompt_name=first_text(attributes, PROMPT_NAME),
        prompt_version=first_text(attributes, PROMPT_VERSION),
        tools=request.tools,
        incomplete=tuple(incomplete),
    )


def _metadata(attributes: Mapping[str, Any], *names: str) -> str | None:
    for key in names:
        value = attributes.get(f"{METADATA}{key}")
        decoded = json_of(value) if isinstance(value, str) else value
        text = first_text({key: value if decoded is None else decoded}, key)
        if text:
            return text
    return None


def _is_text(output: Any, choices: tuple[Choice, ...]) -> bool:
    return output is None or [choice.message.parts for choice in choices] == [(TextPart(output),)]


def _with_reason(choices: tuple[Choice, ...], reason: str | None) -> tuple[Choice, ...]:
    """Give the one answer its reason, which streams of the OpenAI client leave in the metadata."""
    if len(choices) != 1 or choices[0].finish_reason or not reason:
        return choices
    return (Choice(choices[0].message, reason),)


def _failure(span: Span) -> tuple[str | None, str | None]:
    if span.attributes.get(LEVEL) != "ERROR":
        return error_type_of(span), error_of(span)
    return error_type_of(span), first_text(span.attributes, STATUS_MESSAGE) or error_of(span) or "error"


def _usage(attributes: Mapping[str, Any]) -> tuple[int | None, int | None]:
    """Return the tokens in and out; details that were taken out of their sum are put back."""
    value = attributes.get(USAGE)
    details = json_of(value) if isinstance(value, str) else value
    if not isinstance(details, dict):
        return None, None
    counts = {key: count for key, count in details.items() if type(count) is int and 0 <= count <= MAX_COUNT}
    tokens_in = counts.get("prompt_tokens", counts.get("input_tokens"))
    tokens_out = counts.get("completion_tokens", counts.get("output_tokens"))
    return (
        _sum(counts, "input") if tokens_in is None else tokens_in,
        _sum(counts, "output") if tokens_out is None else tokens_out,
    )


def _sum(counts: Mapping[str, int], side: str) -> int | None:
    if side not in counts:
        return None
    return counts[side] + sum(count for key, count in counts.items() if key.startswith(f"{side}_"))


def _stored(text: str, modality: str) -> FilePart | None:
    found = _MEDIA.fullmatch(text)
    return FilePart(modality, found["id"], found["mime_type"]) if found else None
