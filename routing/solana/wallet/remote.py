"""A signer somewhere else, asked by HTTP. docs/solana.md has what it is asked and answers.

The engine then has no key. What the signer allows is for the signer to say.
"""

import base64
import binascii
import json
from typing import Any
from urllib.parse import urlsplit

import aiohttp
from solders.pubkey import Pubkey

from routing.solana.wallet.signer import SignerUnavailable

SECONDS = 5.0
"""How long a signature may take. It has to be there long before the blockhash is too old."""

_MOST_BYTES = 4_096
_HERE = frozenset({"localhost", "127.0.0.1", "::1"})


class UnusableSigner(ValueError):
    """The address of the signer cannot be used. The message does not repeat it."""


class RemoteSigner:
    """Asks `url` for the signatures of `wallet`. Nothing shows its token."""

    def __init__(
        self, url: str, wallet: Pubkey, *, token: str = "", seconds: float = SECONDS
    ) -> None:
        """:raises UnusableSigner: it is no https address (or http on this machine)."""
        self._url = _checked(url)
        self._wallet = wallet
        self._headers = {"authorization": f"Bearer {token}"} if token else {}
        self._timeout = aiohttp.ClientTimeout(total=seconds)
        self._session: aiohttp.ClientSession | None = None

    @property
    def wallet(self) -> Pubkey:
        return self._wallet

    async def sign(self, message: bytes) -> bytes:
        """See `Signer.sign`."""
        asked = {"wallet": str(self._wallet), "message": base64.b64encode(message).decode()}
        try:
            answer = await self._ask(asked)
            return base64.b64decode(answer["signature"], validate=True)
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            # Its message may have the address, and that may have a secret.
            raise SignerUnavailable(f"the signer did not answer: {type(error).__name__}") from None
        except (ValueError, TypeError, KeyError, binascii.Error):
            raise SignerUnavailable("the signer's answer has no signature") from None

    async def close(self) -> None:
        """See `Signer.close`."""
        if self._session is not None:
            await self._session.close()
            self._session = None

    def __repr__(self) -> str:
        return f"RemoteSigner(wallet={self._wallet}, at={urlsplit(self._url).hostname})"

    async def _ask(self, asked: dict[str, str]) -> Any:
        if self._session is None:
            self._session = aiohttp.ClientSession(timeout=self._timeout)
        async with self._session.post(
            self._url, json=asked, headers=self._headers, allow_redirects=False
        ) as response:
            if response.status != 200:
                raise SignerUnavailable(f"the signer refused: HTTP {response.status}")
            content = await response.content.read(_MOST_BYTES)
        return json.loads(content)


def _checked(url: str) -> str:
    parts = urlsplit(url)
    if parts.username or parts.password:
        raise UnusableSigner("a signer's address has no user and password: set its token")
    if parts.scheme == "https" and parts.hostname:
        return url
    if parts.scheme == "http" and parts.hostname in _HERE:
        return url
    raise UnusableSigner("a signer's address is https, or http on this machine")
