"""Drops tool calls that a message has a second time: in a text that is the JSON or the `repr` of the answer's blocks.

OpenLLMetry and OpenLIT write the content of a LangChain message as text; where that is a list of blocks (Anthropic,
OpenAI's Responses API), the text is the list, and its tool calls stand beside it again, as they should. Of a stream
OpenLIT joins the `repr` of one block to that of the next.
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
    """Yield what a text says, without the tool calls that its message has itself.

    Args:
        text: what somebody said; text that looks like JSON is just that, unless it holds one of the calls.
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
    """Return the blocks of a stream with which a text begins: each has its index in the answer; and what follows."""
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
    """Return the text before the chunks of one of the calls."""
    places = [text.find(f"{{'id': '{call}', 'input': {{}}, 'name': ") for call in calls] if text.endswith("}") else []
    return text[: min((place for place in places if place >= 0), default=len(text))]
