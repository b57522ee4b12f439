"""Holds values to the shapes that the schemas promise."""

from functools import cache
from typing import Any

from jsonschema import Draft202012Validator, FormatChecker
from jsonschema.exceptions import best_match

from orders.schema.openapi import openapi
from orders.schema.sockets import asyncapi


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
