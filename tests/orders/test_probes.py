from typing import Any

import psycopg
import pytest
from django.db import connection

from orders import health
from orders.journal import conninfo
from orders.urls import probe_paths
from tests.orders.client import database_away, get, request

pytestmark = pytest.mark.usefixtures("engine_loop")


@pytest.fixture(autouse=True)
def nothing_known(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have the migrations looked for anew, as in a process that has just started."""
    monkeypatch.setattr(health, "_is_migrated", False)


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


def test_migrations_are_looked_for_until_there_are_none(
    transactional_db: None, django_assert_num_queries: Any
) -> None:
    assert health.unready() == []
    with django_assert_num_queries(1):
        assert health.unready() == []
    connection.close()
