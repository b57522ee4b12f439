"""What a web process leaves behind when it ends: nothing."""

import asyncio
import threading
from typing import Any

import pytest

from orders.monitoring import health
from orders.processes.web import lifespan
from tests.support.accounts import Account
from tests.support.client import get, submit
from tests.support.database import Database

OPEN = """
SELECT pid, application_name FROM pg_stat_activity
WHERE datname = current_database() AND starts_with(application_name, 'engine ')
  AND application_name <> 'engine django'
"""
"""Those of loops: Django's pool belongs to the process."""


async def test_a_web_process_that_ends_leaves_no_connection_open(
    account: Account, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(health, "_stopped", threading.Event())
    of_others = set(await database.rows(OPEN))
    order_id = await submit()
    assert (await get("/api/health")).status == 200
    assert (await get(f"/api/orders/{order_id}")).status == 200
    assert len(set(await database.rows(OPEN)) - of_others) >= 4

    said: list[dict[str, Any]] = []

    async def stop() -> dict[str, Any]:
        return {"type": "lifespan.shutdown"}

    async def say(message: dict[str, Any]) -> None:
        said.append(message)

    await lifespan({"type": "lifespan"}, stop, say)
    assert said == [{"type": "lifespan.shutdown.complete"}]
    async with asyncio.timeout(60):
        while set(await database.rows(OPEN)) - of_others:  # the server takes a moment to notice
            await asyncio.sleep(0.01)
