"""PgBouncer between the engine and PostgreSQL: in session mode it serves, else nothing starts."""

import asyncio
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest

from config.runtime.pooler import REFUSAL, shares_sessions
from config.runtime.postgres import Link
from tests.support.engine import processes
from tests.support.installed import Postgres, Servers, pgbouncer, servers_in

ONE_SERVER = {"default_pool_size": "1"}
TURNS = {"server_round_robin": "1", "min_pool_size": "5"}
FORGETFUL = {"server_reset_query_always": "1"}
LIMITS = """
SELECT current_setting(name) FROM unnest(ARRAY['idle_in_transaction_session_timeout',
  'lock_timeout', 'statement_timeout', 'TimeZone']) AS name
"""
SHOW = (
    "from django.db import connection; cursor = connection.cursor();"
    f" cursor.execute({LIMITS!r}); print(*(name for (name,) in cursor.fetchall()))"
)


@pytest.fixture(scope="module")
def behind(reachable: Path, migrated_cluster: Path) -> Iterator[Postgres]:
    """The PostgreSQL behind the poolers of this file."""
    with servers_in(reachable / "poolers", lambda: migrated_cluster) as servers:
        found = servers.postgres("behind")
        found.start()
        yield found


@pytest.mark.parametrize("settings", [{}, ONE_SERVER, TURNS, FORGETFUL], ids=str)
@pytest.mark.parametrize("mode", ["transaction", "statement"])
def test_a_pool_without_sessions_is_known_by_its_deeds(
    servers: Servers, behind: Postgres, mode: str, settings: dict[str, str]
) -> None:
    url = pgbouncer(servers, behind, mode, **settings)

    assert asyncio.run(shares_sessions(url))


@pytest.mark.parametrize("settings", [{}, TURNS], ids=str)
def test_a_pool_in_session_mode_and_postgres_itself_have_sessions(
    servers: Servers, behind: Postgres, settings: dict[str, str]
) -> None:

    assert not asyncio.run(shares_sessions(pgbouncer(servers, behind, "session", **settings)))
    assert not asyncio.run(shares_sessions(behind.url))


def test_a_pool_without_sessions_is_known_while_others_use_it(
    servers: Servers, behind: Postgres
) -> None:
    url = pgbouncer(servers, behind, "transaction")

    async def use(client: psycopg.AsyncConnection) -> None:
        while True:
            await client.execute("SELECT pg_sleep(0.001)")

    async def ask() -> list[bool]:
        clients = [
            await psycopg.AsyncConnection.connect(url, autocommit=True, prepare_threshold=None)
            for _ in range(8)
        ]
        users = [asyncio.create_task(use(client)) for client in clients]
        found = [await shares_sessions(url) for _ in range(10)]
        for user, client in zip(users, clients, strict=True):
            user.cancel()
            await asyncio.wait([user])
            await client.close()
        return found

    assert asyncio.run(ask()) == [True] * 10


def test_a_server_that_is_away_says_nothing_about_sessions() -> None:
    assert not asyncio.run(shares_sessions("postgresql://127.0.0.1:1/engine"))


def test_nothing_starts_behind_a_pool_without_sessions(
    servers: Servers, behind: Postgres, tmp_path: Path
) -> None:
    url = pgbouncer(servers, behind, "transaction")
    with processes(behind.url, tmp_path) as running:
        started = [
            running.worker(DATABASE_URL=url),
            running.scheduler(DATABASE_URL=url),
        ]
        ended = running.command("release", DATABASE_URL=url)
        assert (ended.returncode, ended.stderr.strip()) == (2, REFUSAL)
        for process in started:
            assert process.wait() == 2, process.output
            assert process.output.strip().endswith(REFUSAL)
            assert "Traceback" not in process.output
        with pytest.raises(AssertionError, match="transaction mode") as refused:
            running.web(DATABASE_URL=url)
        assert "Traceback" not in str(refused.value)


def test_the_engine_works_through_a_pool_in_session_mode(
    servers: Servers, behind: Postgres, tmp_path: Path
) -> None:
    url = pgbouncer(servers, behind, "session", default_pool_size="50")
    with processes(behind.url, tmp_path) as running:
        running.worker(DATABASE_URL=url)
        running.scheduler(DATABASE_URL=url)
        web = running.web(DATABASE_URL=url)

        ids = [web.post() for _ in range(5)]

        running.wait_until_all_ended()
        assert running.statuses() == {"confirmed": len(ids)}
        assert web.request("/readyz").status == 200


def test_connections_have_their_limits_though_a_pool_drops_what_they_ask_for_at_the_start(
    servers: Servers, behind: Postgres, tmp_path: Path
) -> None:
    url = pgbouncer(servers, behind, "session")

    async def of_the_journal() -> list[Any]:
        link = Link(url, "test")
        try:
            return [name for (name,) in await link.fetch(LIMITS, [])]
        finally:
            await link.close()

    assert asyncio.run(of_the_journal()) == ["5s", "500ms", "3s", "UTC"]
    with processes(behind.url, tmp_path) as running:
        ended = running.command("shell", "--verbosity", "0", "-c", SHOW, DATABASE_URL=url)
        assert ended.stdout.split() == ["5s", "1500ms", "2500ms", "UTC"], ended.stderr
