"""Langfuse's SDK, from version 3: its LangChain handler, its OpenAI client, `@observe(as_type="generation")`.

https://github.com/langfuse/langfuse-python/blob/v3.5.0/langfuse/_client/attributes.py
https://github.com/langfuse/langfuse-python/blob/v3.5.0/langfuse/langchain/CallbackHandler.py
https://github.com/langfuse/langfuse-python/blob/v3.5.0/langfuse/openai.py

Input and output are JSON, except a plain text. Media are uploaded elsewhere. The LangChain handler writes the tools'
definitions after the messages, keeps only the last of several answers, and subtracts the parts of the usage from
`input` and `output`. The attribute for the model holds the request model, and after the response the response model.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from label_studio_otel.generation import Choice, FilePart, Generation, TextPart
from label_studio_otel.reading import table
from label_studio_otel.reading.attributes import MAX_COUNT, as_dict, decoded, first_integer, first_json_text, first_text
from label_studio_otel.reading.failure import error_of
from label_studio_otel.reading.forms import operation_of, request_of, response_of
from label_studio_otel.spans import Span

INPUT = "langfuse.observation.input"
OUTPUT = "langfuse.observation.output"
MODEL = "langfuse.observation.model.name"
LEVEL = "langfuse.observation.level"
STATUS_MESSAGE = "langfuse.observation.status_message"
METADATA = "langfuse.observation.metadata."  # the application's own words; every value is JSON

#: https://langfuse.com/docs/observability/features/multi-modality
_MEDIA = re.compile(r"@@@langfuseMedia:type=(?P<mime_type>[^|@]*)\|id=(?P<id>[^|@]+)\|source=[^@]*@@@")


def _operation(attributes: Mapping[str, Any], scope_name: str, span_name: str) -> str:
    asked = operation_of(attributes.get(INPUT))
    if asked == "chat":
        return asked
    output = attributes.get(OUTPUT)
    return asked if _is_text(output, response_of(output).choices) else "chat"


def _read(span: Span) -> Generation:
    attributes = span.attributes
    request, response = request_of(attributes.get(INPUT)), response_of(attributes.get(OUTPUT))
    model = first_text(attributes, MODEL)
    known: dict[str, Any] = {
        "operation": request.operation if _is_text(attributes.get(OUTPUT), response.choices) else "chat",
        "response_model": response.model or (model if response.choices else None),
    }
    if response.choices:
        known["request_model"] = first_json_text(attributes, *DIALECT.request_model[:1])
    if span.name == "OpenAI-generation":  # how the OpenAI client names its spans, unless it is told otherwise
        known["provider"] = first_json_text(attributes, *DIALECT.provider) or "openai"
    if attributes.get(LEVEL) == "ERROR":
        known["error"] = first_text(attributes, STATUS_MESSAGE) or error_of(span) or "error"
    known |= _usage(attributes)
    return table.read(DIALECT, span, request, response, **known)


def _is_text(output: Any, choices: tuple[Choice, ...]) -> bool:
    """Return whether the output is one text. An object as output means a chat model or OpenAI's Responses API."""
    return output is None or [choice.message.parts for choice in choices] == [(TextPart(output),)]


def _usage(attributes: Mapping[str, Any]) -> Iterator[tuple[str, int]]:
    """Yield the counts of input and output tokens, each with the name of its field.

    The LangChain handler subtracts parts, such as cached tokens, and writes them beside the rest; they are added again.
    """
    details = as_dict(decoded(table.first_value(attributes, DIALECT.usage)))
    counts = {key: count for key, count in details.items() if type(count) is int and 0 <= count <= MAX_COUNT}
    for side, names in (
        ("input", ("prompt_tokens", "input_tokens")),
        ("output", ("completion_tokens", "output_tokens")),
    ):
        count = first_integer(counts, *names)
        if count is None and side in counts:
            count = counts[side] + sum(count for key, count in counts.items() if key.startswith(f"{side}_"))
        if count is not None:
            yield f"{side}_tokens", count


def _stored(text: str, modality: str) -> FilePart | None:
    found = _MEDIA.fullmatch(text)
    return FilePart(modality, found["id"], found["mime_type"]) if found else None


DIALECT = table.AttributeTable(
    name="langfuse",
    written_by=__doc__,
    marks={"langfuse.observation.type": frozenset({"generation"})},
    switch="do not mask inputs and outputs in the Langfuse client",
    request=(INPUT,),
    response=(OUTPUT,),
    finish_reason=(f"{METADATA}finish_reason",),
    provider=(f"{METADATA}ls_provider",),
    request_model=(f"{METADATA}ls_model_name", MODEL),
    response_model=(MODEL,),
    usage=("langfuse.observation.usage_details",),
    conversation_id=(f"{METADATA}conversation_id", f"{METADATA}thread_id"),
    # Where contexts leak the span's own metadata is right, the attribute is an earlier call's.
    session_id=(f"{METADATA}langfuse_session_id", f"{METADATA}session_id", "session.id"),
    user_id=(f"{METADATA}langfuse_user_id", f"{METADATA}user_id", "user.id"),
    prompt_name=("langfuse.observation.prompt.name",),
    prompt_version=("langfuse.observation.prompt.version",),
    also=(LEVEL, STATUS_MESSAGE),
    text=first_json_text,
    hidden_is_empty=True,
    stored_media=_stored,
    operates=_operation,
    reads=_read,
)
