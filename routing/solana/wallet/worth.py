"""What an order may lose at most, in USDC: the unit of the wallet's limits."""

import time
from collections.abc import Callable
from fractions import Fraction
from math import ceil
from typing import Protocol

from solders.pubkey import Pubkey

from routing.tokens import Registry, Token, UnknownMarket, UnknownToken
from routing.venue import ReferencePrices, VenueUnavailable

UNIT = "USDC"


class WorthUnknown(VenueUnavailable):
    """There is no fresh price, so that no limit can be held. Trying again may help."""


class Worth(Protocol):
    async def of(self, mint: Pubkey, atoms: int) -> int:
        """Return what so many atoms of a mint are worth, in atoms of USDC, rounded up.

        :raises WorthUnknown: there is no price.
        """
        ...


class WorthByReferences:
    """By the reference prices, which no venue makes. A USDC is worth a USDC."""

    def __init__(self, registry: Callable[[], Registry], references: ReferencePrices) -> None:
        self._registry = registry
        self._references = references

    async def of(self, mint: Pubkey, atoms: int) -> int:
        """See `Worth.of`."""
        registry = self._registry()
        try:
            unit = registry.token(UNIT)
            token = registry.token(str(mint))
            if token.same_asset_as(unit):
                return atoms
            market = registry.market_of(token, unit)
        except (UnknownToken, UnknownMarket) as error:
            raise WorthUnknown(f"what {mint} is worth in {UNIT} is not known") from error
        price = await self._references.of(market, int(time.time()))
        if price is None or price <= 0:
            raise WorthUnknown(f"{market.name} has no fresh reference price")
        is_base = token.same_asset_as(market.base)
        return in_atoms(token, atoms, price if is_base else 1 / price, unit)


def in_atoms(token: Token, atoms: int, price: Fraction, unit: Token) -> int:
    """Return atoms of `unit` for atoms of `token` at `price` (unit for a token), rounded up."""
    whole = Fraction(atoms, int(10**token.decimals)) * price
    return ceil(whole * int(10**unit.decimals))
