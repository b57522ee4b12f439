"""The live pools as they were less than a block ago: one answer for all questions meanwhile.

Quotes, previews, ticks and builds of one process ask here. Questions of the same moment, for any
markets, share one call. What is older than its age is never given out, not even if no node answers.
"""

import asyncio
import time
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from typing import NamedTuple

from solders.pubkey import Pubkey

from routing.solana.reading.known import LivePool, Pair, pair_of, why_another
from routing.solana.reading.reader import PoolReader, Read
from routing.solana.reading.seen_pools import SeenPool, UnusablePool
from routing.solana.rpc.provider import RpcError, RpcUnavailable
from routing.solana.token_accounts import Clock
from routing.solana.wallet.money import AccountState
from routing.tokens import Market
from routing.venue import StalePools, UnsupportedToken, VenueUnavailable

AGE = 0.4
"""Seconds, about one block, for which a reading serves."""
GATHER_SECONDS = 0.002
"""Questions within this time share a call."""
MOST_BEHIND = 15
"""Seconds by which the chain's clock may be behind ours: a node that is farther lags."""


class SeenMarket(NamedTuple):
    """All pools of one market, as of one reading."""

    pools: Mapping[str, tuple[SeenPool, ...]]
    """By venue, those that can be traded in."""
    unusable: Mapping[str, tuple[UnusablePool, ...]]
    """By venue, the others."""
    beside: Mapping[Pubkey, AccountState | None]
    """The accounts that were read in the same call, such as price feeds."""
    clock: Clock | None
    """None: it could not be read, and no pool is among those that can be traded in."""
    asked_at: float
    """By the loop's clock."""

    def of(self, venue: str) -> tuple[SeenPool, ...]:
        """Return the venue's pools, at least one.

        :raises UnsupportedToken: the venue has none.
        :raises VenueUnavailable: none of them can be traded in.
        """
        if pools := self.pools.get(venue):
            return pools
        if unusable := self.unusable.get(venue):
            reasons = "; ".join(f"{one.address}: {one.reason}" for one in unusable)
            raise VenueUnavailable(f"no pool can be traded in: {reasons}")
        raise UnsupportedToken(f"{venue} has no pool of this market")

    def at(self, venue: str, address: Pubkey) -> SeenPool:
        """Return one of the venue's pools.

        :raises VenueUnavailable: it cannot be traded in.
        """
        for pool in self.pools.get(venue, ()):
            if pool.address == address:
                return pool
        reasons = [one.reason for one in self.unusable.get(venue, ()) if one.address == address]
        raise VenueUnavailable(f"the pool {address} cannot be traded in: {'; '.join(reasons)}")


class _Asked(NamedTuple):
    """Markets whose answer is under way."""

    at: float
    markets: Mapping[Pair, "asyncio.Future[SeenMarket]"]


class PoolsInMemory:
    """For one asyncio loop. `pools` returns the known pools, which may change at any time.

    `beside` returns the accounts to be read with a market's pools. With `now`, our clock in unix
    seconds, the chain's may not be far behind it.
    """

    def __init__(
        self,
        reader: PoolReader,
        pools: Callable[[], Sequence[LivePool]],
        *,
        beside: Callable[[Pair], Collection[Pubkey]] = lambda _: (),
        age: float = AGE,
        now: Callable[[], float] | None = time.time,
    ) -> None:
        self._reader = reader
        self._pools = pools
        self._beside = beside
        self._age = age
        self._now = now
        self._seen: dict[Pair, SeenMarket] = {}
        self._waiting: dict[Pair, asyncio.Future[SeenMarket]] = {}
        self._under_way = _Asked(0.0, {})
        self._task: asyncio.Task[None] | None = None

    @property
    def addresses(self) -> frozenset[Pubkey]:
        """All known pools."""
        return frozenset(pool.key for pool in self._pools())

    def has(self, venue: str, market: Market) -> bool:
        """Whether a pool of the venue is known."""
        pair = pair_of(market)
        return any(pool.venue == venue and pool.pair == pair for pool in self._pools())

    async def read(self, market: Market) -> SeenMarket:
        """Return all pools of a market with pools of its own.

        :raises UnsupportedToken: no pool of it is known.
        :raises StalePools: they could not be read in time.
        """
        pair = pair_of(market)
        if not any(pool.pair == pair for pool in self._pools()):
            raise UnsupportedToken(f"no pool of {market.name} is known")
        return await self._of_pair(pair)

    async def of(self, venue: str, market: Market) -> tuple[SeenPool, ...]:
        """Return the venue's pools of a market, at least one.

        :raises UnsupportedToken: it has none.
        :raises VenueUnavailable: none of them can be traded in, or could be read in time.
        """
        return (await self.read(market)).of(venue)

    async def usable(self, addresses: Collection[Pubkey]) -> Mapping[Pubkey, SeenPool]:
        """Return these pools.

        :raises UnsupportedToken: one of them is not known.
        :raises VenueUnavailable: one of them cannot be traded in, or could be read in time.
        """
        pools = {pool.key: pool for pool in self._pools()}
        if not pools.keys() >= set(addresses):
            raise UnsupportedToken("a pool of the route is not among the known ones")
        markets = await asyncio.gather(*(self._of_pair(pools[one].pair) for one in addresses))
        return {
            address: seen.at(pools[address].venue, address)
            for address, seen in zip(addresses, markets, strict=True)
        }

    def now(self, venue: str, market: Market) -> tuple[SeenPool, ...] | None:
        """Return what `of` would, without waiting; None if it has to be asked for."""
        fresh = self._fresh(pair_of(market))
        return None if fresh is None else fresh.of(venue)

    async def close(self) -> None:
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
            self._task = None

    async def _of_pair(self, pair: Pair) -> SeenMarket:
        fresh = self._fresh(pair)
        return fresh if fresh is not None else await asyncio.shield(self._ask(pair))

    def _fresh(self, pair: Pair) -> SeenMarket | None:
        seen = self._seen.get(pair)
        return seen if seen is not None and self._is_fresh(seen.asked_at) else None

    def _is_fresh(self, asked_at: float) -> bool:
        return asyncio.get_running_loop().time() - asked_at < self._age

    def _ask(self, pair: Pair) -> "asyncio.Future[SeenMarket]":
        under_way = self._under_way.markets.get(pair)
        if under_way is not None and self._is_fresh(self._under_way.at):
            return under_way
        waiting = self._waiting.get(pair)
        if waiting is None:
            waiting = self._waiting[pair] = asyncio.get_running_loop().create_future()
        if self._task is None or self._task.done():
            self._task = asyncio.create_task(self._answer_all())
        return waiting

    async def _answer_all(self) -> None:
        """Answer all questions that wait, together, until none waits."""
        loop = asyncio.get_running_loop()
        while self._waiting:
            await asyncio.sleep(GATHER_SECONDS)
            asked, self._waiting = self._waiting, {}
            self._under_way = _Asked(loop.time(), asked)
            try:
                found = await self._look(list(asked), self._under_way.at)
            except (RpcUnavailable, RpcError) as error:
                _fail(asked.values(), f"the pools could not be read: {error}")
            except BaseException as error:
                _fail(asked.values(), f"the reading of pools ended: {type(error).__name__}")
                _fail(self._waiting.values(), "the reading of pools ended")
                self._waiting = {}
                raise
            else:
                self._seen |= found
                for pair, future in asked.items():
                    future.set_result(found[pair])
            self._under_way = _Asked(0.0, {})

    async def _look(self, pairs: list[Pair], asked_at: float) -> dict[Pair, SeenMarket]:
        """:raises RpcUnavailable: no node answered that is not behind."""
        known = [pool for pool in self._pools() if pool.pair in pairs]
        beside = {key for pair in pairs for key in self._beside(pair)}
        read = await self._reader.read_beside(
            list(dict.fromkeys(pool.key for pool in known)), sorted(beside, key=bytes)
        )
        if self._now is not None and read.clock is not None:
            behind = self._now() - read.clock.unix_time
            if behind > MOST_BEHIND:
                raise RpcUnavailable(f"the node's clock is {behind:.0f} s behind ours")
        return {
            pair: _market([pool for pool in known if pool.pair == pair], read, asked_at)
            for pair in pairs
        }


def _market(known: Iterable[LivePool], read: Read, asked_at: float) -> SeenMarket:
    usable: dict[str, list[SeenPool]] = {}
    unusable: dict[str, list[UnusablePool]] = {}
    for pool in known:
        seen = read.pools[pool.key]
        if isinstance(seen, SeenPool) and (reason := why_another(pool, seen)):
            seen = UnusablePool(pool.key, reason)
        if isinstance(seen, UnusablePool):
            unusable.setdefault(pool.venue, []).append(seen)
        else:
            usable.setdefault(pool.venue, []).append(seen)
    return SeenMarket(
        {venue: tuple(pools) for venue, pools in usable.items()},
        {venue: tuple(pools) for venue, pools in unusable.items()},
        read.beside,
        read.clock,
        asked_at,
    )


def _fail(futures: Iterable["asyncio.Future[SeenMarket]"], reason: str) -> None:
    for future in futures:
        if not future.done():
            future.set_exception(StalePools(reason))
            future.exception()  # its caller may have left
