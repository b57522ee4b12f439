"""What the engine's connections to PostgreSQL promise each other."""

import asyncio

import psycopg
import pytest

from config.runtime.postgres import Link
from config.runtime.session import SESSION
from tests.support.database import Database

LOCK = 0x70697065
TAKE = "SELECT pg_try_advisory_xact_lock(%s)"


async def freeze_with_a_lock(link: Link, database: Database) -> None:
    """Stop in the middle of a pipeline until somebody else can have the lock."""
    async with link.connection() as frozen, frozen.pipeline(), frozen.transaction():
        locked = await frozen.execute("SELECT pg_advisory_xact_lock(%s)", [LOCK])
        await locked.fetchall()  # it was answered, and now nothing more is sent
        async with asyncio.timeout(120):
            while await database.rows(TAKE, LOCK) != [(True,)]:
                await asyncio.sleep(0.05)


async def test_a_client_frozen_in_the_middle_of_a_pipeline_does_not_keep_its_locks(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(SESSION, "transaction_timeout", "300")
    link = Link(database.conninfo, "frozen")
    with pytest.raises(psycopg.OperationalError):
        await freeze_with_a_lock(link, database)

    assert await link.fetch("SELECT 1", ()) == [(1,)]
    await link.close()
