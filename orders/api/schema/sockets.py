"""The sockets' AsyncAPI document. It also holds the shapes that the REST paths share with it."""

from functools import cache
from pathlib import Path
from typing import Any

import yaml

# The loader in C, if there is one: a web process waits for it at its start.
LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
DOCUMENT = Path(__file__).with_name("asyncapi.yaml")


@cache
def asyncapi() -> dict[str, Any]:
    """Return the document. It is shared, so do not change it."""
    document: dict[str, Any] = yaml.load(DOCUMENT.read_bytes(), LOADER)  # noqa: S506  # a safe one
    return document


def shared_schemas() -> dict[str, Any]:
    """Return the schemas by name. Their references hold in both documents."""
    schemas: dict[str, Any] = asyncapi()["components"]["schemas"]
    return schemas


def messages_of(channel: str, action: str) -> dict[str, Any]:
    """Return, by name, the messages that the engine sends or receives on a channel."""
    document = asyncapi()
    names: set[str] = set()
    for operation in document["operations"].values():
        if operation["action"] == action and last_name(operation["channel"]) == channel:
            references = operation.get("messages")
            names |= (
                {last_name(reference) for reference in references}
                if references
                else set(all_messages(channel))
            )
    return {name: message for name, message in all_messages(channel).items() if name in names}


def all_messages(channel: str) -> dict[str, Any]:
    document = asyncapi()
    names = document["channels"][channel]["messages"]
    return {name: document["components"]["messages"][name] for name in names}


def last_name(reference: dict[str, str]) -> str:
    """Return the name of what a `$ref` points to."""
    return reference["$ref"].rpartition("/")[2]
