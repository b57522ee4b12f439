"""The shapes of the schemas as types for TypeScript: `/api/schema/types.ts`.

A decimal is a `string`, an enum a union of its words, and a member that may be missing has a `?`.
What only a validator can hold (patterns, bounds, lengths) is left to the schemas.
"""

import json
from collections.abc import Iterable, Iterator
from functools import cache
from typing import Any

from orders.api.schema.asyncapi import asyncapi, last_name, messages_of
from orders.api.schema.openapi import openapi

HEAD = """\
// The types of the order execution engine's API, made from its OpenAPI and AsyncAPI schemas.
// Decimals are strings, times are RFC 3339 in UTC. Values of later releases may have more members.
"""
PLAIN = {"string": "string", "integer": "number", "number": "number", "boolean": "boolean"}
PLAIN |= {"null": "null"}
OBJECT = "{ [name: string]: unknown }"
Schema = dict[str, Any]


@cache
def typescript() -> str:
    """Return the file: a type for each schema, and what operations and sockets take and tell."""
    schemas = openapi()["components"]["schemas"] | asyncapi()["components"]["schemas"]
    types = (declaration(name, schemas[name]) for name in sorted(schemas))
    return "\n".join(
        [HEAD, *types, operations(), frames("Told", "send"), frames("Sent", "receive")]
    )


def declaration(name: str, schema: Schema) -> str:
    return f"{comment(schema)}export type {name} = {type_of(schema)};\n"


def type_of(schema: Schema) -> str:
    """Return the TypeScript of a JSON Schema."""
    if "$ref" in schema:
        return last_name(schema)
    if "const" in schema:
        return json.dumps(schema["const"])
    if "enum" in schema:
        return union(json.dumps(one) for one in schema["enum"])
    if "allOf" in schema:
        return intersection(schema["allOf"])
    for word in ("anyOf", "oneOf"):
        # Branches that only say which members are needed have no type of their own.
        if branches := [one for one in schema.get(word, ()) if one.keys() - {"required"}]:
            return union(map(type_of, branches))
    kinds = schema.get("type", "object" if "properties" in schema else None)
    if kinds is None:
        return "unknown"
    return union(type_of_kind(schema, kind) for kind in listed(kinds))


def type_of_kind(schema: Schema, kind: str) -> str:
    if kind == "array":
        return f"Array<{type_of(schema.get('items', {}))}>"
    return PLAIN[kind] if kind in PLAIN else object_type(schema, schema.get("required", ()))


def object_type(schema: Schema, required: Iterable[str]) -> str:
    parts = list(members(schema, required))
    others = schema.get("additionalProperties")
    if isinstance(others, dict):
        parts.append(f"[name: string]: {type_of(others)};")
    for pattern, other in schema.get("patternProperties", {}).items():
        start = pattern.lstrip("^").replace("\\", "")
        parts.append(f"[name: `{start}${{string}}`]: {type_of(other)};")
    if parts:
        return "{\n" + indented("\n".join(parts)) + "\n}"
    return "{ [name: string]: never }" if others is False else OBJECT


def members(schema: Schema, required: Iterable[str]) -> Iterator[str]:
    for name, one in schema.get("properties", {}).items():
        mark = "" if name in required else "?"
        key = name if name.isidentifier() else json.dumps(name)
        yield f"{comment(one)}{key}{mark}: {type_of(one)};"


def intersection(parts: list[Schema]) -> str:
    """Return what is all of these. What one of them needs is needed."""
    schemas = openapi()["components"]["schemas"]
    whole = [schemas[last_name(one)] if "$ref" in one else one for one in parts]
    required = {name for one in whole for name in one.get("required", ())}
    types = [object_type(one, required) if "properties" in one else type_of(one) for one in parts]
    return " & ".join(f"({one})" if " | " in one else one for one in types)


def operations() -> str:
    """Return, by the operation's name, its method and path, its body, and its good answers."""
    lines = []
    for path, methods in openapi()["paths"].items():
        for method, operation in methods.items():
            taken = bodies_of(operation.get("requestBody", {}))
            told = [
                one
                for status, answer in operation["responses"].items()
                if status.startswith("2")
                for one in bodies_of(answer)
            ]
            lines.append(
                f"{comment({'description': operation['summary']})}{operation['operationId']}: {{"
                f' method: "{method.upper()}"; path: "{path}";'
                f" body: {union(taken) or 'undefined'}; answer: {union(told) or 'undefined'} }};"
            )
    return "export interface Operations {\n" + indented("\n".join(lines)) + "\n}\n"


def bodies_of(said: dict[str, Any]) -> list[str]:
    return [type_of(one["schema"]) for one in said.get("content", {}).values()]


def frames(name: str, action: str) -> str:
    """Return, by path, the frames that the engine sends or takes there."""
    lines = []
    for key, channel in asyncapi()["channels"].items():
        payloads = [type_of(one["payload"]) for one in messages_of(key, action).values()]
        lines.append(f"{json.dumps(channel['address'])}: {union(payloads) or 'never'};")
    said = {"send": "What the engine sends", "receive": "What it takes"}[action]
    text = comment({"description": f"{said} on each path, frame by frame."})
    return f"{text}export interface {name} {{\n" + indented("\n".join(lines)) + "\n}\n"


def union(types: Iterable[str]) -> str:
    """Return what is one of these, each named once."""
    return " | ".join(dict.fromkeys(types))


def listed(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]


def comment(schema: Schema) -> str:
    text = " ".join(schema.get("description", "").split()).replace("*/", "*")
    return f"/** {text} */\n" if text else ""


def indented(text: str) -> str:
    return "\n".join(f"  {line}" for line in text.splitlines())
