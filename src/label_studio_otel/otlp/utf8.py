"""Protobuf whose texts are not all UTF-8: writers in other languages don't check, and the parser refuses it all.

The same messages are read with `bytes` where the schema says `string`, which is the same on the wire; what is no UTF-8
is replaced, as the Collector does when it writes JSON.
"""

from __future__ import annotations

from functools import cache
from typing import Any

from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

__all__ = ["repaired"]


def repaired(kind: Any, data: bytes) -> bytes:
    """Return the bytes of a request of this kind with valid texts.

    Raises:
        google.protobuf.message.DecodeError: it is wrong in another way.
    """
    request = _lenient(kind).FromString(data)
    _repair(request, kind.DESCRIPTOR)
    valid: bytes = request.SerializeToString()
    return valid


@cache
def _lenient(kind: Any) -> Any:
    pool = descriptor_pool.DescriptorPool()
    _add(pool, kind.DESCRIPTOR.file, set())
    return message_factory.GetMessageClass(pool.FindMessageTypeByName(kind.DESCRIPTOR.full_name))


def _add(pool: descriptor_pool.DescriptorPool, file: Any, added: set[str]) -> None:
    for needed in file.dependencies:
        _add(pool, needed, added)
    if file.name in added:
        return
    added.add(file.name)
    proto = descriptor_pb2.FileDescriptorProto()
    file.CopyToProto(proto)
    messages = list(proto.message_type)
    while messages:
        message = messages.pop()
        messages += message.nested_type
        for field in message.field:
            if field.type == field.TYPE_STRING:
                field.type = field.TYPE_BYTES
    pool.Add(proto)


def _repair(message: Any, schema: Any) -> None:
    for field, value in message.ListFields():
        true = schema.fields_by_name[field.name]
        if true.message_type is not None:
            for inner in [value] if hasattr(value, "ListFields") else value:
                _repair(inner, true.message_type)
        elif true.type == true.TYPE_STRING:
            if isinstance(value, bytes):
                setattr(message, field.name, _valid(value))
            else:
                value[:] = map(_valid, value)


def _valid(text: bytes) -> bytes:
    return text.decode("utf-8", "replace").encode()
