"""Makes one change in the body of an export request, for the fuzzing of receivers. The rest stays readable."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import random
    from collections.abc import Callable, Iterator

    #: Changes bytes, to at most this number.
    Mutate = Callable[[bytes, int], bytes]

#: The depth down to which messages in messages are changed.
_DEEPEST = 8


def changed(body: bytes, is_json: bool, chance: random.Random, mutate: Mutate) -> bytes:
    """Return the body with one change."""
    if chance.random() < 0.1:
        return mutate(body, len(body) + 64)
    return _changed_json(body, chance, mutate) if is_json else _changed_protobuf(body, chance, mutate)


_VALUES = (None, 0, -1, 1 << 64, 1e400, True, "", "text", "0" * 32, "7", "NaN", [], {}, [None], {"stringValue": None})


def _changed_json(body: bytes, chance: random.Random, mutate: Mutate) -> bytes:
    try:
        whole = json.loads(body)
        places = list(_places(whole))
    except (ValueError, RecursionError):
        places = []
    if not places:
        return mutate(body, len(body) + 64)
    holder, key = chance.choice(places)
    kind = chance.randrange(5)
    if kind == 0:
        del holder[key]
    elif kind == 1 and isinstance(holder[key], str):
        holder[key] = mutate(holder[key].encode("utf-8", "replace"), 256).decode("utf-8", "replace")
    elif kind == 2 and isinstance(holder, list):
        holder.append(holder[key])
    elif kind == 3 and isinstance(holder, dict):
        holder[chance.choice(("key", "value", "spans", "traceId", "unknown", "kvlistValue", "intValue"))] = holder[key]
    else:
        other = chance.choice(places)
        holder[key] = chance.choice((*_VALUES, [holder[key]], {"value": holder[key]}, json.loads(json.dumps(other[1]))))
    try:
        return json.dumps(whole, ensure_ascii=chance.random() < 0.5).encode("utf-8", "surrogatepass")
    except (ValueError, RecursionError):  # it contains itself
        return body


def _places(value: Any) -> Iterator[tuple[Any, Any]]:
    waiting = [value]
    while waiting:
        one = waiting.pop()
        keys = list(one) if isinstance(one, dict) else range(len(one)) if isinstance(one, list) else ()
        for key in keys:
            yield one, key
            waiting.append(one[key])


# Protobuf: a message is a list of fields, each a list of tag and value: a number, bytes or a message.


def _changed_protobuf(body: bytes, chance: random.Random, mutate: Mutate) -> bytes:  # noqa: C901 - a list of changes
    message = _message(body, 0)
    fields = list(_fields(message or []))
    if not fields:
        return mutate(body, len(body) + 64)
    holder, place = chance.choice(fields)
    one = holder[place]
    kind = chance.randrange(9)
    if kind == 0:
        del holder[place]
    elif kind == 1:
        holder.insert(chance.randrange(len(holder) + 1), one)
    elif kind == 2:
        holder.append(holder.pop(place))
    elif kind == 3:
        holder[place] = [chance.randrange(1, 128) if chance.random() < 0.7 else chance.randrange(1, 1 << 32), one[1]]
    elif kind == 4:
        holder.insert(place, chance.choice(_ODD_FIELDS))
    elif kind == 5 and isinstance(one[1], list):
        holder[place] = [one[0], _bytes(one[1])[: chance.randrange(64)]]
    elif kind == 6 and isinstance(one[1], list):  # a message in two halves means the same as in one
        middle = len(one[1]) // 2
        holder[place : place + 1] = [[one[0], one[1][:middle]], [one[0], one[1][middle:]]]
    elif isinstance(one[1], int):
        holder[place] = [
            one[0],
            chance.choice((0, 1, 2, 1 << 31, (1 << 64) - 1, chance.getrandbits(64))),
        ]
    elif isinstance(one[1], bytes):
        holder[place] = [one[0], chance.choice((b"", b"\xff", bytes(8), bytes(16), b"chat", mutate(one[1], 256)))]
    else:
        holder[place] = [one[0], [*one[1], *one[1]]]
    if len(list(_fields(message or []))) > 5_000:
        return body
    return _bytes(message or [])


#: Raw: unknown fields of each wire type, groups, numbers with more bytes than needed, a field number of 0, wire type 7.
_ODD_FIELDS: tuple[list[Any], ...] = tuple(
    [None, raw]
    for raw in (
        b"\xc8\x3e\x01",
        b"\xc9\x3e" + bytes(8),
        b"\xca\x3e\x02hi",
        b"\xcd\x3e" + bytes(4),
        b"\xcb\x3e\x08\x01\xcc\x3e",
        b"\xcb\x3e\xcb\x3e\xcc\x3e\xcc\x3e",
        b"\xcb\x3e",
        b"\xcc\x3e",
        b"\x8a\x80\x00\x00",
        b"\x8a\x80\x80\x80\x80\x80\x80\x80\x80\x00\x00",
        b"\x0a\x80\x80\x00",
        b"\x0a\xff\xff\xff\xff\xff\xff\xff\xff\x7f",
        b"\x02\x00",
        b"\x0f",
        b"\xff" * 12,
    )
)


def _fields(message: list[Any]) -> Iterator[tuple[list[Any], int]]:
    waiting = [message]
    while waiting:
        one = waiting.pop()
        for place, (_, value) in enumerate(one):
            yield one, place
            if isinstance(value, list):
                waiting.append(value)


def _message(data: bytes, depth: int) -> list[Any] | None:
    found: list[Any] = []
    position = 0
    try:
        while position < len(data):
            tag, position = _varint(data, position)
            wire = tag & 7
            if wire == 0:
                value, position = _varint(data, position)
                found.append([tag, value])
                continue
            size = {1: 8, 5: 4}.get(wire)
            if wire == 2:
                size, position = _varint(data, position)
            if size is None or not tag >> 3 or position + size > len(data):
                return None
            inner = data[position : position + size]
            position += size
            nested = _message(inner, depth + 1) if wire == 2 and inner and depth < _DEEPEST else None
            found.append([tag, inner if nested is None else nested])
    except IndexError:
        return None
    return found


def _varint(data: bytes, position: int) -> tuple[int, int]:
    number = shift = 0
    while True:
        byte = data[position]
        position += 1
        number |= (byte & 0x7F) << shift
        if byte < 0x80:
            return number, position
        shift += 7


def _bytes(message: list[Any]) -> bytes:
    found = bytearray()
    for tag, value in message:
        if tag is None:
            found += value
            continue
        found += _written(tag)
        if isinstance(value, int):
            found += _written(value)
            continue
        inner = value if isinstance(value, bytes) else _bytes(value)
        found += inner if tag & 7 in (1, 5) else _written(len(inner)) + inner
    return bytes(found)


def _written(number: int) -> bytes:
    found = bytearray()
    while number > 0x7F:
        found.append(number & 0x7F | 0x80)
        number >>= 7
    found.append(number)
    return bytes(found)


def shaken(data: bytes, max_size: int, chance: random.Random) -> bytes:
    """Change some bytes, for runs without libFuzzer."""
    found = bytearray(data)
    for _ in range(chance.randrange(1, 4)):
        place = chance.randrange(len(found) + 1)
        piece = bytes(chance.randrange(256) for _ in range(chance.randrange(4)))
        found[place : place + chance.randrange(4)] = piece
    return bytes(found[:max_size])
