"""The last tick of each pair, for processes that make none.

Whoever asks within a second shares one query for all pairs.
"""

import asyncio
import time
from contextvars import Context
from typing import Any

from config.database.conninfo import conninfo
from config.runtime.per_loop import once_per_loop
from config.runtime.postgres import Link
from orders.engine.triggers.ticks import MAX_TICK_AGE, Tick

FRESH_SECONDS = 1.0

LAST = """
SELECT extract(epoch FROM clock.at)::float8, tick.*
FROM (SELECT clock_timestamp() AS at) AS clock
LEFT JOIN LATERAL (
  SELECT DISTINCT ON (pair) pair, tick, bid, ask, reference, bid_low, bid_high, ask_low, ask_high,
    reference_low, reference_high, venues
  FROM price_ticks
  WHERE tick BETWEEN floor(extract(epoch FROM clock.at))::bigint - %(age)s
    AND floor(extract(epoch FROM clock.at))::bigint
  ORDER BY pair, tick DESC
) AS tick ON true
"""


class LastPrices:
    """For one asyncio loop."""

    def __init__(self) -> None:
        self._link = Link(conninfo(), "engine prices")
        self._ticks: dict[str, Tick] = {}
        self._epoch = 0.0
        self._read_at = float("-inf")
        self._reading: asyncio.Task[None] | None = None

    async def of(self, pair: str) -> Tick | None:
        """Return the pair's last tick; None if there is none of the last MAX_TICK_AGE seconds.

        :raises psycopg.Error: the database does not answer.
        """
        if time.monotonic() - self._read_at >= FRESH_SECONDS:
            await self._read_once()
        tick = self._ticks.get(pair)
        return tick if tick is not None and self._age_of(tick) <= MAX_TICK_AGE else None

    async def all(self) -> tuple[float, dict[str, Tick]]:
        """Read now. Return the database's time, and the last tick of each pair that has one.

        :raises psycopg.Error: the database does not answer.
        """
        await self._read_once()
        return self._epoch, self._ticks

    async def close(self) -> None:
        if self._reading is not None:
            self._reading.cancel()
            await asyncio.wait([self._reading])
        await self._link.close()

    def second(self) -> int:
        """Return the database's unix second, by what was read last."""
        return int(self._epoch + time.monotonic() - self._read_at)

    def _age_of(self, tick: Tick) -> int:
        return self.second() - tick.tick

    async def _read_once(self) -> None:
        """Read, once for all who ask meanwhile. A caller that leaves ends nothing."""
        if self._reading is None or self._reading.done():
            self._reading = asyncio.create_task(self._read(), context=Context())
            self._reading.add_done_callback(_note)
        await asyncio.shield(self._reading)

    async def _read(self) -> None:
        rows: list[Any] = await self._link.fetch(LAST, {"age": MAX_TICK_AGE})
        self._ticks = {row[1]: Tick._make(row[1:]) for row in rows if row[1] is not None}
        self._epoch, self._read_at = rows[0][0], time.monotonic()


@once_per_loop
def last_prices_of_this_loop() -> LastPrices:
    return LastPrices()


async def last_tick(pair: str) -> Tick | None:
    """Return the last tick of a pair (`Market.pair`); None if none is younger than 3 s.

    :raises psycopg.Error: the database does not answer.
    """
    return await last_prices_of_this_loop().of(pair)


def _note(task: asyncio.Task[None]) -> None:
    if not task.cancelled():
        task.exception()  # marks the error as seen, even if no caller waits
