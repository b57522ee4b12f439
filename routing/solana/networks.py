"""Which Solana a provider belongs to: its genesis hash says, and not its address."""

import asyncio
import hashlib
from collections.abc import Sequence
from typing import Any

from routing.base58 import base58, bytes_of_base58
from routing.solana.rpc import answers
from routing.solana.rpc.provider import Provider, RpcError, RpcUnavailable
from routing.venue import VenueUnavailable, WalletRefused

NAMES = {
    "5eykt4UsFv8P8NJdTREpY1vzqKqZKvdpKuc147dw2N9d": "mainnet",
    "EtWTRABZaYq6iMfeYKouRu166VU2xqa1wcaWoxPkrZBG": "devnet",
    "4uhcVJyU9pJkvQyS88uRDiswHScsCQY3rQwkNbaVqAcx": "testnet",
}
AGAIN_SECONDS = 10.0
"""Between two questions to a provider that has not said to which network it belongs."""
_MARK = hashlib.sha256(b"a Solana cluster on this machine, of no value").digest()[:16]


class ForbiddenNetwork(WalletRefused):
    """A provider belongs to a network in which nothing may be signed as things are set."""


class NetworkUnknown(VenueUnavailable):
    """It is not known yet to which network the providers belong. Trying again may help."""


def local_genesis(seed: str) -> str:
    """Return the genesis hash of a local cluster, by which it is known to be one."""
    return base58(_MARK + hashlib.sha256(seed.encode() + b":genesis").digest()[:16])


def is_local(genesis: str) -> bool:
    """Whether this is the genesis hash of a local cluster, where tokens have no value."""
    return bytes_of_base58(genesis)[:16] == _MARK


def name_of(genesis: str) -> str:
    """Return what people call a network."""
    if is_local(genesis):
        return "local cluster"
    return NAMES.get(genesis, f"the network {genesis}")


async def genesis_of(provider: Provider) -> str:
    """Return the genesis hash that a provider tells.

    :raises RpcUnavailable: it does not tell any.
    """
    try:
        answer = await provider.call("getGenesisHash")
    except RpcError as error:
        raise RpcUnavailable(f"{provider.name} refused getGenesisHash: {error}") from error
    return answers.read_answer(_genesis, answer)


class NetworkCheck:
    """Asks each provider to which network it belongs. `is_live`: any network, but only one."""

    def __init__(self, providers: Sequence[Provider], *, is_live: bool) -> None:
        self._unknown = list(providers)
        self._is_live = is_live
        self._ask_again_at = 0.0
        self.genesis: str | None = None
        """Of all that have answered."""

    async def check(self) -> str:
        """Return the genesis hash of the network in which signing is allowed.

        Where only a local cluster is allowed, every provider has to prove that it is of it.

        :raises ForbiddenNetwork: a provider is of another network.
        :raises NetworkUnknown: too few have answered.
        """
        now = asyncio.get_running_loop().time()
        if self._unknown and now >= self._ask_again_at:
            await self._ask()
            self._ask_again_at = now + AGAIN_SECONDS if self._is_enough else 0.0
        if self.genesis is None or not self._is_enough:
            raise NetworkUnknown("not every provider has told yet to which network it belongs")
        return self.genesis

    @property
    def _is_enough(self) -> bool:
        return self.genesis is not None and (self._is_live or not self._unknown)

    async def _ask(self) -> None:
        asked = list(self._unknown)
        told = await asyncio.gather(*map(genesis_of, asked), return_exceptions=True)
        for provider, genesis in zip(asked, told, strict=True):
            if isinstance(genesis, str):
                self._admit(provider, genesis)
                if provider in self._unknown:  # else another order's check was told before
                    self._unknown.remove(provider)
            elif not isinstance(genesis, RpcUnavailable):
                raise genesis

    def _admit(self, provider: Provider, genesis: str) -> None:
        if not self._is_live and not is_local(genesis):
            raise ForbiddenNetwork(
                f"{provider.name} is of {name_of(genesis)}, where tokens have value: that needs"
                " SOLANA_LIVE=yes"
            )
        if self.genesis not in (None, genesis):
            raise ForbiddenNetwork(
                f"{provider.name} is of {name_of(genesis)}, and others of"
                f" {name_of(self.genesis or '')}"
            )
        self.genesis = genesis


def _genesis(answer: Any) -> str:
    if not isinstance(answer, str) or len(bytes_of_base58(answer)) != 32:
        raise ValueError("it is no hash")
    return answer
