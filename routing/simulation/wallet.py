"""The simulated wallet. It signs a transaction's bytes, so the signature is known beforehand."""

import hashlib

from routing.base58 import ALPHABET

_KEY = b"simulated wallet"
_DIGITS = bytes(ord(ALPHABET[byte % 58]) for byte in range(256))
_FIRST_DIGITS = ALPHABET[1:5]
"""A number of 88 digits that begins with one of these has 64 bytes, whatever the others are."""


def sign(payload: bytes) -> str:
    """Return the base58 of 64 bytes that depend on every byte of `payload`, as on Solana.

    The digits are drawn, and not the bytes: to write 64 bytes in base58 takes longer than to sign.
    """
    drawn = hashlib.shake_128(_KEY + payload).digest(88)
    return _FIRST_DIGITS[drawn[0] % 4] + drawn[1:].translate(_DIGITS).decode()
