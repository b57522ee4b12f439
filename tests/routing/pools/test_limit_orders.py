"""Limit orders in bins: what a swap takes of them, and what it leaves."""

from decimal import Decimal
from fractions import Fraction
from math import ceil
from typing import Any

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from routing.pools.bins import ONE, Bin, price_of_bin
from routing.pools.limit_orders import BinOrders, BinPoolWithOrders, fill_layers_in
from routing.pools.liquidity_bins import LiquidityBinPool
from routing.pools.pool import Direction, InsufficientBins, PoolDisabled, SwapRefused, ZeroOutput
from routing.split import best_split
from routing.venue import Liquidity
from tests.routing.pools.samples import AT_REST, METEORA, NOW, SOL, STEP_10, bin_swaps

BinSwap = tuple[LiquidityBinPool, str, int, Direction]
X_TO_Y, Y_TO_X = Direction.X_TO_Y, Direction.Y_TO_X


def outcome(pool: Any, kind: str, amount: int, way: Direction) -> Any:
    try:
        return getattr(pool, f"swap_{kind}")(amount, way, NOW)
    except SwapRefused as refused:
        return refused.code


@given(bin_swaps())
def test_without_orders_it_is_the_plain_pool_to_the_atom(swap: BinSwap) -> None:
    pool, kind, amount, way = swap
    plain = outcome(pool, kind, amount, way)
    layered = outcome(BinPoolWithOrders(pool, {}), kind, amount, way)

    if isinstance(plain, str):
        assert layered == plain
    else:
        assert layered == (plain[0], BinPoolWithOrders(plain[1], {}))
    assert BinPoolWithOrders(pool, {}).vault_x == pool.vault_x
    assert BinPoolWithOrders(pool, {}).vault_y == pool.vault_y


@st.composite
def swaps_with_orders(draw: st.DrawFn) -> tuple[BinPoolWithOrders, str, int, Direction]:
    pool, kind, amount, way = draw(bin_swaps())
    most = max([max(one.amount_x, one.amount_y) for one in pool.bins] + [10])
    orders = {
        one.id: BinOrders(
            draw(st.booleans()), draw(st.integers(0, most)), draw(st.integers(0, most))
        )
        for one in pool.bins
        if draw(st.booleans())
    }
    return BinPoolWithOrders(pool, orders), kind, amount, way


def atoms_for_one(pool: BinPoolWithOrders, way: Direction) -> int:
    """Return how many atoms one that is paid buys in the cheapest bin, rounded up."""
    parameters, bins = pool.pool.parameters, pool.pool.bins
    prices = [price_of_bin(parameters.bin_step, one.id) for one in bins]  # of x, in y
    if way is Direction.X_TO_Y:
        return ceil(Fraction(max(prices), ONE))
    return ceil(Fraction(ONE, min(prices)))


@given(swaps_with_orders())
def test_orders_never_make_a_swap_dearer_where_the_fee_rises_with_the_way(
    swap: tuple[BinPoolWithOrders, str, int, Direction],
) -> None:
    pool, kind, amount, way = swap
    start = pool.pool.volatility._replace(index_reference=pool.pool.active_id, last_update=NOW)
    pool = pool._replace(pool=pool.pool._replace(volatility=start))
    plain, layered = outcome(pool.pool, kind, amount, way), outcome(pool, kind, amount, way)
    assume(not isinstance(plain, str))

    assert not isinstance(layered, str)
    # Each bin takes whole atoms: where an order leaves less than one buys, its bin rounds it up.
    bins = len(pool.pool.bins)
    assert layered[0].amount_out >= plain[0].amount_out - bins * atoms_for_one(pool, way)
    if kind == "exact_out":
        assert layered[0].amount_in <= plain[0].amount_in + bins


@given(swaps_with_orders())
def test_what_is_paid_leaves_the_bins_or_their_orders(
    swap: tuple[BinPoolWithOrders, str, int, Direction],
) -> None:
    pool, kind, amount, way = swap
    done = outcome(pool, kind, amount, way)
    assume(not isinstance(done, str))
    fill, after = done
    to_y = way is X_TO_Y

    def sold(held: BinPoolWithOrders) -> int:
        of_bins = sum(one.amount_y if to_y else one.amount_x for one in held.pool.bins)
        return of_bins + sum(
            one.in_process + one.open for one in held.orders.values() if one.sells_x is not to_y
        )

    assert sold(pool) - sold(after) == fill.gross_out
    assert after.orders.keys() == pool.orders.keys()
    for bin_id, left in after.orders.items():
        before = pool.orders[bin_id]
        assert 0 <= left.in_process <= before.in_process
        assert 0 <= left.open <= before.open
        if before.sells_x is to_y:
            assert left == before
        assert left.open == before.open or not left.in_process  # older ones come first
    assert fill.amount_in - fill.net_in + fill.gross_out - fill.amount_out == (
        fill.lp_fee + fill.protocol_fee + fill.rounding
    )


@given(swaps_with_orders())
def test_a_quote_is_what_the_swap_moves(
    swap: tuple[BinPoolWithOrders, str, int, Direction],
) -> None:
    pool, kind, amount, way = swap
    done = outcome(pool, kind, amount, way)
    assume(not isinstance(done, str))

    assert getattr(pool, f"quote_{kind}")(amount, way, NOW) == done[0]


ONE_BIN = LiquidityBinPool(STEP_10, 0, AT_REST._replace(index_reference=0), (Bin(0, 0, 1_000),))


def with_orders(sells_x: bool = False) -> BinPoolWithOrders:
    return BinPoolWithOrders(ONE_BIN, {0: BinOrders(sells_x, 500, 200)})


def test_a_swap_takes_providers_then_older_then_younger_orders() -> None:
    fill, after = with_orders().swap_exact_out(1_600, X_TO_Y, NOW)

    assert after.pool.bins[0].amount_y == 0
    assert after.orders[0] == BinOrders(False, 0, 100)
    assert after.pool.bins[0].amount_x == 1_000  # what orders took in is their owners'
    assert fill.net_in == 1_600


def test_orders_of_the_other_side_are_not_taken() -> None:
    with pytest.raises(InsufficientBins):
        with_orders(sells_x=True).quote_exact_out(1_001, X_TO_Y, NOW)


def test_a_bin_with_orders_alone_has_liquidity() -> None:
    empty = ONE_BIN._replace(bins=(Bin(0, 0, 0),))
    pool = BinPoolWithOrders(empty, {0: BinOrders(False, 0, 100)})

    assert pool.quote_exact_out(100, X_TO_Y, NOW).gross_out == 100
    assert pool.next_atom(X_TO_Y, NOW).spot == pool.spot(X_TO_Y)
    with pytest.raises(InsufficientBins):
        pool.next_atom(Y_TO_X, NOW)


def test_half_of_the_fee_on_orders_is_their_owners() -> None:
    million = 10**6
    pool = BinPoolWithOrders(
        ONE_BIN._replace(bins=(Bin(0, 0, 0),)), {0: BinOrders(False, 0, million)}
    )
    fill = pool.quote_exact_out(million // 2, X_TO_Y, NOW)
    fees = fill.lp_fee + fill.protocol_fee

    assert fill.protocol_fee == fees - fees // 2


def test_each_layer_rounds_by_itself() -> None:
    # At half an atom of y for an atom of x, three layers of one atom cost two atoms each.
    filled_ = fill_layers_in(10, (1, 1, 1), ONE // 2, 0, True, True)

    assert filled_.nets_in == (2, 2, 2)
    assert filled_.outs == (1, 1, 1)
    assert filled_.fill.amount_in == 6


def test_a_closed_pool_and_no_amount_are_refused() -> None:
    closed = BinPoolWithOrders(ONE_BIN._replace(enabled=False), {})

    with pytest.raises(PoolDisabled):
        closed.quote_exact_in(5, X_TO_Y, NOW)
    with pytest.raises(PoolDisabled):
        closed.next_atom(X_TO_Y, NOW)
    with pytest.raises(ZeroOutput):
        with_orders().quote_exact_in(0, X_TO_Y, NOW)


def test_a_split_uses_the_orders_too() -> None:
    ids = [one.id for one in METEORA.bins if one.amount_y][-3:]
    orders = {bin_id: BinOrders(False, 0, 30_000 * 10**6) for bin_id in ids}
    pools = [
        Liquidity("", METEORA, X_TO_Y, NOW),
        Liquidity("", BinPoolWithOrders(METEORA, orders), X_TO_Y, NOW),
    ]
    split = best_split(pools, 2_000 * SOL, exact_in=True, min_gain_bps=Decimal(0))

    assert split is not None
    assert split.amounts[1] > split.amounts[0] > 0
