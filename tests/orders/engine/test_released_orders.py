"""What happens to an order with terms once it is released: filled, returned, latched, ended."""

import asyncio
from collections.abc import Sequence
from typing import Any

import pytest
from django.conf import settings

from orders.engine.execution import Execution
from orders.engine.journal import Journal
from routing.venue import (
    Venue,
    VenueUnavailable,
)
from tests.orders.engine.test_execution import claim
from tests.support.database import Database
from tests.support.resting import event_names, order_of_type, release
from tests.support.stubs import ScriptedNetwork, Sending, exchange_of
from tests.support.venue_stubs import StubVenue

DEADLINE = 120.0
REFUSAL = VenueUnavailable("refuses, as the test wants it")
LIMIT = {"limit_price": "99"}
STOP = {"trigger_price": "101"}
FILLED = ["released", "routing", "building", "submitted", "confirmed"]


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(settings, "RETRY_BACKOFF", 0.02)
    monkeypatch.setattr(settings, "STATUS_POLL_SECONDS", 0.01)
    monkeypatch.setattr(settings, "RESEND_SECONDS", 0.05)


def lands() -> ScriptedNetwork:
    return ScriptedNetwork(then=Sending.LANDS)


async def rest(journal: Journal, type_: str, **terms: Any) -> str:
    order = order_of_type(type_, **terms)
    await journal.accept(order)
    return order.id


async def carry(
    journal: Journal,
    database: Database,
    network: ScriptedNetwork | None = None,
    venues: Sequence[Venue] = (),
) -> None:
    """Do as carriers would until nothing waits or is on its way."""
    execution = Execution(journal, exchange_of(network or lands(), venues))
    on_the_way = "SELECT 1 FROM orders WHERE finished_at IS NULL AND NOT resting"
    async with asyncio.timeout(DEADLINE):
        while await database.rows(on_the_way):
            await execution.carry_order(await claim(journal))


async def watch_of(database: Database, order_id: str) -> dict[str, Any] | None:
    rows = await database.rows("SELECT to_jsonb(w) FROM watches w WHERE order_id = %s", order_id)
    return rows[0][0] if rows else None


async def test_a_released_limit_order_fills_within_its_limit(
    journal: Journal, database: Database
) -> None:
    order_id = await rest(journal, "limit", **LIMIT)
    await release(database, order_id)
    await carry(journal, database)

    assert await event_names(database, order_id) == ["accepted", *FILLED]
    assert await database.order(order_id, "min_out") == 148_500_000
    assert await watch_of(database, order_id) is None
    assert await database.violations() == []


async def test_a_limit_order_that_is_not_filled_returns_and_watches_its_price_again(
    journal: Journal, database: Database
) -> None:
    order_id = await rest(journal, "limit", **LIMIT)
    before = await watch_of(database, order_id)
    await release(database, order_id)
    await carry(journal, database, venues=[StubVenue("raydium", "98")])

    assert await event_names(database, order_id) == [
        *("accepted", "released"),
        *["routing", "retry"] * 2,
        *("routing", "returned"),
    ]
    status, data = (await database.log(order_id))[-1]
    assert (status, data["failureCode"]) == ("open", "slippage_exceeded")
    assert "restUntil" not in data
    assert await database.order(order_id, "(resting, phase, min_out, lease_until)") == (
        *(True, "waiting", 148_500_000, None),
    )
    after = await watch_of(database, order_id)
    assert before is not None
    assert after is not None
    assert after.pop("from_tick") >= before.pop("from_tick")
    assert after.pop("expires_at") == before.pop("expires_at")
    assert after == before
    assert await database.violations() == []
