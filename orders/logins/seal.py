"""Encrypts values that only the engine may read, with a key made of SECRET_KEY.

A value that was sealed under one of SECRET_KEY_FALLBACKS can still be opened.
"""

from base64 import urlsafe_b64encode

from cryptography.fernet import Fernet, InvalidToken, MultiFernet
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from django.conf import settings

PURPOSE = b"order-execution-engine: seeds of second factors"


class CannotOpen(Exception):
    """This process lacks the SECRET_KEY that sealed the value. Trying again does not help."""


def seal(secret: str) -> str:
    return _keys().encrypt(secret.encode()).decode()


def unseal(text: str) -> str:
    """:raises CannotOpen: no key of this process opens it."""
    try:
        return _keys().decrypt(text.encode()).decode()
    except InvalidToken:
        raise CannotOpen from None


def reseal(text: str) -> str:
    """Return the same value, sealed under the current SECRET_KEY.

    :raises CannotOpen: no key of this process opens it.
    """
    return seal(unseal(text))


def _keys() -> MultiFernet:
    return MultiFernet(
        [_key_of(each) for each in (settings.SECRET_KEY, *settings.SECRET_KEY_FALLBACKS)]
    )


def _key_of(secret_key: str) -> Fernet:
    kdf = HKDF(algorithm=SHA256(), length=32, salt=None, info=PURPOSE)
    return Fernet(urlsafe_b64encode(kdf.derive(secret_key.encode())))
