"""Splits against the best that there is: every division tried, or a search between them."""

import random
from collections.abc import Callable, Sequence
from decimal import Decimal

import pytest

from routing.pools.bins import Bin
from routing.pools.constant_product import ConstantProductPool, CreatorFeeOn, FeeRates
from routing.pools.liquidity_bins import LiquidityBinPool
from routing.pools.pool import Direction, Pool, SwapRefused
from routing.pools.volatility import Volatility
from routing.split import Split, best_split, gain_bps
from routing.venue import Liquidity
from tests.routing.pools.samples import METEORA, NOW, RAYDIUM, SOL, STEP_10

SELL = Direction.X_TO_Y
SECOND = ConstantProductPool(20_000 * SOL, 3_010_000 * 10**6, FeeRates(2_000, 120_000, 40_000))
NEVER_MIND = Decimal(0)


def seen(pool: Pool, direction: Direction = SELL) -> Liquidity:
    return Liquidity("", pool, direction, NOW)


def split(
    pools: Sequence[Liquidity], amount: int, exact_in: bool = True, least: Decimal = NEVER_MIND
) -> Split | None:
    return best_split(pools, amount, exact_in=exact_in, min_gain_bps=least)


def small_curve(chance: random.Random) -> ConstantProductPool:
    """Any ratio of the two tokens up to ten thousand to one, with any fee, in either token."""
    rates = FeeRates(
        trade=chance.choice([100, 2_000, 2_500, 3_000, 10_000]),
        protocol=120_000,
        fund=40_000,
        creator=chance.choice([0, 0, 500, 14_950]),
        creator_fee_on=chance.choice(list(CreatorFeeOn)),
    )
    reserves = [chance.randint(1_000, 10 ** chance.randint(4, 7)) for _ in range(2)]
    return ConstantProductPool(reserves[0], reserves[1], rates)


def small_bins(chance: random.Random) -> LiquidityBinPool:
    active, most = chance.randint(-30, 30), 10 ** chance.randint(3, 5)
    bins = tuple(
        Bin(
            place,
            chance.randint(100, most) * (place >= active),
            chance.randint(100, most) * (place <= active),
        )
        for place in range(active - 6, active + 7)
    )
    return LiquidityBinPool(STEP_10, active, Volatility(0, 0, active, 0), bins)


def other_side(pool: Liquidity, amount: int, exact_in: bool) -> int | None:
    if amount == 0:
        return 0
    quote = pool.pool.quote_exact_in if exact_in else pool.pool.quote_exact_out
    try:
        fill = quote(amount, pool.direction, pool.now)
    except SwapRefused:
        return None
    return fill.amount_out if exact_in else fill.amount_in


def every_total(one: Liquidity, other: Liquidity, amount: int, exact_in: bool) -> list[int]:
    """Return what each of all divisions comes to."""
    first = [other_side(one, part, exact_in) for part in range(amount + 1)]
    second = [other_side(other, part, exact_in) for part in range(amount + 1)]
    return [
        a + b
        for a, b in zip(first, reversed(second), strict=True)
        if a is not None and b is not None
    ]


KINDS: dict[str, tuple[Callable[[random.Random], Pool], Callable[[random.Random], Pool]]] = {
    "curves": (small_curve, small_curve),
    "curve-and-bins": (small_curve, small_bins),
    "bins": (small_bins, small_bins),
}


@pytest.mark.parametrize("exact_in", [True, False], ids=["exact-in", "exact-out"])
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("seed", range(40))
def test_a_split_is_within_two_atoms_of_the_best_of_all_divisions(
    kind: str, exact_in: bool, seed: int
) -> None:
    chance = random.Random(f"{kind}:{exact_in}:{seed}")
    direction = chance.choice(list(Direction))
    one, other = (seen(make(chance), direction) for make in KINDS[kind])
    amount = chance.randint(2, 900)
    totals = every_total(one, other, amount, exact_in)
    found = split([one, other], amount, exact_in)
    if not totals:
        assert found is None
        return

    assert found is not None
    assert sum(found.amounts) == amount
    assert found.total == sum(
        other_side(pool, part, exact_in) or 0
        for pool, part in zip([one, other], found.amounts, strict=True)
    )
    loss = max(totals) - found.total if exact_in else found.total - min(totals)
    assert 0 <= loss <= 2


@pytest.mark.parametrize("exact_in", [True, False], ids=["exact-in", "exact-out"])
@pytest.mark.parametrize("other", [SECOND, METEORA], ids=["curve", "bins"])
@pytest.mark.parametrize("size", [1, 200, 1_000, 3_000])
def test_a_large_split_is_within_two_atoms_of_a_search(
    other: Pool, size: int, exact_in: bool
) -> None:
    pools = [seen(RAYDIUM), seen(other)]
    amount = size * SOL if exact_in else size * 150 * 10**6
    found = split(pools, amount, exact_in)

    assert found is not None
    loss = searched(pools, amount, exact_in) - found.total
    assert (loss if exact_in else -loss) <= 2


def searched(pools: Sequence[Liquidity], amount: int, exact_in: bool) -> int:
    """Return the best total by ternary search, then of all divisions close to it."""

    def worth(part: int) -> int:
        one = other_side(pools[0], part, exact_in)
        other = other_side(pools[1], amount - part, exact_in)
        if one is None or other is None:
            return -(10**30)
        return one + other if exact_in else -(one + other)

    low, high = 0, amount
    while high - low > 60:
        third = (high - low) // 3
        if worth(low + third) < worth(high - third):
            low += third
        else:
            high -= third
    best = max(worth(part) for part in [*range(low, high + 1), 0, amount])
    return best if exact_in else -best


@pytest.mark.parametrize(
    ("size", "share", "gain"),
    [(1, 0.0, "0"), (100, 0.473, "14.49"), (1_000, 0.739, "43.57"), (5_000, 0.763, "172.29")],
)
def test_the_split_of_two_curves_is_the_known_one(size: int, share: float, gain: str) -> None:
    found = split([seen(RAYDIUM), seen(SECOND)], size * SOL)
    assert found is not None
    assert found.single_total is not None
    assert found.amounts[0] / (size * SOL) == pytest.approx(share, abs=0.001)
    assert gain_bps(found.total, found.single_total, exact_in=True) == Decimal(gain)


def test_an_amount_beyond_each_pool_is_filled_by_both() -> None:
    pools = [seen(METEORA), seen(METEORA)]
    amount = 5_000 * SOL

    assert all(other_side(pool, amount, exact_in=True) is None for pool in pools)
    found = split(pools, amount)
    assert found is not None
    assert found.single is None
    assert found.is_divided


def test_an_amount_beyond_all_pools_together_is_not_divided() -> None:
    assert split([seen(METEORA), seen(METEORA)], 10_000 * SOL) is None
    assert split([seen(RAYDIUM), seen(SECOND)], 14_000_000 * 10**6, exact_in=False) is None


def test_three_pools_share_what_three_are_worth() -> None:
    found = split([seen(RAYDIUM), seen(SECOND), seen(METEORA)], 3_000 * SOL)
    of_two = split([seen(RAYDIUM), seen(METEORA)], 3_000 * SOL)

    assert found is not None
    assert of_two is not None
    assert all(found.amounts)
    assert found.total > of_two.total


def test_a_third_pool_that_gains_too_little_is_left_out() -> None:
    shallow = ConstantProductPool(20 * SOL, 3_010 * 10**6, FeeRates(2_000, 120_000, 40_000))
    pools = [seen(RAYDIUM), seen(shallow), seen(METEORA)]
    found = split(pools, 3_000 * SOL, least=Decimal(10))

    assert found is not None
    assert found.amounts[1] == 0
    assert found.amounts[0]
    assert found.amounts[2]


def test_a_closed_pool_takes_no_part() -> None:
    closed = ConstantProductPool(20_000 * SOL, 3_010_000 * 10**6, SECOND.rates, enabled=False)
    found = split([seen(RAYDIUM), seen(closed)], 1_000 * SOL)
    assert found is not None
    assert found.amounts == (1_000 * SOL, 0)
