import os
import re
from typing import Any

import pytest
from asgiref.sync import sync_to_async
from django.db import connection
from django.test import override_settings

from orders.health import beat
from tests.orders.client import Answer, database_away, get

pytestmark = pytest.mark.usefixtures("engine_loop")

NO_REDIS = "redis://127.0.0.1:1/0"


async def worker_lives() -> None:
    def once() -> None:
        beat("worker")
        connection.close()

    await sync_to_async(once)()


def parts(answer: Answer) -> dict[str, Any]:
    found = answer.json
    return {name: found[name] for name in ("status", "database", "redis", "worker")}


async def test_all_is_well_while_database_redis_and_a_worker_answer() -> None:
    await worker_lives()
    answer = await get("/health")
    assert answer.status == 200
    assert parts(answer) == {"status": "ok", "database": "ok", "redis": "ok", "worker": "ok"}
    assert answer.json["workers"] == 1
    assert (await get("/health/")).json == answer.json


async def test_without_a_worker_orders_are_still_taken() -> None:
    answer = await get("/health")
    assert answer.status == 200
    assert parts(answer)["status"] == "degraded"
    assert parts(answer)["worker"] == "down"


async def test_without_redis_orders_are_still_taken() -> None:
    await worker_lives()
    with override_settings(REDIS_URL=NO_REDIS):
        answer = await get("/health")
    assert answer.status == 200
    assert parts(answer) == {
        "status": "degraded",
        "database": "ok",
        "redis": "down",
        "worker": "ok",
    }


async def test_without_the_database_no_order_can_be_taken() -> None:
    with database_away():
        answer = await get("/health")
    assert answer.status == 503
    assert parts(answer) == {
        "status": "failed",
        "database": "down",
        "redis": "ok",
        "worker": "unknown",
    }
    assert "/nowhere" not in answer.text


async def test_a_worker_that_was_last_seen_long_ago_does_not_count(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    await worker_lives()
    monkeypatch.setattr("orders.health.ALIVE_SECONDS", -1)
    assert parts(await get("/health"))["worker"] == "down"


def test_a_process_has_one_heartbeat_however_often_it_beats(db: None) -> None:
    beat("worker")
    beat("worker")
    with connection.cursor() as cursor:
        cursor.execute("SELECT process, kind FROM heartbeats")
        ((process, kind),) = cursor.fetchall()
    assert kind == "worker"
    assert re.search(rf":{os.getpid()}$", process)
