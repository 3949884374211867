"""Joins the chunks of a streamed answer of OpenAI's Chat Completions to the choices of an answer without streaming.

https://github.com/openai/openai-python/blob/v2.8.0/src/openai/types/chat/chat_completion_chunk.py
"""

from __future__ import annotations

from typing import Any

__all__ = ["choices_of_chunks"]

_TEXTS = ("content", "refusal", "reasoning_content", "reasoning")


def choices_of_chunks(chunks: list[Any]) -> list[dict[str, Any]]:
    """Return the choices of all chunks by index, in the form of a response; an empty list if one is no chunk."""
    choices: dict[int, dict[str, Any]] = {}
    for chunk in chunks:
        pieces = chunk.get("choices") if isinstance(chunk, dict) else None
        if not isinstance(pieces, list) or not all(isinstance(piece, dict) for piece in pieces):
            return []
        for piece in pieces:
            _add(choices, piece)
    return [choices[index] for index in sorted(choices)]


def _add(choices: dict[int, dict[str, Any]], piece: dict[str, Any]) -> None:
    index = _index(piece)
    choice = choices.setdefault(index, {"index": index, "message": {"role": "assistant"}, "finish_reason": None})
    choice["finish_reason"] = piece.get("finish_reason") or choice["finish_reason"]
    delta = piece.get("delta")
    if not isinstance(delta, dict):
        return
    message = choice["message"]
    for key in _TEXTS:
        if isinstance(delta.get(key), str):
            message[key] = message.get(key, "") + delta[key]
    for call in delta.get("tool_calls") or ():
        if isinstance(call, dict):
            _add_call(message.setdefault("tool_calls", []), call)


def _add_call(calls: list[dict[str, Any]], piece: dict[str, Any]) -> None:
    """Add a piece of a tool call to the calls: the first has id and name, the next ones more of the arguments."""
    index = _index(piece)
    call = next((call for call in calls if call["index"] == index), None)
    if call is None:
        call = {"index": index, "id": None, "function": {"name": "", "arguments": ""}}
        calls.append(call)
    call["id"] = call["id"] or piece.get("id")
    function = piece.get("function")
    if isinstance(function, dict):
        for key in ("name", "arguments"):
            if isinstance(function.get(key), str):
                call["function"][key] += function[key]


def _index(piece: dict[str, Any]) -> int:
    index = piece.get("index")
    return index if isinstance(index, int) else 0
