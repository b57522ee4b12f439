"""The simulated pools as this process knows them: read from PostgreSQL at most a block ago.

The database is right, even if it is older than this process's copy: a backup may have been
restored, or a promoted standby may lack the last second.
"""

import asyncio
import logging
import os
import time
from collections.abc import Awaitable, Callable, Hashable, Iterable, Sequence
from typing import Any, NamedTuple

import orjson

from config.runtime.postgres import Link
from routing.pricing import atoms_ratio
from routing.simulation.arbitrage import Arbitrage, PriceRanges
from routing.simulation.pool import PoolKey, Price, SimulatedPool, read_pool
from routing.simulation.price import seeded_walk
from routing.simulation.price_path import (
    LEAD_SECONDS,
    NO_PATHS,
    PricePath,
    PricePaths,
    following,
    read_steps,
)
from routing.simulation.seeding import NewPool, depth_in_atoms
from routing.simulation.settings import Simulation
from routing.tokens import REGISTRY, USDC, USDT, Market, Registry, UnknownToken

logger = logging.getLogger(__name__)

STABLE = frozenset((USDC.mint, USDT.mint))

_READ = """
SELECT pool.venue, pool.base, pool.quote, pool.kind, pool.tick, pool.version,
    CASE WHEN (known.version, known.tick) = (pool.version, pool.tick) THEN NULL
        ELSE pool.state::text END,
    (extract(epoch FROM pool.made_at) * 1000000)::bigint,
    (extract(epoch FROM pool.opens_at) * 1000000)::bigint, pool.follows,
    (SELECT seed FROM simulated_seeds), (SELECT json_agg(json_build_array(mint, steps, begins_at)
        ORDER BY begins_at, id)::text FROM simulated_price_paths
        WHERE ends_at > extract(epoch FROM now) - 86400),
    (extract(epoch FROM now) * 1000000)::bigint
FROM (SELECT clock_timestamp() AS now) AS clock
LEFT JOIN simulated_pools AS pool ON true
LEFT JOIN json_to_recordset(%s::json) AS known (
    venue text, base text, quote text, version bigint, tick bigint) USING (venue, base, quote)
"""
# In a market in which a pool was launched, a venue has a pool if one was launched there, too.
_SEED_POOL = """
INSERT INTO simulated_pools (venue, base, quote, kind, state, tick, version)
SELECT new.venue, new.base, new.quote, new.kind, new.state, new.tick, 0
FROM (SELECT %s AS venue, %s AS base, %s AS quote, %s AS kind, %s::jsonb AS state,
    %s::bigint AS tick) AS new
WHERE NOT EXISTS (SELECT FROM simulated_pools AS pool
    WHERE (pool.base, pool.quote) = (new.base, new.quote) AND pool.made_at IS NOT NULL)
ON CONFLICT DO NOTHING RETURNING version
"""
_MAKE_SEED = "INSERT INTO simulated_seeds VALUES (1, %s) ON CONFLICT DO NOTHING RETURNING seed"
_READ_SEED = "SELECT seed FROM simulated_seeds"


class Launch(NamedTuple):
    """When a pool was made and opens, in unix seconds, and the venue that it took over from."""

    made_at: float
    opens_at: float
    follows: str | None


class NoPool(Exception):
    """The venue has no pool of this market. In time, one may be launched."""


class NotOpenYet(Exception):
    """The pool was made, and opens later. Trying again helps then."""


class SimulatedPools:
    """For one asyncio loop. All methods may raise `psycopg.Error`: the database is away."""

    def __init__(
        self,
        conninfo: str,
        simulation: Simulation,
        ranges: PriceRanges,
        registry: Callable[[], Registry] = lambda: REGISTRY,
    ) -> None:
        self.registry = registry
        """Returns what is traded."""
        self._link = Link(conninfo, "simulated-pools")
        self._simulation = simulation
        self._ranges = ranges
        self._cached: dict[PoolKey, SimulatedPool] = {}
        self._launches: dict[PoolKey, Launch] = {}
        self._current: dict[PoolKey, tuple[SimulatedPool, SimulatedPool]] = {}
        """Each pool at the prices of a later second, with the stored pool that it was made from."""
        self._arbitrage: Arbitrage | None = None
        self._drawn_from: str | None = None
        self._paths = NO_PATHS
        self._paths_from: tuple[str | None, Registry | None] = (None, None)
        self._tasks: dict[Hashable, asyncio.Future[None]] = {}
        self._epoch = 0.0
        self._read_at = float("-inf")

    async def current(
        self, key: PoolKey, market: Market, new_pool: NewPool
    ) -> tuple[SimulatedPool, int]:
        """Return the pool as it is now, and the unix second. `new_pool` makes it if there is none.

        It has other processes' landings after a block at most, and this process's at once.

        :raises NoPool, NotOpenYet: the market's pools are launched, and this one is not or not yet.
        """
        arbitrage = await self.arbitrage()
        if self._is_old():
            await self._shared("read", self._read)
        while key not in self._cached:
            if self._is_launched(key):
                raise NoPool
            await self._shared(key, lambda: self._seed(key, market, new_pool, arbitrage))
        if not self._is_open(key):
            raise NotOpenYet
        return self._bring_up(key, arbitrage)

    async def has(self, key: PoolKey) -> bool:
        """Return whether there is such a pool."""
        if self._is_old():
            await self._shared("read", self._read)
        return key in self._cached

    async def launch_of(self, key: PoolKey) -> tuple[SimulatedPool, int, Launch | None] | None:
        """Return the pool if it is open, the unix second, and how it was launched, if it was."""
        if not await self.has(key) or not self._is_open(key):
            return None
        return *self._bring_up(key, await self.arbitrage()), self._launches.get(key)

    def _is_open(self, key: PoolKey) -> bool:
        launch = self._launches.get(key)
        return launch is None or launch.opens_at <= self._epoch + time.monotonic() - self._read_at

    def _is_launched(self, key: PoolKey) -> bool:
        """Whether a pool of its market was launched, at any venue."""
        return any(launched[1:] == key[1:] for launched in self._launches)

    def known(self, key: PoolKey) -> tuple[SimulatedPool, int] | None:
        """Return what `current` would, unless that has to ask the database."""
        if self._arbitrage is None or key not in self._cached or self._is_old():
            return None
        if not self._is_open(key):
            return None
        return self._bring_up(key, self._arbitrage)

    def _bring_up(self, key: PoolKey, arbitrage: Arbitrage) -> tuple[SimulatedPool, int]:
        stored = self._cached[key]
        now = max(self._now(), stored.tick)
        base, current = self._current.get(key, (None, stored))
        if base is not stored or current.tick != now:
            current = arbitrage.pool_at(stored, now)
            self._current[key] = stored, current
        return current, now

    @property
    def clock(self) -> tuple[float, float]:
        """The database's clock as it was last read, and when that was, by `time.monotonic`."""
        return self._epoch, self._read_at

    async def arbitrage(self) -> Arbitrage:
        """Return the arbitrage that moves the pools, with the seed that all processes share.

        It knows each path of a price before that path begins.
        """
        if time.monotonic() - self._read_at > LEAD_SECONDS / 2:
            await self._shared("read", self._read)
        while self._arbitrage is None:
            await self._shared("arbitrage", self._find_arbitrage)
        return self._arbitrage

    def cached_pools(self, keys: Iterable[PoolKey]) -> list[SimulatedPool] | None:
        """Return these pools as this process last knew them; None if it does not know them all."""
        try:
            return [self._cached[key] for key in keys]
        except KeyError:
            return None

    def take(self, rows: Iterable[Sequence[Any]]) -> tuple[list[SimulatedPool], set[PoolKey]]:
        """Return the pools of `ledger_sql.LOCK_POOLS`, and those that other processes have moved.

        No other process moves a locked pool, so its row is right.
        """
        pools = [self._pool_of(row) for row in rows]
        moved = {pool.key for pool in pools if self._cached.get(pool.key, pool) is not pool}
        self._tell_of_going_back(pools)
        self.learn(pools)
        return pools, moved

    def learn(self, pools: Iterable[SimulatedPool]) -> None:
        """Note the state of pools that were just stored."""
        self._cached.update((pool.key, pool) for pool in pools)

    async def close(self) -> None:
        for task in [*self._tasks.values()]:
            task.cancel()
        await asyncio.gather(*self._tasks.values(), return_exceptions=True)
        await self._link.close()

    async def _shared(self, what: Hashable, act: Callable[[], Awaitable[None]]) -> None:
        """Run one `act` for all callers that want the same now. A cancelled caller stops nothing.

        Venues have a time limit. A slow read that began again for each quote would never end.
        """
        task = self._tasks.get(what)
        if task is None:
            task = self._tasks[what] = asyncio.ensure_future(act())
            task.add_done_callback(lambda done: self._end(what, done))
        await asyncio.shield(task)

    def _end(self, what: Hashable, done: asyncio.Future[None]) -> None:
        del self._tasks[what]
        if not done.cancelled():
            done.exception()  # marks the error as seen, even if no caller waits any more

    async def _find_arbitrage(self) -> None:
        simulation = self._simulation
        seed = str(simulation.seed) if simulation.seed is not None else await self._drawn_seed()
        self._drawn_from, self._current = seed, {}
        volatility = int(simulation.volatility_bps * 100)
        walk = following(seeded_walk(seed, volatility, STABLE), self._paths)
        self._arbitrage = Arbitrage(seed, walk, self._ranges, volatility // 2, self._paths)

    def _is_old(self) -> bool:
        return time.monotonic() - self._read_at > self._simulation.block_seconds

    def _now(self) -> int:
        return int(self._epoch + time.monotonic() - self._read_at)

    async def _read(self) -> None:
        known = dict(self._cached)
        versions = [
            {**key._asdict(), "version": pool.version, "tick": pool.tick}
            for key, pool in known.items()
        ]
        rows = await self._link.fetch(_READ, [orjson.dumps(versions).decode()])
        *_, seed, paths, microseconds = rows[0]
        self._epoch, self._read_at = microseconds / 1e6, time.monotonic()
        self._follow(paths)
        if self._simulation.seed is None and seed != self._drawn_from:
            self._arbitrage = None  # it was made for another database
        # Pools learnt meanwhile were read behind a lock, or written. This reading may be older.
        learnt = {key: pool for key, pool in self._cached.items() if known.get(key) is not pool}
        found = [row for row in rows if row[0] is not None]
        pools = [self._pool_of(row[:7]) for row in found]
        self._launches = {
            PoolKey(*row[:3]): Launch(row[7] / 1e6, row[8] / 1e6, row[9])
            for row in found
            if row[7] is not None
        }
        self._tell_of_going_back(pool for pool in pools if pool.key not in learnt)
        self._cached = {pool.key: pool for pool in pools} | learnt

    def _follow(self, stored: str | None) -> None:
        """Have prices follow the paths of the settings, and those that are stored."""
        known = self.registry()
        if (stored, known) == self._paths_from:
            return
        paths = [
            PricePath(mint, read_steps(steps), begins_at)
            for mint, steps, begins_at in orjson.loads(stored or "[]")
        ]
        self._paths_from = stored, known
        self._paths = PricePaths([*paths_of(self._simulation, known), *paths])
        self._arbitrage = None  # the next one is made with them

    def _pool_of(self, row: Sequence[Any]) -> SimulatedPool:
        venue, base, quote, kind, tick, version, state = row
        key = PoolKey(venue, base, quote)
        stored = self._cached.get(key)
        if stored is not None and (
            state is None or (stored.version, stored.tick) == (version, tick)
        ):
            return stored
        return read_pool(key, kind, orjson.loads(state), tick, version)

    def _tell_of_going_back(self, pools: Iterable[SimulatedPool]) -> None:
        back = sum(pool.version < self._cached.get(pool.key, pool).version for pool in pools)
        if back:
            logger.warning(
                "%d simulated pools stand at an older version than they did: the database went"
                " back in time; they are taken as they stand",
                back,
            )

    async def _seed(
        self, key: PoolKey, market: Market, new_pool: NewPool, arbitrage: Arbitrage
    ) -> None:
        """Store a new pool at its present price, unless another process was quicker."""
        reference = Price(*atoms_ratio(market, market.reference_price))
        now = self._now()
        seeded = SimulatedPool(key, reference, new_pool(1, 1), now)
        price = arbitrage.target(seeded, now)
        depth = depth_in_atoms(market, self.registry().markets, price, self._simulation.depth)
        seeded = seeded._replace(pool=new_pool(*depth))
        state = orjson.dumps(seeded.state()).decode()
        await self._link.fetch(_SEED_POOL, [*key, seeded.kind, state, now])
        await self._read()

    async def _drawn_seed(self) -> str:
        await self._link.fetch(_MAKE_SEED, [os.urandom(8).hex()])
        return str((await self._link.fetch(_READ_SEED, ()))[0][0])


def paths_of(simulation: Simulation, known: Registry) -> Iterable[PricePath]:
    """Yield the paths of the settings, of the tokens that are known."""
    for symbol, steps, begins_at in simulation.price_paths:
        try:
            mint = known.token(symbol).mint
        except UnknownToken:
            logger.warning("SIMULATION_PRICE_PATH: there is no token %s", symbol)
            continue
        if begins_at is not None:
            yield PricePath(mint, steps, begins_at)
