"""Requests in protobuf of which only some spans are wanted: the others are passed over, and none is read whole.

On the wire a field is a number, a length and bytes, whatever its schema calls it. So where each span begins and ends is
found without a schema, and what it has by one in which its attributes are a map: `KeyValue` is laid out as the entry of
a map is, and protobuf's library reads the keys in C without a look at the values. It leaves an entry out of the map
that has another field beside these two; so attributes are counted, and where some are missing in the maps (or came
twice), they are read one by one. What is wanted is left to the true schema, span by span.
https://protobuf.dev/programming-guides/encoding/, https://protobuf.dev/programming-guides/proto3/#maps-features, and
trace.proto and logs.proto of OTLP 1.9
"""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Any, NamedTuple

from google.protobuf.descriptor_pb2 import DescriptorProto, FieldDescriptorProto, FileDescriptorProto
from google.protobuf.descriptor_pool import DescriptorPool
from google.protobuf.message import DecodeError as ProtobufError
from google.protobuf.message_factory import GetMessageClass

from label_studio_otel.errors import DecodeError, RequestTooLarge

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

__all__ = ["Group", "groups"]

#: Numbers of `attributes` in a span and in a log record, and of the latter's `event_name`.
_ATTRIBUTES = {"traces": 9, "logs": 6}
_EVENT_NAME = 12
#: Tags of fields 1 and 2 where they have a length.
_FIRST, _SECOND = 1 << 3 | 2, 2 << 3 | 2
#: Bytes of a value by its wire type, where they are always as many.
_FIXED = {1: 8, 5: 4}


class Group(NamedTuple):
    """What one scope of one resource sent."""

    resource: bytes
    scope: bytes
    #: Spans or log records.
    wanted: list[bytes]
    #: How many there are, with those that are not wanted.
    told: int


def groups(signal: str, data: bytes, keys: frozenset[str], most: int) -> Iterator[Group]:
    """Yield what of a request has one of these attributes, or is an event with a name.

    Args:
        signal: `traces` or `logs`, whose messages have the same numbers down to a single span or record.
        most: how many there may be.

    Raises:
        DecodeError: it is no such request.
        RequestTooLarge: there are more.
    """
    try:
        scopes = _scopes(data, most)  # counted before anything is made of them
        for (resource, scope, items), wanted in zip(scopes, _all_wanted(signal, data, keys), strict=True):
            yield Group(resource, scope, [data[items[at]] for at in wanted], len(items))
    except (ProtobufError, LookupError, ValueError):
        raise DecodeError(f"no OTLP request for {signal} in protobuf") from None


def _all_wanted(signal: str, data: bytes, keys: frozenset[str]) -> list[list[int]]:
    """Return the places of what is wanted in each scope."""
    number = _ATTRIBUTES[signal]
    found = [_wanted(items, keys) for items in _told(_heads(number), data)]
    everything = _heads(number, one=True).FromString(data).resources.scopes.items_.attributes
    if sum(attributes for _, attributes in found) != len(everything):
        found = [_wanted(items, keys, _key) for items in _told(_heads(number, as_map=False), data)]
    return [places for places, _ in found]


def _told(kind: Any, data: bytes) -> list[Any]:
    return [scope.items_ for resource in kind.FromString(data).resources for scope in resource.scopes]


def _key(attribute: Any) -> str:
    key: str = attribute.key
    return key


def _wanted(heads: Any, keys: frozenset[str], key_of: Callable[[Any], str] | None = None) -> tuple[list[int], int]:
    """Return the places of what is wanted, and how many attributes there are."""
    found, number = [], 0
    for at, head in enumerate(heads):
        attributes = head.attributes
        number += len(attributes)
        try:
            if not keys.isdisjoint(map(key_of, attributes) if key_of else attributes) or head.event_name:
                found.append(at)
        except UnicodeDecodeError:  # a key that is none in UTF-8: who reads all of it shall say
            found.append(at)
    return found, number


def _scopes(data: bytes, most: int) -> list[tuple[bytes, bytes, list[slice]]]:
    """Return each scope with its resource, as they were sent, and where its spans or records stand."""
    found = []
    count = 0
    for resource in _fields(data, slice(0, len(data)))[0]:
        resources, scopes = _fields(data, resource)
        about = _joined(data, resources)  # once: it may be large, and its scopes many
        for scope in scopes:
            names, items = _fields(data, scope)
            found.append((about, _joined(data, names), items))
            count += max(1, len(items))
            if count > most:
                raise RequestTooLarge(f"the request has more than {most} spans or log records")
    return found


def _joined(data: bytes, places: list[slice]) -> bytes:
    """Return a message that may come in parts."""
    return b"".join(data[place] for place in places)


def _fields(data: bytes, message: slice) -> tuple[list[slice], list[slice]]:
    """Return where the values of a message's fields 1 and 2 stand: OTLP has no others above a single span."""
    first: list[slice] = []
    second: list[slice] = []
    at, end = message.start, message.stop
    while at < end:
        tag, at = _number(data, at)
        kind = tag & 7
        if kind == 2:
            size, at = _number(data, at)
            if tag == _SECOND:
                second.append(slice(at, at + size))
            elif tag == _FIRST:
                first.append(slice(at, at + size))
            at += size
        elif kind == 0:
            at = _number(data, at)[1]
        else:
            at += _FIXED[kind]
    if at != end:
        raise ValueError(at)
    return first, second


def _number(data: bytes, at: int) -> tuple[int, int]:
    """Return a number of at most 64 bits, and where the next field or value begins."""
    number = 0
    for shift in range(0, 70, 7):
        byte = data[at]
        at += 1
        number |= (byte & 0x7F) << shift
        if byte < 0x80:
            return number, at
    raise ValueError(at)


@cache
def _heads(attributes: int, *, as_map: bool = True, one: bool = False) -> Any:
    """Return the class of a request whose spans or records have but keys and a name.

    It is of proto2, which leaves texts that are no UTF-8 to who reads them.

    Args:
        attributes: their field's number.
        as_map: as a map, else one by one.
        one: nothing but attributes is repeated, so that the library merges all spans into one that has them all.
    """
    file = FileDescriptorProto(name="heads", package="heads", syntax="proto2")
    request, resource, scope, item = (
        file.message_type.add(name=name) for name in ("Request", "Resource", "Scope", "Item")
    )
    _inner(request, "resources", 1, "Resource", repeated=not one)
    _inner(resource, "scopes", 2, "Scope", repeated=not one)
    _inner(scope, "items_", 2, "Item", repeated=not one)
    _text(item, "event_name", _EVENT_NAME)
    if one:
        _text(item, "attributes", attributes, repeated=True)
    else:
        _inner(item, "attributes", attributes, "Item.AttributesEntry")
        entry = item.nested_type.add(name="AttributesEntry")
        entry.options.map_entry = as_map
        _text(entry, "key", 1)
        _text(entry, "value", 2)
    pool = DescriptorPool()
    pool.Add(file)
    return GetMessageClass(pool.FindMessageTypeByName("heads.Request"))


def _inner(owner: DescriptorProto, name: str, number: int, message: str, *, repeated: bool = True) -> None:
    field = owner.field.add(name=name, number=number, type_name=message)
    field.type = FieldDescriptorProto.TYPE_MESSAGE
    field.label = FieldDescriptorProto.LABEL_REPEATED if repeated else FieldDescriptorProto.LABEL_OPTIONAL


def _text(owner: DescriptorProto, name: str, number: int, *, repeated: bool = False) -> None:
    field = owner.field.add(name=name, number=number)
    field.type = FieldDescriptorProto.TYPE_STRING
    field.label = FieldDescriptorProto.LABEL_REPEATED if repeated else FieldDescriptorProto.LABEL_OPTIONAL
