"""OpenLLMetry before it took the GenAI conventions: one attribute for each field of each message.

Written by opentelemetry-instrumentation-langchain and -openai up to 0.54, -anthropic up to 0.53, and by those for other
providers; by LiteLLM and others after its example. The writers:
https://github.com/traceloop/openllmetry/blob/0.53.4/packages/opentelemetry-instrumentation-langchain/opentelemetry/instrumentation/langchain/span_utils.py
https://github.com/traceloop/openllmetry/blob/0.53.4/packages/opentelemetry-instrumentation-openai/opentelemetry/instrumentation/openai/shared/chat_wrappers.py
https://github.com/traceloop/openllmetry/blob/0.53.4/packages/opentelemetry-instrumentation-anthropic/opentelemetry/instrumentation/anthropic/span_utils.py

`gen_ai.prompt.N.*` is the Nth message, `gen_ai.completion.N.*` the Nth choice. Beyond that:

- content that is no text is the JSON of the provider's parts in the same attribute (`content`);
- a prompt of OpenAI's Completions is `gen_ai.prompt.0.user`: the role is the field;
- Anthropic's thinking is a choice of its own, of role `thinking`, before the one it belongs to;
- a streamed answer of LangChain has the role `unknown`;
- the SDK's limit of 128 attributes evicts the oldest: the first messages, and of the next one perhaps the role;
- content that the provider's filter stopped is the word FILTERED.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from label_studio_otel.generation import Choice, Message, ReasoningPart, ToolResponsePart
from label_studio_otel.reading import gaps, table
from label_studio_otel.reading.attributes import decoded, first_integer, first_text
from label_studio_otel.reading.emitters.gen_ai.capture_settings import capture_settings_of
from label_studio_otel.reading.emitters.gen_ai.choices import FINISH_REASON, FINISH_REASONS, choices_of
from label_studio_otel.reading.emitters.gen_ai.events import EVENTS, messages_in_events
from label_studio_otel.reading.emitters.openllmetry.content import parts_of
from label_studio_otel.reading.finish_reason import finish_reason, implied_reason
from label_studio_otel.reading.forms import Request, Response, parts
from label_studio_otel.reading.identities import ASSOCIATION, USER_ID
from label_studio_otel.reading.indexed import indexed, repair_first
from label_studio_otel.reading.providers import provider_of_class
from label_studio_otel.reading.turns import join_turns

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from label_studio_otel.generation import Gap, Generation, Part
    from label_studio_otel.spans import Span

__all__ = ["DIALECT"]

# https://github.com/traceloop/openllmetry/blob/0.53.4/packages/opentelemetry-semantic-conventions-ai/opentelemetry/semconv_ai/__init__.py
PROMPTS = "gen_ai.prompt."
COMPLETIONS = "gen_ai.completion."
REQUEST_TYPE = "llm.request.type"
FUNCTIONS = "llm.request.functions."
SPAN_KIND = "traceloop.span.kind"  # on workflows, tasks, agents and tools only
LANGCHAIN_PROVIDER = f"{ASSOCIATION}ls_provider"
# Spans of other dialects that have some of these attributes, too.
INPUT_MESSAGES = "gen_ai.input.messages"
OUTPUT_MESSAGES = "gen_ai.output.messages"
OPENINFERENCE_KIND = "openinference.span.kind"

_KEYS = frozenset(
    {
        REQUEST_TYPE,
        f"{PROMPTS}0.role",
        f"{PROMPTS}0.user",
        f"{COMPLETIONS}0.role",
        f"{COMPLETIONS}0.content",
        f"{COMPLETIONS}0.finish_reason",
        # Of a long conversation whose call failed the SDK's limit leaves nothing but the last sixty messages.
        *(f"{PROMPTS}{number}.role" for number in range(25, 5_000, 25)),
    }
)

_REQUEST_TYPES = ("chat", "completion")
_FILTERED = "FILTERED"
_THINKING = "thinking"
_NO_PROVIDERS = frozenset({"langchain", "llamaindex"})


def _tells(attributes: Mapping[str, Any], scope_name: str) -> bool:
    """Return whether a span is an LLM call. A span of an embedding also has a prompt, but its prompt has no role."""
    if SPAN_KIND in attributes or INPUT_MESSAGES in attributes or OUTPUT_MESSAGES in attributes:
        return False
    if attributes.get(OPENINFERENCE_KIND, "LLM") != "LLM":
        return False
    if REQUEST_TYPE in attributes:
        return attributes[REQUEST_TYPE] in _REQUEST_TYPES
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
    incomplete += _missing(span, messages, choices)
    return table.read(
        DIALECT,
        span,
        Request(messages),
        Response(choices),
        provider=_provider(span),
        input_tokens=_count(span, DIALECT.input_tokens, len(choices)),
        output_tokens=_count(span, DIALECT.output_tokens, len(choices)),
        tools=tuple(map(_tool, indexed(attributes, FUNCTIONS).values())),
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
    if system is not None and system.lower() not in _NO_PROVIDERS:
        return system.lower()
    return first_text(span.attributes, LANGCHAIN_PROVIDER) or provider_of_class(span.name, span.scope_name)


def _messages(span: Span, incomplete: list[Gap]) -> tuple[Message, ...]:
    prompts = indexed(span.attributes, PROMPTS)
    if span.dropped_attributes:
        repair_first(prompts, "role", "content")
    messages = [_message(fields) for fields in prompts.values()]
    # An empty message has no content, either; but the instrumentation goes on after it.
    if len(messages) > 1 and messages[-1].role == "user" and not messages[-1].parts:
        incomplete.append(gaps.message_without_content())
    return tuple(message for message in messages if message.parts)


def _message(fields: Mapping[str, Any]) -> Message:
    role = first_text(fields, "role")
    if role is None:
        role = next((field for field in ("user", "system", "assistant") if field in fields), "user")
        fields = {**fields, "content": fields.get("content", fields.get(role))}
    if role in {"tool", "function"}:
        return Message("tool", _tool_result(fields))
    return parts.message(role, parts_of(fields))


def _tool_result(fields: Mapping[str, Any]) -> tuple[Part, ...]:
    content = fields.get("content")
    return () if content is None else (ToolResponsePart(content, first_text(fields, "tool_call_id")),)


def _choices(span: Span, incomplete: list[Gap]) -> tuple[Choice, ...]:
    choices: list[Choice] = []
    thoughts: tuple[Part, ...] = ()
    reason = None
    for fields in indexed(span.attributes, COMPLETIONS).values():
        reason = first_text(fields, "finish_reason") or reason
        if fields.get("role") == _THINKING:
            thoughts += _thought(fields)
            continue
        said = thoughts + _answer(fields, incomplete)
        choices.append(Choice(Message("assistant", said), finish_reason(reason) or implied_reason(said)))
        thoughts, reason = (), None
    if thoughts:  # and nothing after them
        choices.append(Choice(Message("assistant", thoughts), finish_reason(reason)))
    return tuple(choices)


def _thought(fields: Mapping[str, Any]) -> tuple[Part, ...]:
    content = fields.get("content")
    return (ReasoningPart(content),) if isinstance(content, str) and content else ()


def _answer(fields: Mapping[str, Any], incomplete: list[Gap]) -> tuple[Part, ...]:
    content = fields.get("content")
    if content == _FILTERED and finish_reason(fields.get("finish_reason")) == "content_filter":
        incomplete.append(gaps.redacted("The answer", "the provider's filter stopped it; OpenLLMetry before 0.55"))
        fields = {**fields, "content": None}
    elif content == '""' and fields.get("role") == "unknown":  # a stream of nothing, which was written as JSON
        fields = {**fields, "content": None}
    return parts_of(fields)


def _tool(fields: Mapping[str, Any]) -> Mapping[str, Any]:
    tool = {field: fields[field] for field in ("name", "description") if field in fields}
    parameters = fields.get("parameters", fields.get("input_schema"))
    if parameters is not None:
        found = decoded(parameters)
        tool["parameters"] = parameters if found is None else found
    return tool


def _missing(span: Span, messages: tuple[Message, ...], choices: tuple[Choice, ...]) -> Iterator[Gap]:
    answered = any(choice.message.parts for choice in choices)
    if span.dropped_attributes:
        yield gaps.attributes_dropped(span.dropped_attributes)
    if not messages and not answered:
        yield gaps.content_not_captured(capture_settings_of(span.scope_name).switch)
    elif not messages and capture_settings_of(span.scope_name).input_in_log:
        yield gaps.log_events_missing()
    elif not messages:
        yield gaps.no_input()
    elif not choices and span.status_code != "ERROR":
        yield gaps.no_output()


DIALECT = table.AttributeTable(
    name="openllmetry",
    written_by=__doc__,
    marks=dict.fromkeys(_KEYS, frozenset()),
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
