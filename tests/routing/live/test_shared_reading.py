"""Processes without a signer quote, preview and make ticks, and all of them share their calls."""

import asyncio
from collections.abc import AsyncIterator
from decimal import Decimal
from typing import Any

import pytest
import pytest_asyncio
from solders.account import Account

from orders.engine.quotes import NotQuoted, Quotes
from orders.engine.triggers.ticks import prices_of
from routing.router import best_route
from routing.solana.cpmm.accounts import read_pool
from routing.solana.token_accounts import read_token_account
from routing.tokens import JUP, MARKETS, REGISTRY, SOL, USDC, USDT
from routing.venue import Bound, Side, Swap, TellsOfPools, VenueUnavailable
from routing.venues.live.exchange import LiveExchange, LiveSettings, live_exchange
from tests.routing.cluster.swaps import market
from tests.routing.live.on_cluster import LISTED, Desk, desk
from tests.support.local_cluster import Client, Time

SOL_USDC = REGISTRY.market(SOL, USDC)
READS = {"getMultipleAccounts"}
NOW = int(Time().now)
"""As the cluster's clock, which stands, says."""


class Asked:
    """Counts what an exchange asks of its node."""

    def __init__(self, exchange: LiveExchange, monkeypatch: pytest.MonkeyPatch) -> None:
        assert exchange.client is not None
        (provider,) = exchange.client.providers
        self.methods: list[str] = []
        call = provider.call

        async def counted(method: str, *params: object) -> object:
            self.methods.append(method)
            return await call(method, *params)

        monkeypatch.setattr(provider, "call", counted)

    def taken(self) -> list[str]:
        methods, self.methods = self.methods, []
        return methods


@pytest_asyncio.fixture
async def running() -> AsyncIterator[Desk]:
    async with desk() as one:
        yield one


@pytest_asyncio.fixture
async def unsigned(running: Desk) -> AsyncIterator[LiveExchange]:
    """An exchange as web and scheduler have it."""
    made = unsigned_on(running.node)
    yield made
    await made.close()


def unsigned_on(node: Client) -> LiveExchange:
    return live_exchange(LiveSettings((node.url,)), lambda: LISTED, lambda: REGISTRY)


def selling(atoms: int) -> Swap:
    return Swap(SOL_USDC, Side.SELL, amount_in=atoms)


async def test_a_hundred_previews_and_the_ticks_of_their_market_cost_one_call(
    unsigned: LiveExchange, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = Asked(unsigned, monkeypatch)
    quotes = Quotes(unsigned)
    prices = prices_of(unsigned)
    await prices([SOL_USDC], 0)  # a process learns once where the accounts of its pools stand
    assert set(asked.taken()) == READS
    assert unsigned.pools is not None
    unsigned.pools._seen.clear()

    found, (tick,) = await asyncio.gather(
        asyncio.gather(*(quotes.of(selling(10**9 + one)) for one in range(100))),
        prices([SOL_USDC], NOW),
    )

    assert asked.taken() == ["getMultipleAccounts"]
    assert {type(one.outcome).__name__ for one in found} == {"Decision"}
    assert tick.reference is not None
    assert abs(tick.reference - 100) < 1


async def test_ticks_of_all_markets_and_hops_read_pools_alone(
    unsigned: LiveExchange, monkeypatch: pytest.MonkeyPatch
) -> None:
    hops = REGISTRY.market_of(JUP, USDT)
    markets, prices = [*MARKETS, hops], prices_of(unsigned)
    await prices(markets, NOW)
    asked = Asked(unsigned, monkeypatch)
    assert unsigned.pools is not None
    unsigned.pools._seen.clear()
    ticks = await prices(markets, NOW)

    assert len(asked.taken()) <= 2
    assert all(tick.bid and tick.ask and tick.reference for tick in ticks)
    for tick, market_ in zip(ticks, markets, strict=True):
        assert tick.bid is not None
        assert abs(tick.bid / market_.reference_price - 1) < Decimal("0.03")
        assert set(tick.venues or ()) == {"raydium", "meteora"}


async def test_without_a_signer_nothing_is_built(unsigned: LiveExchange) -> None:
    swap = selling(10**9)
    decision = await best_route(swap, unsigned.venues, quote_timeout=5)
    with pytest.raises(VenueUnavailable, match="no wallet"):
        await unsigned.venues[0].build(swap, decision.legs, Bound(min_out=1))


async def test_a_pool_that_was_moved_is_not_quoted_and_makes_no_price(
    running: Desk, unsigned: LiveExchange, settings: Any
) -> None:
    """A market's two pools prove each other: with one of them far away, neither is believed."""
    settings.MAX_QUOTE_DEVIATION_BPS = 200
    chain = running.node.cluster.chain.machine.accounts
    vault = read_pool(chain.existing(market("SOL/USDC").cpmm).data).vault_1
    account = chain.existing(vault)
    held = read_token_account(account.data).amount * 11 // 10
    data = account.data[:64] + held.to_bytes(8, "little") + account.data[72:]
    chain.put(vault, Account(account.lamports, data, account.owner))

    with pytest.raises(NotQuoted, match="reference price"):
        await Quotes(unsigned).of(selling(10**9))
    (tick,) = await prices_of(unsigned)([SOL_USDC], NOW)
    assert (tick.bid, tick.ask) == (None, None)


async def test_a_node_that_stops_answering_ends_quotes_with_their_reason(
    running: Desk, unsigned: LiveExchange
) -> None:
    quotes = Quotes(unsigned)
    await quotes.of(selling(10**9))
    await running.node.set_faults({"kind": "unavailable"})
    assert unsigned.pools is not None
    unsigned.pools._seen.clear()
    with pytest.raises(NotQuoted, match="no fresh price"):
        await quotes.of(selling(10**9 + 1))


@pytest.mark.parametrize("name", ["raydium", "meteora"])
async def test_pools_are_told_to_orders_that_wait_for_one(
    unsigned: LiveExchange, name: str
) -> None:
    (venue,) = [one for one in unsigned.venues if one.name == name]
    assert isinstance(venue, TellsOfPools)
    (sale,) = await venue.open_pools(selling(1))
    (purchase,) = await venue.open_pools(Swap(SOL_USDC, Side.BUY, amount_in=1))

    assert sale.venue == name
    assert 50_000 < sale.liquidity / 10**9 < 150_000  # ten million dollars on each side
    assert 5_000_000 < purchase.liquidity / 10**6 < 15_000_000
    assert (sale.age is None) == (name == "meteora")
    assert await venue.open_pools(Swap(REGISTRY.market_of(JUP, USDT), Side.SELL, 1)) == []
