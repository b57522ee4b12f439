"""A key in a file, as Solana's own tools write it: a JSON list of 64 numbers."""

import json
import os
import stat
from pathlib import Path
from typing import NoReturn

from solders.keypair import Keypair
from solders.pubkey import Pubkey

_BYTES = 64
_MOST_CHARACTERS = 4_096
_OTHERS = stat.S_IRWXG | stat.S_IRWXO


class UnusableKey(Exception):
    """The file cannot be used as a key. The message tells of the file, never of what it holds."""


class KeyInFile:
    """Signs with a key that was read from a file once. Nothing shows the key or stores it."""

    __slots__ = ("_keypair",)

    def __init__(self, path: Path) -> None:
        """:raises UnusableKey: it cannot be read, others may read it, or it is no key."""
        self._keypair = _read(path)

    @property
    def wallet(self) -> Pubkey:
        return self._keypair.pubkey()

    async def sign(self, message: bytes) -> bytes:
        """See `Signer.sign`."""
        return bytes(self._keypair.sign_message(message))

    async def close(self) -> None:
        """See `Signer.close`. There is nothing to close."""

    def __repr__(self) -> str:
        return f"KeyInFile(wallet={self.wallet})"

    def __reduce__(self) -> NoReturn:
        raise TypeError("a key is not copied or stored")


def _read(path: Path) -> Keypair:
    try:
        content = _content(path)
    except OSError as error:
        raise UnusableKey(f"{path} cannot be read: {error.strerror}") from None
    except UnicodeDecodeError:
        raise UnusableKey(f"{path} is no JSON list of {_BYTES} numbers") from None
    # What went wrong inside is not told: it would show what the file holds.
    try:
        numbers = json.loads(content)
        if not isinstance(numbers, list) or len(numbers) != _BYTES:
            raise ValueError
        if any(type(number) is not int for number in numbers):
            raise ValueError
        key = bytes(numbers)
    except ValueError:
        raise UnusableKey(f"{path} is no JSON list of {_BYTES} numbers") from None
    keypair = Keypair.from_seed(key[:32])
    if bytes(keypair) != key:
        raise UnusableKey(f"{path} is no key: its second half does not belong to its first")
    return keypair


def _content(path: Path) -> str:
    """Return the file's text. What is opened is what was looked at, even if the name is moved."""
    with path.open("rb") as file:
        facts = os.fstat(file.fileno())
        if not stat.S_ISREG(facts.st_mode):
            raise UnusableKey(f"{path} is no file")
        if facts.st_mode & _OTHERS:
            mode = stat.S_IMODE(facts.st_mode)
            raise UnusableKey(f"{path} may be used by others (mode {mode:04o}): chmod 600 {path}")
        if facts.st_uid not in (os.geteuid(), 0):
            raise UnusableKey(f"{path} belongs to another user")
        return file.read(_MOST_CHARACTERS).decode()
