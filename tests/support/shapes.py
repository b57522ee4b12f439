"""Holds values to the shapes that the schemas promise."""

from functools import cache
from typing import Any

from jsonschema import Draft202012Validator, FormatChecker
from jsonschema.exceptions import best_match

from orders.api.schema.asyncapi import asyncapi, messages_of
from orders.api.schema.openapi import openapi


@cache
def validator(name: str, *, of_sockets: bool = False) -> Draft202012Validator:
    document = asyncapi() if of_sockets else openapi()
    schema = {"$ref": f"#/components/schemas/{name}", "components": document["components"]}
    return Draft202012Validator(schema, format_checker=FormatChecker())


def assert_shape(value: Any, name: str, *, of_sockets: bool = False) -> None:
    """Hold a JSON value to a schema of this name."""
    error = best_match(validator(name, of_sockets=of_sockets).iter_errors(value))
    assert error is None, f"no {name}: {error.message} at {error.json_path} of {value}"


def has_shape(value: Any, name: str) -> bool:
    return bool(validator(name).is_valid(value))


def assert_told(messages: list[dict[str, Any]], channel: str) -> None:
    """Hold what a socket sent to the messages of its channel in the AsyncAPI document."""
    known = messages_of(channel, "send")
    for message in messages:
        name = "event" if "event" in known and "seq" in message else name_of(message)
        payload = known[name]["payload"]["$ref"]
        assert_shape(message, payload.rpartition("/")[2], of_sockets=True)
    assert messages


def assert_taken(frames: list[dict[str, Any]], channel: str) -> None:
    """Hold what a client sent to the messages that the document says are taken there."""
    shapes = [one["payload"]["$ref"] for one in messages_of(channel, "receive").values()]
    for frame in frames:
        kinds = [validator(shape.rpartition("/")[2], of_sockets=True) for shape in shapes]
        assert any(kind.is_valid(frame) for kind in kinds), frame


def name_of(message: dict[str, Any]) -> str:
    """Return which of the document's messages this one claims to be."""
    kind = message.get("type", "status_update" if "status" in message else "prices")
    return str(message["status"] if kind == "status_update" else kind)
