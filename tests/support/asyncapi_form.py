"""The form of an AsyncAPI 3.0 document, of as much of it as ours has, as a JSON Schema.

It is closed: a member that the specification has not, or that is misspelt, is refused, but for
extensions (`x-`).
"""

from typing import Any

Schema = dict[str, Any]
TEXT: Schema = {"type": "string", "minLength": 1}


def exactly(needed: dict[str, Schema], **other: Schema) -> Schema:
    return {
        "type": "object",
        "required": list(needed),
        "properties": {**needed, **other},
        "patternProperties": {"^x-": {}},
        "additionalProperties": False,
    }


def each(schema: Schema) -> Schema:
    names = {"pattern": r"^[\w.-]+$"}
    return {"type": "object", "minProperties": 1, "propertyNames": names} | {
        "additionalProperties": schema
    }


def reference(start: str) -> Schema:
    return exactly({"$ref": {"type": "string", "pattern": rf"^#/{start}/[\w-]+$"}})


def several(schema: Schema) -> Schema:
    return {"type": "array", "items": schema, "minItems": 1, "uniqueItems": True}


SOCKET_BINDING = exactly(
    {"method": {"enum": ["GET", "POST"]}},
    query=exactly(
        {"type": {"const": "object"}, "properties": {"type": "object"}},
        additionalProperties={},
        patternProperties={"type": "object"},
        required=several(TEXT),
    ),
    bindingVersion=TEXT,
)
CHANNEL = exactly(
    {"address": {"type": "string", "pattern": "^/"}, "title": TEXT, "description": TEXT}
    | {"messages": each(reference("components/messages"))},
    servers=several(reference("servers")),
    parameters=each(exactly({"description": TEXT})),
    bindings=exactly({}, ws=SOCKET_BINDING),
)
HTTP_BINDING = exactly(
    {"method": {"enum": ["GET", "POST"]}}, query={"type": "object"}, bindingVersion=TEXT
)
OPERATION = exactly(
    {"action": {"enum": ["send", "receive"]}, "summary": TEXT, "channel": reference("channels")}
    | {"messages": several(reference(r"channels/\w+/messages"))},
    bindings=exactly({}, http=HTTP_BINDING),
)
MESSAGE = exactly(
    {
        **{"title": TEXT, "payload": reference("components/schemas")},
        "examples": several(exactly({"payload": {"type": "object"}}, name=TEXT, summary=TEXT)),
    },
    summary=TEXT,
    contentType=TEXT,
)
SERVER = exactly(
    {"host": TEXT, "protocol": {"enum": ["ws", "wss", "http", "https"]}}, description=TEXT
)
INFO = exactly(
    {"title": TEXT, "version": {"type": "string", "pattern": r"^\d+\.\d+\.\d+$"}},
    description=TEXT,
    license=exactly({"name": TEXT}, url=TEXT),
)
DOCUMENT = exactly(
    {
        **{"asyncapi": {"const": "3.0.0"}, "info": INFO, "defaultContentType": TEXT},
        **{"servers": each(SERVER), "channels": each(CHANNEL), "operations": each(OPERATION)},
        "components": exactly({"messages": each(MESSAGE), "schemas": {"type": "object"}}),
    }
)
