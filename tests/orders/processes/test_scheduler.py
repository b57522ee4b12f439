"""The scheduler's second: who is rung for, and the active orders in Redis."""

import asyncio
import json
import re
import threading
from collections.abc import Callable
from typing import Any

import orjson
import pytest
import redis
from django.conf import settings
from django.db import connection, connections

from config.runtime.rate import Rate
from orders.engine import bell
from orders.engine.hints import ACTIVE_ORDERS
from orders.engine.journal import Journal
from orders.engine.journal_sql import BRING_BACK, SUSPECT_AFTER
from orders.lifecycle import ACTIVE, Status
from orders.monitoring import health
from orders.processes import scheduler
from tests.support.database import Database
from tests.support.engine import wait_for
from tests.support.samples import move_of, moved, new_order, to_building, to_submitted
from tests.support.task_queue import Queue

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
        "UPDATE orders SET next_check = clock_timestamp() + interval '1 minute',"
        " started_at = created_at WHERE status = 'pending'"
    )
    await done(scheduler.ring_for_due)

    assert queue.tasks() == []


async def test_an_order_without_a_bell_gets_one(
    journal: Journal, database: Database, queue: Queue
) -> None:
    await accepted(journal)
    await done(scheduler.ring_for_due)
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

    await done(scheduler.ring_for_due)

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

    await done(scheduler.ring_for_due)

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
    await journal.wait_until_drained()

    assert snapshots(redis_client)[order_id]["status"] == "pending"
    (order,) = await journal.claim(1, ACTIVE)
    await journal.wait_until_drained()
    assert snapshots(redis_client)[order_id]["status"] == "routing"
    await journal.advance(move_of(order, Status.CANCELLED))
    await journal.wait_until_drained()
    assert snapshots(redis_client) == {}


async def test_active_orders_are_rebuilt_after_redis_forgot_them(
    journal: Journal, database: Database, redis_client: redis.Redis
) -> None:
    ids = await accepted(journal, 20)
    await journal.claim(5, ACTIVE)
    await journal.wait_until_drained()
    before = snapshots(redis_client)
    redis_client.flushall()

    await done(scheduler.rebuild_active_orders)

    assert set(before) == set(ids)
    assert snapshots(redis_client) == before


async def test_an_ended_order_that_redis_still_thinks_active_is_removed(
    journal: Journal, database: Database, redis_client: redis.Redis
) -> None:
    await accepted(journal)
    (order,) = await journal.claim(1, ACTIVE)
    await journal.wait_until_drained()
    stale = redis_client.hgetall(ACTIVE_ORDERS)
    await journal.advance(move_of(order, Status.CANCELLED))
    await journal.wait_until_drained()
    redis_client.hset(ACTIVE_ORDERS, mapping=stale)

    await done(scheduler.rebuild_active_orders)

    assert snapshots(redis_client) == {}


# Time goes back: a backup was restored, or the database's clock set back


async def test_a_snapshot_of_what_a_restored_database_has_forgotten_is_set_right(
    journal: Journal, database: Database, redis_client: redis.Redis
) -> None:
    shorter, gone, newer = await accepted(journal, 3)
    await journal.wait_until_drained()
    true = snapshots(redis_client)[shorter]
    future = orjson.dumps(true | {"seq": 5, "status": "submitted"})
    redis_client.hset(ACTIVE_ORDERS, shorter, future)
    lost = "01900000-0000-7000-8000-000000000000"
    redis_client.hset(ACTIVE_ORDERS, lost, future)

    await done(scheduler.rebuild_active_orders)

    found = snapshots(redis_client)
    assert set(found) == {shorter, gone, newer}
    assert found[shorter] == true


def test_a_snapshot_that_is_told_while_the_others_are_rebuilt_stays(
    redis_client: redis.Redis,
) -> None:
    restore = redis_client.register_script(scheduler.RESTORE)
    redis_client.hset(ACTIVE_ORDERS, "one", '{"seq":7}')
    restore(keys=[ACTIVE_ORDERS], args=["one", 3, '{"seq":3}', 6])  # 6 was there when it was read

    assert redis_client.hget(ACTIVE_ORDERS, "one") == b'{"seq":7}'
    restore(keys=[ACTIVE_ORDERS], args=["one", 3, '{"seq":3}', 7])
    assert redis_client.hget(ACTIVE_ORDERS, "one") == b'{"seq":3}'


# Jobs that hang


async def test_a_job_that_hangs_leaves_ringing_and_the_other_jobs_alone(
    journal: Journal,
    queue: Queue,
    redis_client: redis.Redis,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    is_over, begun = threading.Event(), []

    def hang() -> None:
        begun.append(1)
        is_over.wait(120)

    hanging, others = scheduler.Job("hanging", 60, hang, is_slow=True), scheduler.JOBS
    monkeypatch.setattr(scheduler, "JOBS", (hanging, *others))
    (order_id,) = await accepted(journal)
    try:
        for number in (0, 60):
            redis_client.flushall()
            await done(lambda number=number: scheduler.tick(number))  # type: ignore[misc]  # bound now
            assert queue.tasks() == [bell.ROUTE_AND_EXECUTE]
            wait_for(lambda: redis_client.hexists(ACTIVE_ORDERS, order_id), what="it is rebuilt")
            for job in others:
                job.wait()
        assert len(begun) == 1
        assert "hanging still runs; its turn is passed over" in caplog.text
    finally:
        is_over.set()
        hanging.wait()
    await done(lambda: scheduler.tick(120))
    for job in scheduler.JOBS:
        job.wait()

    assert len(begun) == 2


AHEAD = "interval '10 minutes'"


async def test_orders_of_a_clock_since_set_back_are_due_at_once(
    journal: Journal, database: Database, queue: Queue, caplog: pytest.LogCaptureFixture
) -> None:
    await accepted(journal, 4)
    (resumed, held) = await journal.claim(2, ACTIVE)
    await journal.release([resumed])
    await database.rows(f"UPDATE orders SET next_check = next_check + {AHEAD}")
    for number in range(3):
        await done(lambda number=number: scheduler.tick(number + 1))  # type: ignore[misc]  # bound now

    assert queue.tasks()[0] == bell.ROUTE_AND_EXECUTE
    assert len(await journal.claim(10, ACTIVE)) == 3  # all but the one that is held
    assert await journal.renew([held]) == {held.id}
    assert len([one for one in caplog.records if "set back" in one.message]) == 1


async def test_a_lease_of_a_clock_since_set_back_ends_as_any_other(
    journal: Journal, database: Database
) -> None:
    """Whoever lives has the time to renew it; whoever does not is not waited for."""
    await accepted(journal)
    (order,) = await journal.claim(1, ACTIVE)
    await database.rows(f"UPDATE orders SET lease_until = lease_until + {AHEAD}")
    await done(scheduler.bring_back)
    left = "extract(epoch FROM lease_until - clock_timestamp())"

    assert 0 < await database.order(order.id, left) <= settings.LEASE_SECONDS
    assert await database.order(order.id, "lost_leases") == 0
    assert await journal.renew([order]) == {order.id}


async def test_what_is_due_later_by_a_rule_stays_so(
    journal: Journal, database: Database, caplog: pytest.LogCaptureFixture
) -> None:
    await accepted(journal, 3)
    later = (await journal.claim(3, ACTIVE))[1]
    longest = settings.RETRY_BACKOFF * 2 ** (settings.ORDER_ATTEMPTS - 1) * 1.2
    await journal.advance(move_of(later, Status.PENDING, delay=longest))
    query = "SELECT id, next_check, lease_until FROM orders ORDER BY id"
    before = await database.rows(query)
    await done(scheduler.bring_back)

    assert await database.rows(query) == before
    assert caplog.records == []


async def test_bringing_orders_back_reads_no_more_than_it_must(database: Database) -> None:
    """They come from the far end of an index of begun orders, however many wait or have ended."""
    await database.rows("SET enable_seqscan = off; SET enable_bitmapscan = off")
    limits = {"lease": 10.0, "delay": 60.0, "most": 10}
    query = re.sub(r"%\((\w+)\)s", lambda found: str(limits[found[1]]), BRING_BACK)
    plan = "\n".join(row[0] for row in await database.rows(f"EXPLAIN {query}"))
    assert "Index Scan Backward using orders_begun" in plan


async def test_starts_of_the_future_hold_up_no_order(
    journal: Journal, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(settings, "ORDER_RATE_LIMIT", Rate(3, 60))
    await database.rows(
        f"INSERT INTO order_starts (at, orders) VALUES (now() + {AHEAD}, 100), (now(), 1)"
    )
    await accepted(journal, 4)

    assert len(await journal.claim(4, ACTIVE)) == 2
    await done(scheduler.prune)
    assert await database.rows("SELECT sum(orders) FROM order_starts") == [(3,)]


async def test_a_heartbeat_of_the_future_is_no_sign_of_life(database: Database) -> None:
    await database.rows(
        "INSERT INTO heartbeats (process, kind, seen_at)"
        f" VALUES ('dead', 'worker', now() + {AHEAD})"
    )
    found = await asyncio.to_thread(workers_alive)

    assert found == 0


def workers_alive() -> int:
    try:
        with connection.cursor() as cursor:
            cursor.execute(health.ALIVE, {"heard": health.ALIVE_SECONDS})
            return int(cursor.fetchone()[0])
    finally:
        connections.close_all()
