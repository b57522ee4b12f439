"""The AsyncAPI document: what is written, the close codes, and the shapes shared with HTTP.

`docs/asyncapi.yaml` is a copy that `manage.py describe_api` writes. A test compares the two.
"""

import json
from collections.abc import Iterator
from copy import deepcopy
from functools import cache
from typing import Any

from drf_spectacular.renderers import OpenApiYamlRenderer

from orders.api.schema.close_codes import Close
from orders.api.schema.frames import FRAMES, MESSAGES
from orders.api.schema.shapes import SCHEMAS
from orders.api.schema.sockets import written
from orders.lifecycle import Status

PLACE = "#/components/schemas/"
GROUPS = {
    "events": [one.value for one in Status],
    "requests": [name for name in MESSAGES if name.endswith("Request")],
}
"""Words for several messages."""


@cache
def asyncapi() -> dict[str, Any]:
    """Return the document. It is shared, so do not change it."""
    document = deepcopy(written())
    document["operations"] = {
        name: operation
        for key, channel in document["channels"].items()
        for name, operation in describe(key, channel)
    }
    document["components"]["messages"] |= MESSAGES
    document["x-close-codes"] = {str(code.value): code.meaning for code in Close}
    schemas = document["components"]["schemas"]
    known = SCHEMAS | FRAMES
    wanted = list(names_in(document))
    while wanted:
        name = wanted.pop()
        if name not in schemas:
            schemas[name] = known[name]
            wanted += names_in(known[name])
    document["components"]["schemas"] = dict(sorted(schemas.items()))
    plain: dict[str, Any] = json.loads(json.dumps(document))  # its enums are words
    return plain


def describe(key: str, channel: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    """Give a channel its messages, and yield its operations by name."""
    operations = channel.pop("x-operations")
    channel["messages"] = {}
    for name, operation in operations.items():
        names = [one for word in operation["messages"] for one in GROUPS.get(word, [word])]
        channel["messages"] |= {one: {"$ref": f"#/components/messages/{one}"} for one in names}
        yield (
            name,
            {
                "action": operation["action"],
                "summary": operation["summary"],
                "channel": {"$ref": f"#/channels/{key}"},
                "messages": [{"$ref": f"#/channels/{key}/messages/{one}"} for one in names],
            },
        )


@cache
def asyncapi_text() -> str:
    """Return the document as YAML."""
    renderer: Any = OpenApiYamlRenderer()  # OpenAPI is written so, too
    return str(renderer.render(asyncapi()).decode())


def names_in(value: Any) -> Iterator[str]:
    """Yield the name of each schema that is referred to in there."""
    if isinstance(value, dict):
        reference = value.get("$ref")
        if isinstance(reference, str) and reference.startswith(PLACE):
            yield reference.removeprefix(PLACE)
        for one in value.values():
            yield from names_in(one)
    elif isinstance(value, list):
        for one in value:
            yield from names_in(one)


def messages_of(channel: str, action: str) -> dict[str, Any]:
    """Return, by name, the messages that the engine sends or receives on a channel."""
    document = asyncapi()
    return {
        last_name(reference): document["components"]["messages"][last_name(reference)]
        for operation in document["operations"].values()
        if operation["action"] == action and last_name(operation["channel"]) == channel
        for reference in operation["messages"]
    }


def last_name(reference: dict[str, str]) -> str:
    """Return the name of what a `$ref` points to."""
    return reference["$ref"].rpartition("/")[2]
