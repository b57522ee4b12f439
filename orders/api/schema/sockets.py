"""The sockets' AsyncAPI document, which also holds the shapes that the paths share with them."""

from functools import cache
from pathlib import Path
from typing import Any

import yaml

# In C where it is there: web waits for this when it starts.
LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
DOCUMENT = Path(__file__).with_name("asyncapi.yaml")


@cache
def asyncapi() -> dict[str, Any]:
    """Return the document; shared, so do not change it."""
    document: dict[str, Any] = yaml.load(DOCUMENT.read_bytes(), LOADER)  # noqa: S506  # a safe one
    return document


def shared_schemas() -> dict[str, Any]:
    """Return the schemas by name. Their references hold in both documents."""
    schemas: dict[str, Any] = asyncapi()["components"]["schemas"]
    return schemas


def messages_of(channel: str, action: str) -> dict[str, Any]:
    """Return the messages by name that the engine sends or receives on a channel."""
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
    """Return what a `$ref` points to, by its own name."""
    return reference["$ref"].rpartition("/")[2]
