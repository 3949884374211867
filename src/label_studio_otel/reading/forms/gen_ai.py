"""Messages in the JSON form of OpenTelemetry's GenAI conventions, as instrumentations really write them.

The schemas are gen-ai-input-messages.json and gen-ai-output-messages.json
(https://github.com/open-telemetry/semantic-conventions/tree/v1.37.0/docs/gen-ai); for the parts see `gen_ai_parts`.
Instrumentations differ from the schemas:

- OpenLLMetry writes the role "unknown" for a streamed answer, and `parts: []` for an empty answer. It writes a tool
  call of Anthropic or of OpenAI's Responses API twice: as `tool_call` and as a text that is the JSON of its block.
  OpenLIT writes the `repr` in place of the JSON;
- tool results are in a message of the user (Anthropic, Google, Pydantic AI), or are plain text in a message of the tool
  (LiteLLM, OpenLIT). The id of the call is beside the parts, or missing;
- LiteLLM writes `tool_calls` beside `parts`;
- a length limit of the SDK cuts the JSON at any place, without a mark (`truncated_json`).

An unknown part or message becomes an `UnknownPart`. A text that is not JSON stays a text.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from label_studio_otel.generation import (
    BlobPart,
    Message,
    Part,
    ReasoningPart,
    RefusalPart,
    TextPart,
    ToolCallPart,
    ToolResponsePart,
    UnknownPart,
)
from label_studio_otel.reading.attributes import identifier, json_of
from label_studio_otel.reading.forms import langchain, parts
from label_studio_otel.reading.forms.gen_ai_parts import dumped, part_of
from label_studio_otel.reading.forms.openai import tool_call_of
from label_studio_otel.reading.forms.unwrapping import literals_of, text_of, whole
from label_studio_otel.reading.truncated_json import beginning_of

_CUT_LIST = re.compile(r'\[\s*\{\s*"\w+"\s*:')

#: LangChain's and Google's words for the conventions' roles.
_ROLES = {"ai": "assistant", "function": "tool", "human": "user", "model": "assistant"}

#: Blocks of an answer that are tool calls, and those that a stream can begin with.
_CALLS = ("tool_use", "server_tool_use", "function_call", "input_json_delta")
_STREAMED = (*_CALLS, "text", "reasoning", "thinking", "refusal")


def split(value: Any) -> tuple[list[Any], bool]:
    """Return the items of a list of messages or parts, and whether a length limit cut the list.

    A text that is not JSON is one item. In a list that was cut, the last item may be incomplete (`drop_partial_end`).

    Raises:
        TypeError: the value is neither a text nor structured; the message is the name of its type.
    """
    cut = False
    value = text_of(value)
    if isinstance(value, str):
        found = whole(value)
        if found is None:
            if not _CUT_LIST.match(value):
                return [value], False
            found, cut = beginning_of(value) or [], True
        value = found
    if isinstance(value, dict):
        return [value], cut
    if isinstance(value, (list, tuple)):
        # An attribute can be an array of strings, each the JSON of one message.
        return [_decoded_object(item) for item in value], cut
    raise TypeError(type(value).__name__)


def _decoded_object(item: Any) -> Any:
    if not isinstance(item, str):
        return item
    decoded = json_of(item)
    return decoded if isinstance(decoded, dict) else item


def messages_of(raw: Any, default_role: str) -> Iterator[Message]:
    """Yield one message; each tool result in it is yielded as a message of the role `tool`, as in OpenAI's form."""
    message = message_of(raw, default_role)
    said: list[Part] = []
    for part in message.parts:
        if not isinstance(part, ToolResponsePart):
            said.append(part)
            continue
        if said:
            yield Message(message.role, tuple(said), message.name)
            said = []
        yield Message("tool", (part,), message.name)
    if said or not message.parts:
        yield Message(message.role, tuple(said), message.name)


def is_message(raw: Mapping[str, Any]) -> bool:
    """Return whether a value is a message with `parts` that have a `type`."""
    found = raw.get("parts") if "content" not in raw else None
    return isinstance(found, list) and any(isinstance(part, dict) and "type" in part for part in found)


def message_of(raw: Any, default_role: str) -> Message:
    """Return one message; a text becomes a message of the default role."""
    if not isinstance(raw, dict):
        return Message(default_role, (parts.text_or_unknown(raw),))
    if "parts" not in raw and langchain.is_message(raw):
        return langchain.message_of(raw)
    role = identifier(raw, "role") or "unknown"  # OpenLLMetry's word for the role of a streamed answer
    role = default_role if role == "unknown" else _ROLES.get(role, role)
    found = tuple(_without_repeated_calls(tuple(_parts(raw))))
    # An empty text stands where a tool is called, or a stream ended.
    said = tuple(part for part in found if part != TextPart("")) or found[:1]
    texts = [part.content for part in said if isinstance(part, TextPart)]
    if role == "tool" and texts and len(texts) == len(said):
        said = (parts.result("".join(texts), identifier(raw, "tool_call_id", "id")),)
    return Message(role, said, identifier(raw, "name"))


def _parts(raw: Mapping[str, Any]) -> Iterator[Part]:
    content, calls = raw.get("parts"), raw.get("tool_calls")
    content = raw.get("content") if content is None else content
    refusal = raw.get("refusal")
    yield from parts.thoughts(raw.get("reasoning_content"))
    if isinstance(content, (list, tuple)):
        # Agent Framework writes null for what it has no part for.
        yield from (part_of(part) for part in content if part is not None)
    elif isinstance(content, dict) and isinstance(content.get("parts"), list):  # Google's
        yield from map(part_of, content["parts"])
    elif isinstance(content, dict) and "type" in content:
        yield part_of(content)
    elif isinstance(content, str):
        yield TextPart(content)
    elif content is not None or not (_SAID_ELSEWHERE & raw.keys()):
        yield UnknownPart(content if content is not None else raw)
    if isinstance(refusal, str) and refusal:
        yield RefusalPart(refusal)
    if isinstance(calls, (list, tuple)):
        yield from (tool_call_of(_decoded_object(call)) for call in calls)


#: A message without content that has one of these says something, or says that there was nothing.
_SAID_ELSEWHERE = frozenset({"content", "parts", "tool_calls", "refusal", "reasoning_content"})


def _without_repeated_calls(said: tuple[Part, ...]) -> Iterator[Part]:
    """Yield the parts, each tool call once, though it can be in `content`, in `tool_calls` and in a text."""
    calls = {part.id for part in said if isinstance(part, ToolCallPart) and part.id}
    called: set[str | None] = set()
    for part in said:
        if isinstance(part, TextPart):
            yield from _text_without_calls(part.content, calls)
        elif not isinstance(part, ToolCallPart) or part.id not in called:
            called |= {part.id} & calls if isinstance(part, ToolCallPart) else set()
            yield part


def _text_without_calls(text: str, calls: set[str]) -> Iterator[Part]:
    """Yield the parts of a text, without the tool calls that its message has as parts.

    Text that looks like JSON is just that, unless it holds one of the calls, which are given by their ids.
    """
    blocks = _echo(text, calls) if calls else None
    if blocks is not None:
        yield from (part_of(block) for block in blocks if block.get("type") not in _CALLS)
        return
    chunks, rest = _chunks(text)
    rest = _before_chunks(rest, calls) if calls else rest
    if chunks:
        yield from _joined([*chunks, {"type": "text", "text": rest}])
    else:
        yield TextPart(rest)


def _echo(text: str, calls: set[str]) -> list[dict[str, Any]] | None:
    blocks = dumped(text)
    blocks = [blocks] if isinstance(blocks, dict) else blocks
    if not isinstance(blocks, list) or not all(isinstance(block, dict) for block in blocks):
        return None
    echoed = [block.get("call_id", block.get("id")) for block in blocks if block.get("type") in _CALLS]
    return blocks if echoed and all(isinstance(call, str) and call in calls for call in echoed) else None


def _chunks(text: str) -> tuple[list[dict[str, Any]], str]:
    """Return the blocks of a stream at the beginning of a text, each with an index, and the rest of the text."""
    if not text.startswith("{'") or "'index': " not in text:
        return [], text
    chunks, rest = literals_of(text)
    if not all("index" in chunk and chunk.get("type") in _STREAMED for chunk in chunks):
        return [], text
    return chunks, rest


def _joined(chunks: list[dict[str, Any]]) -> Iterator[Part]:
    for kind, part in (("thinking", ReasoningPart), ("reasoning", ReasoningPart), ("text", TextPart)):
        texts = [_text(chunk, kind) for chunk in chunks if chunk.get("type") == kind]
        if any(texts):
            yield part("".join(texts))


def _text(chunk: dict[str, Any], kind: str) -> str:
    summary = chunk.get("summary")
    if isinstance(summary, list):  # of OpenAI's reasoning
        return "".join(_text(piece, "text") for piece in summary if isinstance(piece, dict))
    text = chunk.get(kind)
    return text if isinstance(text, str) else ""


def _before_chunks(text: str, calls: set[str]) -> str:
    """Return the text up to the first chunk of one of the calls."""
    places = [text.find(f"{{'id': '{call}', 'input': {{}}, 'name': ") for call in calls] if text.endswith("}") else []
    return text[: min((place for place in places if place >= 0), default=len(text))]


def drop_partial_end(messages: Iterable[Message]) -> list[Message]:
    """Return the messages of a list that was cut, without the part or message at the end that is incomplete."""
    whole = list(messages)
    last = whole[-1] if whole else None
    if last is None or not last.parts:
        return whole[:-1]
    *before, end = last.parts
    if isinstance(end, BlobPart):
        # Base64 comes in fours; a browser shows the beginning of an image.
        before.append(BlobPart(end.modality, end.mime_type, end.content[: len(end.content) // 4 * 4]))
    elif not isinstance(end, UnknownPart):
        before.append(end)
    return [*whole[:-1], Message(last.role, tuple(before), last.name)] if before else whole[:-1]
