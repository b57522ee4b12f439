import asyncio
import os
import re
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any

import pytest
import redis
from asgiref.sync import sync_to_async
from django.db import OperationalError, connection
from django.test import override_settings

from config.runtime.witness import STILL_LOOKS, Witness
from orders.engine import bell
from orders.monitoring import health
from orders.monitoring.health import beat
from routing import registry
from tests.support.client import PATIENCE, Answer, database_away, get

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


async def test_a_stopped_venue_is_named_and_the_engine_is_not_well(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    await worker_lives()
    assert "stoppedVenues" not in (await get("/health")).json
    stopped = registry._copy._replace(stopped={"raydium": "it paid less"})
    monkeypatch.setattr(registry, "_copy", stopped)
    answer = await get("/health")

    assert (answer.status, answer.json["status"]) == (200, "degraded")
    assert answer.json["stoppedVenues"] == ["raydium"]


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


@pytest.mark.parametrize("trouble", ["full", "read-only", "no rights", "another's key"])
async def test_a_redis_that_answers_and_takes_no_bell_refuses(
    trouble: str, redis_client: redis.Redis
) -> None:
    await worker_lives()
    with refusing(redis_client, trouble):
        answer = await get("/health")

    assert answer.status == 200
    assert parts(answer)["status"] == "degraded"
    assert parts(answer)["redis"] == "refuses"
    assert (await get("/health")).json["redis"] == "ok"


@contextmanager
def refusing(client: redis.Redis, trouble: str) -> Iterator[None]:
    before, after = {
        "full": ("CONFIG SET maxmemory 1", "CONFIG SET maxmemory 0"),
        "read-only": ("REPLICAOF 127.0.0.1 1", "REPLICAOF NO ONE"),
        "no rights": ("ACL SETUSER default -publish", "ACL SETUSER default +publish"),
        "another's key": (f"SET {bell.QUEUE} x", f"DEL {bell.QUEUE}"),
    }[trouble]
    client.execute_command(*before.split())
    try:
        yield
    finally:
        client.execute_command(*after.split())


async def test_a_part_that_fails_is_told_with_the_time_from_which_on_it_did() -> None:
    await worker_lives()
    with override_settings(REDIS_URL=NO_REDIS):
        first, second = await get("/health"), await get("/health")

    assert list(first.json["since"]) == ["redis"]
    assert first.json["since"] == second.json["since"]
    assert datetime.fromisoformat(first.json["since"]["redis"]) <= datetime.now(UTC)
    assert (await get("/health")).json["since"] == {}


async def test_a_redis_that_says_nothing_does_not_hold_up_the_answer() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"redis://127.0.0.1:{silent.getsockname()[1]}/0"
        with override_settings(REDIS_URL=url):
            async with asyncio.timeout(3.0):
                answer = await get("/health")

    assert parts(answer)["redis"] == "down"


async def test_a_worker_of_which_a_part_stands_still_does_not_count(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    stuck = Witness()
    monkeypatch.setattr("orders.monitoring.health.witness", stuck)
    stuck.note_turn("the consumer of bells")
    for _ in range(12):
        stuck.look()
    await worker_lives()
    answer = await get("/health")

    assert parts(answer)["status"] == "degraded"
    assert parts(answer)["worker"] == "stuck"
    assert answer.json["workers"] == 1


@pytest.fixture
def beating(monkeypatch: pytest.MonkeyPatch) -> Iterator[Witness]:
    """The witness of a heartbeat that may be started; the test looks in its place."""
    found = Witness()
    monkeypatch.setattr(health, "_stopped", threading.Event())
    monkeypatch.setattr(health, "witness", found)
    monkeypatch.setattr(health, "watch", lambda *_: None)
    monkeypatch.setattr(health, "read_registry", lambda: None)
    yield found
    health.stop_beating()
    for thread in threading.enumerate():
        if thread.name == "heartbeat":
            thread.join(PATIENCE)


def test_a_heartbeat_whose_visit_brings_neither_answer_nor_error_stands_still(
    beating: Witness, monkeypatch: pytest.MonkeyPatch
) -> None:
    is_visiting, is_over = threading.Event(), threading.Event()

    def visit(kind: str) -> None:
        is_visiting.set()
        is_over.wait()

    monkeypatch.setattr(health, "beat", visit)
    health.keep_beating("web")
    assert is_visiting.wait(PATIENCE)
    beating.look()
    assert beating.look() == {health.HEARTBEAT: 1}
    is_over.set()


def test_a_database_that_is_away_does_not_make_the_heartbeat_stand_still(
    beating: Witness, monkeypatch: pytest.MonkeyPatch
) -> None:
    looks: list[dict[str, int]] = []
    is_enough = threading.Event()

    def visit(kind: str) -> None:
        looks.append(beating.look())
        if len(looks) == 2 * STILL_LOOKS:
            is_enough.set()
        raise OperationalError("away")

    monkeypatch.setattr(health, "beat", visit)
    monkeypatch.setattr(health, "BEAT_SECONDS", 0.0)
    health.keep_beating("web")
    assert is_enough.wait(PATIENCE)
    assert looks[: 2 * STILL_LOOKS] == [{health.HEARTBEAT: 0}] * (2 * STILL_LOOKS)


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
    monkeypatch.setattr("orders.monitoring.health.ALIVE_SECONDS", -1)
    assert parts(await get("/health"))["worker"] == "down"


def test_a_process_has_one_heartbeat_however_often_it_beats(transactional_db: None) -> None:
    beat("worker")
    beat("worker")
    with connection.cursor() as cursor:
        cursor.execute("SELECT process, kind FROM heartbeats")
        ((process, kind),) = cursor.fetchall()

    assert kind == "worker"
    assert re.search(rf":{os.getpid()}$", process)


def test_a_redis_that_answers_is_no_excuse_for_a_consumer_that_stands_still() -> None:
    assert not health.is_redis_away()
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"redis://127.0.0.1:{silent.getsockname()[1]}/0"
        with override_settings(REDIS_URL=url), pytest.MonkeyPatch.context() as patched:
            patched.setattr(health, "LOOK_SECONDS", 0.05)
            assert health.is_redis_away()
