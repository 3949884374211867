"""OpenLLMetry before it took the GenAI conventions: one attribute for each field of each message.

Written by opentelemetry-instrumentation-langchain and -openai up to 0.54, -anthropic up to 0.53, and by those for other
providers; by LiteLLM and others after its example. The writers:
https://github.com/traceloop/openllmetry/blob/0.53.4/packages/opentelemetry-instrumentation-langchain/opentelemetry/instrumentation/langchain/span_utils.py
https://github.com/traceloop/openllmetry/blob/0.53.4/packages/opentelemetry-instrumentation-openai/opentelemetry/instrumentation/openai/shared/chat_wrappers.py
https://github.com/traceloop/openllmetry/blob/0.53.4/packages/opentelemetry-instrumentation-anthropic/opentelemetry/instrumentation/anthropic/span_utils.py

`gen_ai.prompt.N.*` is the Nth message, `gen_ai.completion.N.*` the Nth choice. Beyond that:

- content that is no text is the JSON of the provider's parts in the same attribute, which does not say so. It is parts
  where it is exactly what `json.dumps` writes for a list of parts that the providers know, unless it is a single one of
  plain text: that may as well be what the user typed, and stays text;
- a prompt of OpenAI's Completions is `gen_ai.prompt.0.user`: the role is the field;
- Anthropic's thinking is a choice of its own, of role `thinking`, before the one it belongs to;
- a streamed answer of LangChain has the role `unknown`;
- the SDK's limit of 128 attributes evicts the oldest: the first messages, and of the next one perhaps the role;
- content that the provider's filter stopped is the word FILTERED.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

from label_studio_otel.generation import Choice, Gap, Generation, Message, Part, ReasoningPart, TextPart, UnknownPart
from label_studio_otel.reading import gaps, table
from label_studio_otel.reading.attributes import as_dict, first_integer, first_text, json_of
from label_studio_otel.reading.emitters.gen_ai.capture_settings import TRACELOOP, capture_settings_of
from label_studio_otel.reading.emitters.gen_ai.choices import FINISH_REASON, FINISH_REASONS, choices_of
from label_studio_otel.reading.emitters.gen_ai.events import EVENTS, messages_in_events
from label_studio_otel.reading.emitters.gen_ai.litellm import FUNCTIONS, functions
from label_studio_otel.reading.finish_reason import finish_reason, implied_reason
from label_studio_otel.reading.forms import Request, Response, openai, parts
from label_studio_otel.reading.forms.openai import KINDS, part_of
from label_studio_otel.reading.indexed import indexed, repair_first
from label_studio_otel.reading.providers import provider_of_class
from label_studio_otel.reading.table import ASSOCIATION, USER_ID
from label_studio_otel.reading.turns import join_turns
from label_studio_otel.spans import Span

# https://github.com/traceloop/openllmetry/blob/0.53.4/packages/opentelemetry-semantic-conventions-ai/opentelemetry/semconv_ai/__init__.py
PROMPTS = "gen_ai.prompt."
COMPLETIONS = "gen_ai.completion."
REQUEST_TYPE = "llm.request.type"
SPAN_KIND = "traceloop.span.kind"  # on workflows, tasks, agents and tools only
LANGCHAIN_PROVIDER = f"{ASSOCIATION}ls_provider"
# Spans of other dialects that have some of these attributes, too.
INPUT_MESSAGES = "gen_ai.input.messages"
OUTPUT_MESSAGES = "gen_ai.output.messages"
OPENINFERENCE_KIND = "openinference.span.kind"

_KEYS = frozenset(
    {
        REQUEST_TYPE,
        *(f"{PROMPTS}0.{field}" for field in ("role", "user")),
        *(f"{COMPLETIONS}0.{field}" for field in ("role", "content", "finish_reason")),
        # Of a long conversation whose call failed the SDK's limit leaves nothing but the last sixty messages.
        *(f"{PROMPTS}{number}.role" for number in range(25, 5_000, 25)),
    }
)

_ITEMS = ("function_call", "custom_tool_call", "reasoning")
_KINDS = KINDS.union(_ITEMS)
#: What stands beside a message's calls where it has no content: none, or the JSON of none.
_NOTHING = ("", '""', "[]", "null")


def _tells(attributes: Mapping[str, Any], scope_name: str) -> bool:
    """Return whether a span is an LLM call. A span of an embedding also has a prompt, but its prompt has no role."""
    if SPAN_KIND in attributes or INPUT_MESSAGES in attributes or OUTPUT_MESSAGES in attributes:
        return False
    if attributes.get(OPENINFERENCE_KIND, "LLM") != "LLM":
        return False
    if REQUEST_TYPE in attributes:
        return attributes[REQUEST_TYPE] in ("chat", "completion")
    return not _KEYS.isdisjoint(attributes)


def _operation(attributes: Mapping[str, Any], scope_name: str, span_name: str) -> str:
    """Return the operation. Anthropic's chat has the type `completion` too, but its span's name ends with `.chat`."""
    completion = attributes.get(REQUEST_TYPE) == "completion" and not span_name.endswith(".chat")
    return "text_completion" if completion else "chat"


def _read(span: Span) -> Generation:
    attributes = span.attributes
    incomplete: list[Gap] = []
    messages = _messages(span, incomplete)
    choices = _choices(span, incomplete)
    if not messages or not choices:  # OpenLLMetry from 0.41 can write them as log events
        said = messages_in_events(span)
        messages = messages or tuple(join_turns(said.messages))
        choices = choices or choices_of(said.answers, attributes, span)
    settings = capture_settings_of(span.scope_name)
    incomplete += gaps.missing(
        span,
        messages,
        choices if messages or any(choice.message.parts for choice in choices) else (),
        settings.switch,
        failed=span.status_code == "ERROR",
        without_input=gaps.LOG_EVENTS_MISSING if settings.input_in_log else gaps.NO_INPUT,
    )
    return table.read(
        DIALECT,
        span,
        Request(messages),
        Response(choices),
        provider=_provider(span),
        input_tokens=_count(span, DIALECT.input_tokens, len(choices)),
        output_tokens=_count(span, DIALECT.output_tokens, len(choices)),
        tools=functions(attributes),
        incomplete=tuple(incomplete),
    )


def _count(span: Span, names: tuple[str, ...], choices: int) -> int | None:
    """Return a count of tokens; for LangChain, the sum that the instrumentation wrote divided by the number of choices.

    None if the count of the input is 0: the instrumentation writes 0 for a stream that it did not count.
    """
    count = first_integer(span.attributes, *names)
    if count is None or first_integer(span.attributes, *DIALECT.input_tokens) == 0:
        return None
    added = choices > 1 and span.scope_name.endswith(".langchain") and count % choices == 0
    return count // choices if added else count


def _provider(span: Span) -> str | None:
    """Return the provider, None if it is not known.

    The first releases wrote the framework in its place; there the name of the span has LangChain's class.
    """
    system = first_text(span.attributes, *DIALECT.provider[:1])
    if system is not None and system.lower() not in ("langchain", "llamaindex"):
        return system.lower()
    return first_text(span.attributes, LANGCHAIN_PROVIDER) or provider_of_class(span.name, span.scope_name)


def _messages(span: Span, incomplete: list[Gap]) -> tuple[Message, ...]:
    prompts = indexed(span.attributes, PROMPTS)
    if span.dropped_attributes:
        repair_first(prompts, "role", "content")
    messages = [_message(fields) for fields in prompts.values()]
    # An empty message has no content, either; but the instrumentation goes on after it.
    if len(messages) > 1 and messages[-1].role == "user" and not messages[-1].parts:
        incomplete.append(gaps.MESSAGE_WITHOUT_CONTENT)
    return tuple(message for message in messages if message.parts)


def _message(fields: Mapping[str, Any]) -> Message:
    role = first_text(fields, "role")
    if role is None:
        role = next((field for field in ("user", "system", "assistant") if field in fields), "user")
        fields = {**fields, "content": fields.get("content", fields.get(role))}
    if role in {"tool", "function"}:
        content = fields.get("content")
        return Message("tool", () if content is None else (parts.result(content, first_text(fields, "tool_call_id")),))
    return parts.message(role, _parts_of(fields))


def _choices(span: Span, incomplete: list[Gap]) -> tuple[Choice, ...]:
    choices: list[Choice] = []
    thoughts: tuple[Part, ...] = ()
    reason = None
    for fields in indexed(span.attributes, COMPLETIONS).values():
        reason = first_text(fields, "finish_reason") or reason
        if fields.get("role") == "thinking":
            thoughts += parts.thoughts(fields.get("content"))
            continue
        said = thoughts + _answer(fields, incomplete)
        choices.append(Choice(Message("assistant", said), finish_reason(reason) or implied_reason(said)))
        thoughts, reason = (), None
    if thoughts:  # and nothing after them
        choices.append(Choice(Message("assistant", thoughts), finish_reason(reason)))
    return tuple(choices)


def _answer(fields: Mapping[str, Any], incomplete: list[Gap]) -> tuple[Part, ...]:
    content = fields.get("content")
    if content == "FILTERED" and finish_reason(fields.get("finish_reason")) == "content_filter":
        incomplete.append(gaps.redacted("The answer", "the provider's filter stopped it; OpenLLMetry before 0.55"))
        fields = {**fields, "content": None}
    elif content == '""' and fields.get("role") == "unknown":  # a stream of nothing, which was written as JSON
        fields = {**fields, "content": None}
    return _parts_of(fields)


def _parts_of(fields: Mapping[str, Any]) -> tuple[Part, ...]:
    """Return the parts of a message; a tool call that is in `content` and in `tool_calls` is returned once."""
    calls = [_call(call) for call in indexed(fields, "tool_calls.").values()]
    legacy = {
        name: fields[f"function_call.{name}"] for name in ("name", "arguments") if f"function_call.{name}" in fields
    }
    if legacy and not calls:
        calls = [_call(legacy)]
    content = _content(fields.get("content"), has_calls=bool(calls))
    return (*_summary(fields.get("reasoning")), *parts.with_calls(content, calls))


def _call(fields: Mapping[str, Any]) -> Part:
    name = first_text(fields, "name", "function.name")
    arguments = parts.arguments_of(fields.get("arguments", fields.get("function.arguments")))
    return parts.call(name, arguments, first_text(fields, "id")) or UnknownPart(dict(fields))


def _summary(value: Any) -> tuple[Part, ...]:
    """Return the reasoning of OpenAI's Responses API, whose parts are written as JSON."""
    if not isinstance(value, str) or not value:
        return ()
    found = json_of(value)
    return openai.reasoning_of({"summary": found}) if isinstance(found, list) else (ReasoningPart(value),)


def _content(value: Any, *, has_calls: bool) -> Iterator[Part]:
    if isinstance(value, str):
        found = _decoded(value)
        if found is not None:
            yield from (part for raw in found for part in _part(raw))
        elif value not in _NOTHING or not has_calls:
            yield TextPart(value)
    elif isinstance(value, (list, tuple)):
        yield from (part for raw in value for part in _part(raw))
    elif value is not None:
        yield UnknownPart(value)


def _decoded(text: str) -> list[Any] | None:
    """Return the parts whose JSON a text is; None if it is an ordinary text."""
    if not text.startswith("[{"):
        return None
    found = json_of(text)
    if (
        not isinstance(found, list)
        or not all(str(as_dict(raw).get("type")) in _KINDS for raw in found)
        or [raw.keys() for raw in found] == [{"type", "text"}]
    ):
        return None
    # OpenLLMetry writes with `json.dumps`; the JSON of somebody else is what somebody said.
    return found if text in {json.dumps(found), json.dumps(found, ensure_ascii=False)} else None


def _part(raw: Any) -> tuple[Part, ...]:
    kind = raw.get("type") if isinstance(raw, dict) else None
    if kind == "reasoning":
        return openai.reasoning_of(raw)
    return (openai.called_item(raw),) if kind in _ITEMS else (part_of(raw),)


DIALECT = table.AttributeTable(
    name="openllmetry",
    written_by=__doc__,
    marks=dict.fromkeys(_KEYS, frozenset()),
    switch=TRACELOOP,
    request=(f"{PROMPTS}*",),
    response=(f"{COMPLETIONS}*",),
    tools=(f"{FUNCTIONS}*",),
    finish_reason=("llm.response.finish_reason",),
    provider=("gen_ai.system", LANGCHAIN_PROVIDER),
    request_model=("gen_ai.request.model",),
    response_model=("gen_ai.response.model",),
    response_id=("gen_ai.response.id",),
    input_tokens=("gen_ai.usage.input_tokens", "gen_ai.usage.prompt_tokens"),  # the later name first
    output_tokens=("gen_ai.usage.output_tokens", "gen_ai.usage.completion_tokens"),
    user_id=(*USER_ID, "llm.user"),
    also=(
        *(REQUEST_TYPE, SPAN_KIND, INPUT_MESSAGES, OUTPUT_MESSAGES, OPENINFERENCE_KIND),
        *(FINISH_REASONS, FINISH_REASON, *EVENTS),
    ),
    tells=_tells,
    operates=_operation,
    reads=_read,
)
