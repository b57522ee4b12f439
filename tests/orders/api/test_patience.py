"""However PostgreSQL keeps an order waiting, its client is answered in time, and with the truth."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import psycopg
import pytest

from config.database.conninfo import conninfo
from orders.api import base_views
from tests.support.client import SELL_SOL, Answer, post
from tests.support.database import Database
from tests.support.machine import Watch

pytestmark = pytest.mark.usefixtures("engine_loop", "redis_client")

PROMISED = 2.5  # seconds: an order's POST
ALLOWED = 4.0  # on a machine that has more to do
CROWD = 40
STORED = "SELECT amount_in::bigint, id::text FROM orders ORDER BY amount_in"
BUSY = """
SELECT 1 FROM pg_stat_activity
WHERE datname = current_database() AND pid <> pg_backend_pid() AND state <> 'idle'
"""


def order(number: int) -> dict[str, Any]:
    """Return an order that its amount tells from the others."""
    return SELL_SOL | {"amountIn": f"1.{number:03}"}


def amount(number: int) -> int:
    return 1_000_000_000 + number * 1_000_000


async def send(number: int) -> Answer:
    watch = Watch()
    answer = await post("/execute", order(number))
    watch.assert_within(ALLOWED, f"an answer promised in {PROMISED} s")
    return answer


@asynccontextmanager
async def orders_locked() -> AsyncIterator[psycopg.AsyncConnection[Any]]:
    """Hold the table of orders, as a migration or a backup by hand does."""
    async with await psycopg.AsyncConnection.connect(conninfo()) as holder:
        await holder.execute("LOCK TABLE orders")
        yield holder
        await holder.rollback()


async def is_idle(database: Database) -> None:
    """Return once no other session has anything under way."""
    async with asyncio.timeout(120):
        while await database.rows(BUSY):
            await asyncio.sleep(0.02)


@pytest.mark.parametrize("seconds", [base_views.ANSWER_SECONDS, 0.2], ids=["usual", "in a hurry"])
async def test_orders_sent_while_their_table_is_locked_are_each_answered_with_the_truth(
    database: Database, monkeypatch: pytest.MonkeyPatch, seconds: float
) -> None:
    """In a hurry they are answered while their statement waits: it stores them afterwards."""
    await post("/execute", SELL_SOL)  # the engine was at work before
    monkeypatch.setattr(base_views, "ANSWER_SECONDS", seconds)
    async with orders_locked():
        answers = await asyncio.gather(*(send(number) for number in range(CROWD)))
    await is_idle(database)
    stored = dict(await database.rows(STORED))

    for number, answer in enumerate(answers):
        said = answer.json
        assert answer.status == 503, said
        if said["error"] == "outcome_unknown":
            assert stored.pop(amount(number), said["orderId"]) == said["orderId"]
        else:
            assert said["error"] == "database_unavailable"
            assert "Nothing was stored" in said["detail"]
    assert list(stored) == [1_500_000_000], "of these nothing was to be stored"


async def test_orders_whose_table_is_unlocked_in_time_are_all_taken_once(
    database: Database,
) -> None:
    await post("/execute", SELL_SOL)
    async with orders_locked() as holder:
        sending = [asyncio.create_task(send(number)) for number in range(CROWD)]
        async with asyncio.timeout(120):
            while not await waits(database):
                await asyncio.sleep(0.01)
        await holder.rollback()
    answers = await asyncio.gather(*sending)

    assert [answer.status for answer in answers] == [201] * CROWD
    told = [(amount(number), answer.json["orderId"]) for number, answer in enumerate(answers)]
    assert (await database.rows(STORED))[:-1] == told


async def waits(database: Database) -> bool:
    return bool(await database.rows("SELECT 1 FROM pg_locks WHERE NOT granted"))
