"""Splits and paths on the simulated exchange: decided on its pools, landed in them."""

from collections.abc import AsyncIterator
from decimal import Decimal
from typing import Any

import pytest
import pytest_asyncio

from routing.decision import Decision
from routing.pricing import bound_for
from routing.router import best_route
from routing.simulation.settings import Simulation
from routing.tokens import JUP, REGISTRY, SOL, USDC, USDT, Market
from routing.venue import Landed, Side, Swap, UnsupportedToken
from routing.venues import Exchange, simulated_exchange
from tests.support.database import Database
from tests.support.venue_contract import landed

pytestmark = pytest.mark.usefixtures("transactional_db")

STILL: dict[str, Any] = {
    "volatility_bps": Decimal(0),
    "depth": 1_000_000,
    "price_ranges": {"raydium": (Decimal(1), Decimal(1)), "meteora": (Decimal(1), Decimal(1))},
}


@pytest_asyncio.fixture
async def exchange(database_conninfo: str) -> AsyncIterator[Exchange]:
    simulation = Simulation(quote_latency=0, landing_latency=(0, 0), seed=1, **STILL)
    made = simulated_exchange(database_conninfo, simulation)
    yield made
    await made.close()


async def executed(exchange: Exchange, swap: Swap) -> tuple[Decision, Landed]:
    decision = await best_route(swap, exchange.venues, quote_timeout=5)
    bound = bound_for(swap, decision.quote, 100)
    venues = {venue.name: venue for venue in exchange.venues}
    transaction = await venues[decision.legs[0].venue].build(swap, decision.legs, bound)
    await exchange.network.send(transaction)
    return decision, await landed(exchange.network, transaction)


@pytest.mark.parametrize(
    "swap",
    [
        Swap(REGISTRY.market(SOL, USDC), Side.SELL, amount_in=2_000 * 10**9),
        Swap(REGISTRY.market(SOL, USDC), Side.BUY, amount_in=200_000 * 10**6),
        Swap(REGISTRY.market(SOL, USDC), Side.SELL, amount_out=190_000 * 10**6),
        Swap(REGISTRY.market(JUP, USDT), Side.SELL, amount_in=1_000 * 10**6),
        Swap(REGISTRY.market(JUP, USDT), Side.BUY, amount_out=1_000 * 10**6),
        Swap(REGISTRY.market(JUP, USDT), Side.SELL, amount_in=400_000 * 10**6),
    ],
    ids=["split-sell", "split-buy", "split-exact-out", "hops", "hops-exact-out", "split-hops"],
)
async def test_what_was_decided_lands(exchange: Exchange, database: Database, swap: Swap) -> None:
    decision, fill = await executed(exchange, swap)

    assert len(decision.legs) > 1
    quote = decision.quote
    if swap.is_exact_in:
        assert fill.amount_in == quote.amount_in
        assert abs(fill.amount_out - quote.amount_out) * 1_000 < quote.amount_out
    else:
        assert fill.amount_out == quote.amount_out
        assert abs(fill.amount_in - quote.amount_in) * 1_000 < quote.amount_in
    touched = await database.rows("SELECT count(*) FROM simulated_pools WHERE version > 0")
    assert touched[0][0] >= len({(leg.venue, leg.swap) for leg in decision.legs})


async def test_no_pool_is_made_for_a_pair_that_takes_two_hops(
    exchange: Exchange, database: Database
) -> None:
    market: Market = REGISTRY.market(JUP, USDT)
    with pytest.raises(UnsupportedToken, match="two hops"):
        await exchange.venues[0].quote(Swap(market, Side.SELL, amount_in=10**6))
    await best_route(Swap(market, Side.SELL, amount_in=10**6), exchange.venues, quote_timeout=5)
    pools = await database.rows("SELECT count(*) FROM simulated_pools WHERE quote = %s", USDT.mint)

    assert pools == [(len(exchange.venues),)]  # SOL/USDT at each venue
