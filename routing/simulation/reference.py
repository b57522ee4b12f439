"""The price of a simulated market: the walks of its two tokens, which no venue makes."""

from fractions import Fraction

import psycopg

from routing.simulation.pools import SimulatedPools
from routing.tokens import Market
from routing.venue import VenueUnavailable


class SimulatedReferencePrices:
    """See `ReferencePrices`. For one asyncio loop."""

    def __init__(self, pools: SimulatedPools) -> None:
        self._pools = pools

    async def of(self, market: Market, now: int) -> Fraction | None:
        """See `ReferencePrices.of`."""
        try:
            price_of = (await self._pools.arbitrage()).price_of
        except psycopg.Error as error:
            raise VenueUnavailable("the prices of the simulation cannot be read") from error
        moved = Fraction(price_of(market.base.mint, now), price_of(market.quote.mint, now))
        return Fraction(market.reference_price) * moved
