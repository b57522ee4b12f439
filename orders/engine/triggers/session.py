"""The evaluator's connection: its settings, its locks, and what its statements have written."""

import logging
from collections.abc import Iterable
from typing import Any

from django.conf import settings
from psycopg import errors

from config.runtime.counters import counts
from config.runtime.postgres import LinkConnection
from orders.engine.bell import ring_soon
from orders.engine.crash_points import crash_point
from orders.engine.hints import hints_of_this_loop
from orders.engine.journal_sql import LOCK_BUDGET
from orders.events import Event
from orders.lifecycle import Status

logger = logging.getLogger(__name__)

# A bitmap would sort all that fires to take 500, and never mark index entries as dead. An evaluator
# that hangs loses its session, and with it the locks of its pairs.
SETTINGS = """
SELECT set_config('enable_bitmapscan', 'off', false), set_config('lock_timeout', '200', false),
  set_config('idle_session_timeout', '10000', false)
"""
LOCKED_ELSEWHERE = (errors.LockNotAvailable, errors.DeadlockDetected)
WAITS = 25
"""Times that the passes over one tick wait for locks of others, each up to `lock_timeout`."""


class Session:
    """One connection, as long as it lives. The locks of pairs are its own."""

    def __init__(self, connection: LinkConnection) -> None:
        self.connection = connection
        self.pairs: set[str] = set()
        """The pairs whose advisory locks it holds."""

    async def begin(self) -> None:
        await self.connection.execute(SETTINGS)

    async def rows(self, statement: str, parameters: dict[str, Any]) -> list[Any]:
        cursor = await self.connection.execute(statement, parameters, prepare=True)
        return await cursor.fetchall() if cursor.description else []

    async def budgeted(self, statement: str, parameters: dict[str, Any]) -> list[Any]:
        """Run a statement that must see what others did with the minute's budget just before."""
        if settings.ORDER_RATE_LIMIT is None:
            return await self.rows(statement, parameters)
        async with self.connection.transaction():
            await self.connection.execute(LOCK_BUDGET)
            rows = await self.rows(statement, parameters)
            crash_point("after_release_written")
            return rows


class Patience:
    """How often one tick of a pair still waits for locks of somebody else's."""

    def __init__(self) -> None:
        self._left: dict[str, int] = {}

    def is_left(self, pair: str) -> bool:
        """Count one wait, up to `lock_timeout`; False if there were too many."""
        left = self._left[pair] = self._left.get(pair, WAITS) - 1
        if left == 0:
            counts["trigger_waits_given_up"] += 1
            logger.warning("gave up waiting for locks of resting orders of %s", pair)
        return left > 0

    def renew(self, pair: str) -> None:
        self._left.pop(pair, None)


def tell(written: Iterable[tuple[Any, ...]]) -> int:
    """Publish committed events, and wake the workers if orders were released; return how many."""
    events = [
        Event(order_id, seq, Status(status), *told) for order_id, seq, status, *told in written
    ]
    released = sum(event.status is Status.PENDING for event in events)
    if released:
        crash_point("after_release")
    hints = hints_of_this_loop()
    for event in events:
        hints.publish(event)
    if released:
        ring_soon()
    return released
