"""The cluster's own trader: prices move as the walk says, by real transactions."""

import re
from fractions import Fraction

import pytest

from routing.cluster.genesis.accounts import Pools, mint_of, pools
from routing.cluster.trader import RANGES, market_price, prices
from routing.pools.pool import Direction
from routing.solana.cpmm.accounts import read_pool
from tests.routing.cluster.swaps import cpmm_pool, dlmm_pool, market, own_accounts
from tests.support.local_cluster import Client, local_cluster

BIN_BPS = 20
ROUND = 2 * len(pools())


async def prices_of(node: Client, one: Pools) -> list[Fraction]:
    """Return the prices of a market's two pools, in quote atoms for a base atom."""
    spots = [
        (await cpmm_pool(node, one)).spot(Direction.X_TO_Y),
        (await dlmm_pool(node, one)).spot(Direction.X_TO_Y),
    ]
    cpmm, dlmm = (Fraction(spot.atoms_out, spot.atoms_in) for spot in spots)
    base_is_0 = read_pool(await node.data(one.cpmm)).mint_0 == mint_of(one.market.base)
    return [cpmm if base_is_0 else 1 / cpmm, dlmm]


def bps_between(price: Fraction, goal: Fraction) -> float:
    return float(abs(price / goal - 1) * 10_000)


async def test_the_pools_of_nine_markets_begin_at_their_prices() -> None:
    async with local_cluster(volatility=200) as node:
        arbitrage = prices("a test's", 200)
        assert len(pools()) == 9
        for one in pools():
            goal = Fraction(*market_price(arbitrage, one.market, int(node.time.now)))
            for price in await prices_of(node, one):
                assert bps_between(price, goal) <= BIN_BPS


async def test_prices_follow_the_walk_by_the_traders_own_transactions() -> None:
    async with local_cluster(volatility=200) as node:
        arbitrage = prices("a test's", 200)
        widest = max(most - 1_000_000 for _, most in RANGES.values()) / 100
        for later in (0, 600, 7_200, 86_400):
            node.time.now += later
            for _ in range(ROUND):
                node.cluster.step()
            for one in pools():
                goal = Fraction(*market_price(arbitrage, one.market, int(node.time.now)))
                for price in await prices_of(node, one):
                    assert bps_between(price, goal) <= widest + BIN_BPS
        trader = str(node.cluster.keys.trader.pubkey())
        await node.advance(2)
        told = await node.call("getSignaturesForAddress", trader)
        assert len(told) >= ROUND
        assert {one["err"] for one in told} == {None}


async def test_prices_that_stand_are_left_alone(node: Client) -> None:
    for _ in range(ROUND):
        node.cluster.step()

    trader = str(node.cluster.keys.trader.pubkey())
    assert await node.call("getSignaturesForAddress", trader) == []


async def test_the_description_says_where_the_pools_stand(node: Client) -> None:
    told = await node.call("cluster_describe")

    assert told["wallet"] == str(node.owner)
    assert len(told["pools"]) == 9
    for one in told["pools"]:
        assert re.fullmatch(r"[A-Z]+/[A-Z]+", one["market"])
        for venue in ("raydium", "meteora"):
            found = await node.call("getAccountInfo", one[venue], {"encoding": "base64"})
            assert found["value"]["space"] in (637, 904)


@pytest.mark.parametrize("name", [one.market.name for one in pools()])
async def test_the_wallet_has_money_for_every_market(node: Client, name: str) -> None:
    for account in own_accounts(node, market(name)):
        assert await node.tokens(account) > 10**9
