"""The scheduler's second: who is rung for, and the active orders in Redis."""

import asyncio
import json
from collections.abc import Callable
from typing import Any

import pytest
import redis
from django.db import connections

from orders import bell, housekeeping
from orders.hints import ACTIVE_ORDERS
from orders.journal import Journal
from orders.journal_sql import SUSPECT_AFTER
from orders.lifecycle import ACTIVE, Status
from tests.database import Database
from tests.samples import move_of, moved, new_order, to_building, to_submitted
from tests.task_queue import Queue

BACKLOG = 1100


@pytest.fixture(autouse=True)
def empty_redis(redis_client: redis.Redis) -> redis.Redis:
    return redis_client


async def done(part: Callable[[], None]) -> None:
    """Do a part of the scheduler's tick in a thread."""

    def act() -> None:
        try:
            part()
        finally:
            connections.close_all()

    await asyncio.to_thread(act)


async def accepted(journal: Journal, count: int = 1) -> list[str]:
    orders = [new_order() for _ in range(count)]
    await asyncio.gather(*(journal.accept(order) for order in orders))
    return [order.id for order in orders]


# Who is rung for


async def test_nothing_is_rung_for_when_nothing_is_due(
    journal: Journal, database: Database, queue: Queue
) -> None:
    await accepted(journal, 2)
    await journal.claim(1, ACTIVE)
    await database.rows(
        "UPDATE orders SET next_check = clock_timestamp() + interval '1 minute'"
        " WHERE status = 'pending'"
    )
    await done(housekeeping.ring_for_due)
    assert queue.tasks() == []


async def test_an_order_nobody_rang_for_is_rung_for(
    journal: Journal, database: Database, queue: Queue
) -> None:
    await accepted(journal)
    await done(housekeeping.ring_for_due)
    assert queue.tasks() == [bell.ROUTE_AND_EXECUTE]


async def test_a_submitted_order_is_rung_for_however_many_others_wait(
    journal: Journal, database: Database, queue: Queue
) -> None:
    await accepted(journal)
    (order,) = await journal.claim(1, ACTIVE)
    await journal.advance(to_building(order))
    await journal.advance(to_submitted(moved(order, to_building(order)), "signature"))
    await database.expire_lease(order.id)
    await accepted(journal, BACKLOG)
    await put_last(database, order.id)

    await done(housekeeping.ring_for_due)

    assert bell.SETTLE_SUBMITTED in queue.tasks()


async def test_a_suspect_is_rung_for_however_many_others_wait(
    journal: Journal, database: Database, queue: Queue
) -> None:
    await accepted(journal)
    (order,) = await journal.claim(1, ACTIVE)
    await database.expire_lease(order.id)
    await database.lose_leases(order.id, SUSPECT_AFTER)
    await accepted(journal, BACKLOG)
    await put_last(database, order.id)

    await done(housekeeping.ring_for_due)

    assert bell.EXECUTE_ONE in queue.tasks()


async def put_last(database: Database, order_id: str) -> None:
    """As after a retry: the order is due, and behind all others."""
    await database.rows("UPDATE orders SET next_check = clock_timestamp() WHERE id = %s", order_id)


# The active orders


def snapshots(client: redis.Redis) -> dict[str, Any]:
    found: Any = client.hgetall(ACTIVE_ORDERS)
    return {order_id.decode(): json.loads(text) for order_id, text in found.items()}


async def test_active_orders_are_known_from_their_acceptance_to_their_end(
    journal: Journal, redis_client: redis.Redis
) -> None:
    (order_id,) = await accepted(journal)
    await journal.drained()
    assert snapshots(redis_client)[order_id]["status"] == "pending"
    (order,) = await journal.claim(1, ACTIVE)
    await journal.drained()
    assert snapshots(redis_client)[order_id]["status"] == "routing"
    await journal.advance(move_of(order, Status.CANCELLED))
    await journal.drained()
    assert snapshots(redis_client) == {}


async def test_active_orders_are_rebuilt_after_redis_forgot_them(
    journal: Journal, database: Database, redis_client: redis.Redis
) -> None:
    ids = await accepted(journal, 20)
    await journal.claim(5, ACTIVE)
    await journal.drained()
    before = snapshots(redis_client)
    redis_client.flushall()

    await done(housekeeping.rebuild_active_orders)

    assert set(before) == set(ids)
    assert snapshots(redis_client) == before


async def test_an_ended_order_that_redis_still_thinks_active_is_removed(
    journal: Journal, database: Database, redis_client: redis.Redis
) -> None:
    await accepted(journal)
    (order,) = await journal.claim(1, ACTIVE)
    await journal.drained()
    stale = redis_client.hgetall(ACTIVE_ORDERS)
    await journal.advance(move_of(order, Status.CANCELLED))
    await journal.drained()
    redis_client.hset(ACTIVE_ORDERS, mapping=stale)

    await done(housekeeping.rebuild_active_orders)

    assert snapshots(redis_client) == {}
