"""Arbitrage and other people's trades, by which the simulated pools follow the market.

A stored pool carries the second (`tick`) to which it was brought. This module alone decides the
swaps from there to any later second. So a quote and a landing in the same second see the same pool
in every process, and between landings nothing has to be stored.
"""

from bisect import bisect_left
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import isqrt

from routing.pools.bins import Bin, price_of_bin
from routing.pools.constant_product import MILLION as FEE_UNIT
from routing.pools.constant_product import ConstantProductPool
from routing.pools.liquidity_bins import LiquidityBinPool
from routing.pools.pool import Direction, SwapRefused
from routing.simulation.pool import AnyPool, Price, SimulatedPool
from routing.simulation.price import MILLION, PriceSource, deviation, noise
from routing.simulation.price_path import NO_PATHS, PricePaths

STEP = 30
"""Seconds between two arbitrages when a pool catches up, one for each full step."""
MEMORY = 600
"""Seconds after which a pool's moves do not matter: one swap is enough for all before that."""

PriceRanges = Mapping[str, tuple[int, int]]
"""By venue: the least and the most of its price, in millionths of the market's."""

UNMOVED = (MILLION, MILLION)


@dataclass(frozen=True, slots=True)
class Arbitrage:
    """Moves the pools when no order does."""

    seed: str
    price_of: PriceSource
    ranges: PriceRanges
    flow: int
    """The largest trade of others in a second, in millionths of a reserve."""
    paths: PricePaths = NO_PATHS
    """`price_of` follows them; while one of a market is in force, its venues do not wander."""

    def target(self, stored: SimulatedPool, now: int) -> Price:
        """Return the price to which arbitrage brings this pool at `now`."""
        venue, base, quote = stored.key
        least, most = self.ranges.get(venue, UNMOVED)
        seed = f"{self.seed}:{venue}:{base}:{quote}"
        off = self.paths.deviation(
            (base, quote), lambda then: deviation(seed, least, most, then), now
        )
        return Price(
            stored.reference.quote_atoms * self.price_of(base, now) * off,
            stored.reference.base_atoms * self.price_of(quote, now) * MILLION,
        )

    def pool_at(self, stored: SimulatedPool, now: int) -> SimulatedPool:
        """Return the pool in the second `now`, if nothing landed in between."""
        if now <= stored.tick:
            return stored
        pool = stored.pool
        for moment in moments(stored.tick, now):
            pool = move_to(pool, self.target(stored, moment), moment)
            pool = self._trade_flow(stored, pool, moment)
        return stored._replace(pool=pool, tick=now)

    def _trade_flow(self, stored: SimulatedPool, pool: AnyPool, now: int) -> AnyPool:
        if not self.flow:
            return pool
        drawn = noise(f"{self.seed}:flow:{stored.key}", 1, now) * self.flow
        way = Direction.X_TO_Y if drawn > 0 else Direction.Y_TO_X
        reserve = pool.vault_x if drawn > 0 else pool.vault_y
        return _swap_in(pool, reserve * abs(drawn) // (MILLION * MILLION), way, now)


def moments(tick: int, now: int) -> Sequence[int]:
    """Return, in order, the seconds up to `now` in which a pool that is at `tick` is traded."""
    start = max(tick, now - MEMORY)
    steps = range(start // STEP + 1, -(-now // STEP))
    return [*([start] if start > tick else []), *(number * STEP for number in steps), now]


def move_to(pool: AnyPool, target: Price, now: int) -> AnyPool:
    """Return the pool after a swap that brings its price as near to the target as possible."""
    if isinstance(pool, ConstantProductPool):
        return _move_product_to(pool, target, now)
    return _move_bins_to(pool, target, now)


def nearest_bin(bin_step: int, ids: Sequence[int], price: int) -> int:
    """Return the id whose price is nearest; `price` in 64.64 fixed point."""
    above = bisect_left(ids, price, key=lambda bin_id: price_of_bin(bin_step, bin_id))
    around = ids[max(above - 1, 0) : above + 1]
    return min(around, key=lambda bin_id: abs(price_of_bin(bin_step, bin_id) - price))


def _move_product_to(pool: ConstantProductPool, target: Price, now: int) -> AnyPool:
    """Swap in what is missing: at a price, both reserves follow from their product."""
    x, y = pool.reserve_x, pool.reserve_y
    product = x * y
    more_x = isqrt(product * target.base_atoms // target.quote_atoms) - x
    if more_x > 0:
        return _swap_in(pool, _with_fee(pool, more_x), Direction.X_TO_Y, now)
    more_y = isqrt(product * target.quote_atoms // target.base_atoms) - y
    return _swap_in(pool, _with_fee(pool, more_y), Direction.Y_TO_X, now)


def _with_fee(pool: ConstantProductPool, net: int) -> int:
    return -(-net * FEE_UNIT // (FEE_UNIT - pool.rates.trade))


def _move_bins_to(pool: LiquidityBinPool, target: Price, now: int) -> AnyPool:
    """Buy all bins up to the bin of that price, and half of that bin."""
    ids = range(pool.bins[0].id, pool.bins[-1].id + 1)
    price = (target.quote_atoms << 64) // target.base_atoms
    bin_id = nearest_bin(pool.parameters.bin_step, ids, price)
    if bin_id > pool.active_id:
        on_the_way = pool.bins[bisect_left(pool.bins, (pool.active_id,)) :]
        amounts = [bin_.amount_x for bin_ in on_the_way if bin_.id < bin_id]
        last = _amounts(pool, bin_id).amount_x
        return _swap_out(pool, sum(amounts) + (last + 1) // 2, Direction.Y_TO_X, now)
    if bin_id < pool.active_id:
        on_the_way = pool.bins[: bisect_left(pool.bins, (pool.active_id + 1,))]
        amounts = [bin_.amount_y for bin_ in on_the_way if bin_.id > bin_id]
        last = _amounts(pool, bin_id).amount_y
        return _swap_out(pool, sum(amounts) + (last + 1) // 2, Direction.X_TO_Y, now)
    return pool


def _amounts(pool: LiquidityBinPool, bin_id: int) -> Bin:
    position = bisect_left(pool.bins, (bin_id,))
    nearest = pool.bins[position]
    return nearest if nearest.id == bin_id else Bin(bin_id, 0, 0)


def _swap_in(pool: AnyPool, amount: int, way: Direction, now: int) -> AnyPool:
    """Return the pool after the swap; unchanged if the pool refuses it, since no trade happens."""
    try:
        return pool.swap_exact_in(amount, way, now)[1] if amount > 0 else pool
    except SwapRefused:
        return pool


def _swap_out(pool: AnyPool, amount: int, way: Direction, now: int) -> AnyPool:
    try:
        return pool.swap_exact_out(amount, way, now)[1] if amount > 0 else pool
    except SwapRefused:
        return pool
