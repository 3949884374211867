"""OpenInference: Arize's conventions and the instrumentations that write them, for some thirty libraries.

https://github.com/Arize-ai/openinference/blob/python-openinference-semantic-conventions-v0.1.25/spec/semantic_conventions.md

A span holds a call twice: in an attribute for each field (`messages`), and as the request and the response themselves,
in `input.value` and `output.value` (`values`). The latter hold more, and belong together: in a span that Google's ADK
uses for two calls, the attributes of the fields are a mixture of both. So `input.value` and `output.value` are read if
they are complete and in a known form, else the attributes of the fields.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any, TypeGuard

from label_studio_otel.generation import Choice, Gap, Generation, Message, TextPart, UnknownPart
from label_studio_otel.reading import gaps, table
from label_studio_otel.reading.attributes import as_dict, decoded, first_text, objects_of, string_list
from label_studio_otel.reading.emitters.openinference import values
from label_studio_otel.reading.emitters.openinference.messages import (
    CONTENT,
    NAMES,
    REDACTED,
    ROLE,
    merged,
    messages_of,
    without_redacted,
)
from label_studio_otel.reading.emitters.openinference.values import Value
from label_studio_otel.reading.finish_reason import finish_reason, implied_reason
from label_studio_otel.reading.forms import Request, Response, parts
from label_studio_otel.reading.indexed import indexed, repair_first
from label_studio_otel.reading.providers import provider_of_class
from label_studio_otel.spans import Span

# https://github.com/Arize-ai/openinference/blob/python-openinference-semantic-conventions-v0.1.25/python/openinference-semantic-conventions/src/openinference/semconv/trace/__init__.py
KIND = "openinference.span.kind"
INPUT_MESSAGES = "llm.input_messages."
OUTPUT_MESSAGES = "llm.output_messages."
PROMPTS = "llm.prompts"
CHOICES = "llm.choices."
INPUT_VALUE = "input.value"
INPUT_MIME_TYPE = "input.mime_type"
OUTPUT_VALUE = "output.value"
OUTPUT_MIME_TYPE = "output.mime_type"
PARAMETERS = "llm.invocation_parameters"
TOOLS = "llm.tools."
TOOL = "tool.json_schema"
PROMPT_TEMPLATE = "llm.prompt_template.template"
# https://github.com/open-telemetry/semantic-conventions/blob/v1.37.0/docs/registry/attributes/gen-ai.md
GEN_AI_OPERATION = "gen_ai.operation.name"
GEN_AI_MESSAGES = "gen_ai.input.messages"

#: https://github.com/openai/openai-agents-python/blob/v0.6.0/src/agents/models/openai.py
_INCOMPLETE = re.compile(r"response\.incomplete.*reason='(\w+)'")
#: The packages whose `llm.model_name` is the response's; that of the others is the request's.
_OF_THE_RESPONSE = frozenset({"anthropic", "autogen_agentchat", "langchain", "openai"})


def _tells(attributes: Mapping[str, Any], scope_name: str) -> bool:
    """Return whether a span is an LLM call: its kind is `LLM`, it called a model, and `gen_ai` does not read it."""
    if attributes.get(KIND) != "LLM" or _prepares(attributes):
        return False
    # A span that keeps to the GenAI conventions, to which somebody added these, is read by those.
    return not (GEN_AI_OPERATION in attributes and GEN_AI_MESSAGES in attributes)


def _prepares(attributes: Mapping[str, Any]) -> bool:
    """Return whether a span of the kind `LLM` called no model: it counted tokens, or made the prompt for a call."""
    output = attributes.get(OUTPUT_VALUE)
    if isinstance(output, str) and output.startswith(('{"input_tokens":', '{"total_tokens":')):
        return True  # Anthropic's and Google's counting of tokens
    value = attributes.get(INPUT_VALUE)
    if not isinstance(value, str) or any(key.startswith((INPUT_MESSAGES, OUTPUT_MESSAGES)) for key in attributes):
        return False
    # LlamaIndex's `LLM.predict` and `_prepare_chat_with_tools`, around and before the call.
    prompts = PROMPT_TEMPLATE in attributes or "PromptTemplate(" in value
    return '"chat_history": ' in value or (prompts and PROMPTS not in attributes)


def _operation(attributes: Mapping[str, Any], scope_name: str, span_name: str) -> str:
    prompted = any(key.startswith(PROMPTS) for key in attributes)
    is_chat = not prompted or any(key.startswith(INPUT_MESSAGES) for key in attributes)
    return "chat" if is_chat else "text_completion"


def _read(span: Span) -> Generation:
    attributes = span.attributes
    request = values.value_of(attributes.get(INPUT_VALUE), attributes.get(INPUT_MIME_TYPE))
    response = values.value_of(attributes.get(OUTPUT_VALUE), attributes.get(OUTPUT_MIME_TYPE))
    messages, choices = _messages(span, request, response), _choices(span, response)
    asked, answered = _models(span, request, response)
    provider = first_text(attributes, *DIALECT.provider)
    definitions = [fields.get(TOOL) for fields in indexed(attributes, TOOLS).values()]
    return table.read(
        DIALECT,
        span,
        Request(messages),
        Response(choices, values.id_of(response), None, *values.usage_of(response)),
        provider=provider.lower() if provider else provider_of_class(span.name, span.scope_name),
        request_model=asked,
        response_model=answered,
        tools=objects_of(definitions) or values.tools_of(request),
        incomplete=tuple(_incomplete(span, request, response, messages, choices)),
        # An answer that ended early is one, though the Agents SDK makes an error of it.
        **({"error": None, "error_type": None} if _cut_short(span) else {}),
    )


def _messages(span: Span, request: Value, response: Value) -> tuple[Message, ...]:
    items = indexed(span.attributes, INPUT_MESSAGES)
    if span.dropped_attributes:
        repair_first(items, ROLE, CONTENT)
    flat = tuple(message for message in messages_of(items.values(), "user") if message.parts)
    whole = _with_instructions(values.messages_of(request) or (), flat, response)
    if not whole or (flat and (request.cut or not all(map(_is_read, whole)))):
        numbered = (fields.get("prompt.text") for fields in indexed(span.attributes, f"{PROMPTS}.").values())
        texts = list(filter(_is_said, (*string_list(span.attributes.get(PROMPTS)), *numbered)))
        # The last resort is what a function was given that somebody instrumented by hand.
        whole = flat or parts.prompts(texts or filter(_is_said, [span.attributes.get(INPUT_VALUE)]))
    shown = [message for message in map(without_redacted, whole) if message.parts]
    if span.scope_name.endswith(".autogen_agentchat"):
        # It calls every system message the developer's; AutoGen sends it as the system's.
        shown = [replace(message, role="system") if message.role == "developer" else message for message in shown]
    return tuple(shown)


def _is_read(message: Message) -> bool:
    """Return whether a message has parts and all are known; an unknown part means that the form may be another one."""
    return bool(message.parts) and not any(isinstance(part, UnknownPart) for part in message.parts)


def _with_instructions(
    messages: tuple[Message, ...], flat: tuple[Message, ...], response: Value
) -> tuple[Message, ...]:
    """Return the messages with the system message first; the Agents SDK's `input.value` lacks the instructions."""
    if not messages or any(message.role in {"system", "developer"} for message in messages):
        return messages
    instructions = response.fields.get("instructions")
    if isinstance(instructions, str) and instructions:
        return (Message("system", (TextPart(instructions),)), *messages)
    leading = flat[:1] if flat and flat[0].role in {"system", "developer"} else ()
    return (*leading, *messages)


def _choices(span: Span, response: Value) -> tuple[Choice, ...]:
    attributes = span.attributes
    flat = merged(messages_of(indexed(attributes, OUTPUT_MESSAGES).values(), "assistant"))
    whole = values.choices_of(response)
    if whole is None or (flat and (response.cut or not all(_is_read(choice.message) for choice in whole))):
        numbered = (fields.get("completion.text") for fields in indexed(attributes, CHOICES).values())
        texts = list(filter(_is_said, numbered)) or filter(_is_said, [attributes.get(OUTPUT_VALUE)])
        whole = tuple(map(Choice, flat)) or tuple(Choice(Message("assistant", (TextPart(text),))) for text in texts)
    reason = finish_reason(table.first_value(attributes, DIALECT.finish_reason)) or finish_reason(_cut_short(span))
    if not whole and reason:  # and the answer is hidden
        whole = (Choice(Message("assistant", ())),)
    elif span.status_code == "ERROR":
        whole = tuple(choice for choice in whole if choice.message.parts not in ((), (TextPart(""),)))
    shown = ((without_redacted(choice.message), choice.finish_reason or reason) for choice in whole)
    return tuple(Choice(message, why or implied_reason(message.parts)) for message, why in shown)


def _cut_short(span: Span) -> str | None:
    """Return why an answer ended early, if the Agents SDK raised an error for it and dropped the answer; else None."""
    found = _INCOMPLETE.search(span.status_message or "")
    return found[1] if found else None


def _is_said(value: Any) -> TypeGuard[str]:
    return isinstance(value, str) and value not in {"", REDACTED}


def _models(span: Span, request: Value, response: Value) -> tuple[str | None, str | None]:
    """Return the model of the request and the model of the response; `llm.model_name` can be either."""
    attributes = span.attributes
    written = as_dict(decoded(attributes.get(PARAMETERS)))
    # The Agents SDK writes the response here.
    parameters = {} if "created_at" in written else written
    asked = (
        first_text(attributes, "llm.request.model_name")
        or first_text(request.fields, "model")
        or first_text(parameters, "model", "model_name")
    )
    answered = first_text(attributes, "llm.response.model_name") or values.answered_by(response)
    named = first_text(attributes, "llm.model_name")
    of_the_answer = not parameters if written else span.scope_name.rpartition(".")[2] in _OF_THE_RESPONSE
    if asked is None and named != answered and (span.status_code == "ERROR" or not of_the_answer):
        asked = named
    elif answered is None and named != asked:
        answered = named
    return asked, answered


def _incomplete(
    span: Span,
    request: Value,
    response: Value,
    messages: tuple[Message, ...],
    choices: tuple[Choice, ...],
) -> Iterator[Gap]:
    if span.dropped_attributes:
        yield gaps.attributes_dropped(span.dropped_attributes)
    for value, attribute in ((request, INPUT_VALUE), (response, OUTPUT_VALUE)):
        if value.cut:
            yield gaps.truncated(attribute)
    redacted = [key for key, value in span.attributes.items() if value == REDACTED]
    if any(key.endswith("image.url") for key in redacted):
        yield gaps.redacted("An image", "OPENINFERENCE_BASE64_IMAGE_MAX_LENGTH, OPENINFERENCE_HIDE_INPUT_IMAGES")
    hidden = [key for key in redacted if not key.endswith("image.url")]
    if hidden:
        yield gaps.redacted(hidden[0], "OPENINFERENCE_HIDE_INPUTS, OPENINFERENCE_HIDE_OUTPUTS and the like")
    elif not messages:
        yield gaps.NO_INPUT
    elif not choices and span.status_code != "ERROR":
        yield gaps.NO_OUTPUT


DIALECT = table.AttributeTable(
    name="openinference",
    written_by=__doc__,
    switch="unset OPENINFERENCE_HIDE_INPUTS, OPENINFERENCE_HIDE_OUTPUTS, OPENINFERENCE_HIDE_INPUT_MESSAGES, "
    "OPENINFERENCE_HIDE_OUTPUT_MESSAGES, OPENINFERENCE_HIDE_INPUT_TEXT, OPENINFERENCE_HIDE_OUTPUT_TEXT, "
    "OPENINFERENCE_HIDE_LLM_PROMPTS",
    marks={KIND: frozenset({"LLM"})},
    request=(INPUT_VALUE, f"{INPUT_MESSAGES}*", f"{PROMPTS}*"),
    response=(OUTPUT_VALUE, f"{OUTPUT_MESSAGES}*", f"{CHOICES}*"),
    tools=(f"{TOOLS}*", TOOL),
    finish_reason=("llm.finish_reason",),
    provider=("llm.provider", "llm.system"),
    request_model=("llm.request.model_name", "llm.model_name", PARAMETERS),
    response_model=("llm.response.model_name", "llm.model_name"),
    input_tokens=("llm.token_count.prompt",),
    output_tokens=("llm.token_count.completion",),
    metadata=("metadata",),
    also=(
        *(INPUT_MIME_TYPE, OUTPUT_MIME_TYPE, PROMPT_TEMPLATE, GEN_AI_OPERATION, GEN_AI_MESSAGES),
        *NAMES,
    ),
    tells=_tells,
    operates=_operation,
    reads=_read,
)
