"""Live pools are read as of one slot, and what is wrong with one is told of that one."""

import base64
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest
from solders.pubkey import Pubkey

from routing.pools.constant_product import ConstantProductPool
from routing.pools.liquidity_bins import LiquidityBinPool
from routing.pools.pool import Direction
from routing.pools.transfer_fees import PoolWithTransferFees
from routing.solana.addresses import (
    CLOCK,
    CPMM_PROGRAM,
    DLMM_PROGRAM,
    SYSTEM_PROGRAM,
    TOKEN_2022_PROGRAM,
    TOKEN_PROGRAM,
)
from routing.solana.dlmm.addresses import bin_array, bitmap_extension
from routing.solana.dlmm.bin_arrays import BITMAP_EXTENSION_DISCRIMINATOR
from routing.solana.reading.reader import PoolReader
from routing.solana.reading.seen_pools import SeenCpmm, SeenDlmm, UnusablePool
from routing.solana.rpc.client import RpcClient
from routing.solana.rpc.provider import Provider, RpcUnavailable
from routing.solana.swap_amounts import exact_in
from routing.solana.transactions.legs import CpmmLeg, DlmmLeg
from tests.routing.solana.recorded import PAIR, POOL, SOL_MINT, USDC_MINT, account, address
from tests.routing.solana.rpc.fake_node import FakeNode, serving, with_http
from tests.routing.solana.test_token_accounts import TransferFee, mint, transfer_fee_config

NOW = 1_790_000_105
X_TO_Y = Direction.X_TO_Y
CONFIG, VAULT = account("cpmm_config"), account("token_account")
Spoil = Callable[[dict[str, Any]], None]


def stored(data: bytes, owner: Pubkey) -> dict[str, Any]:
    content = base64.b64encode(data).decode()
    return {"lamports": 5, "owner": str(owner), "data": [content, "base64"]}


def clock(epoch: int = 1) -> dict[str, Any]:
    number = [5_000, 0, epoch, 0, NOW]
    return stored(b"".join(one.to_bytes(8, "little") for one in number), SYSTEM_PROGRAM)


def reserve(of: Pubkey, atoms: int) -> bytes:
    return bytes(of) + bytes(PAIR.address) + atoms.to_bytes(8, "little") + VAULT[72:]


def chain() -> dict[str, Any]:
    """The recorded pools, with all that they name."""
    vault_1 = bytes(USDC_MINT) + VAULT[32:64] + (10**12).to_bytes(8, "little") + VAULT[72:]
    pool = POOL.account
    return {
        str(CLOCK): clock(),
        str(POOL.address): stored(account("cpmm_pool"), CPMM_PROGRAM),
        str(pool.config): stored(CONFIG, CPMM_PROGRAM),
        str(pool.vault_0): stored(VAULT, TOKEN_PROGRAM),
        str(pool.vault_1): stored(vault_1, TOKEN_PROGRAM),
        str(SOL_MINT): stored(mint(), TOKEN_PROGRAM),
        str(USDC_MINT): stored(mint(), TOKEN_PROGRAM),
        str(PAIR.address): stored(account("lb_pair"), DLMM_PROGRAM),
        str(PAIR.account.reserve_x): stored(reserve(SOL_MINT, 10**13), TOKEN_PROGRAM),
        str(PAIR.account.reserve_y): stored(reserve(USDC_MINT, 10**12), TOKEN_PROGRAM),
        str(address("bin_array")): stored(account("bin_array"), DLMM_PROGRAM),
    }


@asynccontextmanager
async def reading(node: FakeNode) -> AsyncIterator[PoolReader]:
    async with serving(node):
        client = RpcClient([Provider(node.url)])
        yield PoolReader(client)
        await client.close()


BOTH = [POOL.address, PAIR.address]


async def test_pools_of_both_programs_are_read_as_of_one_slot() -> None:
    node = FakeNode(accounts=chain())
    async with reading(node) as reader:
        seen = await reader.read(BOTH)

    cpmm, dlmm = seen[POOL.address], seen[PAIR.address]
    assert isinstance(cpmm, SeenCpmm)
    assert isinstance(cpmm.pool, ConstantProductPool)
    assert (cpmm.pool.vault_x, cpmm.pool.vault_y) == (10_000 * 10**9, 10**12)
    assert (cpmm.mint_x, cpmm.mint_y, cpmm.clock.unix_time) == (SOL_MINT, USDC_MINT, NOW)
    assert isinstance(dlmm, SeenDlmm)
    assert isinstance(dlmm.pool, LiquidityBinPool)
    assert dlmm.pool.active_id == PAIR.account.active_id
    assert len(dlmm.pool.bins) == 70
    shown = cpmm.liquidity(X_TO_Y)
    assert (shown.pool_id, shown.pool, shown.now) == (str(POOL.address), cpmm.pool, NOW)


async def test_it_takes_two_calls_at_first_and_one_afterwards() -> None:
    node = FakeNode(accounts=chain())
    async with reading(node) as reader:
        await reader.read(BOTH)
        assert node.calls == {"getMultipleAccounts": 2}
        await reader.read(BOTH)
        assert node.calls == {"getMultipleAccounts": 3}
    asked, config = node.asked[-1][1]
    assert asked[0] == str(CLOCK)
    assert len(asked) == len(set(asked)) == 1 + 6 + 3 + 3  # both share their mints
    assert {str(bin_array(PAIR.address, index)) for index in (-18, -17, -16)} <= set(asked)
    assert config["minContextSlot"] == node.slot


async def test_an_answer_older_than_the_last_one_is_not_taken() -> None:
    node = FakeNode(accounts=chain())
    async with reading(node) as reader:
        await reader.read(BOTH)
        node.slot -= 1
        with pytest.raises(RpcUnavailable, match="before 1000"):
            await reader.read(BOTH)
        node.always["*"] = with_http(500)
        with pytest.raises(RpcUnavailable):
            await reader.read(BOTH)


async def test_what_moved_is_seen_at_the_next_reading() -> None:
    node = FakeNode(accounts=chain())
    async with reading(node) as reader:
        before = (await reader.read(BOTH))[PAIR.address]
        moved = bytearray(account("lb_pair"))
        moved[76:80] = (-1_100).to_bytes(4, "little", signed=True)
        node.accounts[str(PAIR.address)] = stored(bytes(moved), DLMM_PROGRAM)
        after = (await reader.read(BOTH))[PAIR.address]
    assert isinstance(before, SeenDlmm)
    assert isinstance(after, SeenDlmm)
    assert (before.at.account.active_id, after.at.account.active_id) == (-1_152, -1_100)
    leg = after.leg(exact_in(5, 1), X_TO_Y)
    assert isinstance(leg, DlmmLeg)
    assert leg.arrays == (-16, -17, -18)


async def test_a_leg_names_the_pool_as_it_was_seen() -> None:
    node = FakeNode(accounts=chain())
    async with reading(node) as reader:
        seen = await reader.read(BOTH)
    cpmm, dlmm = seen[POOL.address], seen[PAIR.address]
    assert isinstance(cpmm, SeenCpmm)
    assert isinstance(dlmm, SeenDlmm)
    amounts = exact_in(5, 1)

    assert cpmm.leg(amounts, X_TO_Y) == CpmmLeg(POOL, amounts, from_0=True)
    assert cpmm.leg(amounts, Direction.Y_TO_X) == CpmmLeg(POOL, amounts, from_0=False)
    assert dlmm.leg(amounts, X_TO_Y) == DlmmLeg(PAIR, amounts, True, (-17, -18))
    assert dlmm.leg(amounts, Direction.Y_TO_X) == DlmmLeg(PAIR, amounts, False, (-17, -16))


def without(key: Pubkey) -> Spoil:
    return lambda accounts: accounts.pop(str(key)) and None


def with_owner(key: Pubkey, owner: Pubkey) -> Spoil:
    return lambda accounts: accounts[str(key)].update(owner=str(owner))


def with_data(key: Pubkey, data: bytes) -> Spoil:
    return lambda accounts: accounts.update({str(key): stored(data, TOKEN_PROGRAM)})


@pytest.mark.parametrize(
    ("spoil", "reason"),
    [
        (without(POOL.address), "its pool .* does not exist"),
        (with_owner(POOL.address, SYSTEM_PROGRAM), "it belongs to 1111"),
        (with_owner(POOL.address, DLMM_PROGRAM), "a DLMM pair has 904 bytes"),
        (without(CLOCK), "its clock .* does not exist"),
        (without(POOL.account.config), "its config .* does not exist"),
        (with_owner(POOL.account.config, SYSTEM_PROGRAM), "its config belongs to another program"),
        (without(POOL.account.vault_0), "its vault .* does not exist"),
        (with_owner(POOL.account.vault_1, SYSTEM_PROGRAM), "is no token account"),
        (with_data(POOL.account.vault_1, VAULT), "is of another mint or owner"),
        (
            with_data(POOL.account.vault_0, VAULT[:32] + bytes(32) + VAULT[64:]),
            "is of another mint or owner",
        ),
        (without(USDC_MINT), "its mint .* does not exist"),
        (with_owner(USDC_MINT, SYSTEM_PROGRAM), "is no mint"),
        (with_data(USDC_MINT, mint((14, bytes(64)))), r"has extensions \[14\]"),
    ],
)
async def test_what_is_wrong_with_a_pool_is_told(spoil: Spoil, reason: str) -> None:
    node = FakeNode(accounts=chain())
    spoil(node.accounts)
    async with reading(node) as reader:
        seen = (await reader.read([POOL.address]))[POOL.address]

        assert isinstance(seen, UnusablePool)
        with pytest.raises(AssertionError, match=reason):
            raise AssertionError(seen.reason)
        node.accounts = chain()
        assert isinstance((await reader.read([POOL.address]))[POOL.address], SeenCpmm)


async def test_one_pool_that_is_wrong_costs_the_others_nothing() -> None:
    node = FakeNode(accounts=chain())
    without(POOL.account.vault_0)(node.accounts)
    async with reading(node) as reader:
        seen = await reader.read([*BOTH, Pubkey.new_unique()])

    assert isinstance(seen[PAIR.address], SeenDlmm)
    assert sum(isinstance(one, UnusablePool) for one in seen.values()) == 2


async def test_an_array_of_another_program_has_no_liquidity() -> None:
    node = FakeNode(accounts=chain())
    with_owner(address("bin_array"), SYSTEM_PROGRAM)(node.accounts)
    async with reading(node) as reader:
        seen = (await reader.read(BOTH))[PAIR.address]

    assert isinstance(seen, SeenDlmm)
    assert seen.pool.vault_x == seen.pool.vault_y == 0  # type: ignore[attr-defined]


async def test_transfer_fees_of_the_epoch_are_in_the_pool() -> None:
    fee = TransferFee(0, 10**9, 100)
    node = FakeNode(accounts=chain())
    taxed = mint((1, transfer_fee_config(fee, replace_epoch(fee, 50))))
    node.accounts[str(USDC_MINT)] = stored(taxed, TOKEN_2022_PROGRAM)
    async with reading(node) as reader:
        seen = await reader.read(BOTH)

    for one in seen.values():
        assert isinstance(one, SeenCpmm | SeenDlmm)
        assert isinstance(one.pool, PoolWithTransferFees)
        assert one.pool.fee_y == (100, 10**9)


def replace_epoch(fee: TransferFee, epoch: int) -> TransferFee:
    return fee._replace(epoch=epoch, bps=fee.bps * 2)


async def test_arrays_beyond_the_pairs_own_bits_are_found_through_the_extension() -> None:
    """The price stands in array 511, the last with a bit in the pair; the next is 512."""
    pair = bytearray(account("lb_pair"))
    pair[76:80] = (511 * 70).to_bytes(4, "little", signed=True)
    pair[584:712] = (1 << 1_023).to_bytes(128, "little")
    bits = (1).to_bytes(768, "little") + bytes(768)
    extension = BITMAP_EXTENSION_DISCRIMINATOR + bytes(PAIR.address) + bits
    node = FakeNode(accounts=chain())
    node.accounts[str(PAIR.address)] = stored(bytes(pair), DLMM_PROGRAM)
    node.accounts[str(bitmap_extension(PAIR.address))] = stored(extension, DLMM_PROGRAM)
    for index in (511, 512):
        array = bytearray(account("bin_array"))
        array[8:16] = index.to_bytes(8, "little")
        node.accounts[str(bin_array(PAIR.address, index))] = stored(bytes(array), DLMM_PROGRAM)
    async with reading(node) as reader:
        first = (await reader.read([PAIR.address]))[PAIR.address]
        second = (await reader.read([PAIR.address]))[PAIR.address]

    assert isinstance(first, SeenDlmm)
    assert isinstance(second, SeenDlmm)
    assert isinstance(first.pool, LiquidityBinPool)
    assert isinstance(second.pool, LiquidityBinPool)
    assert {one.id // 70 for one in first.pool.bins} == {511}
    assert {one.id // 70 for one in second.pool.bins} == {511, 512}
    leg = second.leg(exact_in(5, 1), Direction.Y_TO_X)
    assert isinstance(leg, DlmmLeg)
    assert leg.arrays == (511, 512)


async def test_no_call_asks_for_more_accounts_than_one_may() -> None:
    node = FakeNode(accounts=chain())
    pools = [Pubkey.new_unique() for _ in range(30)]
    for number, pool in enumerate(pools):
        own = bytearray(account("cpmm_pool"))
        for place in (8, 72, 104):  # a config and vaults of its own
            own[place : place + 32] = bytes(Pubkey.from_bytes(bytes([number + 1, place]) * 16))
        node.accounts[str(pool)] = stored(bytes(own), CPMM_PROGRAM)
    async with reading(node) as reader:
        seen = await reader.read(pools)

    assert len(seen) == 30
    assert max(len(params[0]) for _, params in node.asked) <= 100
    assert node.calls["getMultipleAccounts"] == 3
