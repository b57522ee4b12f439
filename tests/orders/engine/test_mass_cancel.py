"""Cancelling many orders at once, while others move them."""

import asyncio

import pytest
from django.db import connections

from orders.engine.changes.mass_cancel import MassCancellation, cancel_orders
from orders.engine.execution import Execution
from orders.engine.journal import Journal
from orders.words import EndReason
from routing.venue import InsufficientLiquidity
from tests.orders.engine.test_execution import FaultyVenue, claim
from tests.support.database import Database
from tests.support.resting import (
    DEADLINE,
    carry,
    lands,
    order_of_type,
    release,
    state,
    store,
    watch_of,
)
from tests.support.stubs import exchange_of

pytestmark = pytest.mark.usefixtures("quick")
LOCK = "SELECT 1 FROM watches WHERE order_id = %s FOR UPDATE"
LOCK_ORDER = "SELECT 1 FROM orders WHERE id = %s FOR UPDATE"
WAITING = "SELECT 1 FROM pg_locks WHERE NOT granted"
CANCELLED = ["cancelled", None, "cancel_all"]


async def cancel_all(*order_ids: str) -> MassCancellation:
    """Cancel them as a view does, in a thread of its own."""

    def cancel_and_leave() -> MassCancellation:
        reason = EndReason.CANCEL_ALL
        try:
            return cancel_orders(order_ids, reason=reason, by="user", when_possible=False)
        finally:
            connections.close_all()

    return await asyncio.to_thread(cancel_and_leave)


async def waiting(database: Database, count: int) -> None:
    """Return once so many wait for a lock."""
    async with asyncio.timeout(DEADLINE):
        while len(await database.rows(WAITING)) < count:
            await asyncio.sleep(0.01)


async def store_twap(journal: Journal) -> str:
    more = {"slices": 2, "intervalSeconds": 60, "catchUp": "spread"}
    order = order_of_type("twap", more=more)
    await journal.accept(order)
    return order.id


async def store_slice(journal: Journal, parent: str, slot: int = 0) -> str:
    order = order_of_type(
        "market", time_in_force="ioc", amount_in=750_000_000, parent_id=parent, slice=slot
    )
    await journal.accept(order)
    return order.id


async def test_a_slice_that_is_made_meanwhile_is_cancelled_with_its_parent(
    journal: Journal, database: Database
) -> None:
    parent = await store_twap(journal)
    async with database.transaction():
        await database.rows(LOCK, parent)
        cancelling = asyncio.create_task(cancel_all(parent))
        await waiting(database, 1)
        child = await store_slice(journal, parent)
    await cancelling

    assert await state(database, parent) == CANCELLED
    assert (await state(database, child))[0] == "cancelled"


async def test_an_order_that_goes_back_to_rest_meanwhile_watches_nothing_once_cancelled(
    journal: Journal, database: Database
) -> None:
    order_id = await store(journal, "stop")
    await release(database, order_id)
    order = await claim(journal)
    execution = Execution(
        journal, exchange_of(lands(), [FaultyVenue(InsufficientLiquidity("too much"))])
    )
    async with database.transaction():
        await database.rows(LOCK_ORDER, order_id)
        carrying = asyncio.create_task(execution.carry_order(order))
        await waiting(database, 1)
        cancelling = asyncio.create_task(cancel_all(order_id))
        await waiting(database, 2)
    await asyncio.gather(carrying, cancelling)

    assert await state(database, order_id) == CANCELLED
    assert await watch_of(database, order_id) == {}


async def test_a_twap_that_is_cancelled_with_others_keeps_what_its_slices_traded(
    journal: Journal, database: Database
) -> None:
    parent = await store_twap(journal)
    child = await store_slice(journal, parent)
    await carry(journal, database)
    await cancel_all(parent)

    assert await state(database, parent) == CANCELLED
    for column in ("filled_in", "filled_out"):
        traded = await database.order(child, column)
        assert traded
        assert await database.order(parent, column) == traded
