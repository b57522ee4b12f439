"""Networks on the test database, each as another process would have it."""

from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import replace
from decimal import Decimal
from typing import Any

import pytest
import pytest_asyncio
from django.db import transaction

from routing.registry import read_registry
from routing.simulation.arbitrage import Arbitrage
from routing.simulation.faults import Faults
from routing.simulation.pool import SimulatedPool
from routing.simulation.settings import Simulation
from routing.venue import Network
from routing.venues import Exchange, simulated_exchange
from tests.support.venue_contract import SELL

Join = Callable[..., Network]

STILL: dict[str, Any] = {
    "volatility_bps": Decimal(0),
    "price_ranges": {"raydium": (Decimal(1), Decimal(1)), "meteora": (Decimal(1), Decimal(1))},
}


@pytest_asyncio.fixture
async def join(database_conninfo: str) -> AsyncIterator[Join]:
    """Make networks on the test database, each as another process would have it."""
    exchanges: list[Exchange] = []

    def new(faults: str = "", **settings: Any) -> Network:
        settings = {"landing_latency": (0, 0), "block_seconds": 0.01, "seed": 1} | STILL | settings
        simulation = Simulation(quote_latency=0, faults=Faults.parse(faults), **settings)
        exchanges.append(simulated_exchange(database_conninfo, simulation))
        return exchanges[-1].network

    seeding = simulated_exchange(database_conninfo, Simulation(quote_latency=0, seed=1, **STILL))
    for venue in seeding.venues:
        await venue.quote(SELL)
    await seeding.close()
    yield new
    for exchange in exchanges:
        await exchange.close()


@pytest.fixture
def same_registry(db: None) -> Iterator[None]:
    """Undo what the test did to tokens and markets, and forget what was learnt of it."""
    before = transaction.savepoint()
    yield
    transaction.savepoint_rollback(before)
    read_registry()


@pytest.fixture
def unmoved_by_arbitrage(monkeypatch: pytest.MonkeyPatch) -> None:
    def pool_at(_: Arbitrage, stored: SimulatedPool, now: int) -> SimulatedPool:
        return replace(stored, tick=max(stored.tick, now))

    monkeypatch.setattr(Arbitrage, "pool_at", pool_at)
