"""Haystack's own tracing of pipelines and agents (`HAYSTACK_CONTENT_TRACING_ENABLED`).

https://github.com/deepset-ai/haystack/blob/v2.20.0/haystack/core/pipeline/base.py (_create_component_span)
https://github.com/deepset-ai/haystack/blob/v2.20.0/haystack/tracing/utils.py (coerce_tag_value)
https://github.com/deepset-ai/haystack/blob/v2.20.0/haystack/dataclasses/chat_message.py (to_dict)

The spans of all components have the same name. A component is a generator, so an LLM call, if it takes messages or a
prompt and gives replies, whatever its class is. If a value contains an object that JSON cannot hold, such as a tool,
Haystack writes the whole value as a Python `repr`. In place of media it writes their size.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator, Mapping
from typing import Any

from label_studio_otel.generation import Choice, Gap, Generation, Message, Part, TextPart
from label_studio_otel.reading import gaps, table
from label_studio_otel.reading.attributes import as_dict, as_text, first_integer, json_of, objects_of
from label_studio_otel.reading.failure import error_of
from label_studio_otel.reading.finish_reason import finish_reason
from label_studio_otel.reading.forms import Request, Response, parts
from label_studio_otel.reading.forms.haystack_repr import parts_of, value_of
from label_studio_otel.reading.truncated_json import beginning_of
from label_studio_otel.spans import Span

TYPE = "haystack.component.type"
INPUT_SPEC = "haystack.component.input_spec"
OUTPUT_SPEC = "haystack.component.output_spec"
STEP_INPUT = "haystack.agent.step.llm.input"
STEP_OUTPUT = "haystack.agent.step.llm.output"

#: A text of Python's, or what stands there for an object that has no literal: `<ChatRole.USER: 'user'>`.
_OBJECTS = re.compile(
    r"""(?P<text>'(?:[^'\\]|\\.)*'|"(?:[^"\\]|\\.)*")|<[\w.]+: (?P<value>'[^'\\]*')>|<(?:[^<>]|<[^<>]*>)*>""", re.DOTALL
)
#: https://github.com/deepset-ai/haystack/blob/v2.20.0/haystack/dataclasses/image_content.py (_to_trace_dict)
_OMITTED = re.compile(r"Base64 string \(\d+ characters\)")

_CLASSES = {
    "text": "TextContent",
    "reasoning": "ReasoningContent",
    "tool_call": "ToolCall",
    "tool_call_result": "ToolCallResult",
    "image": "ImageContent",
    "file": "FileContent",
}


def _tells(attributes: Mapping[str, Any], scope_name: str) -> bool:
    """Return whether a span is of a generator, or of an agent that calls a generator."""
    if OUTPUT_SPEC not in attributes:
        return STEP_INPUT in attributes or STEP_OUTPUT in attributes
    takes, gives = attributes.get(INPUT_SPEC), attributes.get(OUTPUT_SPEC)
    if not isinstance(takes, str) or not isinstance(gives, str):
        return False
    return '"replies"' in gives and ('"messages"' in takes or '"prompt"' in takes)


def _read(span: Span) -> Generation:
    incomplete: list[Gap] = []
    taken, given = (_value(span, names, incomplete) for names in (DIALECT.request, DIALECT.response))
    messages = _messages(taken, incomplete)
    replies = _replies(given)
    choices = tuple(
        Choice(_message(reply, "assistant", incomplete), finish_reason(meta.get("finish_reason")))
        for reply, meta in replies
    )
    incomplete += gaps.missing(span, messages, choices, DIALECT.switch, failed=error_of(span) is not None)
    meta = replies[0][1] if replies else {}
    usage = as_dict(meta.get("usage"))
    response = Response(
        choices,
        model=as_text(meta.get("model")),
        input_tokens=first_integer(usage, "prompt_tokens", "input_tokens"),
        output_tokens=first_integer(usage, "completion_tokens", "output_tokens"),
    )
    # A generator is named after the provider: `OpenAIChatGenerator`.
    component = as_text(span.attributes.get(TYPE)) or ""
    provider = component.removesuffix("Generator").removesuffix("Chat")
    return table.read(
        DIALECT,
        span,
        Request(messages, tools=objects_of(taken.get("tools"))),
        response,
        provider=provider.lower() if provider and provider != component else None,
        incomplete=tuple(incomplete),
    )


def _value(span: Span, names: tuple[str, ...], incomplete: list[Gap]) -> Mapping[str, Any]:
    for attribute in names:
        value = span.attributes.get(attribute)
        if not isinstance(value, str):
            continue
        found = json_of(value)
        if found is None:
            found = _shown(value)
        if found is None:
            found = beginning_of(value)
            incomplete.append(gaps.truncated(attribute))
        return as_dict(found)
    return {}


def _shown(text: str) -> Any:
    """Return the value of a Python `repr`, with each object as its fields; None if the text is no `repr`."""
    try:
        return value_of(
            ast.parse(_OBJECTS.sub(lambda found: found["text"] or found["value"] or "None", text), mode="eval").body
        )
    except (SyntaxError, ValueError, MemoryError, RecursionError):
        return None


def _messages(taken: Mapping[str, Any], incomplete: list[Gap]) -> tuple[Message, ...]:
    said = taken.get("messages", taken.get("prompt"))
    raws = said if isinstance(said, list) else [said] if said else []
    messages = tuple(_message(raw, "user", incomplete) for raw in raws)
    system = taken.get("system_prompt")
    return (Message("system", (TextPart(system),)), *messages) if isinstance(system, str) and system else messages


def _message(raw: Any, default_role: str, incomplete: list[Gap]) -> Message:
    if not isinstance(raw, dict):
        return Message(default_role, (parts.text_or_unknown(raw),))
    content = _field(raw, "content")
    blocks = content if isinstance(content, list) else [content]
    said = tuple(part for block in blocks for part in _parts(block, incomplete))
    return Message(as_text(_field(raw, "role")) or default_role, said, as_text(_field(raw, "name")))


def _field(raw: Mapping[str, Any], key: str) -> Any:
    """Return a field of a message; in the `repr` its name begins with an underscore, in `to_dict` it does not."""
    return raw.get(f"_{key}", raw.get(key))


def _parts(block: Any, incomplete: list[Gap]) -> Iterator[Part]:
    if isinstance(block, str):
        yield TextPart(block)
        return
    if isinstance(block, dict) and len(block) == 1:
        ((kind, value),) = block.items()
        fields = value if isinstance(value, dict) else {kind: value}
        block = {"class": _CLASSES[kind], **fields} if kind in _CLASSES else block
    if isinstance(block, dict) and _OMITTED.fullmatch(str(block.get("base64_image", block.get("base64_data")))):
        kind = "images" if block.get("class") == "ImageContent" else "files"
        gap = gaps.media_not_captured(kind)
        if gap not in incomplete:
            incomplete.append(gap)
        return
    yield from parts_of(block)


def _replies(given: Mapping[str, Any]) -> list[tuple[Any, Mapping[str, Any]]]:
    """Return the replies, each with its metadata: a message has them in itself, a text beside it."""
    replies, metas = given.get("replies"), given.get("meta")
    if not isinstance(replies, list):
        return []
    beside = metas if isinstance(metas, list) and len(metas) == len(replies) else [{}] * len(replies)
    pairs = zip(replies, beside, strict=True)
    found = ((reply, _field(reply, "meta") if isinstance(reply, dict) else meta) for reply, meta in pairs)
    return [(reply, as_dict(meta)) for reply, meta in found]


DIALECT = table.AttributeTable(
    name="haystack",
    written_by=__doc__,
    marks=dict.fromkeys((OUTPUT_SPEC, STEP_INPUT, STEP_OUTPUT), frozenset()),
    switch="set HAYSTACK_CONTENT_TRACING_ENABLED=true",
    request=("haystack.component.input", STEP_INPUT),
    response=("haystack.component.output", STEP_OUTPUT),
    provider=(TYPE,),
    also=(INPUT_SPEC, OUTPUT_SPEC),
    tells=_tells,
    operates=lambda attributes, scope_name, span_name: "chat",
    reads=_read,
)
