"""Reads an account's bytes: little-endian numbers and addresses at fixed places."""

from hashlib import sha256

from solders.pubkey import Pubkey


class UnreadableAccount(Exception):
    """The bytes are not an account of this kind. Reading the same bytes again does not help."""


class Layout:
    """The bytes of one account, of which the fields stand at fixed places.

    :raises UnreadableAccount: they are fewer than `size`, or begin with another discriminator.
    """

    def __init__(self, data: bytes, kind: str, size: int, discriminator: bytes = b"") -> None:
        if len(data) < size:
            raise UnreadableAccount(f"{kind} has {size} bytes, these are {len(data)}")
        if not data.startswith(discriminator):
            raise UnreadableAccount(f"the account is no {kind}: it begins with {data[:8].hex()}")
        self.data = data

    def unsigned(self, place: int, size: int) -> int:
        return int.from_bytes(self.data[place : place + size], "little")

    def signed(self, place: int, size: int) -> int:
        return int.from_bytes(self.data[place : place + size], "little", signed=True)

    def u8(self, place: int) -> int:
        return self.data[place]

    def u16(self, place: int) -> int:
        return self.unsigned(place, 2)

    def u32(self, place: int) -> int:
        return self.unsigned(place, 4)

    def u64(self, place: int) -> int:
        return self.unsigned(place, 8)

    def u128(self, place: int) -> int:
        return self.unsigned(place, 16)

    def i32(self, place: int) -> int:
        return self.signed(place, 4)

    def i64(self, place: int) -> int:
        return self.signed(place, 8)

    def key(self, place: int) -> Pubkey:
        return Pubkey(self.data[place : place + 32])


def discriminator_of_account(kind: str) -> bytes:
    """Return the eight bytes with which Anchor begins each account of this type."""
    return sha256(f"account:{kind}".encode()).digest()[:8]


def discriminator_of_instruction(name: str) -> bytes:
    """Return the eight bytes with which Anchor begins the data of this instruction."""
    return sha256(f"global:{name}".encode()).digest()[:8]
