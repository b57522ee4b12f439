from decimal import Decimal
from fractions import Fraction

import pytest
from hypothesis import assume, given

from routing.pools.constant_product import ConstantProductPool
from routing.pools.liquidity_bins import LiquidityBinPool
from routing.pools.pool import Direction, Spot, SwapRefused
from routing.pools.price_impact import price_impact_bps
from tests.routing.pools.samples import (
    METEORA,
    NOW,
    RAYDIUM,
    SOL,
    amounts,
    bin_pools,
    constant_product_pools,
    directions,
)


def impact(pool: ConstantProductPool | LiquidityBinPool, amount: int, way: Direction) -> Decimal:
    fill = pool.quote_exact_in(amount, way, NOW)
    return price_impact_bps(pool.spot(way), fill.net_in, fill.gross_out)


@pytest.mark.parametrize(
    ("gross_out", "bps"), [(1_000_000, "0"), (999_999, "0.01"), (990_000, "100"), (0, "10000")]
)
def test_the_impact_is_what_is_missing_to_the_spot_price(gross_out: int, bps: str) -> None:
    assert price_impact_bps(Spot(2, 1), 500_000, gross_out) == Decimal(bps)


def test_the_impact_is_rounded_up() -> None:
    assert price_impact_bps(Spot(1, 1), 10**9, 10**9 - 1) == Decimal("0.01")


def test_a_constant_product_pools_impact_is_the_inputs_part_of_the_reserve() -> None:
    net_in = RAYDIUM.quote_exact_in(1_000 * SOL, Direction.X_TO_Y).net_in

    exact = Fraction(net_in, RAYDIUM.reserve_x + net_in) * 10_000
    assert 0 <= Fraction(impact(RAYDIUM, 1_000 * SOL, Direction.X_TO_Y)) - exact <= Fraction(1, 50)


def test_within_the_active_bin_there_is_no_impact_and_beyond_it_there_is() -> None:
    assert impact(METEORA, SOL, Direction.X_TO_Y) <= Decimal("0.01")
    assert impact(METEORA, 500 * SOL, Direction.X_TO_Y) > 5


@given(constant_product_pools() | bin_pools(), amounts, directions)
def test_the_impact_is_between_nothing_and_everything_in_any_pool(
    pool: ConstantProductPool | LiquidityBinPool, amount: int, way: Direction
) -> None:
    try:
        found = impact(pool, amount, way)
    except SwapRefused:
        assume(False)

    assert 0 <= found <= 10_000
