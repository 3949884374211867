"""Joins the messages of one turn of the model, and gives tool results the ids of their tool calls.

In OpenAI's Responses API each tool call is an item. It has an id of the item (`fc_…`) and an id of the call (`call_…`);
the result has the latter. OpenLLMetry writes the id of the item. Other emitters write results without any id.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace

from label_studio_otel.generation import Message, ToolCallPart, ToolResponsePart
from label_studio_otel.reading.forms.parts import are_all

_ITEM_ID = "fc_"


def join_turns(messages: Iterable[Message]) -> tuple[Message, ...]:
    """Return the messages; tool calls that follow an answer of the same role become parts of that answer.

    Results without an id get the ids of the calls before them, if there are as many results as calls.
    """
    result = list(_whole_turns(messages))
    start = 0
    while start < len(result):
        end = start
        while end < len(result) and _result_of(result[end]):
            end += 1
        if 0 < start < end:
            result[start - 1 : end] = _turn(result[start - 1], result[start:end])
        start = max(end, start + 1)
    return tuple(result)


def _whole_turns(messages: Iterable[Message]) -> Iterator[Message]:
    turn: Message | None = None
    for message in messages:
        if turn is not None and message.role == turn.role and are_all(message.parts, ToolCallPart):
            turn = replace(turn, parts=turn.parts + message.parts)
            continue
        if turn is not None:
            yield turn
        turn = message if message.role == "assistant" else None
        if turn is None:
            yield message
    if turn is not None:
        yield turn


def _turn(asking: Message, answers: Sequence[Message]) -> Iterator[Message]:
    """Yield a message with tool calls and the results after it; each result gets the id of its call."""
    calls = [part.id for part in asking.parts if isinstance(part, ToolCallPart) and part.id]
    results = [part.id for message in answers if (part := _result_of(message))]
    if len(calls) != len(results):
        yield from (asking, *answers)
    elif all(results) and all(call.startswith(_ITEM_ID) for call in calls):
        names = dict(zip(calls, results, strict=True))
        parts = (
            replace(part, id=names[part.id]) if isinstance(part, ToolCallPart) and part.id in names else part
            for part in asking.parts
        )
        yield replace(asking, parts=tuple(parts))
        yield from answers
    else:
        yield asking
        yield from (_answer(message, call, results) for message, call in zip(answers, calls, strict=True))


def _answer(message: Message, call: str, results: Sequence[str | None]) -> Message:
    part = _result_of(message)
    if part is None or part.id is not None or call in results:
        return message
    return Message("tool", (ToolResponsePart(part.response, call),), message.name)


def _result_of(message: Message) -> ToolResponsePart | None:
    part = message.parts[0] if len(message.parts) == 1 else None
    return part if isinstance(part, ToolResponsePart) else None
