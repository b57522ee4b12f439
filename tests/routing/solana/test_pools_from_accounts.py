"""Accounts become pools whose quotes are the programs' own, to the atom."""

import base64
from dataclasses import replace
from typing import Any

import pytest

from routing.pools.constant_product import CreatorFeeOn
from routing.pools.limit_orders import BinOrders, BinPoolWithOrders
from routing.pools.liquidity_bins import LiquidityBinPool
from routing.pools.pool import Direction, InsufficientBins, PoolDisabled
from routing.solana.cpmm.accounts import read_config, read_pool
from routing.solana.cpmm.pools import pool_of as cpmm_pool
from routing.solana.dlmm.bin_arrays import BinArray, StoredBin, read_bin_array
from routing.solana.dlmm.pools import pool_of as dlmm_pool
from routing.solana.dlmm.pools import pool_of_bins
from routing.solana.layout import UnreadableAccount
from tests.routing.solana.recorded import PAIR, POOL, RECORDED, account

CONFIG = read_config(account("cpmm_config"))
ARRAY = read_bin_array(account("bin_array"))
OPENED = POOL.account.open_time
SOL = 10**9
VAULTS = {"vault_0": 10_000 * SOL, "vault_1": 10**12}


def neighbour(index: int, amount: int = 10**10) -> BinArray:
    """An array with y in each bin below the active one, and x in each above it."""
    bins = tuple(
        StoredBin(
            id=index * 70 + place,
            amount_x=amount * (index > -17),
            amount_y=amount * (index < -17),
            price=0,
            supply=0,
            open_orders=0,
            orders_in_process=0,
            rest_in_process=0,
            orders_sell_x=False,
        )
        for place in range(70)
    )
    return replace(ARRAY, index=index, bins=bins)


def sequence(venue: str) -> list[dict[str, Any]]:
    return [swap for swap in RECORDED["swaps"] if swap["venue"] == venue]


@pytest.mark.parametrize("swap", sequence("cpmm"))
def test_a_quote_of_a_pool_is_what_the_program_moved(swap: dict[str, Any]) -> None:
    before = swap["before"]
    pool = cpmm_pool(
        read_pool(base64.b64decode(before["pool"])),
        CONFIG,
        vault_0=int(before["vault_0"]),
        vault_1=int(before["vault_1"]),
        now=swap["now"],
    )
    way = Direction.X_TO_Y if swap["forward"] else Direction.Y_TO_X
    fill = getattr(pool, f"quote_{swap['kind']}")(int(swap["amount"]), way, swap["now"])

    assert str(fill.amount_in) == swap["expected"]["amount_in"]
    assert str(fill.amount_out) == swap["expected"]["amount_out"]


def test_between_two_swaps_the_program_left_what_our_pool_has_after_the_first() -> None:
    """Where two recorded swaps follow each other, the accounts before the second are compared."""
    pairs = zip(sequence("cpmm"), sequence("cpmm")[1:], strict=False)
    compared = 0
    for first, second in pairs:
        before, after = first["before"], second["before"]
        moved = first["expected"]
        into = int(after["vault_0" if first["forward"] else "vault_1"])
        if into != int(before["vault_0" if first["forward"] else "vault_1"]) + int(
            moved["amount_in"]
        ):
            continue  # another swap came between them
        pools = [
            cpmm_pool(
                read_pool(base64.b64decode(state["pool"])),
                CONFIG,
                vault_0=int(state["vault_0"]),
                vault_1=int(state["vault_1"]),
                now=first["now"],
            )
            for state in (before, after)
        ]
        way = Direction.X_TO_Y if first["forward"] else Direction.Y_TO_X
        _, left = getattr(pools[0], f"swap_{first['kind']}")(
            int(first["amount"]), way, first["now"]
        )
        assert left == pools[1]
        compared += 1
    assert compared > 2


def test_a_pool_is_closed_before_it_opens_and_by_its_status() -> None:
    early = cpmm_pool(POOL.account, CONFIG, **VAULTS, now=OPENED - 1)
    closed = cpmm_pool(replace(POOL.account, status=4), CONFIG, **VAULTS, now=OPENED)

    for pool in (early, closed):
        with pytest.raises(PoolDisabled):
            pool.quote_exact_in(SOL, Direction.X_TO_Y)
    assert cpmm_pool(POOL.account, CONFIG, **VAULTS, now=OPENED).enabled


def test_a_creators_fee_counts_only_where_the_pool_pays_it() -> None:
    config = replace(CONFIG, creator_rate=500)
    unpaid = cpmm_pool(POOL.account, config, **VAULTS, now=OPENED)
    paid = cpmm_pool(
        replace(POOL.account, pays_creator=True, creator_fee_on=2, creator_fees_1=77),
        config,
        **VAULTS,
        now=OPENED,
    )

    assert unpaid.rates.creator == 0
    assert (paid.rates.creator, paid.rates.creator_fee_on) == (500, CreatorFeeOn.Y)
    assert paid.reserve_y == VAULTS["vault_1"] - 77


def test_kinds_of_fees_that_are_not_known_are_refused() -> None:
    with pytest.raises(UnreadableAccount, match="no creator's fee of kind 9"):
        cpmm_pool(replace(POOL.account, creator_fee_on=9), CONFIG, **VAULTS, now=OPENED)
    with pytest.raises(UnreadableAccount, match="no fees of kind 9"):
        dlmm_pool(replace(PAIR.account, collect_fee_mode=9), [ARRAY], slot=0, now=OPENED)


def test_a_pair_with_its_arrays_is_a_pool_of_bins() -> None:
    pool = dlmm_pool(PAIR.account, [ARRAY], slot=0, now=OPENED)

    assert isinstance(pool, LiquidityBinPool)
    assert len(pool.bins) == 70
    assert pool.active_id == PAIR.account.active_id
    price = ARRAY.bins[38].price  # as the program stored it, with a fee of 0.2 %
    fill = pool.quote_exact_in(SOL, Direction.X_TO_Y, OPENED)
    assert fill.amount_out == SOL * 998 // 1_000 * price >> 64


def test_a_pair_is_closed_by_its_status() -> None:
    pool = dlmm_pool(replace(PAIR.account, status=1), [ARRAY], slot=0, now=OPENED)

    with pytest.raises(PoolDisabled):
        pool.quote_exact_in(SOL, Direction.X_TO_Y, OPENED)


def test_a_swap_beyond_the_arrays_that_are_known_is_refused_and_not_guessed() -> None:
    bitmap = PAIR.account.bitmap | 1 << (512 - 19)
    pair = replace(PAIR.account, bitmap=bitmap)
    everything = dlmm_pool(pair, [ARRAY, neighbour(-18), neighbour(-19)], slot=0, now=OPENED)
    gap = dlmm_pool(pair, [ARRAY, neighbour(-19)], slot=0, now=OPENED)
    most = 1_500 * 10**9  # of y: more than the arrays -17 and -18 hold

    assert everything.quote_exact_out(most, Direction.X_TO_Y, OPENED).amount_out == most
    assert {one.id // 70 for one in gap.bins} == {-17} if isinstance(gap, LiquidityBinPool) else 0
    with pytest.raises(InsufficientBins):
        gap.quote_exact_out(most, Direction.X_TO_Y, OPENED)


def test_limit_orders_count_where_the_program_fills_them() -> None:
    one = ARRAY.bins[38]._replace(rest_in_process=3, open_orders=5, orders_sell_x=True)
    with_orders = pool_of_bins(PAIR.account, [one], slot=0, now=OPENED)
    without = pool_of_bins(replace(PAIR.account, function_type=1), [one], slot=0, now=OPENED)

    assert isinstance(with_orders, BinPoolWithOrders)
    assert with_orders.orders == {one.id: BinOrders(True, 3, 5)}
    assert isinstance(without, LiquidityBinPool)


def test_a_bin_that_only_has_orders_is_kept() -> None:
    empty = ARRAY.bins[38]._replace(amount_x=0, amount_y=0)
    ordered = empty._replace(id=empty.id + 1, open_orders=5)
    pool = pool_of_bins(PAIR.account, [ordered, empty], slot=0, now=OPENED)

    assert isinstance(pool, BinPoolWithOrders)
    assert [one.id for one in pool.pool.bins] == [ordered.id]
