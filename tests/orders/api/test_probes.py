import asyncio
import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import psycopg
import pytest

from config.database.conninfo import conninfo
from config.runtime.per_loop import close_all
from config.runtime.witness import STILL_LOOKS, Witness
from orders.api import probes
from orders.monitoring import health, metrics
from orders.urls import probe_paths
from tests.support.client import PATIENCE, Answer, database_away, get, request
from tests.support.database import as_owner
from tests.support.machine import Watch
from tests.support.proxy import proxy_of

pytestmark = pytest.mark.usefixtures("engine_loop")


@pytest.fixture
def one_migration_missing(transactional_db: None) -> Any:
    with psycopg.connect(conninfo(), autocommit=True) as database:
        missing = "app = 'orders' AND name = '0002_transitions'"
        ((applied,),) = database.execute(
            f"DELETE FROM django_migrations WHERE {missing} RETURNING applied"
        ).fetchall()
        yield
        database.execute(
            "INSERT INTO django_migrations (app, name, applied)"
            " VALUES ('orders', '0002_transitions', %s)",
            [applied],
        )


@pytest.mark.parametrize("path", probe_paths())
async def test_a_probe_is_answered_whatever_it_calls_us_and_is_never_kept(path: str) -> None:
    answer = await get(path, host="10.0.0.7:8000")
    assert answer.status == 200
    assert answer.headers["cache-control"] == "no-store"
    assert (await request("HEAD", path, host="10.0.0.7")).status == 200
    assert (await request("POST", path)).status == 405


async def test_a_process_that_can_take_orders_is_ready() -> None:
    assert (await get("/readyz")).json == {"status": "ok"}


async def test_without_the_database_a_process_lives_and_is_not_ready() -> None:
    with database_away():
        ready = await get("/readyz")
        live = await get("/livez")

    assert (ready.status, live.status) == (503, 200)
    assert ready.json == {"status": "not_ready", "reasons": ["the database does not answer"]}
    assert (await get("/readyz")).status == 200


async def test_without_redis_a_process_is_ready_as_orders_are_safe(settings: Any) -> None:
    settings.REDIS_URL = "redis://127.0.0.1:1/0"
    assert (await get("/readyz")).status == 200


async def test_before_all_migrations_a_process_is_not_ready_and_says_which(
    one_migration_missing: None,
) -> None:
    answer = await get("/readyz")
    assert answer.status == 503
    assert answer.json["reasons"] == ["migrations are missing: orders.0002_transitions"]


async def test_migrations_are_looked_for_until_there_are_none() -> None:
    assert (await get("/readyz")).status == 200
    owner = as_owner(conninfo())
    async with await psycopg.AsyncConnection.connect(owner, autocommit=True) as database:
        await database.execute("ALTER TABLE django_migrations RENAME TO taken_away")
        try:
            assert (await get("/readyz")).status == 200
        finally:
            await database.execute("ALTER TABLE taken_away RENAME TO django_migrations")


async def test_a_process_is_not_ready_while_the_database_takes_no_writes() -> None:
    assert (await get("/readyz")).status == 200
    async with read_only_database():
        ready = await answered("/readyz", 503)
        report = await get("/health")
    assert ready.json["reasons"] == ["the database takes no writes"]
    assert report.status == 503
    assert report.json["database"] == "read_only"
    assert list(report.json["since"]) == ["database"]
    assert (await answered("/readyz", 200)).json == {"status": "ok"}


async def test_readiness_does_not_wait_for_metrics_that_wait_for_a_lock(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(metrics, "FRESH_SECONDS", -1.0)

    assert (await get("/readyz")).status == 200
    async with (
        await psycopg.AsyncConnection.connect(conninfo()) as holder,
        asyncio.TaskGroup() as scrapes,
    ):
        await holder.execute("LOCK TABLE orders")
        scraped = [scrapes.create_task(get("/metrics")) for _ in range(4)]
        await waits_for_lock(holder)
        watch = Watch()
        assert (await get("/readyz")).status == 200
        assert (await get("/health")).status == 200
        watch.assert_within(1.0)
        assert not any(scrape.done() for scrape in scraped)
        await holder.rollback()
    assert {scrape.result().status for scrape in scraped} == {200}


async def test_readiness_is_answered_within_a_second_by_a_database_that_is_silent() -> None:
    async with proxy_of(conninfo()) as proxy:
        with pytest.MonkeyPatch.context() as patched:
            patched.setattr(health, "conninfo", lambda: proxy.conninfo)
            assert (await get("/readyz")).status == 200
            proxy.is_silent = True
            watch = Watch()
            answers = await asyncio.gather(*(get("/readyz") for _ in range(5)))
            watch.assert_within(1.5)  # of which 0.5 are this machine's
            assert {answer.status for answer in answers} == {503}
            watch = Watch()
            report = await get("/health")
            watch.assert_within(3.0)
            assert (report.status, report.json["database"]) == (503, "down")
            proxy.is_silent = False
            await answered("/readyz", 200)
            await close_all()


async def test_metrics_that_do_not_come_are_told_as_a_database_that_does_not_answer(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    is_over = threading.Event()
    monkeypatch.setattr(probes, "METRICS_SECONDS", 0.05)
    monkeypatch.setattr(probes, "measure", is_over.wait)
    try:
        answer = await get("/metrics")
    finally:
        is_over.set()

    assert answer.status == 200
    assert "engine_database_up 0.0" in answer.text


async def test_a_process_whose_part_stands_still_says_so_before_it_ends(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    stuck = Witness()
    monkeypatch.setattr(probes, "witness", stuck)
    stuck.note_turn("the heartbeat")

    assert (await get("/livez")).status == 200
    for _ in range(STILL_LOOKS):
        stuck.look()
    assert (await get("/livez")).status == 503
    stuck.note_turn("the heartbeat")
    stuck.look()
    assert (await get("/livez")).status == 200


async def test_all_that_share_a_look_that_is_given_up_are_told_that_it_took_too_long() -> None:
    """And is not cancelled with it."""
    begun = asyncio.Event()

    async def look() -> None:
        begun.set()
        await asyncio.Event().wait()

    shared = health.Shared(look, PATIENCE)
    asking = [asyncio.create_task(shared()) for _ in range(2)]
    await begun.wait()
    shared.give_up()
    found = await asyncio.gather(*asking, return_exceptions=True)
    assert [type(one) for one in found] == [TimeoutError] * 2


async def answered(path: str, status: int) -> Answer:
    """Ask until the answer has this status."""
    async with asyncio.timeout(PATIENCE):
        while (answer := await get(path)).status != status:
            await asyncio.sleep(0.02)
    return answer


async def waits_for_lock(holder: psycopg.AsyncConnection[Any]) -> None:
    query = "SELECT count(*) FROM pg_locks WHERE NOT granted"
    async with asyncio.timeout(PATIENCE):
        while (await (await holder.execute(query)).fetchone()) == (0,):
            await asyncio.sleep(0.01)


@asynccontextmanager
async def read_only_database() -> AsyncIterator[None]:
    """Have running sessions and new ones refuse to write, as after a demotion."""
    owner = as_owner(conninfo())
    async with await psycopg.AsyncConnection.connect(owner, autocommit=True) as database:
        try:
            await database.execute("ALTER SYSTEM SET default_transaction_read_only = on")
            await database.execute("SELECT pg_reload_conf()")
            yield
        finally:
            await database.execute("ALTER SYSTEM RESET default_transaction_read_only")
            await database.execute("SELECT pg_reload_conf()")
