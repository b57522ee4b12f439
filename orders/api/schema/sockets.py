"""The sockets' own description, as it is written: paths, messages, and the shapes of events.

OpenAPI has the same shapes. `asyncapi.py` makes the whole document of it.
"""

from functools import cache
from pathlib import Path
from typing import Any

import yaml

# The loader in C, if there is one: a web process waits for it at its start.
LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
WRITTEN = Path(__file__).with_name("asyncapi.yaml")


@cache
def written() -> dict[str, Any]:
    """Return what is written by hand. It is shared, so do not change it."""
    document: dict[str, Any] = yaml.load(WRITTEN.read_bytes(), LOADER)  # noqa: S506  # a safe one
    return document


def shared_schemas() -> dict[str, Any]:
    """Return the schemas by name. Their references hold in both documents."""
    schemas: dict[str, Any] = written()["components"]["schemas"]
    return schemas


def events_of(message: str) -> dict[str, Any]:
    """Return the first example of a message."""
    payload: dict[str, Any] = written()["components"]["messages"][message]["examples"][0]["payload"]
    return payload
