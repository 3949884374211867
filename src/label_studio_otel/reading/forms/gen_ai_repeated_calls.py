"""Removes tool calls that a message holds a second time, in a text that is the JSON or the `repr` of its blocks.

OpenLLMetry and OpenLIT write the content of a LangChain message as a text. If that content is a list of blocks
(Anthropic, OpenAI's Responses API), the text is the list, and the message has the tool calls again as parts. For a
stream, OpenLIT writes the `repr` of one block after the other into one text.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from label_studio_otel.generation import Part, ReasoningPart, TextPart
from label_studio_otel.reading.forms.gen_ai_parts import dumped, part_of
from label_studio_otel.reading.python_repr import literals_of

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["without_repeated_calls"]

_CALLS = ("tool_use", "server_tool_use", "function_call", "input_json_delta")
_STREAMED = (*_CALLS, "text", "reasoning", "thinking", "refusal")


def without_repeated_calls(text: str, calls: set[str]) -> Iterator[Part]:
    """Yield the parts of a text, without the tool calls that its message has as parts.

    Args:
        text: of the message. It is read as JSON or `repr` only if it contains one of the calls, or chunks of a stream.
        calls: the ids of the message's tool calls.
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
