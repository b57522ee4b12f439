"""A sniper fires on the state of a pool, whenever it came about."""

import time
from collections.abc import AsyncIterator
from decimal import Decimal
from typing import Any

import pytest
import pytest_asyncio
from asgiref.sync import sync_to_async

from config.runtime.postgres import Link
from orders.engine.journal import Journal
from orders.engine.triggers.evaluator import Evaluator
from orders.engine.triggers.ticks import Ticker
from routing import registry as known_markets
from routing.models import SimulatedPool
from routing.operations.launches import Launch, launch_pool, migrate_pool
from routing.registry import registry
from routing.simulation.settings import Simulation
from routing.venue import PoolFacts, Swap
from routing.venues import Exchange, simulated_exchange
from tests.orders.engine.triggers.conftest import MakeEvaluator
from tests.orders.engine.triggers.support import PAIR, constant_product
from tests.support.database import Database
from tests.support.resting import event_names, last_data, order_of_type
from tests.support.venue_stubs import PoolVenue

NEW = Launch("NEW", "SOL", "raydium", Decimal(50), price=Decimal("0.001"))
STILL: dict[str, Any] = {
    "volatility_bps": Decimal(0),
    "price_ranges": {"raydium": (Decimal(1), Decimal(1)), "meteora": (Decimal(1), Decimal(1))},
    "block_seconds": 0.01,
}
launched, migrated = sync_to_async(launch_pool), sync_to_async(migrate_pool)


class TellingVenue(PoolVenue):
    """Tells of open pools what the test wants."""

    def __init__(self, *facts: PoolFacts) -> None:
        super().__init__("raydium", {PAIR: constant_product(10_000_000, 1_000_000_000)})
        self.facts = facts

    async def open_pools(self, swap: Swap) -> tuple[PoolFacts, ...]:
        return self.facts


FRESH = PoolFacts("raydium", 10**12, age=1.0, follows=None)


def sniper(base: str = "SOL", quote: str = "USDC", **asked: Any) -> Any:
    more = {"poolEvent": "any"} | asked.pop("more", {})
    terms = {"time_in_force": "gtd", "expires_in": 3600} | asked
    amount = {"side": "buy", "amount_in": 10**6, "base": base, "quote": quote}
    return order_of_type("sniper", more=more, slippage_bps=500, **amount, **terms)


async def look(evaluator: Evaluator) -> None:
    await evaluator.evaluate(int(time.time()))


@pytest.fixture
def snipers(database: Database) -> Any:
    async def statuses() -> list[str]:
        rows = await database.rows("SELECT status FROM orders ORDER BY created_at, id")
        return [row[0] for row in rows]

    return statuses


class Launches:
    """The simulation's pools, and an evaluator that looks at them."""

    def __init__(self, exchange: Exchange, evaluator: Evaluator) -> None:
        self.exchange, self.evaluator = exchange, evaluator

    async def look(self) -> None:
        for venue in self.exchange.venues:
            venue._pools._read_at = float("-inf")  # type: ignore[attr-defined]  # its own
        await look(self.evaluator)


@pytest_asyncio.fixture
async def launches(
    own_registry: None, engine_loop: None, database_conninfo: str
) -> AsyncIterator[Launches]:
    simulation = Simulation(quote_latency=0, seed=1, **STILL)
    exchange = simulated_exchange(database_conninfo, simulation, registry)
    evaluator = Evaluator(exchange, Link(database_conninfo, "a test's triggers"))
    yield Launches(exchange, evaluator)
    await evaluator.close()
    await exchange.close()


async def test_a_pool_that_opens_later_than_it_was_made_fires_when_it_opens(
    launches: Launches, journal: Journal, database: Database
) -> None:
    made = await launched(NEW._replace(opens_in=3600))
    order = sniper("NEW", "SOL", more={"poolEvent": "launch"})
    await journal.accept(order)
    await launches.look()
    assert await event_names(database, order.id) == ["accepted"]

    await SimulatedPool.objects.filter(pk=made.pk).aupdate(opens_at=made.made_at)
    await launches.look()
    assert await event_names(database, order.id) == ["accepted", "triggered"]
    data = await last_data(database, order.id)
    assert data["pool"] == "raydium"
    assert data["poolAgeSeconds"] >= 0
    assert await database.order(order.id, "turn") < 0


async def test_a_pool_that_was_there_before_fires_at_once(
    launches: Launches, journal: Journal, database: Database
) -> None:
    await launched(NEW)
    order = sniper("NEW", "SOL")
    await journal.accept(order)
    await launches.look()

    assert await event_names(database, order.id) == ["accepted", "triggered"]


async def test_a_market_that_another_process_has_added_is_learnt_of(
    launches: Launches, journal: Journal, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = known_markets._copy
    await launched(NEW)
    order = sniper("NEW", "SOL")
    await journal.accept(order)
    monkeypatch.setattr(known_markets, "_copy", before)
    await launches.look()

    assert await event_names(database, order.id) == ["accepted", "triggered"]


async def test_a_token_that_has_no_market_yet_is_waited_for(
    launches: Launches, journal: Journal, database: Database
) -> None:
    await launched(NEW._replace(quote="USDC"))
    order = sniper("NEW", "RAY")
    await journal.accept(order)
    await launches.look()
    assert await event_names(database, order.id) == ["accepted"]

    await launched(NEW._replace(quote="RAY"))
    await launches.look()
    assert await event_names(database, order.id) == ["accepted", "triggered"]


async def test_a_market_whose_pools_no_quote_has_made_yet_is_bought_in(
    launches: Launches, journal: Journal, database: Database, database_conninfo: str
) -> None:
    order = sniper("JUP", "SOL")
    await journal.accept(order)
    link = Link(database_conninfo, "a test's ticks")
    ticker = Ticker.of(launches.exchange, link)
    await ticker.make(int(await ticker.clock()))
    await link.close()
    await launches.look()

    assert await event_names(database, order.id) == ["accepted", "triggered"]


async def test_migration_does_not_fire_on_launch(
    launches: Launches, journal: Journal, database: Database
) -> None:
    await launched(NEW)
    order = sniper("NEW", "SOL", more={"poolEvent": "migration"})
    await journal.accept(order)
    await launches.look()
    assert await event_names(database, order.id) == ["accepted"]

    await migrated("NEW", "SOL", "raydium", "meteora")
    await launches.look()
    assert await event_names(database, order.id) == ["accepted", "triggered"]
    assert (await last_data(database, order.id))["follows"] == "raydium"


async def test_a_hundred_snipers_are_released_in_order_of_their_acceptance(
    make_evaluator: MakeEvaluator, journal: Journal, database: Database
) -> None:
    evaluator = make_evaluator(TellingVenue(FRESH))
    orders = [sniper() for _ in range(100)]
    for order in orders:
        await journal.accept(order)
    await look(evaluator)

    rows = await database.rows("SELECT id::text FROM orders ORDER BY turn, next_check, id")
    assert [row[0] for row in rows] == [order.id for order in orders]
    assert await database.rows("SELECT 1 FROM orders WHERE status <> 'pending'") == []


async def test_below_its_least_liquidity_it_waits_and_above_it_fires(
    make_evaluator: MakeEvaluator, journal: Journal, snipers: Any
) -> None:
    venue = TellingVenue(FRESH._replace(liquidity=49_999_999))
    evaluator = make_evaluator(venue)
    await journal.accept(sniper(more={"minLiquidity": "50"}))
    await look(evaluator)
    assert await snipers() == ["open"]

    venue.facts = (FRESH._replace(liquidity=50_000_000),)
    await look(evaluator)
    assert await snipers() == ["pending"]


@pytest.mark.parametrize(
    ("asked", "constraints", "fires"),
    [
        ({"maxPoolAgeSeconds": 1}, None, True),
        ({"maxPoolAgeSeconds": 1}, {"venues": ["meteora"]}, False),
        ({}, {"excludeVenues": ["raydium"]}, False),
        ({"poolEvent": "launch"}, {"venues": ["raydium"]}, True),
    ],
)
async def test_a_sniper_fires_on_what_it_asked_for_and_on_nothing_else(
    make_evaluator: MakeEvaluator,
    journal: Journal,
    snipers: Any,
    asked: dict[str, Any],
    constraints: dict[str, Any] | None,
    fires: bool,
) -> None:
    evaluator = make_evaluator(TellingVenue(FRESH))
    await journal.accept(sniper(more=asked, constraints=constraints))
    await look(evaluator)

    assert await snipers() == ["pending" if fires else "open"]


@pytest.mark.parametrize("age", [61.0, None])
async def test_a_pool_too_old_or_of_an_unknown_age_is_left_alone(
    make_evaluator: MakeEvaluator, journal: Journal, snipers: Any, age: float | None
) -> None:
    evaluator = make_evaluator(TellingVenue(FRESH._replace(age=age)))
    await journal.accept(sniper(more={"maxPoolAgeSeconds": 60}))
    await look(evaluator)

    assert await snipers() == ["open"]


async def test_one_whose_limit_the_pool_does_not_net_waits_without_an_event(
    make_evaluator: MakeEvaluator, journal: Journal, snipers: Any
) -> None:
    evaluator = make_evaluator(TellingVenue(FRESH))
    await journal.accept(sniper(limit_price="99"))
    await journal.accept(sniper(limit_price="101"))
    await look(evaluator)

    assert await snipers() == ["open", "pending"]


async def test_halted_no_sniper_fires(
    make_evaluator: MakeEvaluator, journal: Journal, database: Database, snipers: Any
) -> None:
    evaluator = make_evaluator(TellingVenue(FRESH))
    await journal.accept(sniper())
    await database.rows(
        "INSERT INTO trading_states (state, changed_by, why) VALUES ('halted', 'a test', '')"
    )
    await look(evaluator)

    assert await snipers() == ["open"]
