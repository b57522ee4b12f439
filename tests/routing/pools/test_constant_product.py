from dataclasses import replace

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from routing.pools.constant_product import ConstantProductPool, CreatorFeeOn, FeeRates
from routing.pools.pool import (
    MAX_U64,
    AmountTooLarge,
    Direction,
    OutOfRange,
    PoolDisabled,
    SwapRefused,
    ZeroOutput,
)
from tests.routing.pools.samples import (
    NOW,
    RAYDIUM,
    amounts,
    constant_product_pools,
    directions,
    filled,
)

pools = constant_product_pools()
kinds = st.sampled_from(["exact_in", "exact_out"])
X_TO_Y, Y_TO_X = Direction.X_TO_Y, Direction.Y_TO_X


@given(pools, kinds, amounts, directions)
def test_k_never_falls(pool: ConstantProductPool, kind: str, amount: int, way: Direction) -> None:
    try:
        _, after = getattr(pool, f"swap_{kind}")(amount, way, NOW)
    except SwapRefused:
        assume(False)

    assert after.reserve_x * after.reserve_y >= pool.reserve_x * pool.reserve_y


@given(pools, amounts, amounts, directions)
def test_more_in_is_never_less_out(
    pool: ConstantProductPool, one: int, other: int, way: Direction
) -> None:
    less, more = sorted((one, other))

    assert (
        filled(pool.quote_exact_in, less, way).amount_out
        <= filled(pool.quote_exact_in, more, way).amount_out
    )


@given(pools, amounts, directions)
def test_an_exact_output_costs_the_fewest_atoms_that_pay_for_it(
    pool: ConstantProductPool, amount: int, way: Direction
) -> None:
    try:
        cost = pool.quote_exact_out(amount, way).amount_in
    except SwapRefused:
        assume(False)

    assert pool.quote_exact_in(cost, way).amount_out >= amount
    assert filled(pool.quote_exact_in, cost - 1, way).amount_out < amount


@given(pools, kinds, amounts, directions)
def test_what_the_trader_pays_and_gets_is_what_the_vaults_get_and_pay(
    pool: ConstantProductPool, kind: str, amount: int, way: Direction
) -> None:
    try:
        fill, after = getattr(pool, f"swap_{kind}")(amount, way, NOW)
    except SwapRefused:
        assume(False)
    into_x, into_y = after.vault_x - pool.vault_x, after.vault_y - pool.vault_y

    expected = (fill.amount_in, -fill.amount_out)
    assert (into_x, into_y) == (expected if way is X_TO_Y else expected[::-1])
    assert min(after.reserve_x, after.reserve_y) >= 0


@given(pools, kinds, amounts, directions)
def test_the_fees_add_up_and_those_owed_stay_beside_the_curve(
    pool: ConstantProductPool, kind: str, amount: int, way: Direction
) -> None:
    try:
        fill, after = getattr(pool, f"swap_{kind}")(amount, way, NOW)
    except SwapRefused:
        assume(False)
    trade_fee = fill.lp_fee + fill.protocol_fee + fill.fund_fee
    fee_in, fee_out = fill.amount_in - fill.net_in, fill.gross_out - fill.amount_out
    reserve_in = (after.reserve_x - pool.reserve_x, after.reserve_y - pool.reserve_y)[way is Y_TO_X]

    assert fee_in + fee_out == trade_fee + fill.creator_fee
    assert min(fill[4:]) >= 0
    assert fee_out in (0, fill.creator_fee)
    assert trade_fee * 1_000_000 >= fill.amount_in * pool.rates.trade - 1_000_000
    assert fill.protocol_fee == trade_fee * pool.rates.protocol // 1_000_000
    assert fill.fund_fee == trade_fee * pool.rates.fund // 1_000_000
    assert reserve_in == fill.net_in + fill.lp_fee


@given(pools, amounts, directions)
def test_there_and_back_never_gains(pool: ConstantProductPool, amount: int, way: Direction) -> None:
    try:
        there, after = pool.swap_exact_in(amount, way)
    except SwapRefused:
        assume(False)
    back = X_TO_Y if way is Y_TO_X else Y_TO_X

    assert filled(after.quote_exact_in, there.amount_out, back).amount_out <= amount


@given(pools, kinds, amounts, directions)
def test_a_swap_does_what_was_quoted(
    pool: ConstantProductPool, kind: str, amount: int, way: Direction
) -> None:
    try:
        fill, _ = getattr(pool, f"swap_{kind}")(amount, way, NOW)
    except SwapRefused:
        assume(False)

    assert getattr(pool, f"quote_{kind}")(amount, way, NOW) == fill


CREATOR = FeeRates(trade=2_500, protocol=120_000, fund=40_000, creator=500)


@pytest.mark.parametrize(
    ("fee_on", "way", "owed"),
    [
        (CreatorFeeOn.INPUT, X_TO_Y, "creator_fees_x"),
        (CreatorFeeOn.INPUT, Y_TO_X, "creator_fees_y"),
        (CreatorFeeOn.X, X_TO_Y, "creator_fees_x"),
        (CreatorFeeOn.X, Y_TO_X, "creator_fees_x"),
        (CreatorFeeOn.Y, X_TO_Y, "creator_fees_y"),
        (CreatorFeeOn.Y, Y_TO_X, "creator_fees_y"),
    ],
)
def test_the_creator_is_paid_in_the_token_of_the_pools_choice(
    fee_on: CreatorFeeOn, way: Direction, owed: str
) -> None:
    pool = RAYDIUM._replace(rates=replace(CREATOR, creator_fee_on=fee_on))

    fill, after = pool.swap_exact_in(10**9, way)

    assert fill.creator_fee > 0
    assert getattr(after, owed) == fill.creator_fee
    assert after.creator_fees_x + after.creator_fees_y == fill.creator_fee


@pytest.mark.parametrize("amount", [0, 1])
def test_an_amount_that_buys_nothing_is_refused(amount: int) -> None:
    with pytest.raises(ZeroOutput) as refused:
        RAYDIUM.quote_exact_in(amount, X_TO_Y)

    assert refused.value.fill is not None
    assert refused.value.fill.amount_in == amount


def test_an_output_of_nothing_is_refused() -> None:
    with pytest.raises(ZeroOutput):
        RAYDIUM.quote_exact_out(0, X_TO_Y)


@pytest.mark.parametrize("beyond", [0, 1, 10**20])
def test_all_of_a_reserve_cannot_be_bought(beyond: int) -> None:
    with pytest.raises(OutOfRange):
        RAYDIUM.quote_exact_out(RAYDIUM.reserve_y + beyond, X_TO_Y)


def test_a_cost_beyond_64_bits_is_refused() -> None:
    with pytest.raises(AmountTooLarge):
        RAYDIUM.quote_exact_out(RAYDIUM.reserve_y - 1, X_TO_Y)


def test_a_cost_beyond_128_bits_is_out_of_range() -> None:
    pool = RAYDIUM._replace(vault_x=MAX_U64, vault_y=MAX_U64)

    with pytest.raises(OutOfRange):
        pool.quote_exact_out(MAX_U64 - 1, X_TO_Y)


def test_an_amount_beyond_64_bits_is_refused() -> None:
    with pytest.raises(AmountTooLarge):
        RAYDIUM.quote_exact_in(MAX_U64 + 1, X_TO_Y)


def test_a_vault_holds_no_more_than_64_bits() -> None:
    pool = RAYDIUM._replace(vault_x=MAX_U64, vault_y=MAX_U64)
    pool.quote_exact_in(10**9, X_TO_Y)  # the curve could

    with pytest.raises(AmountTooLarge):
        pool.swap_exact_in(10**9, X_TO_Y)


def test_an_empty_pool_sells_nothing() -> None:
    with pytest.raises(ZeroOutput):
        RAYDIUM._replace(vault_y=0).quote_exact_in(10**9, X_TO_Y)
    with pytest.raises(OutOfRange):
        RAYDIUM._replace(vault_y=0).quote_exact_out(1, X_TO_Y)


def test_without_any_fee_the_program_divides_by_zero_unless_the_fee_is_on_the_output() -> None:
    rates = FeeRates(trade=0, protocol=0, fund=0)
    free = RAYDIUM._replace(vault_x=20_000, vault_y=30_000, rates=rates)

    with pytest.raises(OutOfRange):
        free.quote_exact_in(10, X_TO_Y)

    rates = replace(rates, creator_fee_on=CreatorFeeOn.Y)
    assert free._replace(rates=rates).quote_exact_in(10, X_TO_Y).amount_out == 14


def test_a_closed_pool_refuses() -> None:
    with pytest.raises(PoolDisabled):
        RAYDIUM._replace(enabled=False).quote_exact_in(10**9, X_TO_Y)
    with pytest.raises(PoolDisabled):
        RAYDIUM._replace(enabled=False).swap_exact_out(10**6, X_TO_Y)


def test_each_refusal_has_a_code_of_its_own() -> None:
    codes = [kind.code for kind in SwapRefused.__subclasses__()]

    assert len(set(codes)) == len(codes) == 5
