"""Live pools are shared within their age, and what is old or another's is never given out."""

import asyncio
from dataclasses import replace
from typing import Any

import pytest
from aiohttp import web
from solders.pubkey import Pubkey

from routing.pools.pool import Direction
from routing.solana.addresses import CLOCK, CPMM_PROGRAM, SYSTEM_PROGRAM
from routing.solana.reading.known import LivePool, direction_of
from routing.solana.reading.memory import MOST_BEHIND, SeenMarket
from routing.solana.reading.progress import LEAP, MOST_EXPECTED, Progress
from routing.solana.reading.seen_pools import SeenCpmm, SeenDlmm
from routing.solana.rpc.provider import RpcUnavailable
from routing.tokens import JUP, MARKETS, Market
from routing.venue import Side, StalePools, UnsupportedToken, VenueUnavailable
from tests.routing.solana.recorded import PAIR, POOL, SOL_MINT, USDC_MINT, account
from tests.routing.solana.rpc.fake_node import FakeNode, result, with_http
from tests.routing.solana.rpc.made_pools import MadePools, accounts_calls, memory
from tests.routing.solana.rpc.test_reading import NOW, chain, stored

SOL_USDC = replace(
    MARKETS[0],
    base=replace(MARKETS[0].base, mint=str(SOL_MINT)),
    quote=replace(MARKETS[0].quote, mint=str(USDC_MINT)),
)
CPMM = LivePool("raydium", str(SOL_MINT), str(USDC_MINT), str(POOL.address))
DLMM = LivePool("meteora", str(SOL_MINT), str(USDC_MINT), str(PAIR.address))


BOTH = [CPMM, DLMM]


async def test_a_hundred_who_ask_at_once_cost_one_call() -> None:
    node = FakeNode(accounts=chain())
    async with memory(node, pools=BOTH, age=0.0) as pools:
        await pools.read(SOL_USDC)
        before = accounts_calls(node)
        found = await asyncio.gather(
            *(pools.of(("raydium", "meteora")[one % 2], SOL_USDC) for one in range(100))
        )
        assert accounts_calls(node) == before + 1
        await pools.read(SOL_USDC)
        assert accounts_calls(node) == before + 2

    assert {type(one) for seen in found for one in seen} == {SeenCpmm, SeenDlmm}


async def test_markets_that_are_asked_for_at_once_share_a_call() -> None:
    made, markets = MadePools(), MARKETS[:3]
    addresses = [made.pool(one, "100") for one in markets]
    async with memory(made.node, pools=made.pools, age=0.0) as pools:
        for _ in range(2):
            found = await asyncio.gather(*(pools.read(one) for one in markets))
    assert accounts_calls(made.node) == 3  # the first time one more, to learn where accounts stand
    assert [one.pools["raydium"][0].address for one in found] == addresses


async def test_an_answer_serves_for_its_age_and_needs_no_waiting() -> None:
    node = FakeNode(accounts=chain())
    async with memory(node, pools=BOTH) as pools:
        assert pools.now("raydium", SOL_USDC) is None
        first = await pools.of("raydium", SOL_USDC)
        calls = accounts_calls(node)
        assert await pools.of("raydium", SOL_USDC) == first
        assert pools.now("raydium", SOL_USDC) == first
        assert pools.now("meteora", SOL_USDC) == await pools.of("meteora", SOL_USDC)
    assert accounts_calls(node) == calls


async def test_an_old_answer_is_not_given_out_when_no_node_answers() -> None:
    node = FakeNode(accounts=chain())
    async with memory(node, pools=BOTH, age=0.0) as pools:
        await pools.read(SOL_USDC)
        node.always["*"] = with_http(500)
        assert pools.now("raydium", SOL_USDC) is None
        with pytest.raises(StalePools, match="could not be read"):
            await pools.of("raydium", SOL_USDC)
        node.always.clear()
        assert await pools.of("raydium", SOL_USDC)


async def test_who_leaves_does_not_take_the_answer_from_the_others() -> None:
    node, asked, may_answer = FakeNode(accounts=chain()), asyncio.Event(), asyncio.Event()

    async def slow(_: web.Request, body: Any) -> web.StreamResponse:
        asked.set()
        await may_answer.wait()
        return result(body, node._getMultipleAccounts(*body["params"]))

    async with memory(node, pools=BOTH) as pools:
        node.faults["getMultipleAccounts"].append(slow)
        leaves, stays = (asyncio.create_task(pools.read(SOL_USDC)) for _ in range(2))
        await asked.wait()
        late = asyncio.create_task(pools.read(SOL_USDC))  # joins what is under way
        leaves.cancel()
        may_answer.set()
        assert await stays is await late
    assert accounts_calls(node) == 2


async def test_a_node_that_goes_back_is_not_believed_and_another_answers() -> None:
    first, second = FakeNode(accounts=chain()), FakeNode(accounts=chain())
    async with memory(first, second, pools=BOTH, age=0.0) as pools:
        await pools.read(SOL_USDC)
        first.slot -= 1
        assert await pools.read(SOL_USDC)
        second.slot -= 1
        with pytest.raises(StalePools, match="before 1000"):
            await pools.read(SOL_USDC)
    assert accounts_calls(second) == 2


async def test_a_node_whose_clock_is_far_behind_ours_is_not_believed() -> None:
    node = FakeNode(accounts=chain())
    async with memory(node, pools=BOTH, now=lambda: NOW + MOST_BEHIND) as pools:
        assert await pools.read(SOL_USDC)
    async with memory(node, pools=BOTH, now=lambda: NOW + MOST_BEHIND + 1) as pools:
        with pytest.raises(StalePools, match="16 s behind"):
            await pools.read(SOL_USDC)


def test_a_node_that_stands_still_is_asked_for_a_later_slot() -> None:
    time = [100.0]
    progress = Progress(lambda: time[0])
    assert progress.least_slot() == 0
    progress.note(1_000)
    time[0] += 4.9
    progress.note(1_000)
    assert progress.least_slot() == 1_000
    time[0] += 0.1
    assert progress.least_slot() == 1_001
    time[0] += 3_600
    assert progress.least_slot() == 1_000 + MOST_EXPECTED
    progress.note(1_020)
    assert progress.least_slot() == 1_020


def test_a_slot_that_cannot_be_is_not_taken() -> None:
    time = [100.0]
    progress = Progress(lambda: time[0])
    progress.note(10**9)
    time[0] += 10
    with pytest.raises(RpcUnavailable, match="cannot come after"):
        progress.note(10**9 + LEAP + 201)
    assert progress.least_slot() == 10**9 + 2
    progress.note(10**9 + LEAP + 200)


@pytest.mark.parametrize(
    ("pool", "reason"),
    [
        (CPMM._replace(venue="meteora"), "no pool of meteora"),
        (CPMM._replace(venue="orca"), "no pool of orca"),
        (DLMM._replace(venue="raydium"), "no pool of raydium"),
    ],
)
async def test_a_pool_of_another_program_than_its_venues_is_not_traded_in(
    pool: LivePool, reason: str
) -> None:
    async with memory(FakeNode(accounts=chain()), pools=[pool]) as pools:
        with pytest.raises(VenueUnavailable, match=reason):
            await pools.of(pool.venue, SOL_USDC)


async def test_a_pool_of_other_tokens_than_its_markets_is_not_traded_in() -> None:
    market = Market(SOL_USDC.base, JUP, SOL_USDC.reference_price)
    pool = CPMM._replace(quote=JUP.mint)
    async with memory(FakeNode(accounts=chain()), pools=[pool]) as pools:
        with pytest.raises(VenueUnavailable, match="it trades other tokens"):
            await pools.of("raydium", market)


async def test_a_pool_whose_owner_changes_is_dropped_and_the_others_stay() -> None:
    node = FakeNode(accounts=chain())
    async with memory(node, pools=BOTH, age=0.0) as pools:
        await pools.read(SOL_USDC)
        node.accounts[str(POOL.address)]["owner"] = str(SYSTEM_PROGRAM)
        with pytest.raises(VenueUnavailable, match="neither program"):
            await pools.of("raydium", SOL_USDC)
        assert await pools.of("meteora", SOL_USDC)


async def test_the_pools_of_a_route_are_found_by_their_addresses() -> None:
    node = FakeNode(accounts=chain())
    async with memory(node, pools=BOTH) as pools:
        found = await pools.usable([PAIR.address, POOL.address])
        assert {address: one.address for address, one in found.items()} == {
            one: one for one in (PAIR.address, POOL.address)
        }
        assert pools.addresses == {PAIR.address, POOL.address}
        assert (pools.has("raydium", SOL_USDC), pools.has("raydium", MARKETS[2])) == (True, False)
        with pytest.raises(UnsupportedToken):
            await pools.usable([PAIR.address, Pubkey.new_unique()])
    node.accounts[str(PAIR.address)]["owner"] = str(SYSTEM_PROGRAM)
    async with memory(node, pools=BOTH) as pools:
        with pytest.raises(VenueUnavailable, match="neither program"):
            await pools.usable([PAIR.address])


async def test_a_market_without_a_known_pool_costs_no_call() -> None:
    node = FakeNode(accounts=chain())
    async with memory(node, pools=[CPMM]) as pools:
        with pytest.raises(UnsupportedToken):
            await pools.of("raydium", MARKETS[2])
        assert accounts_calls(node) == 0
        with pytest.raises(UnsupportedToken):
            await pools.of("meteora", SOL_USDC)


async def test_a_pool_that_is_added_takes_part_in_the_next_reading() -> None:
    known = [CPMM]
    async with memory(FakeNode(accounts=chain()), pools=known, age=0.0) as pools:
        assert not (await pools.read(SOL_USDC)).pools.get("meteora")
        known.append(DLMM)
        assert await pools.of("meteora", SOL_USDC)


async def test_other_accounts_are_read_in_the_same_call() -> None:
    node, feed = FakeNode(accounts=chain()), Pubkey.new_unique()
    node.accounts[str(feed)] = stored(b"a price", CPMM_PROGRAM)
    async with memory(node, pools=BOTH, beside=lambda _: [feed], age=0.0) as pools:
        await pools.read(SOL_USDC)
        calls = accounts_calls(node)
        seen: SeenMarket = await pools.read(SOL_USDC)
    assert accounts_calls(node) == calls + 1
    state = seen.beside[feed]
    assert state is not None
    assert state.data == b"a price"
    assert node.asked[-1][1][0][:2] == [str(CLOCK), str(feed)]


async def test_a_sale_goes_from_the_base_token_whichever_is_x() -> None:
    async with memory(FakeNode(accounts=chain()), pools=BOTH) as pools:
        (seen,) = await pools.of("raydium", SOL_USDC)
    turned = replace(SOL_USDC, base=SOL_USDC.quote, quote=SOL_USDC.base)
    assert account("cpmm_pool")[168:200] == bytes(SOL_MINT)
    assert direction_of(seen, SOL_USDC, Side.SELL) is Direction.X_TO_Y
    assert direction_of(seen, SOL_USDC, Side.BUY) is Direction.Y_TO_X
    assert direction_of(seen, turned, Side.SELL) is Direction.Y_TO_X
