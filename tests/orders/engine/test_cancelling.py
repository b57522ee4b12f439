"""Cancelling, against everything that may happen to the order at the same moment."""

import asyncio
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from uuid import UUID

import psycopg
import pytest
from django.db import connections

from config.database.conninfo import conninfo
from orders.engine.execution import Execution
from orders.engine.journal import Journal
from orders.engine.submission import NotCancellable, cancel_order
from orders.lifecycle import ACTIVE, Status
from routing.venue import VenueUnavailable
from tests.orders.engine.test_execution import FaultyVenue, claim
from tests.support.database import Database, as_owner
from tests.support.resting import (
    DEADLINE,
    LOCK,
    RELEASE,
    cancel,
    event_names,
    lands,
    last_data,
    order_of_type,
    release,
    released,
    state,
    store,
    watch_of,
)
from tests.support.samples import new_order
from tests.support.stubs import ScriptedNetwork, exchange_of

pytestmark = pytest.mark.usefixtures("quick")
REFUSAL = VenueUnavailable("refuses, as the test wants it")
KINDS = ["market", "limit", "plain"]


async def stored(journal: Journal, database: Database, kind: str) -> str:
    """Store an order that is due: a plain market order, one with terms, or a released limit."""
    if kind == "plain":
        order = new_order()
        await journal.accept(order)
        return order.id
    order_id = await store(journal, kind)
    if kind == "limit":
        await release(database, order_id)
    return order_id


@pytest.mark.parametrize("kind", ["limit", "stop", "trailingStop"])
async def test_an_order_that_rests_is_cancelled_and_watches_nothing_any_more(
    journal: Journal, database: Database, kind: str
) -> None:
    order_id = await store(journal, kind)
    found = await cancel(order_id, by="oee_12345678")

    assert (found.status, found.is_requested) == (Status.CANCELLED, False)
    assert await state(database, order_id) == ["cancelled", None, "user"]
    assert await last_data(database, order_id) == {"reason": "user", "by": "oee_12345678"}
    assert await watch_of(database, order_id) == {}
    assert await database.order(order_id, "resting") is False


@pytest.mark.parametrize("kind", KINDS)
async def test_to_cancel_again_changes_nothing(
    journal: Journal, database: Database, kind: str
) -> None:
    order_id = await stored(journal, database, kind)
    await cancel(order_id)
    before = await database.rows("SELECT to_jsonb(o) FROM orders o")
    found = await cancel(order_id, by="operator")

    assert (found.status, found.events) == (Status.CANCELLED, [])
    assert await database.rows("SELECT to_jsonb(o) FROM orders o") == before
    assert (await event_names(database, order_id)).count("cancelled") == 1


async def test_a_latched_stop_is_cancelled_in_between(journal: Journal, database: Database) -> None:
    order_id = await store(journal, "stop")
    await released(journal, database, order_id, FaultyVenue(*[REFUSAL] * 3))
    assert (await state(database, order_id))[1] == "latched"
    await cancel(order_id)

    assert await state(database, order_id) == ["cancelled", None, "user"]
    assert await watch_of(database, order_id) == {}


async def submitted(
    journal: Journal, database: Database
) -> tuple[ScriptedNetwork, "asyncio.Task[None]"]:
    """Carry the only order until its transaction is sent, and on when the network says more."""
    network = ScriptedNetwork()
    order = await claim(journal)
    carrying = asyncio.create_task(Execution(journal, exchange_of(network)).carry_order(order))
    async with asyncio.timeout(DEADLINE):
        while not network.sent:
            await asyncio.sleep(0.01)
    return network, carrying


@pytest.mark.parametrize("kind", KINDS)
async def test_when_possible_a_submitted_order_that_lands_is_confirmed(
    journal: Journal, database: Database, kind: str
) -> None:
    order_id = await stored(journal, database, kind)
    network, carrying = await submitted(journal, database)
    with pytest.raises(NotCancellable):
        await cancel(order_id)
    before = await database.order(order_id, "seq")
    found = await cancel(order_id, when_possible=True)

    assert (found.status, found.is_requested) == (Status.SUBMITTED, True)
    assert await database.order(order_id, "seq") == before
    network.land(network.sent[0].signature)
    await carrying
    assert (await state(database, order_id))[0] == "confirmed"
    assert await database.violations(network.landings.elements()) == []


@pytest.mark.parametrize("kind", KINDS)
async def test_when_possible_a_submitted_order_is_cancelled_once_its_transaction_is_dead(
    journal: Journal, database: Database, kind: str
) -> None:
    order_id = await stored(journal, database, kind)
    network, carrying = await submitted(journal, database)
    await cancel(order_id, when_possible=True)
    assert (await state(database, order_id))[0] == "submitted"
    network.expire()
    await asyncio.gather(carrying, return_exceptions=True)

    assert await state(database, order_id) == ["cancelled", None, "user"]
    assert await database.rows("SELECT outcome FROM order_transactions") == [("expired",)]
    assert (await event_names(database, order_id))[-2:] == ["submitted", "cancelled"]
    assert await watch_of(database, order_id) == {}
    assert await database.violations([]) == []


async def test_a_submitted_order_that_dies_without_a_wish_to_cancel_is_tried_again(
    journal: Journal, database: Database
) -> None:
    order_id = await stored(journal, database, "plain")
    network, carrying = await submitted(journal, database)
    network.expire()
    await carrying

    assert (await event_names(database, order_id))[-2:] == ["submitted", "retry"]


async def test_of_a_thousand_orders_each_is_cancelled_or_filled(
    journal: Journal, database: Database
) -> None:
    orders = [order_of_type("limit", limit_price="99") for _ in range(1_000)]
    await asyncio.gather(*(journal.accept(order) for order in orders))
    ids = [order.id for order in orders]

    def cancel_some(some: list[str]) -> list[Any]:
        try:
            return [cancel_order(UUID(one)).status for one in some]
        finally:
            connections.close_all()

    def release_some(some: list[str]) -> None:
        with psycopg.connect(as_owner(conninfo()), autocommit=True) as connection:
            for one in some:
                with connection.transaction():
                    connection.execute(LOCK, (one,))
                    connection.execute(RELEASE, {"id": one, "attempts": 3})

    def race() -> None:
        with ThreadPoolExecutor(4) as pool:
            # From both ends, so that they meet in the middle; and some pairs of neighbours.
            work = [
                pool.submit(release_some, ids[0::2]),
                pool.submit(release_some, ids[1::2]),
                pool.submit(cancel_some, ids[500:][::-1]),
                pool.submit(cancel_some, ids[400:500]),
            ]
            for one in work:
                one.result()

    await asyncio.to_thread(race)
    waiting = await database.rows("SELECT count(*) FROM orders WHERE status = 'pending'")
    cancelled = await database.rows("SELECT count(*) FROM orders WHERE status = 'cancelled'")
    assert waiting[0][0] + cancelled[0][0] == 1_000
    assert cancelled == [(600,)]
    assert await database.rows("SELECT 1 FROM watches") == []
    await carry_all(journal, database)
    found = dict(await database.rows("SELECT status, count(*) FROM orders GROUP BY status"))
    assert found == {"cancelled": 600, "confirmed": 400}


async def carry_all(journal: Journal, database: Database) -> None:
    """Carry all that is due, many at once."""
    network = lands()
    execution = Execution(journal, exchange_of(network))
    async with asyncio.timeout(DEADLINE):
        while orders := await journal.claim(200, ACTIVE):
            await asyncio.gather(*(execution.carry_order(order) for order in orders))
    assert await database.violations(network.landings.elements()) == []
