"""The prices of live markets, which quotes and ticks are held to.

Price feeds come first. Without a fresh one it is the median of what the known pools show, at least
two of them. One pool alone proves nothing: a swap that moved it has moved the price.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Collection, Iterator, Mapping
from fractions import Fraction
from statistics import median

from solders.pubkey import Pubkey

from routing.pools.pool import Direction, SwapRefused
from routing.solana.layout import UnreadableAccount
from routing.solana.price_feeds import PRICE_PROGRAM, read_price
from routing.solana.reading.known import Pair, direction_of
from routing.solana.reading.memory import PoolsInMemory, SeenMarket
from routing.solana.reading.seen_pools import SeenPool
from routing.tokens import Market, Path, Registry, Token
from routing.venue import Side, UnsupportedToken, VenueUnavailable

LEAST_SOURCES = 2


class Feeds:
    """Where the price of a token in dollars stands, by mint."""

    def __init__(self, places: Mapping[str, Pubkey], program: Pubkey = PRICE_PROGRAM) -> None:
        self._places = places
        self._program = program

    def beside(self, pair: Pair) -> Collection[Pubkey]:
        """Return the accounts to be read with a market's pools."""
        places = [self._places[mint] for mint in pair if mint in self._places]
        return places if len(places) == len(pair) else ()

    def price_of(self, market: Market, seen: SeenMarket) -> Fraction | None:
        """Return the market's price; None if one of its tokens has no fresh one."""
        base, quote = (self._dollars(token, seen) for token in (market.base, market.quote))
        return None if base is None or quote is None else base / quote

    def _dollars(self, token: Token, seen: SeenMarket) -> Fraction | None:
        place = self._places.get(token.mint)
        if place is None or seen.clock is None:
            return None
        try:
            found = read_price(seen.beside.get(place), self._program)
        except UnreadableAccount:
            return None
        return found.price if found.is_fresh(seen.clock.unix_time) else None


class LivePrices:
    """See `ReferencePrices`. For one asyncio loop."""

    def __init__(
        self, pools: PoolsInMemory, registry: Callable[[], Registry], feeds: Feeds | None = None
    ) -> None:
        """`pools` reads what `feeds.beside` names."""
        self._pools = pools
        self._registry = registry
        self._feeds = feeds or Feeds({})

    async def of(self, market: Market, now: int) -> Fraction | None:
        """See `ReferencePrices.of`. It is the latest price, whatever the time that is asked for.

        :raises UnsupportedToken: no pool of the market is known.
        """
        if market.paths:
            ways = [way async for way in self._ways(market, market.paths, now)]
            return median(ways) if ways else None
        seen = await self._pools.read(market)
        price = self._feeds.price_of(market, seen)
        if price is not None:
            return price
        found = list(spots(market, seen))
        if len(found) < LEAST_SOURCES:
            paths = self._registry().paths_between(market.base, market.quote)
            found += [way async for way in self._ways(market, paths, None)]
        return median(found) if len(found) >= LEAST_SOURCES else None

    async def _ways(
        self, market: Market, paths: Collection[Path], now: int | None
    ) -> AsyncIterator[Fraction]:
        """Yield the market's price along each path that has prices."""
        found = await asyncio.gather(*(self._along(market, path, now) for path in paths))
        for price in found:
            if price is not None:
                yield price

    async def _along(self, market: Market, path: Path, now: int | None) -> Fraction | None:
        try:
            first, last = await asyncio.gather(
                self._hop(path.of_base, now), self._hop(path.of_quote, now)
            )
        except (UnsupportedToken, VenueUnavailable):
            return None
        if first is None or last is None:
            return None
        in_through = first if path.of_base.base.same_asset_as(market.base) else 1 / first
        through_in_quote = last if path.of_quote.quote.same_asset_as(market.quote) else 1 / last
        return in_through * through_in_quote

    async def _hop(self, market: Market, now: int | None) -> Fraction | None:
        """Return a price along a path: a checked one, or, as one of several sources, any."""
        if now is not None:
            return await self.of(market, now)
        found = list(spots(market, await self._pools.read(market)))
        return median(found) if found else None


def spots(market: Market, seen: SeenMarket) -> Iterator[Fraction]:
    """Yield the price of each pool that trades now, before fees."""
    for pools in seen.pools.values():
        for one in pools:
            if trades(one, direction_of(one, market, Side.SELL)):
                yield price_of(market, one)


def price_of(market: Market, seen: SeenPool) -> Fraction:
    """Return the pool's price, whole quote tokens for a whole base token, before fees.

    :raises ZeroDivisionError: it is empty.
    """
    spot = seen.pool.spot(direction_of(seen, market, Side.SELL))
    base, quote = 10**market.base.decimals, 10**market.quote.decimals
    return Fraction(spot.atoms_out * base, spot.atoms_in * quote)


def trades(seen: SeenPool, direction: Direction) -> bool:
    """Whether the pool would take a swap this way now."""
    try:
        seen.pool.next_atom(direction, seen.clock.unix_time)
    except SwapRefused:
        return False
    return True
