"""Pools that are found on chain, looked at, and held to what they were said to pay."""

import base64
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from decimal import Decimal
from typing import Any

import pytest
import pytest_asyncio
from solders.account import Account
from solders.instruction import Instruction
from solders.pubkey import Pubkey
from solders.transaction import VersionedTransaction

from routing.cluster.genesis.accounts import Pools, pools
from routing.pools.constant_product import ConstantProductPool
from routing.pools.pool import Direction
from routing.solana.reading.known import venue_of
from routing.solana.reading.reader import PoolReader
from routing.solana.reading.search import NotAPool, find_pools, look_at
from routing.solana.reading.seen_pools import SeenPool
from routing.solana.records.agreement import Agreement, Promised, difference
from routing.solana.records.record import Record, read_record
from routing.solana.rpc.client import RpcClient
from routing.solana.rpc.provider import Provider
from routing.solana.swap_amounts import SwapAmounts, exact_in, exact_out
from routing.tokens import MARKETS
from tests.routing.cluster.swaps import in_cpmm, in_dlmm, market
from tests.support.local_cluster import Client

SOL = 10**9
SOL_USDC = market("SOL/USDC")
AMOUNTS = [exact_in(5 * SOL, 1), exact_out(500 * 10**6, 100 * SOL)]
Swap = Callable[..., Any]


@pytest_asyncio.fixture
async def client(node: Client) -> AsyncIterator[RpcClient]:
    made = RpcClient([Provider(node.url)])
    yield made
    await made.close()


# Finding


@pytest.mark.parametrize("one", pools(), ids=lambda one: one.market.name)
async def test_a_market_s_pools_are_found_with_their_prices(client: RpcClient, one: Pools) -> None:
    found = await find_pools(client, one.market)

    assert [(each.pool.venue, each.pool.address) for each in found] == [
        ("meteora", str(one.pair)),
        ("raydium", str(one.cpmm)),
    ]
    for each in found:
        away = Decimal(float(each.price)) / one.market.reference_price
        assert abs(away - 1) < Decimal("0.01")
        assert each.pool.pair == {one.market.base.mint, one.market.quote.mint}
        assert each.held > 0
        assert await look_at(client, each.pool.key, one.market) == each


async def test_a_pool_is_found_whichever_way_round_its_tokens_stand(client: RpcClient) -> None:
    turned = replace(SOL_USDC.market, base=SOL_USDC.market.quote, quote=SOL_USDC.market.base)

    assert {str(SOL_USDC.cpmm), str(SOL_USDC.pair)} == {
        one.pool.address for one in await find_pools(client, turned)
    }


def spoil(node: Client, address: Pubkey, place: int, value: int) -> None:
    """Write a byte of an account."""
    accounts = node.cluster.chain.machine.accounts
    account = accounts.existing(address)
    data = bytearray(account.data)
    data[place] = value
    accounts.put(address, Account(account.lamports, bytes(data), account.owner))


async def test_a_pool_that_is_switched_off_is_neither_found_nor_added(
    node: Client, client: RpcClient
) -> None:
    spoil(node, SOL_USDC.cpmm, 329, 4)
    spoil(node, SOL_USDC.pair, 82, 1)

    assert await find_pools(client, SOL_USDC.market) == []
    for address in (SOL_USDC.cpmm, SOL_USDC.pair):
        with pytest.raises(NotAPool, match="closed for swaps"):
            await look_at(client, address, SOL_USDC.market)


async def test_a_pool_that_opens_later_may_be_added_and_is_not_found_yet(
    node: Client, client: RpcClient
) -> None:
    spoil(node, SOL_USDC.cpmm, 373 + 7, 1)  # the highest byte of its time of opening

    assert not (await look_at(client, SOL_USDC.cpmm, SOL_USDC.market)).is_open
    assert [one.pool.venue for one in await find_pools(client, SOL_USDC.market)] == ["meteora"]


async def test_what_is_no_pool_of_the_market_is_not_added(client: RpcClient) -> None:
    vault = cpmm_vault(await seen(client, SOL_USDC.cpmm))
    for address, reason in [
        (Pubkey.new_unique(), "does not exist"),
        (vault, "neither program"),
        (market("SOL/USDT").cpmm, "trades other tokens"),
    ]:
        with pytest.raises(NotAPool, match=reason):
            await look_at(client, address, SOL_USDC.market)


async def test_a_token_with_other_decimals_than_its_mint_is_not_traded(client: RpcClient) -> None:
    wrong = replace(SOL_USDC.market, quote=replace(SOL_USDC.market.quote, decimals=9))

    assert await find_pools(client, wrong) == []
    with pytest.raises(NotAPool, match="USDC has 6 decimals, and not 9"):
        await look_at(client, SOL_USDC.cpmm, wrong)


# Agreement of fills


async def seen(client: RpcClient, address: Pubkey) -> SeenPool:
    found = (await PoolReader(client).read([address]))[address]
    assert isinstance(found, SeenPool), found
    return found


def cpmm_vault(pool: SeenPool) -> Pubkey:
    return pool.vaults[0].address


async def landed(node: Client, swap: Instruction) -> tuple[Record, int]:
    told = await node.land(swap)
    assert told["meta"]["err"] is None, told["meta"]
    sent = VersionedTransaction.from_bytes(base64.b64decode(told["transaction"][0]))
    return read_record(sent.message.account_keys, told["meta"]), told["blockTime"]


CASES = [
    pytest.param(SOL_USDC.cpmm, in_cpmm, id="raydium"),
    pytest.param(SOL_USDC.pair, in_dlmm, id="meteora"),
]


@pytest.mark.parametrize("amounts", AMOUNTS, ids=["exact in", "exact out"])
@pytest.mark.parametrize(("address", "swap"), CASES)
async def test_a_fill_that_is_as_calculated_differs_in_nothing(
    node: Client, client: RpcClient, address: Pubkey, swap: Swap, amounts: SwapAmounts
) -> None:
    promised = Promised(await seen(client, address), amounts, Direction.X_TO_Y)
    if str(promised.pool.mint_x) != SOL_USDC.market.base.mint:
        promised = promised._replace(direction=Direction.Y_TO_X)
    record, at = await landed(node, await swap(node, SOL_USDC, amounts, sells=True))

    assert difference(promised, record, at) is None
    other = promised._replace(amounts=amounts._replace(amount_in=amounts.amount_in + 1))
    if amounts.is_exact_in:
        assert "instead of" in (difference(other, record, at) or "")


@pytest.mark.parametrize(("address", "swap"), CASES)
async def test_a_fill_of_a_pool_that_had_moved_says_nothing(
    node: Client, client: RpcClient, address: Pubkey, swap: Swap
) -> None:
    pool = await seen(client, address)
    sells = Direction.X_TO_Y if str(pool.mint_x) == SOL_USDC.market.base.mint else Direction.Y_TO_X
    await landed(node, await swap(node, SOL_USDC, exact_in(SOL, 1), sells=False))
    record, at = await landed(node, await swap(node, SOL_USDC, exact_in(SOL, 1), sells=True))

    assert difference(Promised(pool, exact_in(SOL, 1), sells), record, at) is None


async def test_mathematics_that_a_program_does_not_share_are_told_once(
    node: Client, client: RpcClient
) -> None:
    pool = await seen(client, SOL_USDC.cpmm)
    assert isinstance(pool.pool, ConstantProductPool)
    dearer = replace(pool.pool.rates, trade=pool.pool.rates.trade + 100)
    wrong = replace(pool, pool=pool.pool._replace(rates=dearer))
    sells = Direction.X_TO_Y if str(pool.mint_x) == SOL_USDC.market.base.mint else Direction.Y_TO_X
    record, at = await landed(node, await in_cpmm(node, SOL_USDC, exact_in(SOL, 1), sells=True))
    told: list[tuple[str, str]] = []
    agreement = Agreement(lambda venue, why: told.append((venue, why)))
    agreement.remember("right", [Promised(pool, exact_in(SOL, 1), sells)])
    agreement.remember("wrong", [Promised(wrong, exact_in(SOL, 1), sells)])
    for signature in ("right", "wrong", "wrong", "built elsewhere"):
        agreement.landed(signature, record, at)

    ((venue, why),) = told
    assert venue == venue_of(pool) == "raydium"
    assert why.startswith(f"wrong: the pool {SOL_USDC.cpmm} paid ")


def test_all_markets_of_a_new_engine_have_pools_in_the_cluster() -> None:
    assert [one.market for one in pools()] == list(MARKETS)
