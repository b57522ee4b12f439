"""A venue whose pools are real: it quotes them by our own mathematics, and builds swaps in them."""

from collections.abc import Sequence

from routing.solana.reading.known import direction_of
from routing.solana.reading.memory import PoolsInMemory
from routing.solana.reading.prices import trades
from routing.solana.reading.seen_pools import SeenPool
from routing.tokens import Market
from routing.venue import (
    Bound,
    InsufficientLiquidity,
    Leg,
    Liquidity,
    PoolFacts,
    Quote,
    SignedTransaction,
    Swap,
    UnsupportedToken,
    VenueUnavailable,
)
from routing.venues.live.building import Builder
from routing.venues.offers import offer


class LiveVenue:
    """Shows the pools of one program. Without a builder it signs nothing, and only quotes."""

    most_legs = 2
    """Of a transaction of version 0: a split, or two hops. Three swaps are too many bytes."""

    def __init__(
        self, name: str, label: str, pools: PoolsInMemory, builder: Builder | None
    ) -> None:
        self.name = name
        self.label = label
        self._pools = pools
        self._builder = builder

    async def quote(self, swap: Swap) -> Quote:
        """See `Venue.quote`. It is the best of its pools, and names that pool."""
        return self._best(swap, await self._pools.of(self.name, swap.market))

    def quote_now(self, swap: Swap) -> Quote | None:
        """See `QuotesAtOnce.quote_now`."""
        known = self._pools.now(self.name, swap.market)
        return None if known is None else self._best(swap, known)

    async def liquidity(self, swap: Swap) -> Sequence[Liquidity]:
        """See `ShowsPools.liquidity`."""
        return _shown(swap, await self._pools.of(self.name, swap.market))

    async def open_pools(self, swap: Swap) -> Sequence[PoolFacts]:
        """See `TellsOfPools.open_pools`. Pools do not say that they follow another one."""
        try:
            pools = await self._pools.of(self.name, swap.market)
        except UnsupportedToken:
            return []
        direct = [(pool, direction_of(pool, swap.market, swap.side)) for pool in pools]
        return [
            PoolFacts(self.name, pool.held(swap.token_in.mint), _age(pool), None)
            for pool, direction in direct
            if trades(pool, direction)
        ]

    async def has_pool(self, market: Market) -> bool:
        """See `MakesPools.has_pool`."""
        return self._pools.has(self.name, market)

    async def build(
        self, swap: Swap, legs: Sequence[Leg], bound: Bound, attempt: int = 1
    ) -> SignedTransaction:
        """See `Venue.build`."""
        if self._builder is None:
            raise VenueUnavailable(f"{self.label} cannot build: this process has no wallet")
        return await self._builder.build(swap, legs, bound, attempt)

    def _best(self, swap: Swap, pools: Sequence[SeenPool]) -> Quote:
        offers: list[Quote] = []
        refusals: list[InsufficientLiquidity] = []
        for liquidity in _shown(swap, pools):
            try:
                made = offer(self.name, self.label, swap, liquidity)
            except InsufficientLiquidity as refusal:
                refusals.append(refusal)
            else:
                offers.append(made._replace(pool=liquidity.pool_id))
        if not offers:
            raise refusals[0]
        return max(offers, key=_output) if swap.is_exact_in else min(offers, key=_input)


def _shown(swap: Swap, pools: Sequence[SeenPool]) -> list[Liquidity]:
    return [pool.liquidity(direction_of(pool, swap.market, swap.side)) for pool in pools]


def _age(pool: SeenPool) -> float | None:
    opened_at = pool.opened_at
    return None if opened_at is None else float(max(0, pool.clock.unix_time - opened_at))


def _output(quote: Quote) -> int:
    return quote.amount_out


def _input(quote: Quote) -> int:
    return quote.amount_in
