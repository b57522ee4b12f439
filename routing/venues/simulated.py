"""The common part of all simulated venues."""

import asyncio
import random
from collections.abc import Sequence
from decimal import Decimal
from typing import ClassVar

import psycopg

from routing.simulation.pool import PoolKey, SimulatedPool, direction
from routing.simulation.pools import NoPool, NotOpenYet, SimulatedPools
from routing.simulation.seeding import NewPool
from routing.simulation.settings import PriceRange, Simulation
from routing.simulation.transaction import sign_swap
from routing.tokens import Market, UnknownMarket
from routing.venue import (
    Bound,
    Leg,
    Liquidity,
    Network,
    NetworkUnavailable,
    PoolFacts,
    Quote,
    Side,
    SignedTransaction,
    Swap,
    UnsupportedToken,
    VenueUnavailable,
)
from routing.venues.offers import offer

_NEVER = 3600.0


class SimulatedVenue:
    """Quotes the price of its pool of the market, and shows that pool to the router."""

    name: ClassVar[str]
    label: ClassVar[str]
    kind: ClassVar[str]
    """The kind of its pools, by the names in `routing.simulation.pool`."""
    fee_bps: ClassVar[int]
    """The least fee of its pools."""
    price_range: ClassVar[PriceRange]
    """The least and the most of its price, in the market's price."""
    new_pool: ClassVar[NewPool]
    """Makes its pool of a market, at the first quote."""

    def __init__(self, simulation: Simulation, network: Network, pools: SimulatedPools) -> None:
        self._latency = simulation.quote_latency
        self._expiry_blocks = simulation.expiry_blocks
        self._network = network
        self._pools = pools
        seed = None if simulation.seed is None else f"{simulation.seed}:{self.name}"
        self._random = random.Random(seed)
        faults = simulation.faults
        self._timeout_rate = faults.rate("quote_timeout", self.name)
        self._refusal_rate = faults.rate("quote_refused", self.name)
        self._absurd_rate = faults.rate("absurd_quote", self.name)
        self._takes_time = self._latency > 0 or self._timeout_rate > 0

    async def quote(self, swap: Swap) -> Quote:
        """See `Venue.quote`."""
        if self._latency:
            await asyncio.sleep(self._latency)
        if self._happens(self._timeout_rate):
            await asyncio.sleep(_NEVER)
        return self._answer(swap, (await self.liquidity(swap))[0])

    def quote_now(self, swap: Swap) -> Quote | None:
        """See `QuotesAtOnce.quote_now`."""
        if self._takes_time:
            return None
        market = self._market(swap)
        known = self._pools.known(PoolKey.of(self.name, market))
        return None if known is None else self._answer(swap, self._shown(swap, market, *known))

    async def liquidity(self, swap: Swap) -> Sequence[Liquidity]:
        """See `ShowsPools.liquidity`. It has no latency, and each market has one pool."""
        market = self._market(swap)
        key = PoolKey.of(self.name, market)
        try:
            simulated, now = await self._pools.current(key, market, self.new_pool)
        except psycopg.Error as error:
            raise VenueUnavailable(f"{self.label} cannot read its pools") from error
        except NoPool as error:
            raise UnsupportedToken(f"{self.label} has no pool of {market.name}") from error
        except NotOpenYet as error:
            reason = f"{self.label}'s pool of {market.name} is not open yet"
            raise VenueUnavailable(reason) from error
        return [self._shown(swap, market, simulated, now)]

    async def open_pools(self, swap: Swap) -> Sequence[PoolFacts]:
        """See `TellsOfPools.open_pools`. Each market has one pool."""
        try:
            found = await self._pools.launch_of(PoolKey.of(self.name, self._market(swap)))
        except UnsupportedToken:
            return []
        except psycopg.Error as error:
            raise VenueUnavailable(f"{self.label} cannot read its pools") from error
        if found is None:
            return []
        simulated, now, launch = found
        held = simulated.pool.vault_x if swap.side is Side.SELL else simulated.pool.vault_y
        age = None if launch is None else max(0.0, now - launch.opens_at)
        return [PoolFacts(self.name, held, age, launch and launch.follows)]

    async def has_pool(self, market: Market) -> bool:
        """See `MakesPools.has_pool`."""
        try:
            return await self._pools.has(PoolKey.of(self.name, market))
        except psycopg.Error as error:
            raise VenueUnavailable(f"{self.label} cannot read its pools") from error

    async def build(
        self, swap: Swap, legs: Sequence[Leg], bound: Bound, attempt: int = 1
    ) -> SignedTransaction:
        """See `Venue.build`."""
        try:
            height = await self._network.height()
        except NetworkUnavailable as error:
            raise VenueUnavailable(f"{self.label} cannot learn the block height") from error
        return sign_swap(swap, legs, bound, height=height, expiry_blocks=self._expiry_blocks)

    def _market(self, swap: Swap) -> Market:
        """:raises UnsupportedToken: there is no pool of it."""
        try:
            market = self._pools.registry().market(swap.market.base, swap.market.quote)
        except UnknownMarket as error:
            raise UnsupportedToken(f"{self.label} does not trade {swap.market.name}") from error
        if market.paths:
            raise UnsupportedToken(f"{self.label} has no pool of {market.name}, but two hops do")
        return market

    def _shown(self, swap: Swap, market: Market, held: SimulatedPool, now: int) -> Liquidity:
        return Liquidity(f"{self.name}:{market.name}", held.pool, direction(swap.side), now)

    def _happens(self, rate: float) -> bool:
        return rate > 0 and self._random.random() < rate

    def _answer(self, swap: Swap, liquidity: Liquidity) -> Quote:
        if self._happens(self._refusal_rate):
            raise VenueUnavailable(f"{self.label} refuses to quote for now")
        quote = offer(self.name, self.label, swap, liquidity)
        return self._absurd(quote) if self._happens(self._absurd_rate) else quote

    def _absurd(self, quote: Quote) -> Quote:
        match self._random.randrange(3):
            case 0:
                return quote._replace(price=Decimal("NaN"))
            case 1:
                return quote._replace(price=-quote.price, amount_out=-quote.amount_out)
            case _:
                return quote._replace(price=quote.price * 10, amount_out=quote.amount_out * 10)
