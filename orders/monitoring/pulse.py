"""How the engine stands now, in a few figures, for all who may send orders.

Those who ask within two seconds share a reading, and what a step usually takes is read every
twenty. Each query reads a bounded number of rows (`metrics_sql`).
"""

import time
from typing import Any

from django.conf import settings

from config.database.conninfo import conninfo
from config.runtime.per_loop import once_per_loop
from config.runtime.postgres import Link
from orders.events import timestamp
from orders.lifecycle import IS_HALTED
from orders.monitoring import metrics_sql as sql
from orders.monitoring.health import ALIVE_SECONDS, IS_HEARD

MOST_WAITING = 10_000
MOST_RECENT = 300
USUAL_SECONDS = 20.0
"""For which the usual times are given out again."""
LOOK_SECONDS = 1.0
NOW = f"""
SELECT clock_timestamp(), {IS_HALTED},
  (SELECT count(*) FROM heartbeats WHERE kind = 'worker' AND {IS_HEARD}), waiting.*,
  ({sql.STARTED})
FROM ({sql.WAITING}) AS waiting
"""  # noqa: S608  # our own words


class Pulse:
    """Reads for one asyncio loop, on a connection of its own."""

    def __init__(self) -> None:
        self._link = Link(conninfo(), "engine pulse")
        self._usual: dict[str, Any] = {}
        self._usual_at = float("-inf")

    async def read(self) -> dict[str, Any]:
        """Return the figures of now. Times are in seconds.

        :raises psycopg.Error: the database does not answer.
        """
        rate = settings.ORDER_RATE_LIMIT
        asked = {
            "heard": ALIVE_SECONDS,
            "most": MOST_WAITING,
            "window": rate.seconds if rate else 0,
        }
        (row,) = await self._link.fetch(NOW, asked, LOOK_SECONDS)
        now, is_halted, workers, waiting, oldest, started = row
        return {
            "at": timestamp(now),
            "state": "halted" if is_halted else "active",
            "workers": workers,
            "waiting": waiting,
            "oldestSeconds": round(float(oldest), 3),
            "budgetLeft": max(rate.count - started, 0) if rate else None,
            "budget": rate.count if rate else None,
            "usualSeconds": await self._usual_seconds(),
        }

    async def close(self) -> None:
        await self._link.close()

    async def _usual_seconds(self) -> dict[str, Any]:
        if time.monotonic() - self._usual_at < USUAL_SECONDS:
            return self._usual
        window = {"most": MOST_RECENT, "window": sql.RECENT_SECONDS, "quantiles": [0.5, 0.95]}
        async with self._link.connection(LOOK_SECONDS) as connection, connection.transaction():
            await connection.execute(sql.PLANS)
            cursor = await connection.execute(sql.STEPS, window)
            rows = await cursor.fetchall()
        self._usual = {
            status: {"p50": round(p50, 3), "p95": round(p95, 3)} for status, _, (p50, p95) in rows
        }
        self._usual_at = time.monotonic()
        return self._usual


@once_per_loop
def pulse_of_this_loop() -> Pulse:
    """Return the running loop's reader, made at the first call."""
    return Pulse()
