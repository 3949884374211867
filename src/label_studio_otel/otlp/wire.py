"""Finds the selected spans, or log records, of a request in protobuf, and reads nothing of the others.

Two readings of the same bytes come together, item by item (an item is a span or a log record):

1. *Where is it?* `_scopes` walks over the fields of the request, its resources and its scopes, without a schema: in
   protobuf a field is a number, a length and bytes. The result is the place of each item.
2. *Is it selected?* That needs the keys of its attributes alone. protobuf's library reads them in C, by a class of
   `_request_class` that declares no other fields; it passes over what is not declared.

The attributes are declared as a map, although OTLP declares them as a list of keys and values. The bytes are the same:
a map is a list of entries with a key (field 1) and a value (field 2). The values are declared as texts, so that the
library keeps their bytes and parses nothing in them. From a map Python gets all keys at once; from a list it would get
an object for each attribute, which takes several times as long.

Such a map may lack attributes: it has one of several with the same key, and the library leaves out an attribute that
has a further field, as later versions of OTLP add one. So `_selected_places` compares the number of keys with the
number of attributes. If they differ, it reads the attributes again as a list.

https://protobuf.dev/programming-guides/encoding/, https://protobuf.dev/programming-guides/proto3/#maps-features, and
trace.proto and logs.proto of OTLP 1.9
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator
from functools import cache
from typing import Any, NamedTuple

from google.protobuf.descriptor_pb2 import DescriptorProto, FieldDescriptorProto, FileDescriptorProto
from google.protobuf.descriptor_pool import DescriptorPool
from google.protobuf.message import DecodeError as ProtobufError
from google.protobuf.message_factory import GetMessageClass

from label_studio_otel.errors import DecodeError, RequestTooLarge

#: The number of the field `attributes` in a span and in a log record.
_ATTRIBUTES = {"traces": 9, "logs": 6}
#: The number of `event_name` in a log record. The same field of a span is a number, which is not read as a text.
_EVENT_NAME = 12
#: The wire type of fields with a length, and the tags of fields 1 and 2 of this type. A tag is number << 3 | wire type.
_VARINT, _WITH_LENGTH = 0, 2
_FIELD_1, _FIELD_2 = 1 << 3 | _WITH_LENGTH, 2 << 3 | _WITH_LENGTH
#: The size of a value by its wire type, for the types of fixed size.
_FIXED_SIZES = {1: 8, 5: 4}


class Group(NamedTuple):
    """The items of one scope of one resource, as they were sent."""

    resource: bytes
    scope: bytes
    #: The selected items.
    selected: list[bytes]
    #: The number of all items.
    item_count: int


def groups(
    signal: str, data: bytes, keys: frozenset[str] | None = None, max_count: float = math.inf
) -> Iterator[Group]:
    """Yield the items of each scope.

    Args:
        signal: `traces` or `logs`. Their requests have the same form, down to a single item.
        keys: items are selected that have one of these attributes, or a name as an event; None for all.
        max_count: how many items the request may have.

    Raises:
        DecodeError: it is not a request for this signal.
        RequestTooLarge: it has more items.
    """
    try:
        scopes = _scopes(data, max_count)  # first, as it checks the count before anything is made of the items
        selected: Iterable[Iterable[int]] = (
            (range(len(items)) for _, _, items in scopes) if keys is None else _selected_places(signal, data, keys)
        )
        for (resource, scope, items), places in zip(scopes, selected, strict=True):
            yield Group(resource, scope, [data[items[place]] for place in places], len(items))
    except (ProtobufError, LookupError, ValueError):
        raise DecodeError(f"no OTLP request for {signal} in protobuf") from None


def _selected_places(signal: str, data: bytes, keys: frozenset[str]) -> list[list[int]]:
    """Return, for each scope, the places of its selected items in the list of its items."""
    number = _ATTRIBUTES[signal]
    found = [_selected(items, keys) for items in _items_by_scope(_request_class(number, "map"), data)]
    merged = _request_class(number, "merged").FromString(data)
    if sum(attributes for _, attributes in found) != len(merged.resources.scopes.items.attributes):
        by_scope = _items_by_scope(_request_class(number, "list"), data)
        found = [_selected(items, keys, lambda attribute: str(attribute.key)) for items in by_scope]
    return [places for places, _ in found]


def _items_by_scope(request_class: Any, data: bytes) -> list[Any]:
    return [scope.items for resource in request_class.FromString(data).resources for scope in resource.scopes]


def _selected(items: Any, keys: frozenset[str], key_of: Callable[[Any], str] | None = None) -> tuple[list[int], int]:
    """Return the places of the selected items, and how many attributes all items have.

    Args:
        key_of: returns the key of an attribute; None where iteration over the attributes gives the keys, as of a map.
    """
    places, count = [], 0
    for place, item in enumerate(items):
        attributes = item.attributes
        count += len(attributes)
        try:
            if not keys.isdisjoint(map(key_of, attributes) if key_of else attributes) or item.event_name:
                places.append(place)
        except UnicodeDecodeError:  # a key is not UTF-8; what reads the item by its true schema handles this
            places.append(place)
    return places, count


def _scopes(data: bytes, max_count: float) -> list[tuple[bytes, bytes, list[slice]]]:
    """Return the bytes of each scope's resource and of the scope itself, and where its items are."""
    found = []
    count = 0
    for group in _fields(data, slice(0, len(data)))[0]:
        resources, scopes = _fields(data, group)
        resource = _joined(data, resources)  # one object for all scopes: it may be large, and they may be many
        for inner in scopes:
            scope, items = _fields(data, inner)
            found.append((resource, _joined(data, scope), items))
            count += max(1, len(items))
            if count > max_count:
                raise RequestTooLarge(f"the request has more than {max_count} spans or log records")
    return found


def _joined(data: bytes, parts: list[slice]) -> bytes:
    """Return the bytes of a message. A message may be sent in several parts, which together are one."""
    return b"".join(data[part] for part in parts)


def _fields(data: bytes, message: slice) -> tuple[list[slice], list[slice]]:
    """Return where the values of a message's fields 1 and 2 are: OTLP needs no others above an item."""
    first: list[slice] = []
    second: list[slice] = []
    at, end = message.start, message.stop
    while at < end:
        tag, at = _varint(data, at)
        wire_type = tag & 7
        if wire_type == _WITH_LENGTH:
            size, at = _varint(data, at)
            if tag == _FIELD_2:
                second.append(slice(at, at + size))
            elif tag == _FIELD_1:
                first.append(slice(at, at + size))
            at += size
        elif wire_type == _VARINT:
            at = _varint(data, at)[1]
        else:
            at += _FIXED_SIZES[wire_type]
    if at != end:
        raise ValueError(at)
    return first, second


def _varint(data: bytes, at: int) -> tuple[int, int]:
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
def _request_class(attributes: int, form: str) -> Any:
    """Return the class of a request of which nothing is declared but the attributes and names of its items.

    The schema is of proto2, whose library checks a text only when Python reads it. In the form `map` it is::

        message Request { repeated Resource resources = 1; }
        message Resource { repeated Scope scopes = 2; }
        message Scope { repeated Item items = 2; }
        message Item { map<string, string> attributes = 9; optional string event_name = 12; }

    Args:
        attributes: the number of their field.
        form: `map`, or `list`, in which they are `repeated AttributesEntry attributes`; or `merged`, in which they are
            `repeated string attributes`, and nothing else is repeated. When a field that is not repeated comes again,
            the library merges both messages. So a request of this form has one item with all attributes: their number.
    """
    file = FileDescriptorProto(name="selection", package="selection", syntax="proto2")
    request, resource, scope, item = (
        file.message_type.add(name=name) for name in ("Request", "Resource", "Scope", "Item")
    )
    is_merged = form == "merged"
    _add_field(request, "resources", 1, message="Resource", repeated=not is_merged)
    _add_field(resource, "scopes", 2, message="Scope", repeated=not is_merged)
    _add_field(scope, "items", 2, message="Item", repeated=not is_merged)
    _add_field(item, "event_name", _EVENT_NAME)
    _add_field(item, "attributes", attributes, message="" if is_merged else "Item.AttributesEntry", repeated=True)
    if not is_merged:
        entry = item.nested_type.add(name="AttributesEntry")
        entry.options.map_entry = form == "map"
        _add_field(entry, "key", 1)
        _add_field(entry, "value", 2)
    pool = DescriptorPool()
    pool.Add(file)
    return GetMessageClass(pool.FindMessageTypeByName("selection.Request"))


def _add_field(owner: DescriptorProto, name: str, number: int, *, message: str = "", repeated: bool = False) -> None:
    """Declare a field: of the type `message` if that is given, else a text."""
    field = owner.field.add(name=name, number=number, type_name=message or None)
    field.type = FieldDescriptorProto.TYPE_MESSAGE if message else FieldDescriptorProto.TYPE_STRING
    field.label = FieldDescriptorProto.LABEL_REPEATED if repeated else FieldDescriptorProto.LABEL_OPTIONAL
