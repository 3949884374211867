"""Repairs protobuf whose texts are not all UTF-8. Exporters in some languages do not check this; the parser refuses it.

The message is read by a copy of its schema in which texts are `bytes`, which look the same in protobuf. What is not
UTF-8 in them is replaced by U+FFFD, as the Collector does when it writes JSON. Every message is read by its own schema
first: with `bytes` for all messages each text would cost a call of `decode`.
"""

from __future__ import annotations

from functools import cache
from typing import Any

from google.protobuf.descriptor_pb2 import FileDescriptorProto
from google.protobuf.descriptor_pool import DescriptorPool
from google.protobuf.message_factory import GetMessageClass
from opentelemetry.proto.common.v1 import common_pb2
from opentelemetry.proto.logs.v1 import logs_pb2
from opentelemetry.proto.resource.v1 import resource_pb2
from opentelemetry.proto.trace.v1 import trace_pb2

#: The schemas of all messages that are repaired; each is after those that it imports.
_SCHEMAS = (common_pb2, resource_pb2, trace_pb2, logs_pb2)


def repaired(kind: Any, data: bytes) -> bytes:
    """Return the bytes of a message of this class with valid texts.

    Raises:
        google.protobuf.message.DecodeError: the message is invalid in another way.
    """
    message = GetMessageClass(_schemas_with_bytes().FindMessageTypeByName(kind.DESCRIPTOR.full_name)).FromString(data)
    _repair(message, kind.DESCRIPTOR)
    valid: bytes = message.SerializeToString()
    return valid


@cache
def _schemas_with_bytes() -> DescriptorPool:
    pool = DescriptorPool()
    for module in _SCHEMAS:
        schema = FileDescriptorProto()
        module.DESCRIPTOR.CopyToProto(schema)
        messages = list(schema.message_type)
        while messages:
            message = messages.pop()
            messages += message.nested_type
            for field in message.field:
                if field.type == field.TYPE_STRING:
                    field.type = field.TYPE_BYTES
        pool.Add(schema)
    return pool


def _repair(message: Any, schema: Any) -> None:
    """Make the texts of a message valid, and those of the messages in it. The schema says which fields are texts."""
    for field, value in message.ListFields():
        declared = schema.fields_by_name[field.name]
        if declared.message_type is not None:
            for inner in [value] if hasattr(value, "ListFields") else value:
                _repair(inner, declared.message_type)
        elif declared.type == declared.TYPE_STRING:
            if isinstance(value, bytes):
                setattr(message, field.name, _valid(value))
            else:
                value[:] = map(_valid, value)


def _valid(text: bytes) -> bytes:
    return text.decode("utf-8", "replace").encode()
