"""Mints that take a part of each transfer: what is paid in all, and what arrives."""

from typing import Any

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from routing.pools.pool import MAX_U64, AmountTooLarge, Direction, SwapRefused, ZeroOutput
from routing.pools.transfer_fees import BPS, FREE, PoolWithTransferFees, TransferFee
from tests.routing.pools.samples import METEORA, NOW, RAYDIUM, SOL, amounts, directions

fees = st.builds(
    TransferFee,
    st.sampled_from([0, 1, 50, 999, 9_999, BPS]),
    st.sampled_from([0, 1, 7_777, MAX_U64]),
)
pools = st.builds(PoolWithTransferFees, st.sampled_from([RAYDIUM, METEORA]), fees, fees)


@given(fees, amounts)
def test_a_fee_beside_an_amount_is_the_fee_of_what_has_to_be_sent(
    fee: TransferFee, received: int
) -> None:
    assume(fee.bps < BPS or fee.most < MAX_U64)
    sent = received + fee.beside(received)

    assert sent - fee.of(sent) >= received
    if fee.bps < BPS:
        # One atom less would not do, but for what the program itself rounds.
        assert sent - 1 - fee.of(sent - 1) <= received


@pytest.mark.parametrize(
    ("fee", "amount", "of", "beside"),
    [
        (TransferFee(100, 10**9), 10_000, 100, 102),
        (TransferFee(100, 10**9), 1, 1, 1),
        (TransferFee(100, 50), 10_000, 50, 50),
        (TransferFee(BPS, 70), 10_000, 70, 70),
        (TransferFee(100, 10**9), 0, 0, 0),
        (TransferFee(BPS, 70), 0, 0, 0),
        (TransferFee(0, 70), 10_000, 0, 0),
        (FREE, 10_000, 0, 0),
    ],
)
def test_the_programs_own_numbers(fee: TransferFee, amount: int, of: int, beside: int) -> None:
    assert (fee.of(amount), fee.beside(amount)) == (of, beside)


def outcome(pool: Any, kind: str, amount: int, way: Direction) -> Any:
    try:
        return getattr(pool, f"swap_{kind}")(amount, way, NOW)
    except SwapRefused as refused:
        return refused.code


@given(
    st.sampled_from([RAYDIUM, METEORA]),
    st.sampled_from(["exact_in", "exact_out"]),
    amounts,
    directions,
)
def test_without_fees_it_is_the_pool_itself(
    pool: Any, kind: str, amount: int, way: Direction
) -> None:
    plain, wrapped = (
        outcome(pool, kind, amount, way),
        outcome(PoolWithTransferFees(pool), kind, amount, way),
    )

    if isinstance(plain, str):
        assert wrapped == plain
    else:
        assert wrapped == (plain[0], PoolWithTransferFees(plain[1]))


@given(pools, st.integers(1, 10**13), directions)
def test_the_pool_sees_what_arrives_and_pays_what_leaves(
    pool: PoolWithTransferFees, amount: int, way: Direction
) -> None:
    fee_in, fee_out = (
        (pool.fee_x, pool.fee_y) if way is Direction.X_TO_Y else (pool.fee_y, pool.fee_x)
    )
    done = outcome(pool, "exact_in", amount, way)
    assume(not isinstance(done, str))
    fill, after = done
    inner, left = pool.pool.swap_exact_in(amount - fee_in.of(amount), way, NOW)

    assert after == pool._replace(pool=left)
    assert fill.amount_in == amount
    assert fill.amount_out == inner.amount_out - fee_out.of(inner.amount_out)
    assert (fill.net_in, fill.gross_out) == (inner.net_in, inner.gross_out)
    assert pool.quote_exact_in(amount, way, NOW) == fill


@given(pools, st.integers(1, 10**13), directions)
def test_a_fixed_output_arrives_whole(
    pool: PoolWithTransferFees, amount: int, way: Direction
) -> None:
    fee_in, fee_out = (
        (pool.fee_x, pool.fee_y) if way is Direction.X_TO_Y else (pool.fee_y, pool.fee_x)
    )
    done = outcome(pool, "exact_out", amount, way)
    assume(not isinstance(done, str))
    fill, after = done
    inner, left = pool.pool.swap_exact_out(amount + fee_out.beside(amount), way, NOW)

    assert after == pool._replace(pool=left)
    assert fill.amount_out == amount
    assert fill.amount_in == inner.amount_in + fee_in.beside(inner.amount_in)
    assert fill.amount_in - fee_in.of(fill.amount_in) >= inner.amount_in
    assert pool.quote_exact_out(amount, way, NOW) == fill


def test_nothing_that_arrives_and_more_than_can_be_sent_are_refused() -> None:
    takes_all = PoolWithTransferFees(RAYDIUM, fee_y=TransferFee(BPS, MAX_U64))
    with pytest.raises(ZeroOutput):
        takes_all.quote_exact_in(SOL, Direction.X_TO_Y, NOW)
    costs_all = PoolWithTransferFees(RAYDIUM, fee_x=TransferFee(BPS, MAX_U64))
    with pytest.raises(AmountTooLarge):
        costs_all.quote_exact_out(SOL, Direction.X_TO_Y, NOW)


def test_the_next_atom_costs_both_mints_part() -> None:
    pool = PoolWithTransferFees(RAYDIUM, TransferFee(100, 5), TransferFee(50, 5))
    plain, taxed = RAYDIUM.next_atom(Direction.X_TO_Y), pool.next_atom(Direction.X_TO_Y, NOW)

    assert taxed.spot == plain.spot == pool.spot(Direction.X_TO_Y)
    assert taxed.net.atoms_out * plain.net.atoms_in * BPS * BPS == (
        plain.net.atoms_out * taxed.net.atoms_in * 9_900 * 9_950
    )
    free = PoolWithTransferFees(RAYDIUM, TransferFee(100, 0))
    assert free.next_atom(Direction.X_TO_Y, NOW).net.atoms_out * plain.net.atoms_in == (
        plain.net.atoms_out * free.next_atom(Direction.X_TO_Y, NOW).net.atoms_in
    )
