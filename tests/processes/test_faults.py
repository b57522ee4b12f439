"""Orders through the simulated venues and network with their faults turned on."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import suppress
from typing import Any

import psycopg
import pytest
import pytest_asyncio
from django.conf import settings

from orders.engine.execution import Execution
from orders.engine.journal import Journal
from orders.engine.moves import ClaimedOrder, Overtaken
from orders.lifecycle import ACTIVE, Status
from routing.simulation.faults import Faults
from routing.simulation.settings import Simulation
from routing.venue import ShowsPools
from routing.venues import Exchange, simulated_exchange
from tests.support.checker import OrderFacts, load, violations
from tests.support.database import Database, MakeJournal
from tests.support.samples import new_order
from tests.support.venue_contract import SELL

DEADLINE = 120.0
COUNT = 40
BLOCK = 0.02  # seconds
NEVER = 1_000_000  # blocks: longer than the slowest machine takes to a landing

Execute = Callable[..., Awaitable[dict[str, OrderFacts]]]


@pytest_asyncio.fixture
async def exchange_with(database_conninfo: str) -> AsyncIterator[Callable[..., Exchange]]:
    made: list[Exchange] = []

    def make(faults: str, **changes: Any) -> Exchange:
        options = {
            "quote_latency": 0.0,
            "landing_latency": (0.0, 0.02),
            "block_seconds": BLOCK,
            "expiry_blocks": NEVER,
            "seed": 7,
            "faults": Faults.parse(faults),
        }
        made.append(simulated_exchange(database_conninfo, Simulation(**options | changes)))
        return made[-1]

    yield make
    for exchange in made:
        await exchange.close()


@pytest_asyncio.fixture
async def execute(
    journal: Journal,
    database: Database,
    exchange_with: Callable[..., Exchange],
    monkeypatch: pytest.MonkeyPatch,
) -> Execute:
    """Execute orders to their ends under faults, check them, and return what became of them."""
    monkeypatch.setattr(settings, "RETRY_BACKOFF", 0.02)
    monkeypatch.setattr(settings, "STATUS_POLL_SECONDS", 0.01)
    monkeypatch.setattr(settings, "RESEND_SECONDS", 0.03)
    monkeypatch.setattr(settings, "QUOTE_TIMEOUT", DEADLINE)

    async def run(faults: str, count: int = COUNT, **changes: Any) -> dict[str, OrderFacts]:
        orders = [new_order() for _ in range(count)]
        await asyncio.gather(*(journal.accept(order) for order in orders))
        exchange = exchange_with(faults, **changes)
        for venue in exchange.venues:  # pools are made at the first question, which takes longer
            assert isinstance(venue, ShowsPools)
            await venue.liquidity(SELL)
        execution = Execution(journal, exchange)
        async with asyncio.timeout(DEADLINE):
            await carry_all(journal, execution, database)
        facts = load(database.conninfo)
        assert violations(facts) == []
        return facts

    return run


async def carry_all(journal: Journal, execution: Execution, database: Database) -> None:
    """Do as a carrier would until all orders have ended."""
    carried: set[asyncio.Task[None]] = set()
    while await database.rows("SELECT 1 FROM orders WHERE finished_at IS NULL LIMIT 1"):
        with suppress(psycopg.OperationalError):  # a carrier claims again, too
            for order in await journal.claim(COUNT, ACTIVE):
                carried.add(asyncio.create_task(carry(execution, order)))
        if carried:
            done, carried = await asyncio.wait(carried, timeout=0.02)
            for task in done:
                task.result()
        else:
            await asyncio.sleep(0.01)
    await asyncio.gather(*carried)


async def carry(execution: Execution, order: ClaimedOrder) -> None:
    try:
        await execution.carry_order(order)
    except (Overtaken, psycopg.OperationalError):
        return  # it is another's, or its lease ends: a busy PostgreSQL answered too late


def outcomes(facts: dict[str, OrderFacts]) -> Counter[str]:
    return Counter(order.status for order in facts.values())


async def test_without_faults_all_are_confirmed_at_the_first_attempt(execute: Execute) -> None:
    facts = await execute("")
    assert outcomes(facts) == {"confirmed": COUNT}
    assert {order.attempts for order in facts.values()} == {1}


async def test_quotes_that_time_out_at_one_venue_leave_the_orders_to_the_other(
    execute: Execute, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(settings, "QUOTE_TIMEOUT", 2.0)  # for the other, too
    facts = await execute("raydium.quote_timeout=1")
    assert outcomes(facts) == {"confirmed": COUNT}
    assert await database.rows("SELECT DISTINCT venue FROM orders") == [("meteora",)]


async def test_venues_that_refuse_now_and_then_cost_attempts(execute: Execute) -> None:
    facts = await execute("quote_refused=0.6")
    found = outcomes(facts)

    assert found["confirmed"] > COUNT / 2
    assert found["confirmed"] + found["failed"] == COUNT
    assert {order.attempts for order in facts.values() if order.status == "failed"} <= {3}
    assert max(order.attempts for order in facts.values()) > 1


async def test_venues_that_always_refuse_fail_the_orders_after_three_attempts(
    execute: Execute, database: Database
) -> None:
    facts = await execute("quote_refused=1")
    assert {order.attempts for order in facts.values()} == {3}
    rows = await database.rows("SELECT DISTINCT status, failure_code FROM orders")
    assert rows == [("failed", "venues_unavailable")]


async def test_absurd_quotes_are_dropped_and_never_traded_on(
    execute: Execute, database: Database
) -> None:
    facts = await execute("meteora.absurd_quote=1")
    assert outcomes(facts) == {"confirmed": COUNT}
    assert await database.rows("SELECT DISTINCT venue FROM orders") == [("raydium",)]
    fills = await database.rows("SELECT min(filled_out), max(filled_out) FROM orders")
    assert 140_000_000 < fills[0][0] <= fills[0][1] < 160_000_000


@pytest.mark.parametrize(
    "faults", ["send_dropped=0.7", "reply_lost=1", "send_dropped=0.5,reply_lost=0.5"]
)
async def test_sends_and_replies_that_are_lost_cost_neither_an_attempt_nor_a_second_landing(
    execute: Execute, faults: str
) -> None:
    facts = await execute(faults)
    assert outcomes(facts) == {"confirmed": COUNT}
    assert {order.attempts for order in facts.values()} == {1}


async def test_a_late_landing_is_waited_for(execute: Execute) -> None:
    facts = await execute("landing_late=1", late_by=0.8)
    assert outcomes(facts) == {"confirmed": COUNT}
    assert {order.attempts for order in facts.values()} == {1}


async def test_a_price_moved_beyond_the_bound_is_never_filled(
    execute: Execute, database: Database
) -> None:
    facts = await execute("price_moved=1")
    assert {order.attempts for order in facts.values()} == {3}
    rows = await database.rows("SELECT DISTINCT status, failure_code FROM orders")
    assert rows == [("failed", "slippage_exceeded")]


async def test_a_transaction_that_expires_is_followed_by_another_only_then(
    execute: Execute, database: Database
) -> None:
    facts = await execute("expiry=0.5", expiry_blocks=50)

    assert outcomes(facts)["confirmed"] > COUNT / 2
    assert {order.attempts for order in facts.values() if order.status == "failed"} <= {3}
    early = await database.rows(
        "SELECT 1 FROM order_transactions WHERE outcome = 'expired'"
        " AND extract(epoch FROM settled_at) < (expires_at_height + 1) * %s",
        BLOCK,
    )
    assert early == []
    codes = await database.rows("SELECT DISTINCT failure_code FROM orders WHERE status = 'failed'")
    # The price moves on while the first one expires, and the bound stays.
    assert set(codes) <= {("never_landed",), ("slippage_exceeded",)}


async def test_all_faults_together_break_no_promise(
    execute: Execute, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(settings, "QUOTE_TIMEOUT", 0.5)
    everything = (
        "quote_timeout=0.1,quote_refused=0.2,absurd_quote=0.2,send_dropped=0.3,reply_lost=0.3,"
        "landing_late=0.2,price_moved=0.2,expiry=0.1"
    )
    facts = await execute(everything, late_by=0.2, expiry_blocks=50)
    found = outcomes(facts)

    assert found["confirmed"] > COUNT / 3
    assert found["confirmed"] + found["failed"] == COUNT


async def test_holders_that_lose_their_leases_again_and_again_execute_each_order_once(
    make_journal: MakeJournal,
    database: Database,
    exchange_with: Callable[..., Exchange],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Three processes carry the same orders, and time takes leases away at random moments."""
    monkeypatch.setattr(settings, "STATUS_POLL_SECONDS", 0.01)
    monkeypatch.setattr(settings, "RESEND_SECONDS", 0.03)
    journals = [make_journal() for _ in range(3)]
    await asyncio.gather(*(journals[0].accept(new_order()) for _ in range(COUNT)))
    executions = [
        Execution(journal, exchange_with("send_dropped=0.3,reply_lost=0.3")) for journal in journals
    ]

    async def take_leases_away() -> None:
        for _ in range(15):
            await database.rows(
                "UPDATE orders SET lease_until = clock_timestamp() - interval '1 second',"
                " lost_leases = 0 WHERE lease_until IS NOT NULL AND random() < 0.5"
            )
            await asyncio.sleep(0.02)

    async with asyncio.timeout(DEADLINE):
        await asyncio.gather(
            take_leases_away(),
            *(
                carry_all(journal, execution, database)
                for journal, execution in zip(journals, executions, strict=True)
            ),
        )

    facts = load(database.conninfo)
    assert outcomes(facts) == {Status.CONFIRMED: COUNT}
    assert violations(facts) == []
