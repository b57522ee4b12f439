"""The simulated wallet. It signs a transaction's bytes, so the signature is known beforehand."""

import hmac

from routing.base58 import base58

_KEY = b"simulated wallet"


def sign(payload: bytes) -> str:
    """Return the base58 of 64 bytes that depend on every byte of `payload`, as on Solana."""
    return base58(hmac.digest(_KEY, payload, "sha512"))
