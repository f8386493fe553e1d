"""asyncapi.json and schemas/, from the wire's messages."""

import msgspec

from tidewatt_wire.asyncapi import Document, json_schema
from tidewatt_wire.messages import Message


def schema(kind: type[Message]) -> str:
    """The JSON Schema of one message."""
    return as_json(json_schema(kind))


def as_json(document: Document) -> str:
    """A document as it is written to a file."""
    return msgspec.json.format(msgspec.json.encode(document), indent=2).decode() + "\n"
