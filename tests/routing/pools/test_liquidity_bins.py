from dataclasses import replace

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from routing.pools.bins import ONE, Bin, price_of_bin
from routing.pools.liquidity_bins import LiquidityBinPool
from routing.pools.pool import (
    MAX_U64,
    AmountTooLarge,
    Direction,
    InsufficientBins,
    OutOfRange,
    PoolDisabled,
    SwapRefused,
    ZeroOutput,
)
from routing.pools.volatility import MAX_FEE_RATE, CollectFeeMode, Volatility
from tests.routing.pools.samples import (
    METEORA,
    NOW,
    SOL,
    STEP_10,
    bin_swaps,
    filled,
)

BinSwap = tuple[LiquidityBinPool, str, int, Direction]
X_TO_Y, Y_TO_X = Direction.X_TO_Y, Direction.Y_TO_X


def worth(bin_: Bin, bin_step: int) -> int:
    """What a bin holds, in y, at its price."""
    return bin_.amount_x * price_of_bin(bin_step, bin_.id) + bin_.amount_y * ONE


@given(bin_swaps())
def test_what_a_bin_is_worth_never_falls(swap: BinSwap) -> None:
    pool, kind, amount, way = swap
    try:
        _, after = getattr(pool, f"swap_{kind}")(amount, way, NOW)
    except SwapRefused:
        assume(False)
    step = pool.parameters.bin_step

    for before, bin_ in zip(pool.bins, after.bins, strict=True):
        assert bin_.id == before.id
        assert worth(bin_, step) >= worth(before, step)
        assert min(bin_.amount_x, bin_.amount_y) >= 0


@given(bin_swaps(), st.data())
def test_more_in_is_never_less_out(swap: BinSwap, data: st.DataObject) -> None:
    pool, _, amount, way = swap
    less = data.draw(st.integers(1, amount))
    try:
        most = pool.quote_exact_in(amount, way, NOW)
    except SwapRefused:
        assume(False)

    assert filled(pool.quote_exact_in, less, way).amount_out <= most.amount_out


@given(bin_swaps())
def test_an_exact_output_costs_the_fewest_atoms_that_pay_for_it(swap: BinSwap) -> None:
    pool, _, amount, way = swap
    try:
        cost = pool.quote_exact_out(amount, way, NOW).amount_in
    except SwapRefused:
        assume(False)

    assert pool.quote_exact_in(cost, way, NOW).amount_out >= amount
    assert filled(pool.quote_exact_in, cost - 1, way).amount_out < amount


@given(bin_swaps())
def test_what_the_trader_pays_and_gets_is_what_the_pool_gets_and_pays(swap: BinSwap) -> None:
    pool, kind, amount, way = swap
    try:
        fill, after = getattr(pool, f"swap_{kind}")(amount, way, NOW)
    except SwapRefused:
        assume(False)
    into_x, into_y = after.vault_x - pool.vault_x, after.vault_y - pool.vault_y

    expected = (fill.amount_in, -fill.amount_out)
    assert (into_x, into_y) == (expected if way is X_TO_Y else expected[::-1])
    assert (fill.amount_in if kind == "exact_in" else fill.amount_out) == amount


@given(bin_swaps())
def test_the_fees_add_up_and_the_protocol_has_its_share(swap: BinSwap) -> None:
    pool, kind, amount, way = swap
    try:
        fill = getattr(pool, f"quote_{kind}")(amount, way, NOW)
    except SwapRefused:
        assume(False)
    fee = fill.lp_fee + fill.protocol_fee
    fee_in, fee_out = fill.amount_in - fill.net_in, fill.gross_out - fill.amount_out
    on_input = pool.parameters.collect_fee_mode is CollectFeeMode.INPUT_ONLY or way is Y_TO_X

    assert min(fill[4:]) >= 0
    assert fee == (fee_in if on_input else fee_out - fill.rounding)
    shared = fee * pool.parameters.protocol_share // 10_000
    assert shared - len(pool.bins) <= fill.protocol_fee <= shared + 1
    least = min(pool.parameters.base_fee_rate, MAX_FEE_RATE)
    assert fee * 10**9 >= (fill.amount_in if on_input else fill.gross_out) * least - 10**9


@given(bin_swaps())
def test_only_an_exact_output_is_rounded_and_by_less_than_an_atom_of_input_buys(
    swap: BinSwap,
) -> None:
    pool, kind, amount, way = swap
    fill = filled(getattr(pool, f"quote_{kind}"), amount, way)
    spot = pool.spot(way)

    assert 0 <= fill.rounding <= (kind == "exact_out") * (spot.atoms_out // spot.atoms_in + 1)


@given(bin_swaps())
def test_there_and_back_never_gains(swap: BinSwap) -> None:
    pool, _, amount, way = swap
    try:
        there, after = pool.swap_exact_in(amount, way, NOW)
    except SwapRefused:
        assume(False)
    back = X_TO_Y if way is Y_TO_X else Y_TO_X

    assert filled(after.quote_exact_in, there.amount_out, back).amount_out <= amount


@given(bin_swaps())
def test_a_swap_does_what_was_quoted(swap: BinSwap) -> None:
    pool, kind, amount, way = swap
    try:
        fill, _ = getattr(pool, f"swap_{kind}")(amount, way, NOW)
    except SwapRefused:
        assume(False)

    assert getattr(pool, f"quote_{kind}")(amount, way, NOW) == fill


@pytest.mark.parametrize(
    ("step", "bin_id", "price"),
    [
        (10, -1_898, 2_767_200_750_216_550_409),
        (10, -1_897, 2_769_967_950_966_766_959),
        (10, 1, 18_465_190_817_783_261_167),
        (10, -1, 18_428_315_757_951_600_016),
        (10, 0, 2**64),
        (250, 16, 27_384_295_260_308_783_586),
    ],
)
def test_a_bins_price_is_that_of_the_program(step: int, bin_id: int, price: int) -> None:
    assert price_of_bin(step, bin_id) == price


@pytest.mark.parametrize(("step", "bin_id"), [(1, 2**19), (1, -(2**19)), (400, 5_000)])
def test_a_price_that_does_not_fit_is_out_of_range(step: int, bin_id: int) -> None:
    with pytest.raises(OutOfRange):
        price_of_bin(step, bin_id)


def two_bins(**changes: object) -> LiquidityBinPool:
    """A pool at the price 1 with 1,000,000 of y in bin 0 and as many, two bins away, in -2."""
    pool = LiquidityBinPool(
        STEP_10,
        active_id=0,
        volatility=Volatility(0, 0, 0, NOW - 600),
        bins=(Bin(-2, 0, 1_000_000), Bin(0, 0, 1_000_000)),
    )
    return pool._replace(**changes)  # type: ignore[arg-type]


def test_the_active_bin_stays_on_a_bin_that_was_just_emptied() -> None:
    _, after = two_bins().swap_exact_out(1_000_000, X_TO_Y, NOW)

    assert after.active_id == 0
    assert after.bins[1].amount_y == 0
    assert after.volatility.last_update == NOW - 600


def test_one_atom_more_goes_past_empty_bins_to_the_next_and_is_an_update() -> None:
    _, after = two_bins().swap_exact_out(1_000_001, X_TO_Y, NOW)

    assert after.active_id == -2
    assert after.volatility == Volatility(20_000, 0, 0, NOW)


def test_the_fee_rises_with_the_bins_that_a_swap_crosses() -> None:
    near = two_bins().quote_exact_out(1_000_000, X_TO_Y, NOW)
    both = two_bins().quote_exact_out(2_000_000, X_TO_Y, NOW)

    assert both.lp_fee + both.protocol_fee > 2 * (near.lp_fee + near.protocol_fee)


@pytest.mark.parametrize(
    ("elapsed", "reference", "index_reference"),
    [(29, 7_000, 5), (30, 40_000, 0), (599, 40_000, 0), (600, 0, 0)],
)
def test_volatility_is_kept_for_a_while_then_decays_then_is_forgotten(
    elapsed: int, reference: int, index_reference: int
) -> None:
    pool = two_bins(volatility=Volatility(80_000, 7_000, 5, NOW - elapsed))

    _, after = pool.swap_exact_in(1_000, X_TO_Y, NOW)

    assert after.volatility.reference == reference
    assert after.volatility.index_reference == index_reference
    assert after.volatility.last_update == NOW - elapsed


def test_volatility_has_a_ceiling() -> None:
    pool = two_bins(volatility=Volatility(0, 340_000, 10, NOW))

    _, after = pool.swap_exact_in(1_000, X_TO_Y, NOW)

    assert after.volatility.accumulator == STEP_10.max_volatility_accumulator


def test_the_fee_is_at_most_a_tenth() -> None:
    greedy = replace(STEP_10, base_factor=60_000, base_fee_power_factor=4)

    fill = two_bins(parameters=greedy).quote_exact_in(1_000, X_TO_Y, NOW)

    assert fill.amount_in - fill.net_in == 100


def test_an_atom_that_is_all_fee_goes_to_the_protocol() -> None:
    pool = two_bins()
    emptying = pool.quote_exact_out(1_000_000, X_TO_Y, NOW).amount_in

    fill = pool.quote_exact_in(emptying + 1, X_TO_Y, NOW)

    exact = pool.quote_exact_in(emptying, X_TO_Y, NOW)
    assert fill.amount_out == exact.amount_out
    assert (fill.protocol_fee, fill.lp_fee) == (exact.protocol_fee + 1, exact.lp_fee)


def test_fees_may_be_taken_in_y_alone() -> None:
    pool = METEORA._replace(parameters=replace(STEP_10, collect_fee_mode=CollectFeeMode.ONLY_Y))

    sold, after = pool.swap_exact_in(SOL, X_TO_Y, NOW)
    _, after = after.swap_exact_in(sold.amount_out, Y_TO_X, NOW)

    assert sold.net_in == SOL
    assert after.protocol_fees_y > sold.protocol_fee > 0
    assert after.protocol_fees_x == after.lp_fees_x == 0


@pytest.mark.parametrize("way", Direction)
def test_more_than_all_bins_hold_is_refused(way: Direction) -> None:
    held = sum(bin_.amount_y if way is X_TO_Y else bin_.amount_x for bin_ in METEORA.bins)

    assert METEORA.quote_exact_out(held, way, NOW).amount_out == held
    with pytest.raises(InsufficientBins):
        METEORA.quote_exact_out(held + 1, way, NOW)
    with pytest.raises(InsufficientBins):
        METEORA.quote_exact_in(MAX_U64, way, NOW)


def test_a_pool_with_one_side_only_sells_that_side_only() -> None:
    assert two_bins().quote_exact_in(1_000, X_TO_Y, NOW).amount_out > 0
    with pytest.raises(InsufficientBins):
        two_bins().quote_exact_in(1_000, Y_TO_X, NOW)
    with pytest.raises(InsufficientBins):
        two_bins(bins=()).quote_exact_in(1_000, X_TO_Y, NOW)


@pytest.mark.parametrize("amount", [0, 1])
def test_an_amount_that_buys_nothing_is_refused(amount: int) -> None:
    with pytest.raises(ZeroOutput):
        two_bins().quote_exact_in(amount, X_TO_Y, NOW)


def test_an_output_of_nothing_is_refused() -> None:
    with pytest.raises(ZeroOutput):
        two_bins().quote_exact_out(0, X_TO_Y, NOW)


def test_what_no_account_can_hold_is_refused() -> None:
    with pytest.raises(AmountTooLarge):
        two_bins().quote_exact_in(MAX_U64 + 1, X_TO_Y, NOW)
    with pytest.raises(AmountTooLarge):
        two_bins(bins=(Bin(0, MAX_U64, 1_000_000),)).swap_exact_in(1_000, X_TO_Y, NOW)


def test_a_bin_that_costs_more_than_an_account_can_hold_is_out_of_range() -> None:
    pool = two_bins(active_id=-30_000, bins=(Bin(-30_000, 0, 10**9),))

    with pytest.raises(OutOfRange):
        pool.quote_exact_in(MAX_U64, X_TO_Y, NOW)


def test_a_closed_pool_refuses() -> None:
    with pytest.raises(PoolDisabled):
        two_bins(enabled=False).quote_exact_in(1_000, X_TO_Y, NOW)
