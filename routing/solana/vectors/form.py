"""The form of a file of vectors: what each entry holds, and what is told of it."""

import base64
import binascii
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from solders.pubkey import Pubkey

from routing.pools.vector_form import UnreadableVectors
from routing.solana.layout import UnreadableAccount

Fields = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Comparison:
    """One entry, and what differs or why it was unreadable, in words; both empty if it matched."""

    kind: str
    name: str
    difference: str = ""
    unreadable: str = ""

    @property
    def title(self) -> str:
        return f"{self.kind}, {self.name}"


def read_file(path: Path) -> Fields:
    """:raises UnreadableVectors: there is no such file, it is no JSON, or no object."""
    try:
        content = json.loads(path.read_text())
    except OSError as error:
        raise UnreadableVectors(error.strerror or "it cannot be opened") from error
    except (UnicodeDecodeError, json.JSONDecodeError) as error:
        raise UnreadableVectors(f"it is no JSON: {error}") from error
    return as_object(content, "the file")


def compared(kind: str, name: str, differences: Callable[[], Iterator[str]]) -> Comparison:
    """Return the comparison of one entry: what `differences` yields, or what it could not read."""
    try:
        return Comparison(kind, name, "; ".join(differences()))
    except (UnreadableVectors, UnreadableAccount) as error:
        return Comparison(kind, name, unreadable=str(error))


def differs(name: str, ours: object, recorded: object) -> Iterator[str]:
    """Yield a phrase if a value is not the recorded one."""
    if ours != recorded:
        yield f"{name} is {shortened(ours)}, expected {shortened(recorded)}"


def shortened(value: object) -> str:
    text = str(value)
    return text if len(text) <= 120 else f"{text[:117]}..."


def as_object(value: Any, name: str) -> Fields:
    if not isinstance(value, dict):
        raise UnreadableVectors(f"{name} is {'missing' if value is None else 'no object'}")
    return value


def as_list(value: Any, name: str) -> list[Any]:
    if not isinstance(value, list):
        raise UnreadableVectors(f"{name} is {'missing' if value is None else 'no list'}")
    return value


def as_integer(value: Any, name: str) -> int:
    try:
        if isinstance(value, int | str) and not isinstance(value, bool):
            return int(value)
    except ValueError:
        pass  # the error below covers it
    raise UnreadableVectors(f"{name} is {value!r}, not an integer")


def as_key(value: Any, name: str) -> Pubkey:
    try:
        return Pubkey.from_string(value)
    except (TypeError, ValueError) as error:
        raise UnreadableVectors(f"{name} is {value!r}, not an address") from error


def as_bytes(value: Any, name: str) -> bytes:
    """Return what a text holds in base64."""
    try:
        return base64.b64decode(value, validate=True)
    except (TypeError, ValueError, binascii.Error) as error:
        raise UnreadableVectors(f"{name} is no base64") from error


def as_hex(value: Any, name: str) -> bytes:
    try:
        return bytes.fromhex(value)
    except (TypeError, ValueError) as error:
        raise UnreadableVectors(f"{name} is no hexadecimal") from error
