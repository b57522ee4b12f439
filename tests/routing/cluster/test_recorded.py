"""The cluster against what the programs' own binaries made and did."""

import base64
from collections.abc import Iterator
from typing import Any

import pytest
from solders.account import Account
from solders.pubkey import Pubkey

from routing.cluster.emulation import with_amount
from routing.cluster.genesis import pool_bytes, token_bytes
from routing.cluster.genesis.accounts import LAST_BIN, PRESET_INDEX, RATES
from routing.pools.bins import Bin
from routing.pools.limit_orders import BinOrders, BinPoolWithOrders
from routing.pools.liquidity_bins import LiquidityBinPool
from routing.pools.pool import MAX_U64, Direction
from routing.solana.addresses import DLMM_PROGRAM
from routing.solana.cpmm.accounts import read_pool
from routing.solana.dlmm import addresses as dlmm_addresses
from routing.solana.dlmm.bin_arrays import arrays_with_liquidity, read_bin_array
from routing.solana.dlmm.lb_pair import LbPair, read_lb_pair
from routing.solana.dlmm.pools import AnyBinPool, pool_of, pool_of_bins
from routing.solana.swap_amounts import exact_in, exact_out
from routing.solana.token_accounts import read_token_account
from tests.routing.cluster.swaps import in_cpmm, in_dlmm, market, own_accounts
from tests.routing.solana.recorded import PAIR, POOL, RECORDED, account
from tests.support.local_cluster import Client

SOL_USDC = market("SOL/USDC")
RICH = 2**50


def test_a_new_pair_has_the_bytes_that_the_program_writes() -> None:
    pair = PAIR.account
    bins = read_bin_array(account("bin_array")).bins
    pool = pool_of_bins(pair, bins, slot=0, now=0)
    assert isinstance(pool, LiquidityBinPool)
    written = pool_bytes.lb_pair(
        pool._replace(bins=tuple(Bin(70 * n, 1, 1) for n in (-18, -17, -16))),
        (pair.mint_x, pair.mint_y),
        (pair.reserve_x, pair.reserve_y),
        pair.oracle,
        dlmm_addresses.preset(PRESET_INDEX),
        pair.creator,
        account("lb_pair")[72],
        LAST_BIN,
    )
    assert written == account("lb_pair")

    ((index, array),) = pool_bytes.bin_arrays(pool, PAIR.address)
    assert index == -17
    assert array == account("bin_array")


def test_a_new_pool_and_its_config_have_the_bytes_that_the_program_writes() -> None:
    pool = POOL.account
    written = pool_bytes.cpmm_pool(
        (
            *(pool.config, pool.creator, pool.vault_0, pool.vault_1, pool.lp_mint),
            *(pool.mint_0, pool.mint_1, pool.token_program_0, pool.token_program_1),
        ),
        pool.observation,
        pool.authority_bump,
        (pool.decimals_0, pool.decimals_1),
        pool.lp_supply,
        pool.open_time,
    )
    assert written == account("cpmm_pool")
    config = pool_bytes.cpmm_config(255, 0, RATES, pool.creator)
    assert config == account("cpmm_config")


def test_a_new_token_account_has_the_bytes_that_the_program_writes() -> None:
    recorded = account("token_account")
    held = read_token_account(recorded)

    written = token_bytes.token_account(held.mint, held.owner, held.amount, held.rent_if_native)

    assert written == recorded


def test_the_pools_stand_where_the_programs_would_have_put_them() -> None:
    assert (SOL_USDC.cpmm, SOL_USDC.pair) == (POOL.address, PAIR.address)


@pytest.mark.parametrize(
    "recorded", RECORDED["swaps"], ids=lambda one: f"{one['venue']}-{one['kind']}"
)
async def test_a_recorded_swap_moves_the_same_atoms(node: Client, recorded: dict[str, Any]) -> None:
    is_cpmm, sells = recorded["venue"] == "cpmm", recorded["forward"]
    for address, data in (cpmm_before if is_cpmm else dlmm_before)(node, recorded["before"]):
        put(node, address, data)
    own = own_accounts(node, SOL_USDC)
    for address in own:
        put(node, address, with_amount(await node.data(address), RICH))
    amount = int(recorded["amount"])
    amounts = exact_in(amount, 1) if recorded["kind"] == "exact_in" else exact_out(amount, MAX_U64)
    node.time.now = recorded["now"]
    after = None
    if not is_cpmm:
        pool, way = await pair_of(node), Direction.X_TO_Y if sells else Direction.Y_TO_X
        move = pool.swap_exact_in if recorded["kind"] == "exact_in" else pool.swap_exact_out
        _, after = move(amount, way, recorded["now"])

    swap = await (in_cpmm if is_cpmm else in_dlmm)(node, SOL_USDC, amounts, sells=sells)
    told = await node.land(swap)

    assert told["meta"]["err"] is None
    paid, received = own if sells else reversed(own)
    expected = recorded["expected"]
    assert RICH - await node.tokens(paid) == int(expected["amount_in"])
    assert await node.tokens(received) - RICH == int(expected["amount_out"])
    if not is_cpmm:
        assert with_bins(await pair_of(node)) == with_bins(after)
    units = told["meta"]["computeUnitsConsumed"]
    assert units == pytest.approx(int(recorded["compute_units"]), rel=0.25)


async def pair_of(node: Client) -> AnyBinPool:
    pair = read_lb_pair(await node.data(PAIR.address))
    arrays = [
        read_bin_array(await node.data(dlmm_addresses.bin_array(PAIR.address, index)))
        for index in arrays_with_liquidity(pair.bitmap)
    ]
    return pool_of(pair, arrays, slot=0, now=int(node.time.now))


def with_bins(pool: AnyBinPool | None) -> object:
    """Return what a pair's accounts hold, with the limit orders that are left."""
    orders: dict[int, BinOrders] = {}
    if isinstance(pool, BinPoolWithOrders):
        orders = {key: one for key, one in pool.orders.items() if one.open or one.in_process}
        pool = pool.pool
    assert pool
    bins = [one for one in pool.bins if one.amount_x or one.amount_y]
    fees = pool.protocol_fees_x, pool.protocol_fees_y
    return pool.active_id, pool.volatility, bins, fees, orders


def put(node: Client, address: Pubkey, data: bytes) -> None:
    """Have an account hold these bytes, as no transaction could."""
    accounts = node.cluster.chain.machine.accounts
    old = accounts.get(address)
    owner = old.owner if old else DLMM_PROGRAM
    accounts.put(address, Account(old.lamports if old else 10**9, data, owner))


def cpmm_before(node: Client, before: dict[str, Any]) -> Iterator[tuple[Pubkey, bytes]]:
    data = base64.b64decode(before["pool"])
    pool = read_pool(data)
    yield POOL.address, data
    yield pool.config, account("cpmm_config")
    accounts = node.cluster.chain.machine.accounts
    for vault, atoms in ((pool.vault_0, "vault_0"), (pool.vault_1, "vault_1")):
        yield vault, with_amount(accounts.existing(vault).data, int(before[atoms]))


def dlmm_before(node: Client, before: dict[str, Any]) -> Iterator[tuple[Pubkey, bytes]]:
    data = base64.b64decode(before["lb_pair"])
    pair = read_lb_pair(data)
    rows = [tuple(map(int, row)) for row in before["bins"]]
    pool = empty(pair)._replace(bins=tuple(Bin(*row[:3]) for row in rows))
    yield PAIR.address, data
    for index, array in pool_bytes.bin_arrays(pool, PAIR.address):
        address = dlmm_addresses.bin_array(PAIR.address, index)
        yield address, with_orders(array, index, rows)
    accounts = node.cluster.chain.machine.accounts
    for reserve in (pair.reserve_x, pair.reserve_y):
        yield reserve, with_amount(accounts.existing(reserve).data, RICH)


def with_orders(array: bytes, index: int, rows: list[tuple[int, ...]]) -> bytes:
    """Return a bin array with limit orders: what is left of older ones, younger ones, the side."""
    written = bytearray(array)
    for number, *_, left, younger, side in (row for row in rows if len(row) == 6):
        place = 56 + 144 * (number - 70 * index)
        if 0 <= number - 70 * index < 70:
            written[place + 112 : place + 120] = younger.to_bytes(8, "little")
            written[place + 128 : place + 136] = left.to_bytes(8, "little")
            written[place + 140] = side
    return bytes(written)


def empty(pair: LbPair) -> LiquidityBinPool:
    pool = pool_of_bins(pair, [], slot=0, now=0)
    assert isinstance(pool, LiquidityBinPool)
    return pool
