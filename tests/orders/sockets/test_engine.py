"""`/ws/engine`: how the engine stands, for all who may send orders, read once for all of them."""

import asyncio
from collections.abc import Sequence
from typing import Any

import pytest
from django.conf import settings

from config.runtime.postgres import Link
from config.runtime.rate import Rate
from orders.monitoring import pulse
from orders.sockets import engine
from tests.support.accounts import make_account
from tests.support.client import connected, database_away
from tests.support.database import Database
from tests.support.shapes import assert_shape

pytestmark = pytest.mark.usefixtures("engine_loop", "redis_client")

BEAT = """
INSERT INTO heartbeats (process, kind, seen_at, counts)
VALUES ('here:1', 'worker', clock_timestamp(), '{}')
"""
CONFIRMED = """
WITH made AS (
  INSERT INTO orders (id, type, side, base, quote, amount_in, slippage_bps, status, seq, attempts,
    lease_token, lost_leases, needs_attention, signature, venue, filled_in, filled_out, created_at,
    started_at, finished_at)
  SELECT gen_random_uuid(), 'market', 'sell', 'SOL', 'USDC', 1, 100, 'confirmed', 2, 1, 1, 0, false,
    'x', 'raydium', 1, 1, at, at, at + interval '3 seconds'
  FROM (SELECT now() - interval '1 minute' AS at) AS accepted
  RETURNING id, created_at)
INSERT INTO order_events (order_id, seq, status, attempt, message, data, at)
SELECT id, 1, 'pending', 0, '', '{}'::jsonb, created_at FROM made
UNION ALL
SELECT id, 2, 'confirmed', 1, '', '{}'::jsonb, created_at + interval '3 seconds' FROM made
"""


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engine, "EACH_SECONDS", 0.02)
    monkeypatch.setattr(settings, "ORDER_RATE_LIMIT", Rate(100, 60))


async def test_a_frame_tells_workers_what_waits_what_may_start_and_what_is_usual(
    database: Database,
) -> None:
    await database.rows(BEAT)
    await database.rows(CONFIRMED)
    await database.rows("INSERT INTO order_starts (at, orders) VALUES (clock_timestamp(), 9)")
    async with connected("/ws/engine") as socket:
        frame = await socket.message()
    assert_shape(frame, "EngineState", of_sockets=True)
    assert (frame["type"], frame["state"], frame["workers"]) == ("engine", "active", 1)
    assert (frame["waiting"], frame["oldestSeconds"]) == (0, 0)
    assert (frame["budgetLeft"], frame["budget"]) == (91, 100)
    assert frame["usualSeconds"]["total"] == {"p50": 3.0, "p95": 3.0}


async def test_all_sockets_of_a_process_share_one_reading(
    monkeypatch: pytest.MonkeyPatch, database: Database
) -> None:
    asked: list[object] = []
    fetch = Link.fetch

    async def counted(link: Link, query: Any, *others: Any) -> Sequence[Any]:
        if query is pulse.NOW:
            asked.append(query)
        return await fetch(link, query, *others)

    monkeypatch.setattr(Link, "fetch", counted)
    monkeypatch.setattr(engine, "EACH_SECONDS", 0.2)
    async with connected("/ws/engine") as first, connected("/ws/engine") as second:
        for _ in range(3):
            await asyncio.gather(first.message(), second.message())
    assert len(asked) <= 5


async def test_a_database_that_is_away_costs_no_socket(database: Database) -> None:
    async with connected("/ws/engine") as socket:
        await socket.message()
        with database_away():
            await socket.send({"type": "ping"})
            await socket.until(lambda message: message["type"] == "pong")
        await socket.message()


async def test_it_is_for_those_who_may_send_orders(monkeypatch: pytest.MonkeyPatch) -> None:
    account = make_account()
    reading = f"Bearer {account.reading_key()}"
    async with connected("/ws/engine", authorization=reading) as socket:
        assert (await socket.rest())[1] == 4403
    monkeypatch.setattr(settings, "ALLOW_ANONYMOUS_ORDERS", False)
    async with connected("/ws/engine") as socket:
        assert (await socket.rest())[1] == 4401
    async with connected("/ws/engine", **account.headers) as socket:
        assert (await socket.message())["type"] == "engine"


async def test_a_query_that_means_nothing_is_refused() -> None:
    async with connected("/ws/engine?market=SOL/USDC") as socket:
        messages, code = await socket.rest()
    assert code == 4400
    assert messages[-1]["errors"][0]["code"] == "unknown_parameter"
