"""The promises of venues and of a network, kept by the live exchange on a local cluster."""

import asyncio
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from routing.pricing import bound_for
from routing.router import best_route
from routing.tokens import JUP, REGISTRY, USDT
from routing.venue import Side, Swap, Venue
from tests.routing.live.on_cluster import Desk, desk
from tests.support.venue_contract import SELL, SWAPS, VenueContract, landed

LARGE = Swap(SELL.market, Side.SELL, amount_in=9_000 * 10**9)
HOPS = REGISTRY.market_of_order(JUP, USDT)
ORDERS = [
    *SWAPS,
    LARGE,
    Swap(HOPS, Side.SELL, amount_in=1_000_000_000),
    Swap(HOPS, Side.BUY, amount_out=1_000_000_000),
]


@pytest_asyncio.fixture
async def running() -> AsyncIterator[Desk]:
    """A cluster that makes slots by itself, quickly."""
    async with desk(slot_seconds=0.02) as one:
        await one.node.advance(151)
        yield one


@pytest.mark.parametrize("name", ["raydium", "meteora"])
class TestLiveVenues(VenueContract):
    @pytest.fixture
    def venue(self, running: Desk, name: str) -> Venue:
        return running.venue(name)

    async def test_a_quote_names_its_pool(self, venue: Venue) -> None:
        assert len((await venue.quote(SELL)).pool) in (43, 44)


@pytest.mark.parametrize("swap", ORDERS, ids=lambda swap: f"{swap.side}-{swap.market.name}")
async def test_what_was_chosen_fills_as_quoted_where_prices_stand_still(
    running: Desk, swap: Swap
) -> None:
    exchange = running.exchange
    decision = await best_route(swap, exchange.venues, quote_timeout=5)
    bound = bound_for(swap, decision.quote, 50)

    sent = await running.venue(decision.legs[0].venue).build(swap, decision.legs, bound)
    await exchange.network.send(sent)  # on a slow machine it has landed by now
    fill = await landed(exchange.network, sent)

    quoted = decision.quote.amount_in, decision.quote.amount_out
    assert bound.admits(fill.amount_in, fill.amount_out)
    if not decision.hops:
        assert (fill.amount_in, fill.amount_out) == quoted


async def test_the_first_orders_of_a_process_are_built_at_once(running: Desk) -> None:
    """Each asks to which network the nodes belong before any of them was told."""
    exchange = running.exchange
    swaps = [SELL._replace(amount_in=10**9 + one) for one in range(5)]
    decisions = [await best_route(swap, exchange.venues, quote_timeout=5) for swap in swaps]
    built = await asyncio.gather(
        *(
            running.venue(one.legs[0].venue).build(swap, one.legs, bound_for(swap, one.quote, 50))
            for swap, one in zip(swaps, decisions, strict=True)
        )
    )

    assert len({one.signature for one in built}) == 5
