"""What a live exchange has built is compared with what became of it."""

from collections.abc import AsyncIterator
from dataclasses import replace

import pytest
import pytest_asyncio

from routing.pools.constant_product import ConstantProductPool
from routing.pricing import bound_for
from routing.router import best_route
from routing.solana.reading.known import pair_of
from routing.tokens import REGISTRY, SOL, USDC
from routing.venue import Side, Swap
from routing.venues.live.exchange import LiveExchange, LiveSettings, Purse, live_exchange
from tests.routing.live.on_cluster import LISTED, Desk, desk
from tests.routing.solana.signers import KeyInMemory
from tests.routing.solana.wallet.desk import AllowanceInMemory
from tests.support.venue_contract import landed

SOL_USDC = REGISTRY.market(SOL, USDC)
SPLIT = Swap(SOL_USDC, Side.SELL, amount_in=9_000 * 10**9)

Told = list[tuple[str, str]]


@pytest.fixture
def told() -> Told:
    return []


@pytest_asyncio.fixture
async def running(told: Told) -> AsyncIterator[LiveExchange]:
    async with desk(slot_seconds=0.02) as one:
        await one.node.advance(151)
        made = exchange_that_tells(one, told)
        yield made
        await made.close()


def exchange_that_tells(one: Desk, told: Told) -> LiveExchange:
    purse = Purse(KeyInMemory(one.node.wallet), AllowanceInMemory())

    def tell(venue: str, why: str) -> None:
        told.append((venue, why))

    urls = LiveSettings((one.node.url,))
    return live_exchange(urls, lambda: LISTED, lambda: REGISTRY, purse, tell=tell)


async def trade(exchange: LiveExchange, *, dearer_by: int = 0) -> None:
    """Sell by both venues. `dearer_by`: how much too high a fee we believe in, in millionths."""
    decision = await best_route(SPLIT, exchange.venues, quote_timeout=5)
    assert len(decision.legs) == 2
    bound = bound_for(SPLIT, decision.quote, 100)
    if dearer_by:
        believe(exchange, dearer_by)
    sent = await exchange.venues[0].build(SPLIT, decision.legs, bound)
    await exchange.network.send(sent)
    await landed(exchange.network, sent)


def believe(exchange: LiveExchange, dearer_by: int) -> None:
    memory = exchange.pools
    assert memory is not None
    memory._age = 60.0  # the build takes what is believed, and reads nothing
    seen = memory._seen[pair_of(SOL_USDC)]
    (pool,) = seen.pools["raydium"]
    assert isinstance(pool.pool, ConstantProductPool)
    rates = replace(pool.pool.rates, trade=pool.pool.rates.trade + dearer_by)
    wrong = replace(pool, pool=pool.pool._replace(rates=rates))
    memory._seen[pair_of(SOL_USDC)] = seen._replace(pools={**seen.pools, "raydium": (wrong,)})


async def test_a_split_that_fills_as_calculated_is_told_to_no_one(
    running: LiveExchange, told: Told
) -> None:
    await trade(running)

    assert told == []


async def test_the_venue_whose_fee_we_do_not_know_is_told_and_the_other_is_not(
    running: LiveExchange, told: Told
) -> None:
    await trade(running, dearer_by=10)

    ((venue, why),) = told
    assert venue == "raydium"
    assert "instead of" in why
