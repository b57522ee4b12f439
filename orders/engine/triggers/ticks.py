"""Ticks: the prices of each pair in each second, made once for all processes.

The second is the database's. Whoever inserts the row first makes it for everybody, so it is
harmless that every scheduler tries to.
"""

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from decimal import Decimal
from typing import Any, NamedTuple

import orjson
from django.conf import settings

from config.runtime.postgres import Link
from routing.best_prices import (
    NONE_AT_ALL,
    BestPrices,
    PriceRules,
    best_prices,
    fresh_market,
    has_pools,
    rounded,
    rounded_down,
    rounded_up,
)
from routing.registry import registry, stopped_venues
from routing.tokens import Market, UnknownMarket, UnknownToken
from routing.venue import UnsupportedToken, VenueUnavailable
from routing.venues import Exchange

MAX_TICK_AGE = 3
"""Seconds: an older price triggers nothing."""
PRICE_SECONDS = 0.8
"""For a venue to show its pools of one market. The others' prices do not wait longer."""
INSERT_SECONDS = 2.0
REMEMBERED_SECONDS = 600
"""For which a pair keeps its ticks after its last watch was seen: that order may come back."""

CLOCK = "SELECT extract(epoch FROM clock_timestamp())::float8"

# Each index is read from pair to pair, so the cost does not grow with the orders that rest. The
# last one has what no price fires: a held stop still trails, and slices compare with the tick.
WATCHED = """
WITH RECURSIVE
up AS (
  (SELECT pair FROM watches WHERE kind = '>' AND (NOT held OR act = 'a') ORDER BY pair LIMIT 1)
  UNION ALL
  SELECT (SELECT pair FROM watches WHERE kind = '>' AND (NOT held OR act = 'a')
    AND pair > up.pair ORDER BY pair LIMIT 1)
  FROM up WHERE up.pair IS NOT NULL
),
down AS (
  (SELECT pair FROM watches WHERE kind = '<' AND (NOT held OR act = 'a') ORDER BY pair LIMIT 1)
  UNION ALL
  SELECT (SELECT pair FROM watches WHERE kind = '<' AND (NOT held OR act = 'a')
    AND pair > down.pair ORDER BY pair LIMIT 1)
  FROM down WHERE down.pair IS NOT NULL
),
trail AS (
  (SELECT pair FROM watches WHERE kind = 't' AND NOT held ORDER BY pair LIMIT 1)
  UNION ALL
  SELECT (SELECT pair FROM watches WHERE kind = 't' AND NOT held
    AND pair > trail.pair ORDER BY pair LIMIT 1)
  FROM trail WHERE trail.pair IS NOT NULL
),
pool AS (
  (SELECT pair FROM watches WHERE kind = 'p' AND NOT held ORDER BY pair LIMIT 1)
  UNION ALL
  SELECT (SELECT pair FROM watches WHERE kind = 'p' AND NOT held
    AND pair > pool.pair ORDER BY pair LIMIT 1)
  FROM pool WHERE pool.pair IS NOT NULL
),
followed AS (
  (SELECT pair FROM watches WHERE (kind = 'c' AND NOT held OR kind = 't' AND held)
   ORDER BY pair LIMIT 1)
  UNION ALL
  SELECT (SELECT pair FROM watches WHERE (kind = 'c' AND NOT held OR kind = 't' AND held)
    AND pair > followed.pair ORDER BY pair LIMIT 1)
  FROM followed WHERE followed.pair IS NOT NULL
)
SELECT pair FROM (
  SELECT pair FROM up UNION SELECT pair FROM down UNION SELECT pair FROM trail
  UNION SELECT pair FROM pool UNION SELECT pair FROM followed
) AS watched WHERE pair IS NOT NULL
"""

# In the order of the pairs, so that two schedulers never wait for each other. A tick that took too
# long is not stored: its prices are old, and an empty one takes its place.
INSERT = """
INSERT INTO price_ticks (pair, tick, bid, ask, reference, bid_low, bid_high, ask_low, ask_high,
  reference_low, reference_high, venues)
SELECT pair, tick, bid, ask, reference, bid_low, bid_high, ask_low, ask_high, reference_low,
  reference_high, venues
FROM json_to_recordset(%(ticks)s::json) AS made (pair text, tick bigint, bid numeric, ask numeric,
  reference numeric, bid_low numeric, bid_high numeric, ask_low numeric, ask_high numeric,
  reference_low numeric, reference_high numeric, venues jsonb)
WHERE extract(epoch FROM clock_timestamp()) - tick <= %(age)s::float8
ORDER BY pair
ON CONFLICT DO NOTHING
RETURNING pair
"""


class Tick(NamedTuple):
    """The prices of a pair in one second: the last, the lowest and the highest.

    None where there is no such price.
    """

    pair: str
    tick: int
    bid: Decimal | None
    ask: Decimal | None
    reference: Decimal | None
    bid_low: Decimal | None
    bid_high: Decimal | None
    ask_low: Decimal | None
    ask_high: Decimal | None
    reference_low: Decimal | None
    reference_high: Decimal | None
    venues: Mapping[str, Mapping[str, str | None]] | None
    """By venue: `bid` and `ask` as text, for charts."""

    @classmethod
    def at(
        cls,
        pair: str,
        tick: int,
        bid: Decimal | None = None,
        ask: Decimal | None = None,
        reference: Decimal | None = None,
        venues: Mapping[str, Mapping[str, str | None]] | None = None,
    ) -> "Tick":
        """Return the tick of a source that gives one price a second."""
        lines = bid, bid, ask, ask, reference, reference
        return cls(pair, tick, bid, ask, reference, *lines, venues)


PriceSource = Callable[[Sequence[Market], int], Awaitable[Iterable[Tick]]]
"""Returns the ticks of these markets in a unix second. A market may be left out."""
Question = Callable[[Market], Awaitable[bool]]


async def _always(market: Market) -> bool:
    return True


class Ticker:
    """Makes the ticks of a second. For one asyncio loop.

    `prices` says what they are, and `has_pools` which of the markets that no order watches get one.
    `max_age`: how long after its second, in seconds, a tick may still be stored.
    """

    def __init__(
        self,
        link: Link,
        prices: PriceSource,
        has_pools: Question = _always,
        max_age: float = MAX_TICK_AGE,
    ) -> None:
        self._link = link
        self._prices = prices
        self._has_pools = has_pools
        self._max_age = max_age
        self._watched: dict[str, int] = {}
        """By pair: the second in which a watch of it was last seen."""

    @classmethod
    def of(cls, exchange: Exchange, link: Link) -> "Ticker":
        """Return what makes ticks of this exchange's prices."""

        async def have_pools(market: Market) -> bool:
            return await has_pools(market, exchange.venues)

        return cls(link, prices_of(exchange), have_pools)

    async def clock(self) -> float:
        """Return the database's unix time.

        :raises psycopg.Error: the database does not answer.
        """
        ((now,),) = await self._link.fetch(CLOCK, ())
        return float(now)

    async def make(self, now_second: int) -> list[Tick]:
        """Make the ticks of this second. Return those that nobody had made before.

        :raises psycopg.Error: the database does not answer. The ticks may have been stored.
        :raises VenueUnavailable: no venue can say what it has pools of.
        """
        markets = await self._markets(now_second)
        ticks = list(await self._prices(markets, now_second))
        if not ticks:
            return []
        parameters = {"ticks": as_json(ticks), "age": self._max_age}
        async with self._link.connection(INSERT_SECONDS) as connection:
            cursor = await connection.execute(INSERT, parameters)
            made = {pair for (pair,) in await cursor.fetchall()}
        return [tick for tick in ticks if tick.pair in made]

    async def _markets(self, now: int) -> list[Market]:
        """Return the markets that have pools, and those that a resting order watches."""
        self._watched |= {pair: now for (pair,) in await self._link.fetch(WATCHED, ())}
        self._watched = {
            pair: seen for pair, seen in self._watched.items() if now - seen < REMEMBERED_SECONDS
        }
        direct = registry().markets
        pools = await asyncio.gather(*(self._has_pools(market) for market in direct))
        found = {
            market.pair: market for market, has_pool in zip(direct, pools, strict=True) if has_pool
        }
        watched = {pair: market_of(pair) for pair in self._watched if pair not in found}
        return [*found.values(), *(market for market in watched.values() if market)]


def market_of(pair: str) -> Market | None:
    """Return the market whose prices have this name; None if this process does not know it."""
    base, _, quote = pair.partition("/")
    known = registry()
    try:
        return known.market_of_order(known.token(base), known.token(quote))
    except (UnknownToken, UnknownMarket):
        return None


def prices_of(exchange: Exchange) -> PriceSource:
    """Return what knows the best prices of this exchange, and its reference prices."""
    rules = PriceRules(
        max_deviation_bps=settings.MAX_QUOTE_DEVIATION_BPS,
        max_age=MAX_TICK_AGE,
        timeout=min(settings.QUOTE_TIMEOUT, PRICE_SECONDS),
    )

    async def prices(markets: Sequence[Market], now: int) -> list[Tick]:
        stopped = stopped_venues()
        venues = [venue for venue in exchange.venues if venue.name not in stopped]
        held = await _held(markets, exchange, rules.timeout)
        best = await best_prices(held, venues, now, rules)
        return [
            _tick(
                market,
                now,
                best.get(market.pair, NONE_AT_ALL),
                await _reference(exchange, market, now),
            )
            for market in markets
        ]

    return prices


async def _held(markets: Sequence[Market], exchange: Exchange, seconds: float) -> Sequence[Market]:
    """Return the markets with the prices that pools are held to; without one that has none."""
    references = exchange.held_to
    if references is None:
        return markets
    fresh = await asyncio.gather(*(fresh_market(market, references, seconds) for market in markets))
    return [market for market in fresh if market is not None]


def as_json(ticks: Iterable[Tick]) -> str:
    """Return ticks for `INSERT`."""
    return orjson.dumps([tick._asdict() for tick in ticks], default=_number).decode()


def _number(value: Any) -> str:
    if isinstance(value, Decimal):
        return f"{value:f}"
    raise TypeError


async def _reference(exchange: Exchange, market: Market, now: int) -> Decimal | None:
    if exchange.references is None:
        return None
    try:
        return rounded(await exchange.references.of(market, now))
    except (UnsupportedToken, VenueUnavailable):
        return None


def _tick(market: Market, now: int, prices: BestPrices, reference: Decimal | None) -> Tick:
    venues = {
        name: {"bid": _text(rounded_down(bid)), "ask": _text(rounded_up(ask))}
        for name, (bid, ask) in prices.venues.items()
    }
    bid, ask = rounded_down(prices.best.bid), rounded_up(prices.best.ask)
    return Tick.at(market.pair, now, bid, ask, reference, venues)


def _text(price: Decimal | None) -> str | None:
    return None if price is None else f"{price.normalize():f}"
