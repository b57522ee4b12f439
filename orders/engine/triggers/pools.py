"""Releases snipers as soon as a pool is there that they wait for.

The condition is a state of the pool, looked at in each second: who comes after the pool finds it,
and no message has to be heard. The orders that wait are read only where a pool is open.
"""

import asyncio
import logging
from collections.abc import Sequence
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any, NamedTuple
from uuid import UUID

import orjson
from django.conf import settings
from django.db import Error

from config.runtime.counters import counts
from orders.engine.journal import budget_params
from orders.engine.triggers import passes_sql, pools_sql
from orders.engine.triggers.session import LOCKED_ELSEWHERE, Session, tell
from orders.engine.triggers.sizing import MISSES_IN_A_ROW, Copies
from orders.engine.triggers.ticks import market_of
from orders.terms.pool_condition import PoolCondition
from routing.registry import read_again
from routing.tokens import Market
from routing.venue import (
    Bound,
    PoolFacts,
    ReferencePrices,
    Side,
    Swap,
    TellsOfPools,
    Venue,
    VenueUnavailable,
)

logger = logging.getLogger(__name__)

MESSAGE = "Triggered: a pool as it waited for can be traded in"
START = datetime(1970, 1, 1, tzinfo=UTC), str(UUID(int=0))


class Sniper(NamedTuple):
    order_id: str
    queued_at: datetime
    side: str
    amount_in: int
    min_out: int | None
    """Of a limit price; None: it has none."""
    constraints: dict[str, Any] | None
    terms: dict[str, Any]

    def swap(self, market: Market) -> Swap:
        return Swap(market, Side(self.side), self.amount_in)


class Pools:
    """For one asyncio loop."""

    def __init__(self, venues: Sequence[Venue], references: ReferencePrices | None = None) -> None:
        self._venues = venues
        self._references = references
        self._tellers = [venue for venue in venues if isinstance(venue, TellsOfPools)]

    async def look(self, session: Session) -> None:
        """Release the snipers whose pools are open.

        :raises psycopg.Error: the database does not answer; the next look finds what is left.
        """
        for (pair,) in await session.rows(pools_sql.PAIRS, {}):
            market = await self._market(pair)
            if market is not None:
                await self._look_at(session, pair, market)

    async def _market(self, pair: str) -> Market | None:
        """Return a market with pools of its own, which may have been added just now."""
        market = market_of(pair)
        if market is None or market.paths:
            with suppress(Error):  # the database is away: the next look asks again
                await read_again()
            market = market_of(pair)
        return None if market is None or market.paths else market

    async def _look_at(self, session: Session, pair: str, market: Market) -> None:
        open_pools = {side: await self._open_pools(market, side) for side in Side}
        if not any(open_pools.values()):
            return
        look = _Look(market, open_pools, Copies(self._venues, self._references))
        after_time, after_id = START
        while True:
            asked = {"after_time": after_time, "after_id": after_id, "most": pools_sql.MOST}
            rows = await session.rows(pools_sql.WAITING, {"pair": pair} | asked)
            snipers = [Sniper._make(row) for row in rows]
            await _release(session, pair, await look.met_by(snipers))
            if len(snipers) < pools_sql.MOST or look.is_over:
                return
            after_time, after_id = snipers[-1].queued_at, snipers[-1].order_id

    async def _open_pools(self, market: Market, side: Side) -> list[PoolFacts]:
        asked = [self._pools_of(venue, Swap(market, side)) for venue in self._tellers]
        return [pool for pools in await asyncio.gather(*asked) for pool in pools]

    async def _pools_of(self, venue: TellsOfPools, swap: Swap) -> Sequence[PoolFacts]:
        try:
            async with asyncio.timeout(settings.QUOTE_TIMEOUT):
                return await venue.open_pools(swap)
        except (VenueUnavailable, TimeoutError) as fault:
            logger.info("no pools of %s are known: %s", swap.market.name, fault)
            return []


class _Look:
    """One look at the pools of one market."""

    def __init__(
        self, market: Market, open_pools: dict[Side, list[PoolFacts]], copies: Copies
    ) -> None:
        self._market = market
        self._open = open_pools
        self._copies = copies
        self._misses_in_a_row = 0

    @property
    def is_over(self) -> bool:
        """Whether so many missed their limit that the look ends for now."""
        return self._misses_in_a_row >= MISSES_IN_A_ROW

    async def met_by(self, snipers: Sequence[Sniper]) -> dict[str, PoolFacts]:
        """Return by order, in this order, those that are to be released, and their pool."""
        met: dict[str, PoolFacts] = {}
        for sniper in snipers:
            pool = self._pool_for(sniper)
            if pool is not None and await self._nets_its_limit(sniper):
                met[sniper.order_id] = pool
            if self.is_over:
                break
        return met

    def _pool_for(self, sniper: Sniper) -> PoolFacts | None:
        token = sniper.swap(self._market).token_in
        condition = PoolCondition.of(sniper.terms, sniper.constraints, token)
        pools = self._open[Side(sniper.side)]
        return next((pool for pool in pools if condition.is_met_by(pool)), None)

    async def _nets_its_limit(self, sniper: Sniper) -> bool:
        """Return whether the pools can fill it at its limit; then they move by its swap.

        One without a limit takes what it gets.
        """
        swap = sniper.swap(self._market)
        decision = await self._copies.route(swap, sniper.constraints)
        if decision is not None:
            quote = decision.quote
            is_met = Bound(min_out=sniper.min_out).admits(quote.amount_in, quote.amount_out)
            if is_met or sniper.min_out is None:
                self._copies.apply(decision)
                self._misses_in_a_row = 0
                return True
        if sniper.min_out is None:
            return True
        self._misses_in_a_row += 1
        return False


async def _release(session: Session, pair: str, met: dict[str, PoolFacts]) -> None:
    if not met:
        return
    told = {
        order_id: {"pool": pool.venue, "poolAgeSeconds": pool.age, "follows": pool.follows}
        for order_id, pool in met.items()
    }
    parameters = {
        "pair": pair,
        "ids": list(met),
        "pools": orjson.dumps(told).decode(),
        "attempts": settings.ORDER_ATTEMPTS,
        "message": MESSAGE,
        "held": passes_sql.HELD,
    }
    with suppress(*LOCKED_ELSEWHERE):  # the next look finds them
        rows = await session.budgeted(passes_sql.RELEASE_SNIPERS, parameters | budget_params())
        counts["orders_released:pool"] += tell(row[4:] for row in rows if row[4] is not None)
